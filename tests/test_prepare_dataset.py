"""Preparing a data set: what is read afterwards, and a preparation that is cut off."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from doors import called
from PIL import Image

from biggan_tf import data
from biggan_tf.errors import BadInput


def images_of(source: data.Data, split: str) -> dict[bytes, int]:
    """Pixels, as uint8, and labels of a split, in no order."""
    found = {}
    for image, label in source.shard(split, 0, 1):
        pixels = np.round((image.numpy() + 1) * 127.5).astype(np.uint8)
        found[pixels.tobytes()] = int(label)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("photographs")
    noise = np.random.RandomState(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for index in range(30):
            pixels = noise.randint(0, 256, size=(50, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def command(folder: Path, data_dir: Path) -> list[str]:
    bindings = {"source": "folder", "path": str(folder), "image_size": 32}
    return [
        sys.executable,
        "-m",
        "biggan_tf.prepare_dataset",
        *[f"--gin_param=data.{key} = {value!r}" for key, value in bindings.items()],
        "--name=pets",
        f"--data_dir={data_dir}",
    ]


def test_a_cut_off_preparation_is_none_and_a_whole_one_reads_the_same(folder, tmp_path):
    process = subprocess.Popen(command(folder, tmp_path), stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("incomplete.pets/**/*incomplete*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    line = command(folder, tmp_path)[3:]
    second, sharded = called("biggan_tf.prepare_dataset", line, [*line, "--shards=2"])
    assert f"process {process.pid} on" in second.complaint
    assert "prepares a data set there" in second.complaint
    assert "no --beam_options: leave out --shards" in sharded.complaint
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "pets").exists()

    recipe = ["--gin_file=folder.gin", "--gin_param=data.flip = True"]
    dead = [*line, "--gin_file=folder.gin", "--gin_param=train.seed = 1"]
    (unread,) = called("biggan_tf.prepare_dataset", dead)
    assert unread.complaint.startswith("train.seed (--gin_param")
    flips = [*command(folder, tmp_path), *recipe]
    done = subprocess.run(flips, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no image is mirrored here" in done.stdout
    assert "54 training and 6 held-out images of 32 px, verified" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]

    source = data.load(image_size=32, source="folder", path=str(folder))
    prepared = data.load(
        image_size=32, source="tfds", name="pets", data_dir=str(tmp_path)
    )
    assert prepared.spec.class_names == ("cat", "dog")
    for split, count in (("train", 54), ("held_out", 6)):
        found = images_of(prepared, split)
        assert len(found) == count
        assert found == images_of(source, split)

    larger = {"image_size": 64, "source": "tfds", "name": "pets"}
    told = data.load(**larger, data_dir=str(tmp_path)).found()
    assert told[-1] == "enlarged to 64 px: all, from 32 px"

    again = subprocess.run(command(folder, tmp_path), capture_output=True, text=True)
    assert again.returncode == 2
    assert "--name=pets" in again.stderr.splitlines()[-1]

    lost = {"image_size": 32, "source": "tfds", "name": "pets"}
    for name in ("dataset_info.json", "features.json"):
        [file] = tmp_path.rglob(name)
        whole = file.read_bytes()
        for damaged in (b"", whole[:99], b"[]", b"5", b'{"a": 1}', b"\xff\xfe", None):
            file.unlink() if damaged is None else file.write_bytes(damaged)
            with pytest.raises(BadInput, match="data.name = 'pets': ") as refused:
                data.load(**lost, data_dir=str(tmp_path))
            assert "\n" not in str(refused.value), (name, damaged)
            file.write_bytes(whole)

    [names] = tmp_path.rglob("label.labels.txt")
    for damaged in ("\ufeffcat\ndog\n", "cat\ndo"):
        names.write_text(damaged, encoding="utf-8")
        with pytest.raises(BadInput, match="'pets': .*label.labels.txt is damaged"):
            data.load(**lost, data_dir=str(tmp_path))
    names.write_text("cat\ncat\n")
    with pytest.raises(BadInput, match="'pets': .* two classes are named 'cat'"):
        data.load(**lost, data_dir=str(tmp_path))
    names.unlink()
    told = data.load(**lost, data_dir=str(tmp_path)).found()
    assert "pets has no names of its classes but numbers" in told


def test_shards_are_disjoint_and_together_the_whole(folder):
    for source in (
        data.load(image_size=32, source="folder", path=str(folder)),
        data.load(image_size=32),
    ):
        whole = [int(label) for _, label in source.shard("held_out", 0, 1)]
        shards = [
            [int(label) for _, label in source.shard("held_out", index, 3)]
            for index in range(3)
        ]
        assert sorted(whole) == sorted(label for shard in shards for label in shard)
        assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_images_that_turn_out_broken_are_one_sentence(folder, tmp_path):
    images = shutil.copytree(folder, tmp_path / "images")
    for path in sorted(images.glob("*/1?.png")):
        path.write_bytes(path.read_bytes()[:2000])
    done = subprocess.run(command(images, tmp_path), capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert re.search(r"data.path: \d+ of 60 images cannot be read", said)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pets").exists()


def test_a_name_that_tfds_has_or_cannot_have_is_refused_first(tmp_path):
    names = {
        "cifar10": "another name",
        "imagenet2012": "another name",
        "_x": "a small letter",
        "MyData": "a small letter",
    }
    lines = ([f"--name={name}", f"--data_dir={tmp_path}"] for name in names)
    outcomes = called("biggan_tf.prepare_dataset", *lines)
    for (name, told), outcome in zip(names.items(), outcomes):
        assert outcome.complaint.startswith(f"--name={name}: take {told}")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused_first(tmp_path):
    (tmp_path / "file").touch()
    for place in ("/proc/x", str(tmp_path / "file"), str(tmp_path / "file" / "x")):
        line = ["--name=own", f"--data_dir={place}"]
        [outcome] = called("biggan_tf.prepare_dataset", line)
        assert outcome.complaint.startswith(f"--data_dir={place}: it cannot be written")
        assert not outcome.printed


def test_class_names_that_tfds_would_change_are_refused_first(tmp_path):
    for name in ("a", "b\u2028"):
        (tmp_path / name).mkdir()
        for file in ("1.png", "2.png"):
            Image.new("RGB", [32, 32]).save(tmp_path / name / file)
    done = subprocess.run(command(tmp_path, tmp_path), capture_output=True, text=True)
    assert done.returncode == 2
    assert "rename the class 'b\\u2028'; a TFDS" in done.stderr
