"""The page: a sheet of samples to click at.

What it shows is drawn by `api`, `tiles`, `sheets` and `films`. Here are its controls,
and what they call: a method that takes the values of all of them, by component, and
yields what changes. The browser is sure to get what is yielded last, not all before it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import shlex
import signal
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from biggan_tf import api, films, images, labels, projection, sheets, tiles
from biggan_tf.api.walks import check_room
from biggan_tf.data import folder as picture_files
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.explorer.kept import Kept, Shown
from biggan_tf.explorer.parts import CSS, ENLARGED, button, gallery, slider, told
from biggan_tf.sampling import Sampler
from biggan_tf.standing import GRIDS
from biggan_tf.tiles import Found, Tile

RATE = 24  # frames a second
AROUND = 8  # images: a tile and its variations
AROUND_SEED = 2**62  # of the variations; no sheet has it
DIRECTIONS, FURTHEST = 3, 3  # how many, and how far a tile moves, in units of z
SEARCH = {"steps": 200, "starts": 4, "seed": 0}
MOST_CLASSES, MOST_MIXED, SEEDS = 24, 3, 10_000
EACH, MIXED = "a row of each", "a mix of them"
Values = dict[Any, Any]  # by component


def serve(sampler: Sampler, module: str, host: str, port: int) -> None:
    """Serves a page until Ctrl-C or SIGTERM; commands call the sampler `module`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Gradio looks whether it reaches itself, which should not be by way of a proxy.
    os.environ["no_proxy"] = f"{os.environ.get('no_proxy', '')},{host}"
    name = f"[{host}]" if ":" in host else host  # IPv6, as in an address of a page
    with tempfile.TemporaryDirectory(prefix="explore") as folder:
        os.environ["GRADIO_TEMP_DIR"] = os.path.join(folder, "cache")
        page = Explorer(sampler, module, folder).page
        page.launch(
            **{"server_name": name, "server_port": port, "allowed_paths": [folder]},
            **{"share": False, "ssr_mode": False, "footer_links": []},
            **{"quiet": True, "prevent_thread_lock": True},
            css=CSS + ENLARGED * (sampler.image_size < images.SMALLEST_TILE),
        )
        print(f"{module}: open {page.local_url} (Ctrl-C ends it)", flush=True)
        page.block_thread()


class Explorer:
    """The page of one module; its files are in a folder."""

    def __init__(self, sampler: Sampler, module: str, folder: str):
        self._sampler, self._module, self._folder = sampler, module, folder
        self._exported = _when_exported(module)
        title = f"`{module}`, {sampler.image_size} px, {sampler.num_classes:,} classes"
        with gr.Blocks(title=f"Explore {module}", analytics_enabled=False) as self.page:
            gr.Markdown(title)
            with gr.Row():
                with gr.Column(scale=3, min_width=270):
                    self._make_controls()
                with gr.Column(scale=7, min_width=340, elem_id="stage"):
                    self._make_stage()
                with gr.Column(scale=3, min_width=270):
                    self._make_kept()
            self._connect()

    def _make_controls(self) -> None:
        grid, names = GRIDS[self._sampler.convention], self._sampler.class_names
        finite = [truncation for truncation in grid if truncation < math.inf]
        ends = (finite[0], finite[-1]) if finite else (0, 1)
        self._classes = gr.Dropdown(
            [(name, label) for label, name in enumerate(names)],
            value=[label for label, _ in zip(range(4), names)],
            label="Classes",
            multiselect=True,
            max_choices=MOST_CLASSES,
        )
        self._layout = gr.Radio([EACH, MIXED], value=EACH, label="Draw")
        hidden = {"visible": False}
        self._shares = [slider("", 0, 1, 1, 0.01, **hidden) for _ in range(MOST_MIXED)]
        self._truncation = slider("Truncation", *ends, 0.5, 0.02, visible=bool(finite))
        self._untruncated = gr.Checkbox(
            not finite,
            label="Do not truncate",
            visible=bool(finite) and math.inf in grid,
        )
        self._seed = slider("Seed", 0, SEEDS - 1, 0, 1)
        self._columns = slider("Images in a row", 1, 16, 8, 1)
        with gr.Row():
            self._sheet = button("Draw sheet")
            self._next = button("Next seed", variant="primary")

    def _make_stage(self) -> None:
        with gr.Row():
            self._status = gr.HTML(elem_id="status")
            self._stop = button("Stop", scale=0, interactive=False)
        self._gallery = gallery("sheet")
        self._film = gr.HTML(elem_id="film", visible=False)
        with gr.Row():
            self._files = [gr.DownloadButton("", size="md", min_width=60) for _ in "ab"]
        self._command = gr.Textbox(buttons=["copy"], elem_id="command")
        self._view = gr.State()  # what draws what is shown, and of which tile
        self._shown = gr.State([])

    def _make_kept(self) -> None:
        gr.Markdown("Click images to keep them here, and one of these to choose it.")
        self._kept_gallery = gallery("kept", columns=4, fit_columns=False)
        with gr.Row():
            self._vary = button("Vary", scale=2, interactive=False)
            self._strip = button("Truncations", scale=4, interactive=False)
            self._remove = button("Remove", scale=3, interactive=False)
        self._amount = slider("Vary by", 0, 1, 0.3, 0.01)
        ends, there = (-FURTHEST, FURTHEST), self._sampler.directions is not None
        self._moves = [
            slider(f"Direction {number}", *ends, 0, 0.1, visible=there)
            for number in range(1, min(DIRECTIONS, self._sampler.latent_size) + 1)
        ]
        self._picture = gr.UploadButton(
            "Find a picture of yours", file_types=["image"], size="md"
        )
        self._walk = button("Walk from each to the next", interactive=False)
        self._seconds = slider("Seconds between two", 0.5, 5, 1.5, 0.1)
        self._format = gr.Dropdown(
            [*images.FILM_FORMATS],
            value=images.FILM_FORMATS[0],
            label="Film",
            filterable=False,
        )
        self._kept = gr.State(Kept())

    def _connect(self) -> None:
        parts = [p for p in self.page.blocks.values() if isinstance(p, gr.Component)]
        valued = (gr.Dropdown, gr.Radio, gr.Checkbox, gr.Slider, gr.UploadButton)
        values = {part for part in parts if isinstance(part, (*valued, gr.State))}
        options = {"show_progress": "hidden", "api_visibility": "private"}

        def on(function: Callable, *triggers: Any, **more: Any) -> Any:
            return gr.on(triggers, told(function), values, parts, **options, **more)

        draw = functools.partial(on, trigger_mode="always_last", concurrency_id="draw")
        moved = [part.release for part in (*self._shares, self._seed, self._columns)]
        chosen = [self._classes.change, self._layout.input, self._sheet.click]
        drawing = [
            draw(self._draw_sheet, *moved, *chosen, self.page.load),
            draw(self._draw_next, self._next.click),
            draw(self._draw_again, self._truncation.release, self._untruncated.input),
            draw(self._draw_around, self._vary.click, self._amount.release),
            draw(self._draw_strip, self._strip.click),
            draw(self._draw_moved, *(part.release for part in self._moves)),
            draw(self._find, self._picture.upload),
            draw(self._draw_walk, self._walk.click),
        ]
        stopped = self._stop.click(None, cancels=drawing)
        stopped.then(lambda: self._ended("Stopped"), None, parts, **options)
        on(self._keep, self._gallery.select, trigger_mode="multiple")
        on(self._choose, self._kept_gallery.select, trigger_mode="always_last")
        on(self._drop, self._remove.click)

    def _draw_sheet(self, values: Values, _: None = None) -> Iterator[Values]:
        classes, seed = values[self._classes], values[self._seed]
        names, mixed = self._sampler.class_names, values[self._layout] == MIXED
        if mixed and not 2 <= len(classes) <= MOST_MIXED:
            raise BadInput(f"{len(classes)} classes: choose 2 to {MOST_MIXED} to mix.")
        shares = self._shares[: len(classes) * mixed]
        mix = [values[share] for share in shares]
        named = {share: gr.Slider(visible=False) for share in self._shares}
        for share, label in zip(shares, classes):
            named[share] = gr.Slider(visible=True, label=f"Share of {names[label]}")
        drawn = {"columns": values[self._columns], "truncation": self._value(values)}
        drawn["seed"] = seed
        rows = api.sheet_rows(self._sampler, classes, **drawn, mix=mix)
        asked = {"labels": labels.spell(classes, names)}
        asked |= {"mix": ",".join(map(str, mix))} if mixed else {}
        shown, view = tiles.of_rows(self._sampler, rows, seed), (self._draw_sheet, None)
        for changes in self._draw("sheet", view, rows, shown, **asked, **drawn):
            yield {**named, **changes}

    def _draw_next(self, values: Values) -> Iterator[Values]:
        seed = (values[self._seed] + 1) % SEEDS
        for changes in self._draw_sheet({**values, self._seed: seed}):
            yield {self._seed: seed, **changes}

    def _draw_around(
        self, values: Values, tile: Tile | None = None
    ) -> Iterator[Values]:
        tile = tile or self._chosen_tile(values)
        around = [tile, *tile.varied(AROUND - 1, values[self._amount], AROUND_SEED)]
        rows = tiles.rows(self._sampler, around, [self._value(values)])
        view = self._draw_around, tile
        yield from self._draw("around", view, rows, around, columns=AROUND)

    def _draw_strip(self, values: Values, tile: Tile | None = None) -> Iterator[Values]:
        tile = tile or self._chosen_tile(values)
        rows = tiles.strip(self._sampler, tile)
        view = self._draw_strip, tile
        yield from self._draw("strip", view, rows, [tile] * len(rows), columns=1)

    def _draw_moved(self, values: Values, tile: Tile | None = None) -> Iterator[Values]:
        tile = tile or self._chosen_tile(values)
        both = [tile, tile.moved([values[part] for part in self._moves])]
        rows = tiles.rows(self._sampler, both, [self._value(values)])
        view = self._draw_moved, tile
        yield from self._draw("moved", view, rows, both, columns=2)

    def _find(self, values: Values) -> Iterator[Values]:
        """Keeps what is found of a picture."""
        sampler, truncation, states = self._sampler, self._value(values), []
        path, every = values[self._picture], range(sampler.num_classes)
        picture = picture_files.read(path, sampler.image_size, "picture")
        asked = sampler, picture, every, truncation
        for state in projection.search(*asked, **SEARCH):
            yield self._progress(len(states), SEARCH["steps"], "steps")
            states.append(state)
        found = projection.best(states, truncation)[-1]
        [pixels] = images.to_uint8(sheets.draw(sampler, [found])[0])
        tile = Tile(found.y[0], Found(found.z[0]))
        values[self._kept].add(Shown(tile, pixels, truncation))
        yield {**self._keeping(values), **self._ended("What was found is kept")}

    def _draw_again(self, values: Values) -> Iterator[Values]:
        """Draws what is shown at another truncation, and what is kept."""
        kept, view = values[self._kept], values[self._view] or (self._draw_sheet, None)
        if kept.images:
            kept.update(self._drawn(self._kept_tiles(values), self._value(values)))
        for changes in view[0](values, view[1]):
            yield {**self._keeping(values), **changes}

    def _draw_walk(self, values: Values, _: None = None) -> Iterator[Values]:
        name, steps = f"walk{values[self._format]}", round(values[self._seconds] * RATE)
        films.check_writer(name, RATE)
        if not 2 <= len(kept := self._kept_tiles(values)) <= 100:
            raise BadInput(
                f"{len(kept)} images are kept: a film walks through 2 to 100."
            )
        rows = tiles.rows(self._sampler, kept, [self._value(values)])
        side, count = images.side_in_sheet(self._sampler.image_size), steps * len(kept)
        check_room(self._sampler, count, 1, name)
        memory.check_room(3 * count * side**2, f"{name}: frames", "take fewer seconds")
        walk, frames = api.walk_through(*rows, steps), []
        for frame in films.draw(self._sampler, walk, 1):
            yield self._progress(len(frames), len(walk.z), "frames")
            frames.append(frame)
        folder = tempfile.mkdtemp(dir=self._folder)
        npz = os.path.join(folder, f"kept-{sheets.mark(rows)}.npz")
        film = os.path.join(folder, name)
        films.write(film, iter(frames), RATE)
        sheets.save(npz, self._sampler, rows, sheets.draw(self._sampler, rows))
        source = f"src='/gradio_api/file={urllib.parse.quote(film)}'"
        shown = f"<video {source} autoplay muted loop controls playsinline></video>"
        if not name.endswith(".mp4"):
            shown = f"<img {source}>"
        yield {
            self._gallery: gr.Gallery(visible=False),
            self._film: gr.HTML(shown, visible=True),
            self._view: (self._draw_walk, None),
            **self._offered(film, npz, seconds=steps / RATE, rate=RATE),
            **self._ended(f"Frames: {len(frames)}"),
        }

    def _keep(self, values: Values, event: gr.SelectData) -> Iterator[Values]:
        shown, value = values[self._shown][event.index], self._value(values)
        if shown.truncation != value:  # of a row of truncations
            [shown] = self._drawn([shown.tile], value)
        values[self._kept].add(shown)
        yield self._keeping(values)

    def _choose(self, values: Values, event: gr.SelectData) -> Iterator[Values]:
        kept = values[self._kept]
        kept.chosen = max(0, min(event.index, len(kept.images) - 1))
        yield {self._kept_gallery: gr.Gallery(selected_index=kept.chosen)}

    def _drop(self, values: Values) -> Iterator[Values]:
        values[self._kept].remove()
        yield self._keeping(values)

    def _draw(
        self,
        name: str,
        view: tuple[Callable, Tile | None],
        rows: Sequence[sheets.Row],
        shown: Sequence[Tile],
        **asked: Any,
    ) -> Iterator[Values]:
        """Draws rows of the tiles `shown`; `asked` are the flags of their command."""
        drawn = []
        for row in rows:
            yield self._progress(len(drawn), len(rows), "rows")
            drawn += sheets.draw(self._sampler, [row])
        pixels, width = images.to_uint8(np.concatenate(drawn)), len(drawn[0])
        at = [row.truncation for row in rows for _ in range(width)]
        captions = [row.title * (not place) for row in rows for place in range(width)]
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            if "labels" not in asked:  # the command reads this file and no other
                name = f"{name}-{sheets.mark(rows)}"
            files = [os.path.join(folder, name + end) for end in (".png", ".npz")]
            for file in files:
                sheets.save(file, self._sampler, rows, drawn)
            pictures = list(zip(pixels, captions))
            columns = width if width > 1 else len(rows)
            chosen = {"columns": columns, "selected_index": None, "visible": True}
            yield {
                self._gallery: gr.Gallery(pictures, **chosen),
                self._film: gr.HTML(visible=False),
                self._shown: [*map(Shown, shown, pixels, at)],
                self._view: view,
                **self._offered(*files, **asked),
                **self._ended(f"Images: {len(pixels)}"),
            }

    def _offered(self, picture: str, npz: str, **asked: Any) -> Values:
        """Offers files, and the command that makes the picture of these flags."""
        names = [os.path.basename(file) for file in (picture, npz)]
        label = "The command that makes it again"
        if _when_exported(self._module) != self._exported:
            label = "The module has changed since: start explore again. This made it"
        if "labels" not in asked:
            label, asked = f"{label}, from {names[1]}", {"latents": names[1], **asked}
        words = {"module": self._module, **asked, "output": names[0]}
        flags = [f"--{name}={shlex.quote(str(value))}" for name, value in words.items()]
        command = " ".join(["python -m biggan_tf.sample", *flags])
        texts = [f"Save {name}" for name in names]
        offered = zip(self._files, map(gr.DownloadButton, texts, (picture, npz)))
        return {self._command: gr.Textbox(command, label=label), **dict(offered)}

    def _keeping(self, values: Values) -> Values:
        """Shows what is kept by now, one of it chosen."""
        kept = values[self._kept]
        pixels = [one.pixels for one in kept.images]
        place = kept.chosen if pixels else None
        some = gr.Button(interactive=bool(pixels))
        return {
            self._kept_gallery: gr.Gallery(pixels, selected_index=place),
            **dict.fromkeys((self._vary, self._strip, self._remove), some),
            self._walk: gr.Button(interactive=len(pixels) > 1),
        }

    def _kept_tiles(self, values: Values) -> list[Tile]:
        if not values[self._kept].images:
            raise BadInput("No image is kept: click one of the sheet.")
        return [one.tile for one in values[self._kept].images]

    def _chosen_tile(self, values: Values) -> Tile:
        return self._kept_tiles(values)[values[self._kept].chosen]

    def _drawn(self, shown: Sequence[Tile], truncation: float) -> list[Shown]:
        rows = tiles.rows(self._sampler, shown, [truncation])
        [drawn] = sheets.draw(self._sampler, rows)
        pixels = images.to_uint8(drawn)
        return [Shown(tile, x, truncation) for tile, x in zip(shown, pixels)]

    def _value(self, values: Values) -> float:
        """Returns the truncation."""
        chosen = round(values[self._truncation], 4)
        return math.inf if values[self._untruncated] else chosen

    def _progress(self, done: int, total: int, what: str) -> Values:
        bar = f"<progress value={done} max={total}></progress> {done} of {total} {what}"
        return {self._status: bar, self._stop: gr.Button(interactive=True)}

    def _ended(self, status: str) -> Values:
        return {self._status: status, self._stop: gr.Button(interactive=False)}


def _when_exported(module: str) -> object:
    with contextlib.suppress(OSError):
        found = os.stat(os.path.join(module, "saved_model.pb"))
        return found.st_ino, found.st_mtime_ns
