"""Pixels, sheets and files."""

import os
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from biggan_tf import images
from biggan_tf.errors import BadInput


def test_pixels_are_those_of_the_released_colab():
    x = tf.constant([-1.5, -1.0, -0.5, 0.0, 0.996, 1.0, 2.0])
    pixels = images.to_uint8(x)
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [0, 0, 64, 128, 255, 255, 255]


def test_every_pixel_survives_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    x = pixels.astype(np.float32) / 127.5 - 1  # as the networks see them
    assert (x[0], x[-1]) == (-1, 1)
    np.testing.assert_array_equal(images.to_uint8(x), pixels)


def test_saturated_fraction():
    assert images.saturated_fraction(np.array([-1.0, -0.99, 0.0, 0.995])) == 0.5


def test_sheet_goes_row_by_row():
    tiles = np.arange(6, dtype=np.uint8)[:, None, None, None] + np.zeros(
        [6, 64, 64, 3], np.uint8
    )
    picture = images.sheet(tiles, columns=3)
    assert picture.shape == (2 * 64 + 2, 3 * 64 + 2 * 2, 3)
    assert picture[32::66, 32::66, 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.all(picture[64:66] == 255)
    assert np.all(picture[:, 64:66] == 255)


def test_sheet_enlarges_small_tiles_by_a_whole_factor():
    tile = np.random.default_rng(0).integers(0, 256, [1, 32, 32, 3], np.uint8)
    picture = images.sheet(tile, columns=1)
    assert picture.shape == (64, 64, 3)
    for corner in (picture[::2, ::2], picture[1::2, 1::2]):
        np.testing.assert_array_equal(corner, tile[0])


def test_sheet_writes_each_row_label_beside_its_row():
    tiles = np.zeros([3, 64, 64, 3], np.uint8)
    plain = images.sheet(tiles, columns=1)
    labelled = images.sheet(tiles, 1, ["boot", "", "Größe 日本" * 20])
    np.testing.assert_array_equal(labelled[:, -64:], plain)
    margin = labelled[:, :-64]
    inked = [np.any(margin[top : top + 64] < 128) for top in (0, 66, 132)]
    assert inked == [True, False, True]


def margins(*labels):
    """What a sheet shows beside one row with each label."""
    tile = np.zeros([1, 64, 64, 3], np.uint8)
    return [images.sheet(tile, 1, [label])[:, :-64].tobytes() for label in labels]


def test_no_two_names_look_alike():
    """A font draws one box for every character that it lacks."""
    names = [
        "é",
        "è",
        "ü",
        "Ω",
        "Σ",
        "Ж",
        "Й",
        "ł",
        "犬",
        "猫",
        "ع",
        "😀",
        "😃",
        "a\nb",
        "\t",
    ]
    assert len(set(margins(*names, "e", "E"))) == len(names) + 2
    assert margins("Größe") != margins("Gr\\xf6\\xdfe")


@pytest.mark.parametrize(
    ("path", "most"), [("x.jpg", 990), ("x.JPEG", 990), ("x.gif", 990), ("x.webp", 246)]
)
def test_sheets_that_their_format_cannot_hold_are_refused(path, most):
    names = ["Ankle boot", "Bag"]
    images.check_size(path, 32, 2, most, names)
    images.check_size("x.png", 32, 2, 100_000, names)
    columns = most + 10
    tiles = np.zeros([2 * columns, 32, 32, 3], np.uint8)
    height, width, _ = images.sheet(tiles, columns, names).shape
    with pytest.raises(BadInput, match=f"have {width:,} x {height:,} pixels, and .* a"):
        images.check_size(path, 32, 2, columns, names)
    with pytest.raises(BadInput, match="on a side; draw fewer"):
        images.check_size(path, 32, columns, 2)


@pytest.mark.parametrize(
    ("ending", "most"), [(".jpg", 65_500), (".gif", 65_535), (".webp", 16_383)]
)
def test_the_longest_sides_are_those_of_the_encoders(tmp_path, ending, most):
    assert images.LONGEST_SIDES[ending] == most
    kind = ending[1:].upper().replace("JPG", "JPEG")
    Image.new("RGB", (most, 1)).save(tmp_path / f"x{ending}", kind)
    with pytest.raises((OSError, OverflowError, ValueError, struct.error)):
        Image.new("RGB", (most + 1, 1)).save(tmp_path / f"x{ending}", kind)


def test_sheet_refuses_incomplete_rows():
    with pytest.raises(ValueError, match="5 tiles"):
        images.sheet(np.zeros([5, 64, 64, 3], np.uint8), columns=3)


def test_png_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.png"
    picture = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
    images.write(path, picture)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    with pytest.raises(TypeError):
        images.write(path, picture.astype(np.float64))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert os.listdir(path.parent) == ["a.png"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("sheet.gif", "--output=.*sheet.gif: give the name of a .png or .npz file"),
        ("sheet", "sheet: give the name"),
        ("file/sheet.png", "cannot be written"),
        ("folder.png", "cannot be written"),
        ("kept.png", r"kept.png: it cannot be written \(Permission denied\)"),
        ("to_kept.png", "cannot be written"),
        (f"{'n' * 252}.png", r"cannot be written \(File name too long\)"),
    ],
)
def test_output_that_cannot_be(tmp_path, name, complaint):
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "kept.png").touch(0o444)
    (tmp_path / "to_kept.png").symlink_to("kept.png")
    with pytest.raises(BadInput, match=complaint):
        images.check_output(str(tmp_path / name), "--output", (".png", ".npz"))


@pytest.mark.parametrize("name", ["n" * 251, "ö" * 125 + "n"])
def test_the_longest_names_and_links_are_written(tmp_path, name):
    picture, path = np.zeros([8, 9, 3], np.uint8), tmp_path / f"{name}.png"
    link, dangling = tmp_path / "link.png", tmp_path / "dangling.png"
    link.symlink_to(path)
    dangling.symlink_to("new/file.png")
    for to in (path, link, dangling):
        images.check_output(str(to), "--output", tuple(images.FORMATS))
        images.write(to, picture)
    images.write(link, picture + 255)
    assert link.is_symlink()
    assert np.asarray(Image.open(path)).min() == 255
    assert dangling.is_symlink()
    assert (tmp_path / "new" / "file.png").is_file()
    assert len(list(tmp_path.iterdir())) == 4
    path.chmod(0o444)
    with pytest.raises(PermissionError):
        images.write(link, picture)


@pytest.mark.parametrize("name", ["a.PNG", "a.jpg", "a.JPEG", "b.c.jpg"])
def test_the_ending_says_the_format(tmp_path, name):
    picture = np.full([8, 9, 3], 200, np.uint8)
    images.check_output(str(tmp_path / name), "--output", tuple(images.FORMATS))
    images.write(tmp_path / name, picture)
    with Image.open(tmp_path / name) as found:
        assert found.format == images.FORMATS["." + name.rpartition(".")[2].lower()]
        np.testing.assert_allclose(np.asarray(found), picture, atol=2)


def test_a_check_of_an_output_makes_nothing(tmp_path):
    images.check_output(str(tmp_path / "new" / "sheet.png"), "--output", (".png",))
    (tmp_path / "file").touch()
    for name in ("file/sheet.png", "file/new/sheet.png"):
        with pytest.raises(BadInput, match="cannot be written .Not a directory"):
            images.check_output(str(tmp_path / name), "--output", (".png",))
    assert os.listdir(tmp_path) == ["file"]
