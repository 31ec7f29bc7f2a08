"""A run as one page, and as a film."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import struct
import subprocess
import types
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from doors import ROOT, called
from matplotlib.axes import Axes
from PIL import Image

import biggan_tf
from biggan_tf import (
    config,
    data_json,
    evaluation,
    files,
    images,
    monitor,
    plan,
    plot_spectra,
    saved_model,
)
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput

SHEETS = 4


@pytest.fixture
def run_folder(tmp_path):
    """What a run of five ticks leaves, but for its checkpoints; its name is hostile."""
    folder = tmp_path / "a <b> & c"
    folder.mkdir()
    names = ("Bag & <Shoe>", "Coat")
    spec = DataSpec("folder", "/my/<images>", 32, 2, names, 300, 0, "", "")
    data_json.write(folder, spec)
    with config.apart():
        config.parse(["test.gin"], [])
        plan.make_plan()
        config.claim(folder)
    text = (folder / "config.gin").read_text()
    (folder / "config.gin").write_text(text.replace("\n", "  # <script>\n", 1))
    scalars = monitor.ScalarLog(folder / "scalars.jsonl")
    spectra = monitor.ScalarLog(folder / "spectra.jsonl")
    for step in range(100, 600, 100):
        scalars(step, {"loss/generator": float("nan"), "accuracy/real": step / 600})
        spectra(step, {"G.seed/sigma0": step / 10})
    shade = np.linspace(0, 250, SHEETS).astype(np.uint8)
    for index, value in enumerate(shade):
        sheet = np.full([66, 900, 3], value)
        images.write(folder / f"samples/{index:07d}_average.png", sheet)
    protocol = {"step": 500, "truncation": "inf", "num_images": 1000, "data": "x<y>"}
    protocol |= {"features": "lite0", "features_resize": "bilinear", "split": "test"}
    record = {"step": 500, "fid_lite0_64": 77.7, "fid_se_lite0_64": 1.5}
    evaluation.write_record(folder / "metrics.jsonl", {**record, "protocol": protocol})
    return folder


def png_of(header: bytes) -> bytes:
    """Returns a PNG that ends after its header."""
    chunk = b"IHDR" + header
    length, check = (struct.pack(">I", n) for n in (len(header), zlib.crc32(chunk)))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + check


class Page(HTMLParser):
    """The tags of a page, its text, and the pictures in it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.pictures, self.sources = [], "", {}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.sources += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag == "img":
            data = base64.b64decode(attributes["src"].partition("base64,")[2])
            self.pictures[attributes["alt"]] = Image.open(io.BytesIO(data))

    def handle_data(self, data):
        self.text += data


def test_a_page_shows_the_run_and_needs_nothing_else(run_folder):
    path = biggan_tf.report(run_folder)
    assert path == run_folder / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "script" not in page.tags
    for fact in (
        *(
            "a <b> & c",
            "/my/<images>: 300 images, 2 classes, 32 px",
            "Step 500. TensorFlow",
        ),
        *("# <script>", "fid_lite0_64", "77.7 ± 1.5", "x<y>, test", "bilinear"),
    ):
        assert fact in page.text, fact
    sheet, *charts = page.pictures
    assert sheet.endswith("untruncated, step 3")
    assert np.asarray(page.pictures[sheet]).mean() > 245  # the last one
    # No chart of what has no values, such as a loss that was never a number.
    assert charts == ["D's accuracy", "largest singular values of G"]


def test_a_rewind_deletes_the_sheets_after_it_alone(tmp_path):
    kept = "0000004_average.png", "20260114_favourites.png", "2026_best.png"
    for name in (*kept, "0000006_average.png", "0000006_generator.png"):
        (tmp_path / name).touch()
    monitor.SampleSheets.rewind(types.SimpleNamespace(_folder=tmp_path), 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*kept]


def test_a_film_shows_every_sheet(run_folder, tmp_path):
    path = biggan_tf.report(run_folder, output=tmp_path / "training.webp", rate=4)
    with Image.open(path) as film:
        assert film.n_frames == SHEETS
        means = []
        for frame in range(SHEETS):
            film.seek(frame)
            means.append(np.asarray(film.convert("RGB")).mean())
    np.testing.assert_allclose(means, np.linspace(0, 250, SHEETS), atol=3)


def test_a_film_that_has_no_room_in_memory_is_refused_before_work(tmp_path):
    samples = tmp_path / "samples"
    first = samples / "0000001_average.png"
    samples.mkdir()
    images.write(first, np.zeros([4000, 4000, 3], np.uint8))
    for step in range(2, 3001):
        os.link(first, samples / f"{step:07}_average.png")
    with pytest.raises(BadInput, match=r"x\.webp: 3,000 sheets need .* GiB of memory"):
        biggan_tf.report(tmp_path, output=tmp_path / "x.webp")
    first.unlink()
    first.write_bytes(b"no picture")
    with pytest.raises(BadInput, match="0000001_average.png cannot .* remove that she"):
        biggan_tf.report(tmp_path, output=tmp_path / "x.webp")


def test_what_cannot_be_shown_is_one_sentence(run_folder, tmp_path):
    module = tmp_path / "module"
    module.mkdir()
    for arguments, sentence in (
        ({}, "--model_dir and --module: name what to show"),
        ({"module": module}, f"--module={re.escape(str(module))}: name a folder"),
        ({"model_dir": tmp_path}, "data.json cannot be read"),
        (
            {"model_dir": tmp_path / "typo"},
            "--model_dir=.*typo: there is no such folder",
        ),
        ({"model_dir": run_folder / "data.json"}, "--model_dir=.*no such folder"),
        ({"model_dir": run_folder, "output": "x.pdf"}, "--output=x.pdf: give .*html"),
        ({"module": module, "output": "x.gif"}, "a film is of a --model_dir"),
        ({"model_dir": run_folder, "output": "x.gif", "rate": 0}, "rate = 0"),
    ):
        with pytest.raises(BadInput, match=sentence):
            biggan_tf.report(**arguments)
    arguments = [f"--model_dir={run_folder}", "--rate=3"]
    [outcome] = called("biggan_tf.report", arguments)
    assert "--output=report.html: leave out --rate; it is of" in outcome.complaint
    images.write(run_folder / "samples/0000009_average.png", np.zeros([8, 8, 3], "B"))
    there = r"two sheets or more of one size .* \d of \d+ x \d+ px and 1 of 8 x 8 px"
    with pytest.raises(BadInput, match=there):
        biggan_tf.report(run_folder, output=tmp_path / "x.gif")
    assert not list(tmp_path.glob("x.*"))
    assert not (tmp_path / "typo").exists()
    for sheet in (run_folder / "samples").iterdir():
        images.write(sheet, np.zeros([8, 17_000, 3], "B"))
    with pytest.raises(BadInput, match=r"17,000 x 8 pixels, and .webp allows 16,383"):
        biggan_tf.report(run_folder, output=tmp_path / "x.webp")


def test_what_is_damaged_is_left_out(run_folder, capsys):
    """A report shows what there is of a run."""
    whole = (run_folder / "config.gin").read_text()
    (run_folder / "config.gin").write_bytes("gan.loss = 'hinge'".encode("utf-16"))
    (run_folder / "spectra.jsonl").unlink()
    (run_folder / "spectra.jsonl").mkdir()
    with (run_folder / "scalars.jsonl").open("a") as file:
        for step in ('"2"', "null", "1" + "0" * 400, "9" * 5000, "600"):
            file.write(f'{{"step": {step}, "loss/x": 1{"0" * 400}}}\n[]\n')
    with (run_folder / "metrics.jsonl").open("a") as file:
        for fid in ("1" + "0" * 400, "9" * 5000):
            file.write(f'{{"fid": {fid}, "is": "x", "kid": null, "protocol": {{}}}}\n')
    (run_folder / "checkpoints").mkdir()
    (run_folder / "checkpoints" / "ckpt-500.index").write_bytes(b"index")
    large = png_of(struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    (run_folder / "truncation_curve.png").write_bytes(large)
    samples = run_folder / "samples"
    (samples / "x_average.png").write_bytes(b"")
    (samples / "20000000_best_average.png").write_bytes(b"of somebody else")
    images.write(samples / "9999999_average.png", np.full([9, 9, 3], 9, np.uint8))
    (samples / "10000000_average.png").write_bytes(png_of(b"short"))
    with (run_folder / "scalars.jsonl").open("a") as file:
        file.write('{"step": 7')  # which a run is writing
    text = biggan_tf.report(run_folder).read_text(encoding="utf-8")
    told = capsys.readouterr().out
    assert f"{run_folder}/scalars.jsonl: 8 of 16 lines cannot be read\n" in told
    page = Page(text)
    assert "10000000_average.png cannot be read" in page.text
    assert "truncation_curve.png cannot be read" in page.text
    assert "Step 600" in page.text
    assert "config.gin: it cannot be read as text" in page.text
    assert "checkpoints: all 1 checkpoints in it are damaged; put a copy" in page.text
    assert list(page.pictures) == ["D's accuracy"]
    capsys.readouterr()
    left = monitor.ScalarLog(run_folder / "scalars.jsonl").rewind(600)
    told = "scalars.jsonl: 10 of 16 lines cannot be read\n"
    assert capsys.readouterr().out.endswith(told)
    monitor.ScalarLog(run_folder / "scalars.jsonl").rewind(600)
    assert capsys.readouterr().out == ""
    assert [line["step"] for line in left] == [100, 200, 300, 400, 500]
    (samples / "10000000_average.png").unlink()
    (run_folder / "config.gin").write_text("\n")
    page = Page(biggan_tf.report(run_folder).read_text(encoding="utf-8"))
    assert (
        "Samples of the moving average of G, untruncated, step 9,999,999" in page.text
    )
    assert "config.gin is empty." in page.text
    (run_folder / "config.gin").unlink()
    page = Page(biggan_tf.report(run_folder).read_text(encoding="utf-8"))
    assert "config.gin is missing." in page.text
    (run_folder / "config.gin").write_text(whole[: whole.index("\ngenerator.")])
    page = Page(biggan_tf.report(run_folder).read_text(encoding="utf-8"))
    assert "take the whole file, as training wrote it" in page.text
    (run_folder / "config.gin").write_text(whole)
    page = Page(biggan_tf.report(run_folder).read_text(encoding="utf-8"))
    assert "take the whole file" not in page.text


def test_spectra_are_drawn_or_it_is_said_why_not(run_folder, tmp_path):
    empty, pictures = tmp_path / "empty", tmp_path / "pictures"
    empty.mkdir()
    (empty / "spectra.jsonl").write_text("\n[]\n{}\n")
    with (run_folder / "spectra.jsonl").open("a") as file:
        file.write(f'{{"step": {"9" * 5000}}}\n[5]\n{{"G.seed/sigma0": "x"}}\n{{"st')
    outcomes = called(
        "biggan_tf.plot_spectra",
        [f"--model_dir={tmp_path / 'none'}", f"--output={pictures}/1.png"],
        [f"--model_dir={empty}", f"--output={pictures}/2.png"],
        [f"--model_dir={run_folder}", f"--output={pictures}/3.xyz"],
        [f"--model_dir={run_folder}", f"--output={pictures}/4.PNG"],
    )
    for outcome, told in zip(
        outcomes, ("none: name a", "empty: name a", "3.xyz: give")
    ):
        assert told in outcome.complaint
    assert outcomes[-1].complaint == ""
    assert "spectra.jsonl: 3 of 9 lines cannot be read" in outcomes[-1].printed
    with Image.open(pictures / "4.PNG") as picture:
        assert picture.size == (1100, 700)
    assert [path.name for path in pictures.iterdir()] == ["4.PNG"]


def test_a_log_that_ends_before_the_checkpoint_is_said(tmp_path):
    shutil.unpack_archive(ROOT / "tests" / "data" / "tensorflow215.zip", tmp_path)
    (tmp_path / "run" / "scalars.jsonl").unlink(missing_ok=True)
    path = biggan_tf.report(tmp_path / "run", output=tmp_path / "x.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert "scalars.jsonl ends at step 0." in page.text
    assert "Step 0." not in page.text
    assert "Rewound" not in page.text
    (tmp_path / "run" / "rewind.json").write_text('{"alarm": "D\'s loss is <7>"}')
    path = biggan_tf.report(tmp_path / "run", output=tmp_path / "x.html")
    assert "D's loss is <7>" in Page(path.read_text(encoding="utf-8")).text


def test_a_curve_of_one_point_is_seen(tmp_path, monkeypatch):
    point = {"step": 5, "G.block1.conv1/sigma0": 2.0, "G.seed/sigma0": 3.0}
    point["D.block0.conv1/sigma0"] = 1.0
    files.append_json(tmp_path / "spectra.jsonl", point)

    def grey() -> int:  # pixels of what the legend leaves out
        plot_spectra.draw(tmp_path, tmp_path / "one.png")
        with Image.open(tmp_path / "one.png") as picture:
            return (np.asarray(picture.convert("RGB")) == 191).all(axis=-1).sum()

    seen, plot = grey(), Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda *points, marker, **style: plot(*points, **style)
    )
    assert seen > grey()


def test_a_module_is_its_card_and_its_picture(tmp_path):
    (tmp_path / "README.md").write_text("# biggan of <letters>")
    images.write(tmp_path / "samples.png", np.full([40, 40, 3], 7, np.uint8))
    (tmp_path / "assets").mkdir()
    path = biggan_tf.report(module=tmp_path / "assets" / "..")
    assert path == tmp_path.with_name(f"{tmp_path.name}.html")
    page = Page(path.read_text(encoding="utf-8"))
    assert "# biggan of <letters>" in page.text
    assert np.all(np.asarray(page.pictures["Samples"]) == 7)
    (tmp_path / "SHA256SUMS").write_text("0a  README.md\n0b  saved_model.pb\n")
    with pytest.raises(BadInput, match="export it again; it lacks saved_model.pb"):
        biggan_tf.report(module=tmp_path)


def test_a_page_names_the_changed_files_of_a_module(tmp_path):
    names = "README.md", "samples.png", "saved_model.pb", "variables/variables.index"
    (tmp_path / "variables").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    images.write(tmp_path / "samples.png", np.zeros([4, 4, 3], np.uint8))
    saved_model._write_checksums(tmp_path)

    def lines() -> list[str]:
        path = biggan_tf.report(module=tmp_path)
        text = path.read_text(encoding="utf-8")
        return re.findall("<p>[^<]*: (.*) is not the file that was exported.", text)

    assert lines() == []
    for name in names:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-1])
        assert lines() == [name]
        (tmp_path / name).write_bytes(whole)


def test_the_commit_is_that_of_the_program_not_of_a_project_around_it(
    tmp_path, monkeypatch
):
    def git(*words):
        who = "-c", "user.name=a", "-c", "user.email=a@b.c"
        line = ["git", "-C", str(tmp_path), *who, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    for folder, told in (
        ("", f"commit {git('rev-parse', '--short', 'HEAD')}"),
        (".venv/lib", "no checkout"),
    ):
        package = tmp_path / folder / "biggan_tf"
        package.mkdir(parents=True)
        monkeypatch.setattr(monitor, "__file__", str(package / "monitor.py"))
        assert monitor._checkout() == told
