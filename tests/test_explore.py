"""The page of `explore`, in a browser, and what it does without one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from absl import flags
from absl.testing import flagsaver
from doors import Door, called
from PIL import Image

from biggan_tf import explore, saved_model
from biggan_tf.errors import BadInput

pytest.importorskip("gradio", reason="the extra needs Python 3.10")
DATA = Path(__file__).parent / "data"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ANSWER = "/queue/data?"  # in the address from which the browser reads what changes


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    """A module of before there were directions, with some."""
    folder = tmp_path_factory.mktemp("exports")
    shutil.unpack_archive(DATA / "tensorflow215.zip", folder)
    module = hub.load(str(folder / "run" / "export"))
    module.directions = tf.Variable(tf.eye(16)[::-1])
    path = folder / "with_directions"
    tf.saved_model.save(module, str(path), module.signatures)
    return path


@pytest.fixture(scope="module")
def address(module, tmp_path_factory) -> Iterator[str]:
    """Where the real program serves, of two ports the second one."""
    folder = tmp_path_factory.mktemp("explore")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = f"--module={module}", f"--port={port}"
        door = Door("explore", *arguments, folder=folder, TMPDIR=str(folder))
        door.until(lambda: "open http" in door.output())
    printed = door.output()
    assert f"--port={port} is in use" in printed
    address = printed.partition(": open ")[2].split()[0]
    assert address.startswith("http://127.0.0.1:")
    yield address
    door.signal(signal.SIGTERM)
    assert door.wait(30) == 0
    assert "Traceback" not in door.output()
    assert [path.suffix for path in folder.iterdir()] == [".log"]


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("there is no Chromium here; apt-get install chromium brings it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox"]  # which root needs
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=options)


class Page:
    """The page as a person uses it; what goes wrong in the browser fails its test."""

    def __init__(self, browser, address: str, folder: Path):
        self.page, self.folder, self.wrong = browser.new_page(), folder, []
        self.page.set_default_timeout(300_000)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url, address))
        self.answers = []  # still coming: the end of each sets its values once more
        self.page.on("request", self._begins)
        for end in ("requestfinished", "requestfailed"):
            self.page.on(end, self._ends)
        self.page.goto(address)
        self.until(lambda: len(self.shown()) == 32)

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _asked(self, url: str, address: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            self.wrong.append(url)

    def _begins(self, request) -> None:
        if ANSWER in request.url:
            self.answers.append(request)

    def _ends(self, request) -> None:
        if request in self.answers:
            self.answers.remove(request)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 300
        while not condition():
            assert time.monotonic() < end, self.page.inner_text("body")
            self.page.wait_for_timeout(50)

    def shown(self, gallery: str = "sheet") -> list[str]:
        """Names of the images, which are hashes of their content."""
        sources = "images => images.map(image => image.src)"
        return self.page.eval_on_selector_all(f"#{gallery} img", sources)

    def changed(self, act: Callable[[], object]) -> list[str]:
        """Acts; returns the images when they have changed, and all else too."""
        before = self.shown()
        act()
        self.until(lambda: self.shown() not in (before, []) and not self.answers)
        return self.shown()

    def answered(self, act: Callable[[], object]) -> None:
        """Acts; returns when the answer has come, whether it changes images or not."""
        with self.page.expect_request(lambda request: ANSWER in request.url):
            act()
        self.until(lambda: not self.answers)

    def set(self, slider: str, value: float) -> None:
        box = self.page.get_by_label(f"number input for {slider}")
        box.fill(f"{value}")
        box.press("Tab")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, name: str) -> None:
        self.page.get_by_label("Classes").fill(name)
        self.page.get_by_role("option", name=name, exact=True).click()
        self.page.keyboard.press("Escape")

    def save(self, name: str) -> Path:
        with self.page.expect_download() as download:
            # What the command reads has a name of its own: around-3f9a1c.npz.
            mark = "" if name.startswith(("sheet", "walk")) else "-[0-9a-f]{6}"
            marked = re.escape(name).replace(r"\.", rf"{mark}\.")
            button = self.page.get_by_role("button", name=re.compile(f"Save {marked}"))
            button.click()
        path = self.folder / download.value.suggested_filename
        assert re.fullmatch(marked, path.name)
        download.value.save_as(path)
        return path

    def command(self) -> list[str]:
        return shlex.split(self.page.locator("#command textarea").input_value())


@pytest.fixture
def page(browser, address, tmp_path) -> Iterator[Page]:
    page = Page(browser, address, tmp_path)
    yield page
    assert not page.wrong
    page.page.close()


def made_again(commands: list[list[str]], folder: Path) -> list[Path]:
    """Runs commands of the page, which name files without a folder."""
    words = []
    for index, command in enumerate(commands):
        assert command[:3] == ["python", "-m", "biggan_tf.sample"]
        again = {"--output=": f"--output={folder}/again{index}"}
        again["--latents="] = f"--latents={folder}/"
        words.append(command[3:])
        for old, new in again.items():
            words[-1] = [word.replace(old, new) for word in words[-1]]
    assert [outcome.complaint for outcome in called("biggan_tf.sample", *words)] == [
        ""
    ] * len(words)
    return [Path(words[-1].partition("=")[2]) for words in words]


def test_the_sheet_follows_its_controls_and_its_command_makes_it_again(page, tmp_path):
    first = page.shown()
    assert len({*first}) == 32
    seeded = page.changed(lambda: page.press("Next seed"))
    assert not {*first} & {*seeded}
    assert page.changed(lambda: page.set("Seed", 0)) == first
    more = page.changed(lambda: page.choose("Shirt"))
    assert more[:32] == first
    assert len(more) == 40
    track = page.page.get_by_label("range slider for Truncation")
    right = {"x": 0.9 * track.bounding_box()["width"], "y": 2}
    truncated = page.changed(lambda: track.click(position=right))
    assert not {*more} & {*truncated}
    fewer = page.changed(lambda: page.set("Images in a row", 3))
    assert len(fewer) == 15
    commands, files = [page.command()], [page.save("sheet.png").rename(tmp_path / "0")]
    untruncated = page.changed(
        lambda: page.page.get_by_label("Do not truncate").click()
    )
    assert not {*fewer} & {*untruncated}

    for _ in range(2):
        page.changed(lambda: page.page.get_by_label("Classes").press("Backspace"))
    mixed = page.changed(lambda: page.page.get_by_label("a mix of them").click())
    assert len(mixed) == 3
    unequal = page.changed(lambda: page.set("Share of Trouser", 0.25))
    assert not {*mixed} & {*unequal}
    page.changed(lambda: page.set("Share of Pullover", 0))
    commands, files = [*commands, page.command()], [*files, page.save("sheet.png")]
    assert "--mix=1,0.25,0" in commands[1]
    with np.load(page.save("sheet.npz")) as file:
        np.testing.assert_allclose(file["labels"][:, :3], [[0.8, 0.2, 0]] * 3)
        assert np.all(file["truncation"] == np.inf)
    for file, again in zip(files, made_again(commands, tmp_path)):
        assert file.read_bytes() == again.read_bytes()


def test_what_is_kept_is_varied_truncated_and_walked(page, tmp_path):
    images = page.page.locator("#sheet button")
    for index in (2, 17):
        kept = len(page.shown("kept"))
        images.nth(index).click()
        page.until(lambda kept=kept: len(page.shown("kept")) == kept + 1)
    sheet, kept = page.shown(), page.shown("kept")
    assert kept == [sheet[2], sheet[17]]
    files, commands = [], []

    def look(name: str) -> None:
        files.append(page.save(f"{name}.png"))
        page.save(f"{name}.npz")
        commands.append(page.command())

    around = page.changed(lambda: page.press("Vary"))
    assert around[0] == kept[1]
    assert len({*around}) == 8
    further = page.changed(lambda: page.set("Vary by", 0.8))
    assert further[0] == kept[1]
    assert not {*around[1:]} & {*further}
    look("around")
    page.page.locator("#kept button").first.click()
    strip = page.changed(lambda: page.press("Truncations"))
    assert kept[0] == strip[4]  # at 0.5
    assert len({*strip}) == 10
    look("strip")
    images.first.click()  # of another truncation than what is kept
    page.until(lambda: len(page.shown("kept")) == 3)
    assert page.shown("kept")[2] == kept[0]
    page.press("Remove")
    page.until(lambda: page.shown("kept") == kept)
    page.page.locator("#kept button").first.click()
    page.changed(lambda: page.press("Draw sheet"))
    page.changed(lambda: page.set("Truncation", 1))
    page.until(lambda: not {*kept} & {*page.shown("kept")})
    kept = page.shown("kept")

    page.set("Seconds between two", 0.5)
    for kind in (".webp", ".mp4"):
        page.page.get_by_label("Film").click()
        page.page.get_by_role("option", name=kind).click()
        page.press("Walk from each to the next")
        page.page.wait_for_selector("#film video, #film img", state="attached")
        page.until(lambda kind=kind: f"--output=walk{kind}" in page.command())
    files.append(page.save("walk.mp4"))
    page.save("kept.npz")
    commands.append(page.command())
    playing = "document.querySelector('video').readyState > 1"
    page.page.wait_for_function(playing)
    page.press("Remove")
    page.until(lambda: len(page.shown("kept")) == 1)
    assert page.shown("kept") == kept[1:]
    for file, again in zip(files, made_again(commands, tmp_path)):
        assert file.read_bytes() == again.read_bytes()
    strip = np.asarray(Image.open(files[1]))
    assert strip.shape[0] == 10 * 66 - 2  # of a row for each truncation


def test_a_kept_image_moves_along_directions(page, module, tmp_path):
    page.page.locator("#sheet button").nth(2).click()
    page.until(lambda: len(page.shown("kept")) == 1)
    [kept] = page.shown("kept")
    moved = page.changed(lambda: page.set("Direction 2", 2))
    assert moved[0] == kept
    assert moved[1] != kept
    files, commands = [page.save("moved.png")], [page.command()]
    with np.load(page.save("moved.npz")) as file:
        step = file["z"][1] - file["z"][0]
    direction = saved_model.load(module).directions[1]
    np.testing.assert_allclose(step, 2 * direction, atol=1e-5)
    both = page.changed(lambda: page.set("Direction 1", -1.5))
    assert both[0] == kept
    assert not {*both[1:]} & {*moved}
    assert page.changed(lambda: page.set("Direction 1", 0)) == moved
    page.page.locator("#sheet button").nth(1).click()
    page.until(lambda: page.shown("kept") == moved)
    again = page.changed(lambda: page.set("Direction 1", 1))
    assert again[0] == moved[1]
    page.page.locator("#kept button").first.click()
    page.changed(lambda: page.set("Direction 1", 0))
    assert page.changed(lambda: page.set("Direction 2", 0)) == [kept, kept]
    for file, made in zip(files, made_again(commands, tmp_path)):
        assert file.read_bytes() == made.read_bytes()


def test_a_picture_of_the_user_is_found_and_kept(page, tmp_path):
    def give(name: str) -> None:
        with page.page.expect_file_chooser() as chooser:
            page.press("Find a picture of yours")
        chooser.value.set_files(tmp_path / name)

    with np.load(page.save("sheet.npz")) as file:
        wanted = file["images"][3]
    Image.fromarray(wanted).save(tmp_path / "own.png")
    give("own.png")
    page.page.locator("#status progress").wait_for()
    page.page.locator("#sheet button").nth(5).click()
    page.until(lambda: page.shown("kept") == [page.shown()[5]])
    assert page.answers  # of the search
    page.until(lambda: len(page.shown("kept")) == 2 and not page.answers)
    assert page.shown("kept")[0] == page.shown()[5]
    page.changed(lambda: page.press("Truncations"))
    with np.load(page.save("strip.npz")) as file:
        assert len({*map(bytes, file["z"])}) == 1
        [at] = np.flatnonzero(file["truncation"] == 0.5)
        apart = np.square(file["images"][at] - np.float64(wanted)).mean()
        assert apart < 0.02 * wanted.var()
    (tmp_path / "text.png").write_text("no picture")
    give("text.png")
    page.page.get_by_text("take a file that can be read").wait_for()


def test_long_work_can_be_stopped_and_what_is_wrong_is_said(page, module):
    page.set("Vary by", 0.5)
    page.page.get_by_text("No image is kept: click one of the sheet.").wait_for()
    page.page.get_by_label("a mix of them").click()
    page.page.get_by_text("4 classes: choose 2 to 3 to mix.").wait_for()
    page.answered(lambda: page.page.get_by_label("a row of each").click())
    for index in range(2):
        page.page.locator("#sheet button").nth(index).click()
        page.until(lambda index=index: len(page.shown("kept")) == index + 1)
    page.set("Seconds between two", 5)
    page.press("Walk from each to the next")
    page.page.locator("#status progress").wait_for()
    page.press("Stop")
    page.page.get_by_text("Stopped").wait_for()
    os.utime(module / "saved_model.pb")
    page.changed(lambda: page.press("Next seed"))
    assert page.page.locator("#film video, #film img").count() == 0
    page.page.get_by_text(
        "The module has changed since: start explore again"
    ).wait_for()


def test_bad_command_lines_get_one_sentence(module, tmp_path, monkeypatch):
    tf.saved_model.save(tf.Module(), str(tmp_path / "foreign"))
    cases = {
        (): "--module is missing",
        (f"--module={tmp_path}/none",): "there is no saved_model.pb",
        (f"--module={tmp_path}/foreign",): "give a module of biggan_tf.export",
        (f"--module={module}", "--host=192.0.2.1"): "take an address of this machine",
        (f"--module={module}", "--host=no host"): "take an address of this machine",
        (f"--module={module}", "--host=ü.."): "take an address of this machine",
    }
    outcomes = called("biggan_tf.explore", *map(list, cases))
    for (_, complaint), expected in zip(outcomes, cases.values()):
        assert expected in complaint
    lost = "gradio", "biggan_tf.explorer"
    for name in [name for name in sys.modules if name.startswith(lost)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    with flagsaver.flagsaver():
        flags.FLAGS(["explore", f"--module={module}"])
        with pytest.raises(BadInput, match=r"pip install 'biggan-tf\[explore\]'"):
            explore.main()
