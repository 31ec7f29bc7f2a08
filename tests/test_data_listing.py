"""What a folder of images may look like; what a run says of it, and keeps of a run."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from biggan_tf import config, data, data_json, latents, plan
from biggan_tf.checks import SPLITS
from biggan_tf.data import fingerprint, listing
from biggan_tf.errors import BadInput

IMAGE = Image.fromarray(np.zeros((32, 32, 3), np.uint8))


def fill(root, *paths: str) -> str:
    """Makes a folder of the files, of nothing where a path ends in a slash."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        elif path.lower().endswith((".png", ".bmp", ".tif")):
            IMAGE.save(root / path)
        else:
            (root / path).write_text("no image")
    return str(root)


def load(path, **more) -> data.Data:
    return data.load(image_size=32, source="folder", path=str(path), **more)


def files(source: data.Data, split: str = "train") -> list[tuple[str, int]]:
    """Paths below the folder, and labels, in the order of the split."""
    root = source.spec.name
    return [(os.path.relpath(p, root), y) for p, y in source._splits[split]]


def eight(name: str) -> list[str]:
    return [f"{name}/{number}.png" for number in range(8)]


# --- classes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "10", "11", "100"],
        ["img2", "img10", "img10b", "img11"],
        ["3 a", "3 b", "20", "A", "a", "a7x2", "a7x10", "é", "日本"],
        ["1", "01", "2", "002"],
    ],
)
def test_classes_are_in_the_order_of_people(tmp_path, names):
    fill(tmp_path, *(f"{name}/{i}.png" for name in reversed(names) for i in range(2)))
    found = load(tmp_path).spec.class_names
    if names[0] == "1":  # either order of equal numbers, but always the same one
        names = ["01", "1", "002", "2"]
    assert list(found) == names


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (["x.png", "y.BMP", "日 本.tif"], {"images": 3}),
        (["cat/x.png", "cat/y.bmp"], {"cat": 2}),
        (["a/x.png", "a/b/c/y.png", "a/b/z.png", "b/x.png"], {"a": 3, "b": 1}),
        (["x.png", "notes/a.txt", ".hidden/y.png", "void/"], {"images": 1}),
        (
            ["train/x.png", "car/x.png", "bus/deep/x.png"],
            {"bus": 1, "car": 1, "train": 1},
        ),
    ],
)
def test_images_at_any_depth_are_of_the_class_at_the_top(tmp_path, paths, classes):
    source = load(fill(tmp_path, *paths), held_out_for="")
    assert list(source.spec.class_names) == list(classes)
    counts = np.bincount([label for _, label in files(source)])
    assert counts.tolist() == list(classes.values())
    labels = np.concatenate([y for _, y in source.batches("train", 2)])
    assert np.bincount(labels).tolist() == list(classes.values())


def test_links_are_followed_but_not_in_circles(tmp_path):
    fill(tmp_path / "store", "x.png", "deep/y.png")
    root = tmp_path / "images"
    fill(root, "a/1.png", "b/1.png")
    (root / "a" / "linked").symlink_to(tmp_path / "store")
    (root / "c").symlink_to(tmp_path / "store" / "deep")
    (root / "b" / "up").symlink_to(root)
    (root / "b" / "self").symlink_to("self")
    (root / "b" / "2.png").symlink_to(tmp_path / "store" / "x.png")
    source = load(root, held_out_for="")
    assert [path for path, _ in files(source)] == [
        *("a/1.png", "a/linked/deep/y.png", "a/linked/x.png"),
        *("b/1.png", "b/2.png", "c/y.png"),
    ]
    assert "left out: 1 broken link, 1 link to a folder around it" in source.remarks()


def test_links_that_lead_to_each_other_end(tmp_path):
    names = [f"c{index}" for index in range(12)]
    fill(tmp_path, *(f"{name}/1.png" for name in names))
    for one, other in itertools.permutations(names, 2):
        (tmp_path / one / f"to_{other}").symlink_to(tmp_path / other)
    found = listing.look(str(tmp_path))
    assert {len(paths) for paths in found.classes.values()} == {1 + 11 + 10}
    assert "further links to a folder" in found.left_out


# --- what is said ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "line"),
    [
        (
            [*(f"a/{n}.txt" for n in range(3)), "a/v.MP4", "b/w.mp4", "b/LICENSE"],
            "left out: 3 .txt, 2 .mp4, 1 file without an ending",
        ),
        (
            ["__MACOSX/a/._x.png", "void/", "empty/deep/", ".git/x.png", "a/._1.png"],
            "left out: 3 folders without images (deep, empty, void), 1 __MACOSX, "
            "1 hidden file, 1 hidden folder",
        ),
        (
            ["runs/x/config.gin", "runs/x/1.png", "a/run/config.gin", "a/run/1.png"],
            "left out: 2 model directories, 1 folder without images (runs)",
        ),
        (["a/Thumbs.db", ".DS_Store", "b/desktop.ini", "b/deep/THUMBS.DB"], None),
    ],
)
def test_what_is_left_out_is_counted_by_kind(tmp_path, paths, line):
    fill(tmp_path, "a/1.png", "b/1.png", "b/deep/1.png", *paths)
    lines = load(tmp_path, held_out_for="").remarks()
    assert [x for x in lines if x.startswith("left out")] == ([line] if line else [])


@pytest.mark.parametrize(
    ("paths", "line"),
    [
        (["1.png", "2.png"], "images and no sub-folders of images: one class"),
        (["a/1.png", "b/1.png", "b/2.png"], r"2 classes \(a, b\), 1 to 2 images each"),
        (["a/x/1.png", "a/y/1.png"], r"one class \(a\), .* folders in it \(x, y\)"),
    ],
)
def test_what_was_found_is_said(tmp_path, paths, line):
    lines = load(fill(tmp_path, *paths), held_out_for="").remarks()
    assert re.fullmatch(f"{tmp_path}: {line}.*", lines[0])


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], r"it holds no images \(left out: nothing\)"),
        (
            ["a/x.txt", "b/"],
            r"it holds no images \(left out: 2 folders without .*1 \.txt",
        ),
        (["x.png", "a/1.png"], r"1 images \(x\.png\) lie beside .*\(a\); move them"),
        (["train/a/1.png", "val/a/1.png"], r"splits \(train, val\).*/train', of which"),
        (["Test/a/1.png", "Validation/1.png"], r"splits \(Test, Validation\)"),
        (["train/a/1.png", "train/b/1.png"], r"splits \(train\)"),
        (["train/a/1.png", "valid/b/1.png", "more/1.png"], r"splits \(train, valid\)"),
    ],
)
def test_unfit_folders_are_refused(tmp_path, paths, said):
    with pytest.raises(BadInput, match=rf"data\.path = .*{said}"):
        load(fill(tmp_path, *paths))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere", r"nowhere is no folder .*\(No such file"),
        ("a/1.png", r"1\.png is no folder .*\(Not a directory"),
    ],
)
def test_what_is_no_folder_is_named(tmp_path, path, said):
    fill(tmp_path, "a/1.png")
    with pytest.raises(BadInput, match=rf"data\.path: .*{said}"):
        load(f"{tmp_path}/{path}")


@pytest.mark.parametrize("name", [b"\xe9t\xe9", b"caf\xe9 2", b"\xff"])
def test_names_of_classes_that_are_no_unicode_are_refused(tmp_path, name):
    fill(tmp_path, "a/1.png", "b/1.png")
    os.rename(os.fsencode(tmp_path / "b"), os.path.join(os.fsencode(tmp_path), name))
    escaped = re.escape(ascii(os.fsdecode(name))[1:-1])
    with pytest.raises(BadInput, match=f"the name {escaped} is no Unicode") as refused:
        load(tmp_path)
    str(refused.value).encode()  # it can be printed


# --- what is held out -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line", "counts"),
    [
        ({"held_out_for": ""}, "17 images: all to train on", (17, 0)),
        ({"held_out_for": "x.y"}, "15 to train on, 2 held out for x.y", (15, 2)),
        (
            {"held_out_for": "", "held_out_fraction": 0.5},
            "9 to train on, 8 held out for data.held_out_fraction",
            (9, 8),
        ),
    ],
)
def test_images_are_held_out_where_something_reads_them(tmp_path, given, line, counts):
    source = load(fill(tmp_path, *eight("a"), *eight("b"), "lone/1.png"), **given)
    assert (source.spec.train_images, source.spec.held_out_images) == counts
    assert line in source.remarks()[1]
    assert "classes of one image, to train on: lone" in source.remarks()
    assert ("lone/1.png", 2) in files(source)


def test_nothing_can_be_held_out_of_single_images(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(BadInput, match="held out for some reason; give two images"):
        load(tmp_path, held_out_for="some reason")


@pytest.mark.parametrize(
    ("params", "held_out"),
    [
        ([], 0),
        (["monitor.held_out_every_steps = 2"], 2),
        (["data.held_out_fraction = 0.25"], 4),
        (["evaluation.split = 'held_out'"], 0),  # nothing is evaluated
    ],
)
def test_a_plan_knows_what_reads_held_out_images(tmp_path, params, held_out):
    path = fill(tmp_path, *eight("a"), *eight("b"))
    bound = ["data.source = 'folder'", f"data.path = {path!r}", *params]
    config.parse(["test.gin"], bound)
    assert plan.make_plan().data.spec.held_out_images == held_out


# --- a run that goes on ---------------------------------------------------------------


def first_spec(source: data.Data, **changes) -> data.DataSpec:
    """What `data.json` says of the first runs: class names in the order of text."""
    names = tuple(sorted(source.spec.class_names))
    first = {"class_names": names, "listing": 1, "rounded": False}
    return dataclasses.replace(source.spec, **{**first, **changes})


def numbered(root) -> str:
    return fill(root, *(path for name in ("0", "1", "2", "10") for path in eight(name)))


def test_an_early_run_keeps_its_labels_and_its_stream(tmp_path):
    source = load(numbered(tmp_path / "then"))
    assert source.spec.class_names == ("0", "1", "2", "10")
    spec = first_spec(source)
    then = load(tmp_path / "then", before=spec, held_out_for="")
    assert then.spec == spec
    assert [label for _, label in files(then)] == [0] * 7 + [1] * 7 + [2] * 7 + [3] * 7
    assert [path.split("/")[0] for path, _ in files(then)[::7]] == ["0", "1", "10", "2"]
    # What did not count then, and folders that are refused today, change nothing.
    numbered(tmp_path / "moved")
    fill(tmp_path / "moved", "sheet.png", "0/a.bmp", "2/deep/x.png", "more/x.tif")
    now = load(tmp_path / "moved", before=spec, held_out_for="")
    for split in SPLITS:
        assert files(now, split) == files(then, split)
    told = "left out: 4 images that this run began without, 1 folder without images"
    assert told.partition(",")[0] in now.remarks()


@pytest.mark.parametrize("source", ["folder", "tfds", ""])
def test_labels_of_any_model_before_are_kept_by_name(tmp_path, source):
    made, order = load(numbered(tmp_path)), ("2", "0", "10", "1")
    spec = dataclasses.replace(made.spec, class_names=order, source=source)
    named = data.named(f"folder:{tmp_path}", 32, "--data", before=spec)
    assert named.spec.class_names == order
    assert all(path.startswith(f"{order[label]}/") for path, label in files(named))
    other = dataclasses.replace(spec, class_names=("a", "b", "c", "d"))
    assert load(tmp_path, before=other).spec.class_names == ("0", "1", "2", "10")


def bind(path: str, *params: str) -> None:
    config.clear()
    said = "data.source = 'folder'", f"data.path = {path!r}"
    config.parse(["test.gin"], [*said, *params])


def test_runs_go_on_with_the_data_that_they_recorded(tmp_path, capsys):
    path = numbered(tmp_path / "images")
    spec = first_spec(load(path))
    data_json.write(tmp_path / "early", spec)
    bind(path)
    begun = plan.make_plan(tmp_path / "new")
    save = tf.train.Checkpoint(gan=begun.build()).write
    save(str(tmp_path / "early" / "checkpoints" / "ckpt-0"))
    new = begun.data.spec
    assert new.class_names == ("0", "1", "2", "10")
    assert new.held_out_images == 0
    config.claim(tmp_path / "early")
    for resumed in (
        plan.make_plan(tmp_path / "early"),
        plan.make_plan(tmp_path / "new", continue_from=tmp_path / "early"),
    ):
        assert resumed.data.spec == spec
    data_json.check_goes_on(tmp_path / "early", spec)
    others = dataclasses.replace(spec, class_names=("a", "b", "c", "d"))
    data_json.write(tmp_path / "early", others)
    plan.make_plan(tmp_path / "new", continue_from=tmp_path / "early")
    assert "embedding of 'a' goes on as that of '0'" in capsys.readouterr().out


def test_a_run_keeps_how_its_labels_are_drawn(tmp_path):
    """As the data was when it began; runs of earlier versions drew classes alike."""
    path = fill(tmp_path / "images", "a/1.png", *eight("b"))
    bind(path)
    made = plan.make_plan(tmp_path / "run")
    assert made.data.spec.class_counts == (1, 8)
    assert made.frequencies == latents.shares((1, 8))
    assert "as often as in the data, which has 1 to 8" in made.latents.remark()
    assert "latents.labels = 'data'\n" in config.operative()
    config.claim(tmp_path / "run")
    data_json.write(tmp_path / "run", made.data.spec)
    spec = data_json.read(tmp_path / "run").spec
    assert spec == made.data.spec

    fill(tmp_path / "images", *eight("a"))
    for folder, labels in (("run", "data"), ("new", "uniform")):
        bind(path)
        assert plan.make_plan(tmp_path / folder).latents.labels == labels
    bind(path)
    assert plan.make_plan(tmp_path / "run").latents.counts == (8, 8)
    config.claim(tmp_path / "run")

    fill(tmp_path / "images", *(f"b/{n}.png" for n in range(20, 40)))
    earlier = tmp_path / "run" / "config.gin"
    lines = earlier.read_text().splitlines(True)
    earlier.write_text("".join(line for line in lines if "latents.labels" not in line))
    bind(path)
    assert plan.make_plan(tmp_path / "run").latents.labels == "uniform"
    config.claim(tmp_path / "run")


def test_a_run_on_all_images_cannot_hold_some_out_later(tmp_path):
    path = numbered(tmp_path / "images")
    bind(path)
    data_json.write(tmp_path / "run", plan.make_plan().data.spec)
    options = "data.held_out_fraction", "monitor.held_out_every_steps"
    for name, value in zip(options, (0.2, 2)):
        bind(path, f"{name} = {value}")
        told = rf"--model_dir=.*/run: the run trains on all .*leave .*{name} = "
        with pytest.raises(BadInput, match=told):
            plan.make_plan(tmp_path / "run")
        config.clear()
    config.parse(["test.gin"], [])  # of other images, which are held out anyway
    with pytest.raises(BadInput, match="other classes"):
        plan.make_plan(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir()
    for file in ("config.gin", "checkpoints/ckpt-1.index"):
        (tmp_path / "run" / file).touch()
    bind(path, "monitor.held_out_every_steps = 2")
    with pytest.raises(BadInput, match=r"--continue_from=.*/run: the run trains on"):
        plan.make_plan(tmp_path / "new", tmp_path / "run")


def test_files_at_an_address_count_by_their_bytes():
    found = []
    for place, text in enumerate(("one", "two", "two")):
        path = f"ram://{place}.tfrecord"
        with tf.io.gfile.GFile(path, "w") as file:
            file.write(text)
        found.append(fingerprint.fingerprint([("name", path)]))
    assert found[0] != found[1] == found[2]


def test_a_run_is_not_in_the_folder_of_its_images(tmp_path):
    bind(fill(tmp_path / "images", "a/1.png", "b/2.png"))
    with pytest.raises(BadInput, match=r"--model_dir=.*images: take another folder"):
        plan.make_plan(tmp_path / "images")
    plan.make_plan(tmp_path / "images" / "run")


@pytest.mark.parametrize("whole", [fingerprint.WHOLE, 0])
@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_files_that_changed_in_place_change_the_fingerprint(
    tmp_path, monkeypatch, place, whole
):
    monkeypatch.setattr(fingerprint, "WHOLE", whole)
    files = [tmp_path / name for name in ("a.jpg", "b.jpg")]
    for path in files:
        path.write_bytes(bytes(140_000))

    def found():
        return fingerprint.fingerprint([(path.name, str(path)) for path in files])

    before = found()
    assert found() == before
    contents = bytearray(140_000)
    contents[place] = 1
    files[1].write_bytes(contents)
    assert found() != before


def test_pictures_that_are_turned_in_place_change_the_fingerprint(tmp_path):
    paths = [tmp_path / f"{index}.jpg" for index in range(8)]
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    for path in paths:
        turned = Image.Exif()
        turned[0x0112] = 1
        Image.fromarray(noise).save(path, exif=turned)
    before = load(str(tmp_path)).fingerprint("train")
    for path in paths:
        contents = path.read_bytes()
        at = contents.index(b"\x01\x12\x00\x03") + 9  # big endian: the entry's value
        path.write_bytes(contents[:at] + b"\x06" + contents[at + 1 :])
        with Image.open(path) as image:
            assert image.getexif()[0x0112] == 6
    assert load(str(tmp_path)).fingerprint("train") != before


@pytest.mark.parametrize(
    ("ending", "level"),
    [(".bmp", 6), (".TIF", 6), (".ppm", 6), (".png", 6), (".png", 0)],
)
def test_a_pixel_that_changed_changes_the_fingerprint(tmp_path, ending, level):
    root = tmp_path / "images"
    for index in range(8):
        path = root / "a" / f"{index}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (90, 90), "red").save(path, compress_level=level)
    before = load(str(root)).fingerprint("train")
    assert load(str(root)).fingerprint("train") == before
    for index in range(8):
        with Image.open(root / "a" / f"{index}{ending}") as image:
            changed = image.copy()
        changed.putpixel((0, 0), (254, 1, 1))
        changed.save(root / "a" / f"{index}{ending}", compress_level=level)
    assert load(str(root)).fingerprint("train") != before
