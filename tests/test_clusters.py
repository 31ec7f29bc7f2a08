"""Files of labels, and clusters, which are one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from doors import called
from PIL import Image

import biggan_tf
from biggan_tf import config, data, data_json, plan
from biggan_tf.data import memory
from biggan_tf.errors import BadInput


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three kinds of images, some beside sub-folders, the rest in them."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for index in range(6):
        shade = np.full([40, 40, 3], random.integers(0, 40), np.uint8)
        write(root / f"dark {index}.png", shade)
    for index in range(5):
        noise = random.integers(0, 256, [40, 40, 3], np.uint8)
        write(root / "some" / f"noise{index}.png", noise)
    for index in range(4):
        stripes = np.zeros([40, 40, 3], np.uint8)
        stripes[:, index % 4 :: 8] = (255, 60, 0)
        write(root / "others" / "deep" / f"stripes{index}.png", stripes)
    return root


def load(folder: Path, labels: Path, **more) -> data.Data:
    given = {"image_size": 32, "source": "folder", "path": str(folder)}
    return data.load(**given, labels=str(labels), **more)


def lines(tmp_path: Path, *rows: str, first: str = "file,class") -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([first, *rows]), encoding="utf-8")
    return path


def labels_of(source: data.Data, split: str = "train") -> dict[str, str]:
    root = source.spec.name
    return {
        os.path.relpath(path, root): source.spec.class_names[label]
        for path, label in source._splits[split]
    }


def test_images_that_look_alike_are_a_cluster(folder, tmp_path, capsys):
    broken = folder / "broken.png"
    broken.write_bytes(b"no image")
    others = [folder / name for name in ("a.heic", "b.heic", "c")]
    for other in others:
        other.touch()
    output = tmp_path / "new" / "kinds.csv"
    assert biggan_tf.cluster(folder, 3, output, "lite0_32") == output
    for other in (broken, *others):
        other.unlink()
    printed = capsys.readouterr().out
    assert "left out: 2 .heic, 1 file without an ending" in printed
    assert "left out: 1 that cannot be read (broken.png)" in printed
    assert "15 images in 3 clusters of 4 to 6" in printed

    source = load(folder, output, held_out_for="")
    assert source.spec.class_names == ("cluster 0", "cluster 1", "cluster 2")
    assert source.spec.class_counts == (6, 5, 4)
    for name, cluster in labels_of(source).items():
        kind = ("dark", "noise", "stripes").index(Path(name).stem.rstrip(" 0123456789"))
        assert cluster == f"cluster {kind}"
    assert "3 classes by kinds.csv (cluster 0, " in source.found()[0]
    images, labels = next(iter(source.batches("train", 15)))
    dark = images.numpy()[labels.numpy() == 0]
    assert dark.max() < 40 / 127.5 - 1
    with Image.open(output.with_suffix(".png")) as sheet:
        assert sheet.height > 3 * 64

    twins = tmp_path / "twins"
    for name in ("a.png", "b\r.png", "c\n, d.png"):
        write(twins / name, np.zeros([40, 40, 3], np.uint8))
    alike = biggan_tf.cluster(twins, 2, tmp_path / "alike.csv", "lite0_32")
    assert "--count=2: the images differ too little" in capsys.readouterr().out
    assert load(twins, alike, held_out_for="").spec.class_counts == (3,)

    (twins / "a.png").write_text("no image")
    biggan_tf.cluster(twins, 3, tmp_path / "few.csv", "lite0_32")
    assert "--count=3: only 2 images can be read" in capsys.readouterr().out

    again = tmp_path / "again.csv"
    line = [f"--path={folder}", "--count=3", f"--output={again}", "--network=lite0_32"]
    made, refused = called("biggan_tf.cluster", line, line)
    assert not made.complaint
    assert again.read_bytes() == output.read_bytes()
    assert "take another name" in refused.complaint


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"count": 1}, "count = 1"),
        ({"count": 16}, "give 16 images or more .* it holds 15 "),
        ({"output": "kinds.txt"}, "--output=kinds.txt: give the name of a .csv file"),
        ({"network": "lite"}, "feature network 'lite'"),
        ({"seed": -1}, "seed = -1"),
        ({"path": "nowhere"}, "--path=nowhere: there is no such folder"),
        ({"path": 5}, "--path=5 is no path"),
        ({"output": "no/../kinds.csv"}, "is no path of a file .there is no folder no"),
        ({"path": "."}, "--output=clusters.csv: take a place outside --path=."),
    ],
)
def test_clusters_that_cannot_be_are_refused(
    folder, tmp_path, monkeypatch, wrong, sentence
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=sentence):
        biggan_tf.cluster(**{"path": folder, "network": "lite0_32", **wrong})
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_has_no_room_in_memory_is_refused_before_work(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(memory, "available", lambda: 2**35)
    first = next(folder.rglob("*.png"))
    (tmp_path / "many").mkdir()
    for index in range(1000):
        os.link(first, tmp_path / "many" / f"{index}.png")
    asked = {"output": tmp_path / "x.csv", "network": "lite0_1024"}
    with pytest.raises(BadInput, match="--count=1000: images of its sheet need .* GiB"):
        biggan_tf.cluster(tmp_path / "many", 1000, **asked)


def test_labels_of_people_name_the_classes_that_a_run_keeps(folder, tmp_path):
    rows = [f"some/noise{index}.png,loud" for index in range(5)]
    rows += [f'./dark {index}.png,"quiet, 10"' for index in range(3)]
    rows += ['"dark 3.png","quiet, 2"', "", '"dark 4.png"," quiet, 2 "']
    path = lines(tmp_path, *rows, first="\ufefffile,class")
    source = load(folder, path)
    assert source.spec.class_names == ("loud", "quiet, 2", "quiet, 10")
    assert "left out: 5 images without a label" in source.found()
    held_out = labels_of(source, "held_out")
    assert sorted(held_out.values()) == ["loud", "quiet, 10", "quiet, 2"]
    assert len({**labels_of(source), **held_out}) == 10

    config.parse(
        ["test.gin"],
        [
            "data.source = 'folder'",
            f"data.path = {str(folder)!r}",
            f"data.labels = {str(path)!r}",
        ],
    )
    spec = plan.make_plan().data.spec
    data_json.write(tmp_path / "run", spec)
    before = data_json.read(tmp_path / "run").spec
    assert before == spec
    more = lines(tmp_path, *[row.replace("loud", "a loud") for row in rows])
    assert load(folder, more, before=before).spec.class_names[0] == "a loud"
    back = lines(tmp_path, *rows[::-1])
    order = ("quiet, 10", "loud", "quiet, 2")
    known = load(folder, back, before=dataclasses.replace(before, class_names=order))
    assert known.spec.class_names == order


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "it labels no file"),
        (["dark 0.png"], r"line 2 is \['dark 0.png'\]: give a file and its class"),
        (["dark 0.png,a", "dark 1.png, "], "line 3 is .*: give a file and its class"),
        (["dark 0.png,a,b"], "line 2 is .*: give a file and its class"),
        ([f"dark 0.png,{'1' * 5000}"], "line 2 is .* give a file and its class"),
        (["dark 0.png,a", "./dark 0.png,b"], "line 3: dark 0.png has another class"),
        (["dark 0.png,a", "none.png,b"], r"1 of its 2 files \(none.png\) are no image"),
        (["/dark 0.png,a"], r"1 of its 1 files \(/dark 0.png\) are no images"),
        (['dark 0.png,"a'], "line 2 is no CSV"),
    ],
)
def test_labels_that_are_none_are_one_sentence(folder, tmp_path, rows, sentence):
    path = lines(tmp_path, *rows)
    with pytest.raises(BadInput, match=f"data.labels = '{path}': {sentence}"):
        load(folder, path)


def test_other_files_are_no_labels(folder, tmp_path):
    for first in ("file;class", "path,label", "", "\0"):
        with pytest.raises(BadInput, match=r"labels.csv': "):
            load(folder, lines(tmp_path, "dark 0.png,a", first=first))
    for path, told in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(BadInput, match=rf"it cannot be read \({told}"):
            load(folder, path)
    os.mkfifo(tmp_path / "pipe")
    for never_ends in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(BadInput, match="it is a pipe or a device"):
            load(folder, never_ends)
    name = tmp_path / "labels.csv"
    name.write_bytes(b"file,class\ndark 0.png,caf\xe9\n")
    with pytest.raises(BadInput, match=r"the name caf\\udce9 is no Unicode"):
        load(folder, name)
    with pytest.raises(BadInput, match="data.labels = '': take some text"):
        load(folder, "")
    with pytest.raises(BadInput, match="data.labels = 'x': leave it out"):
        data.load(image_size=32, source="embedded", labels="x")
