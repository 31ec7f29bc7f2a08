"""Given latents, mixed classes, and single tiles of a sheet."""

import dataclasses
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_films import SAMPLER

from biggan_tf import api, given, sheets, tiles
from biggan_tf.errors import BadInput
from biggan_tf.labels import parse, spell


@pytest.mark.parametrize("truncation", [0.5, [1, 0.5]])
def test_a_mixed_class_lies_between_its_classes(truncation):
    def red(labels, mix=()):
        images = api.sample(SAMPLER, labels, 3, truncation, 5, mix=mix)
        return images[..., 0].astype(int)

    ends, mixed = red([0, 4])[0, 0, 0, 0], red("a,e", (3, 1))
    assert mixed.shape[:2] == (np.size(truncation), 3)
    assert ends == 0
    np.testing.assert_array_equal(mixed, 64)
    np.testing.assert_array_equal(red([0, 4], (0, 2)), 255)
    np.testing.assert_array_equal(red([0, 4, 0], (1, 2, 1)), 128)
    z = api.sheet_rows(SAMPLER, "a", 3, truncation, 5)[0].z
    row = api.sheet_rows(SAMPLER, "a,e", 3, truncation, 5, mix=(3, 1))[0]
    np.testing.assert_array_equal(row.z, z)
    several = np.size(truncation) > 1
    assert row.title == ("1" if several else "0.75 a + 0.25 e")


def test_given_latents_are_drawn_again(tmp_path):
    """From the file of any sheet; a sheet of classes or truncations looks the same."""
    cases = {
        "classes": {"labels": "c,a"},
        "strip": {"labels": "b,d", "truncation": [2, 0.5, 0.04]},
        "mixed": {"labels": "a,c", "mix": (0.5, 0.5)},
        "way": {"labels": "a,c,e", "layout": "class"},
    }
    for name, asked in cases.items():
        files = [
            tmp_path / f"{name}{end}" for end in (".npz", ".png", "_.png", "_.npz")
        ]
        for file in files[:2]:
            images = api.sample(SAMPLER, columns=4, output=file, **asked)
        columns = images.shape[1]
        again = api.redraw(SAMPLER, files[0], columns, files[2])
        np.testing.assert_array_equal(again, images.reshape(again.shape))
        if name != "way":
            assert files[1].read_bytes() == files[2].read_bytes()
        api.redraw(SAMPLER, files[0], 5, files[3])
        with np.load(files[0]) as before, np.load(files[3]) as file:
            for array in ("images", "z", "truncation"):
                np.testing.assert_array_equal(file[array], before[array])
            rows = given.read(dict(file), SAMPLER, "").rows(SAMPLER, 4)
        assert sum(len(row.z) for row in rows) == len(again)


def test_given_arrays_need_fill_no_row(tmp_path):
    z = np.random.default_rng(0).normal(size=[5, 8])
    path = tmp_path / "sheet.png"
    hard = api.redraw(SAMPLER, {"z": z, "labels": [0, 1, 4, 0, 2], "truncation": 1}, 3)
    soft = {"z": z, "labels": np.eye(5)[[0, 1, 4, 0, 2]], "truncation": np.ones(5)}
    images = api.redraw(SAMPLER, soft, 3, path)
    np.testing.assert_array_equal(hard, images)
    for kind in (np.uint64, np.int8):
        soft["labels"] = np.eye(5, dtype=kind)[[0, 1, 4, 0, 2]]
        np.testing.assert_array_equal(api.redraw(SAMPLER, soft, 3), images)
    soft["labels"] = np.array([0, 1, 4, 0, 2], np.uint16)
    np.testing.assert_array_equal(api.redraw(SAMPLER, soft, 3), images)
    picture = np.asarray(Image.open(path))
    assert picture.shape == (64 + 2 + 64, 3 * 64 + 4, 3)
    assert np.all(picture[66:, 132:] == 255)
    assert np.all(picture[66:, 66:130] == images[4, 0, 0])


def test_a_sampler_draws_only_what_can_be_meant():
    z, y = SAMPLER.latents(2, 0.5, 0), [0, 4]
    for wrong, sentence in (
        ((z, [0, 5], 0.5), "labels does not fit; .* of 0 to 4 or"),
        ((z, [0, -1], 0.5), "labels does not"),
        ((z, [0.0, 4.0], 0.5), "labels does not"),
        ((z[:0], [], 0.5), "z does not fit"),
        ((z, [], 0.5), "labels does not"),
        ((z[:, :7], y, 0.5), "z does not"),
        ((z, y, 0), "truncation=0: take a threshold above 0"),
        ((z, y, np.nan), "truncation=nan: take"),
        ((z, y, "1"), "truncation = '1': take a number"),
    ):
        with pytest.raises(BadInput, match=sentence):
            SAMPLER.images(*wrong)
    for wrong, sentence in (
        ((0, 0.5, 0), "count = 0: take a whole number"),
        ((1.5, 0.5, 0), "count = 1.5"),
    ):
        with pytest.raises(BadInput, match=sentence):
            SAMPLER.latents(*wrong)
    for wrong, sentence in (
        ((-1, 0.5, 0), "index = -1: take a whole number"),
        ((1.5, 0.5, 0), "index = 1.5"),
        ((2**60, 0.5, 0), "index = 1152921504606846976: take"),
    ):
        with pytest.raises(BadInput, match=sentence):
            SAMPLER.batch(*wrong)
    for wrong, sentence in (
        ((1, -0.5, 0), "truncation=-0.5: take"),
        ((1, np.nan, 0), "truncation=nan: take"),
        ((1, 1e-300, 0), "truncation=1e-300: take"),  # 0 in float32
        ((1, 0.5, -1), "seed = -1: take a whole number"),
        ((1, 0.5, 2**63), "seed = 9223372036854775808: take"),
        ((1, 0.5, 0.5), "seed = 0.5"),
    ):
        for method in (SAMPLER.latents, SAMPLER.batch):
            with pytest.raises(BadInput, match=sentence):
                method(*wrong)
    with pytest.raises(BadInput, match=r"labels = \[\]: take whole numbers"):
        SAMPLER.generate([], 0.5, 0)


def test_statistics_of_its_own_allow_a_truncation():
    """Training draws at infinity, whatever the convention of its exports."""
    sampler = dataclasses.replace(SAMPLER, convention="scaled")
    z = sampler.latents(1, 1, 0)
    with pytest.raises(BadInput, match="truncation=inf: take 0 to 1"):
        sampler.images(z, [0], np.inf)
    sampler = dataclasses.replace(sampler, truncations=(np.inf,))
    assert len(sampler.images(z, [0], np.inf)) == 1


@pytest.mark.parametrize("scalar", [np.array, tf.constant, tf.Variable])
def test_numbers_may_be_arrays_or_tensors(scalar):
    expected = api.sample(SAMPLER, [0, 2], 2, [0.5, 1], 3, mix=[0.25, 0.75])
    labels, truncations, mix = map(scalar, ([0, 2], [0.5, 1.0], [0.25, 0.75]))
    asked = scalar(2), truncations, scalar(3)
    found = api.sample(SAMPLER, labels, *asked, mix=mix)
    np.testing.assert_array_equal(found, expected)
    found = api.sample(SAMPLER, scalar(2), scalar(2), scalar(0.5), scalar(3))
    np.testing.assert_array_equal(found, api.sample(SAMPLER, 2, 2, 0.5, 3))
    z = SAMPLER.latents(scalar(2), scalar(0.5), scalar(3))
    found = SAMPLER.images(scalar(z), labels, scalar(0.5))
    expected = SAMPLER.generate(labels, scalar(0.5), scalar(3))
    np.testing.assert_array_equal(found, expected)
    for wrong in (scalar(True), scalar([1])):
        with pytest.raises(BadInput, match="seed = "):
            api.sample(SAMPLER, seed=wrong)


def write_header(path: Path, header: bytes) -> None:
    """Writes an .npz whose z ends after its header."""
    header = header.replace(b"}", b", 'fortran_order': False}")
    with zipfile.ZipFile(path, "w") as file:
        length = len(header).to_bytes(2, "little")
        file.writestr("z.npy", b"\x93NUMPY\x01\x00" + length + header)


def test_given_latents_that_do_not_fit_are_refused(tmp_path):
    right = {"z": np.zeros([3, 8]), "labels": [0, 1, 4], "truncation": 0.5}
    for wrong, sentence in (
        ({"z": np.zeros([3, 9])}, r"z does not fit; take z, finite \[n, 8\]"),
        ({"z": np.full([3, 8], np.nan)}, "z does not"),
        ({"z": np.zeros([0, 8]), "labels": []}, "z does not"),
        ({"z": "x"}, "z does not"),
        ({"z": np.full([3, 8], 1e300)}, "z does not"),
        ({"z": [[1, 2], [3]]}, "--latents: z: give an array"),
        ({"labels": np.full([3, 5], 1e300)}, "labels does not"),
        ({"labels": [0, 1, 5]}, "labels does not fit.* of 0 to 4"),
        ({"labels": [0, 1]}, "labels does not"),
        ({"labels": [0.0, 1.0, 2.0]}, "labels does not"),
        ({"labels": np.zeros([3, 4])}, "labels does not"),
        ({"truncation": [1, 2]}, "truncation does not"),
        ({"truncation": [1, 2, 0]}, "--latents: truncation=0: take a threshold"),
    ):
        with pytest.raises(BadInput, match=sentence):
            api.redraw(SAMPLER, {**right, **wrong})
    np.savez(tmp_path / "own.npz", **right)
    with pytest.raises(BadInput, match="own.npz: take another name; --latents is that"):
        api.redraw(SAMPLER, tmp_path / "own.npz", output=tmp_path / "own.npz")
    for none in (None, 5, [right["z"]]):
        with pytest.raises(BadInput, match="--latents = .*: give a .npz file, or arr"):
            api.redraw(SAMPLER, none)
    tall = {name: np.zeros([1300, *np.shape(x)[1:]]) for name, x in right.items()}
    tall = {**tall, "labels": [0] * 1300, "truncation": 0.5}
    with pytest.raises(BadInput, match="tall.jpg: .*65,500"):
        api.redraw(SAMPLER, tall, 1, tmp_path / "tall.jpg")
    path = tmp_path / "x.npz"
    for write in (
        lambda: None,
        lambda: path.write_text("text"),
        lambda: path.write_bytes(b"PK\x03\x04"),
        lambda: np.savez(path, z=np.array([{}], object)),
        lambda: write_header(path, b"{'descr': '<f8', 'shape': (10000000000000,)}"),
        lambda: write_header(path, b"{'descr': '<f8', 'shape': ("),
        lambda: (path.unlink(), os.mkfifo(path)),
    ):
        write()
        with pytest.raises(BadInput, match="x.npz: give a .npz file that"):
            api.redraw(SAMPLER, path)
    path.unlink()
    np.savez(path, z=right["z"], labels=right["labels"])
    np.save(tmp_path / "x.npy", right["z"])
    for file, name in ((path, "truncation"), (tmp_path / "x.npy", "z")):
        with pytest.raises(BadInput, match=f"{name} is missing"):
            api.redraw(SAMPLER, file)


def test_a_mix_that_is_none_is_refused():
    for wrong, sentence in (
        ({"mix": (1,)}, "--mix=1: give as many shares as there are classes, 2"),
        ({"mix": (1, -1)}, "--mix=1,-1: give shares of 0 or more"),
        ({"mix": (0, 0)}, "one of them above 0"),
        ({"mix": (1, float("nan"))}, "shares of 0 or more"),
        ({"mix": (1, 1), "layout": "z"}, "take 'samples' with mixed classes"),
        ({"mix": None}, "mix = None: take a number"),
        ({"mix": 0.5}, "as many shares"),
        ({"mix": ["a", 1]}, "mix = 'a': take a number"),
        ({"mix": [10**400, 1]}, "mix = 1000+: take a number"),
        ({"mix": [True, 1]}, "mix = True: take a number"),
    ):
        with pytest.raises(BadInput, match=sentence):
            api.sample(SAMPLER, "a,b", **wrong)


def test_tiles_are_those_of_the_sheet_at_every_truncation():
    rows = sheets.class_rows(SAMPLER, [4, 1], 3, 0.5, 7)
    found = tiles.of_rows(SAMPLER, rows, 7)
    for value in (0.5, 2, 0.04):
        [row] = tiles.rows(SAMPLER, found, [value])
        expected = sheets.class_rows(SAMPLER, [4, 1], 3, value, 7)
        np.testing.assert_array_equal(row.z, np.concatenate([r.z for r in expected]))
        np.testing.assert_array_equal(row.y.argmax(1), [4, 4, 4, 1, 1, 1])
    strip = tiles.rows(SAMPLER, found[2:3], [2, 0.5])
    assert [(row.title, row.truncation) for row in strip] == [("2", 2), ("0.5", 0.5)]


@pytest.mark.parametrize("convention", ["resample", "scaled", "concatenation"])
def test_variations_lie_around_their_tile(convention):
    sampler = dataclasses.replace(SAMPLER, convention=convention, latent_size=100)
    tile = tiles.Tile(np.eye(5, dtype=np.float32)[2], tiles.Draw(6, 0, 3))
    z = tile.latents(sampler, 0.8)

    def distances(way, seed=1):
        around = tile.varied(4, way, seed)
        assert all(np.array_equal(other.y, tile.y) for other in around)
        others = np.stack([other.latents(sampler, 0.8) for other in around])
        assert len({other.tobytes() for other in others}) == (4 if way else 1)
        return np.linalg.norm(others - z, axis=1) / np.linalg.norm(z)

    near, far = distances(0.1), distances(0.5)
    assert np.all(distances(0) < 1e-6)
    assert np.all(near < 0.3)
    assert np.all(far > 2 * near)
    assert np.all(distances(0.1, seed=2) != near)
    twice = tile.varied(2, 0.2, 1)[1].varied(2, 0.2, 2)[0]
    assert len(twice.turns) == 2
    once = tile.varied(2, 0.2, 1)[1].latents(sampler, 0.8)
    assert np.any(twice.latents(sampler, 0.8) != once)


def test_moves_add_up_after_turns_and_found_latents_stay():
    directions = np.eye(8, dtype=np.float32)[::-1]
    sampler = dataclasses.replace(SAMPLER, directions=directions)
    drawn = tiles.Tile(np.eye(5, dtype=np.float32)[2], tiles.Draw(6, 0, 3))
    found = drawn._replace(draw=tiles.Found(np.arange(8, dtype=np.float32)))
    for tile in (drawn.varied(2, 0.3, 1)[0], found):
        z = tile.latents(sampler, 0.5)
        moved = tile.moved([1, 0, 2]).moved([0.5, 0, -1])
        np.testing.assert_allclose(
            moved.latents(sampler, 0.5) - z, [0, 0, 0, 0, 0, 1, 0, 1.5], atol=1e-6
        )
        np.testing.assert_array_equal(tile.moved([0, 0]).latents(sampler, 0.5), z)
    np.testing.assert_array_equal(found.latents(sampler, 2), found.latents(sampler, 1))


def test_names_are_spelt_as_flags_take_them():
    names = ["Bag", "a, b", 'say "x"', "2", " x", "all", "Bag", "a", "b"]
    for labels, text in (
        ([0, 7], "Bag,a"),
        ([1, 0], '"a, b","Bag"'),
        ([2], 'say "x"'),
        ([2, 1], '"say ""x""","a, b"'),
        ([3], "index:3"),
        ([4, 0], '" x","Bag"'),
        ([5], "index:5"),
        ([0, 6], "index:0,index:6"),
    ):
        assert spell(labels, names) == text
        assert parse(text, names, "") == labels
