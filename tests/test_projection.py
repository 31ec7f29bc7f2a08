"""A picture is found again: what a module draws it of, and what is written of that."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from doors import called
from PIL import Image, ImageSequence

from biggan_tf import api, images
from biggan_tf.errors import BadInput

DATA = Path(__file__).parent / "data"
LABEL = np.float32([0, 0, 0, 0.6, 0, 0, 0, 0.4, 0, 0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Has a module, and a picture that it drew."""
    folder = tmp_path_factory.mktemp("projection")
    shutil.unpack_archive(DATA / "tensorflow215.zip", folder)
    return folder


@pytest.fixture(scope="module")
def module(folder):
    module = api.load(folder / "run" / "export")
    drawn = images.to_uint8(
        module.images(module.latents(1, np.inf, 5), [LABEL], np.inf)
    )
    Image.fromarray(drawn[0]).save(folder / "own.png")
    return module


def test_a_picture_of_the_module_is_found_again(module, folder):
    """Its pixels, z and classes; and others if it may not have these classes."""
    z = module.latents(1, np.inf, 5)[0]
    picture = np.asarray(Image.open(folder / "own.png"), np.float64)

    def apart(x):
        return np.square(x - picture).mean()

    random = api.sample(module, None, 4, np.inf, 1)
    found = api.project(module, folder / "own.png", steps=60)
    again = api.redraw(module, found)
    assert apart(again) < 0.02 * apart(random)
    np.testing.assert_allclose(found["labels"][0], LABEL, atol=0.15)
    np.testing.assert_allclose(found["labels"].sum(), 1, rtol=1e-5)
    cosine = found["z"][0] @ z / np.linalg.norm(z) / np.linalg.norm(found["z"])
    assert cosine > 0.9
    assert found["truncation"] == [np.inf]

    same = api.project(module, folder / "own.png", steps=60)
    for name, array in found.items():
        np.testing.assert_array_equal(same[name], array)
    limits = {"labels": "Bag,2", "truncation": 0.5, "steps": 20, "starts": 2, "seed": 3}
    other = api.project(module, folder / "own.png", **limits)
    assert set(other["labels"][0].nonzero()[0]) == {2, 8}
    norms = np.linalg.norm(module.latents(64, 0.5, 3), axis=1)
    assert np.abs(norms - np.linalg.norm(other["z"])).min() < 1e-5
    more = api.project(module, folder / "own.png", **{**limits, "starts": 1})
    assert apart(api.redraw(module, other)) <= apart(api.redraw(module, more))


def test_features_are_compared_too(module, folder):
    asked = {"picture": folder / "own.png", "steps": 3, "starts": 1}
    pixels = api.project(module, **asked)
    features = api.project(module, **asked, network="lite0_32")
    assert np.any(features["z"] != pixels["z"])


def test_what_is_written_of_it(module, folder, tmp_path):
    wide = Image.new("RGB", (90, 64), "red")
    wide.paste(Image.open(folder / "own.png").resize((64, 64), 0), (13, 0))
    wide.save(tmp_path / "wide.png")
    asked = {"picture": tmp_path / "wide.png", "steps": 5, "starts": 2}
    flags = [f"--{name}={value}" for name, value in asked.items()]
    own = [f"--module={folder / 'run' / 'export'}", f"--output={tmp_path}/found.npz"]
    (printed, complaint), (_, refused) = called(
        "biggan_tf.project", [*own, *flags], [*own, *flags, "--rate=9"]
    )
    assert not complaint
    assert "found.npz: leave out --rate; it is of films" in refused
    assert "of 255 between the pixels" in printed
    for ending in (".png", ".gif"):
        api.project(module, **asked, output=tmp_path / f"found{ending}")

    npz = tmp_path / "found.npz"
    with np.load(npz) as file:
        drawn = file["images"]
    np.testing.assert_array_equal(api.redraw(module, npz), drawn)
    tall = np.asarray(Image.open(folder / "own.png")).repeat(2, 0).repeat(2, 1)
    sheet = np.asarray(Image.open(tmp_path / "found.png"))
    assert sheet.shape == (64, 6 * 66 - 2, 3)  # the picture; 0, 1, 2, 4 and 5 steps
    np.testing.assert_array_equal(sheet[:, :64], tall)
    ends = drawn[0].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(sheet[:, -64:], ends)
    with Image.open(tmp_path / "found.gif") as film:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(film)]
    assert all(frame.size == (128, 64) for frame in frames)
    last = np.asarray(frames[-1], np.float64)
    assert np.abs(last - np.concatenate([tall, ends], 1)).mean() < 12


def test_what_cannot_be_projected_gets_one_sentence(module, folder, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no picture")
    right = {"module": module, "picture": folder / "own.png", "steps": 1}
    link = tmp_path / "link.png"
    link.symlink_to(right["picture"])
    for wrong, sentence in (
        ({"picture": text}, "--picture=.*text.png: take a file .*; it is no image of"),
        ({"picture": tmp_path / "none"}, "--picture=.*none: .*; No such file"),
        ({"steps": 0}, "steps = 0: take a whole number, 1 to 10,000"),
        ({"starts": 65}, "starts = 65: take a whole number, 1 to 64"),
        ({"truncation": 0}, "--truncation=0: take a threshold above 0"),
        ({"labels": "Bags"}, "--labels=Bags: there is no such"),
        ({"network": "lite1"}, "feature network 'lite1'"),
        ({"output": tmp_path / "x.bmp"}, "x.bmp: give the name of a .png"),
        ({"output": tmp_path / "x.gif", "rate": 99}, "rate = 99: take 1 to 50"),
        ({"output": right["picture"]}, "own.png: take another name; --picture is"),
        ({"output": link}, "link.png: take another name; --picture is that file"),
    ):
        with pytest.raises(BadInput, match=sentence):
            api.project(**{**right, **wrong})
    draws = (
        lambda z, y, t: tf.round(module.draw(z, y, t)),
        lambda z, y, t: tf.image.hsv_to_rgb(module.draw(z, y, t)),
        lambda z, y, t: module.draw(z, y, t).numpy(),
    )
    for draw in draws:
        flat = dataclasses.replace(module, draw=draw)
        with pytest.raises(BadInput, match="does not tell the gradient"):
            api.project(**{**right, "module": flat})
