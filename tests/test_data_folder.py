"""Image folders: every kind of file, broken files, unfit folders; preprocessing.

What a folder may look like is in test_data_listing.py.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from nobody import as_nobody
from PIL import Image

from biggan_tf import data, plan
from biggan_tf.data import folder, listing, order, resizing
from biggan_tf.errors import BadInput

RED, BLUE = (220, 30, 30), (30, 30, 220)


needs_avif = pytest.mark.skipif(".avif" not in listing.ENDINGS, reason="this Pillow")


def two_halves(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def write(path, image: Image.Image, **how) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


def make_folder(root, count: int = 10) -> str:
    """Two classes of `count` PNGs each, whose red tells them apart."""
    for number in range(2 * count):
        label = "ab"[number % 2]
        colour = (number * 250 // (2 * count), 0, 0)
        write(root / label / f"{number:03}.png", Image.new("RGB", (32, 32), colour))
    return str(root)


def load(path, **more) -> data.Data:
    return data.load(image_size=32, source="folder", path=str(path), **more)


def as_network_takes(
    pixels: np.ndarray, mirrored: tf.Tensor | None = None
) -> tf.Tensor:
    resized = resizing.resized(tf.constant(pixels), 32)
    return resizing.to_network(resized, mirrored)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.jpg", {"quality": 95}),
        ("a.JPEG", {"quality": 95, "progressive": True}),
        ("a.png", {}),
        ("a.Gif", {}),
        ("a.WEBP", {"quality": 95}),
        ("a.webp", {"lossless": True}),
        ("a.Bmp", {}),
        ("a.tif", {}),
        ("a.TIFF", {"compression": "tiff_lzw"}),
        ("a.ppm", {}),
        pytest.param("a.avif", {"quality": 95}, marks=needs_avif),
    ],
)
@pytest.mark.parametrize("size", [(60, 40), (40, 61), (400, 300), (20, 21)])
def test_formats_and_sizes_come_out_alike(tmp_path, name, how, size):
    write(tmp_path / name, two_halves(size), **how)
    pixels = folder.decode(str(tmp_path / name), size=32)
    assert pixels.dtype == np.uint8
    image = as_network_takes(pixels).numpy()
    assert image.shape == (32, 32, 3)
    expected = np.broadcast_to(RED, (32, 32, 3)).copy()
    expected[:, 16:] = BLUE
    expected = expected / 127.5 - 1
    # Off the seam; JPEG and GIF are not exact.
    np.testing.assert_allclose(image[:, :13], expected[:, :13], atol=0.1)
    np.testing.assert_allclose(image[:, 19:], expected[:, 19:], atol=0.1)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "I;16", "RGB", "1"])
@pytest.mark.parametrize("turned", [1, 6, 8])
def test_turned_tiffs_of_all_modes_are_upright(tmp_path, mode, turned):
    path = tmp_path / "a.tif"
    grey = np.uint8(np.arange(48 * 64).reshape(48, 64) % 256)
    if mode == "I;16":
        image = Image.fromarray(np.uint16(grey) * 257)
    else:
        image = Image.fromarray(grey).convert(mode)
    write(path, image)
    expected = np.rot90(folder.decode(str(path), 32), {1: 0, 6: 3, 8: 1}[turned])
    write(path, image, tiffinfo={274: turned})
    np.testing.assert_array_equal(folder.decode(str(path), 32), expected)


def _palette(image):
    return image.convert("P", palette=Image.Palette.ADAPTIVE), {}


def _transparent(image):
    image = image.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 30, 40))
    return image, {}


def _transparent_palette(image):
    return _palette(image)[0], {"transparency": 0}


def _upside_down(image):
    exif = Image.Exif()
    exif[0x0112] = 3  # Orientation: turned by 180 degrees
    return image.rotate(180), {"exif": exif}


def _animated(image):
    other = Image.new("RGB", image.size, "green")
    return image, {"save_all": True, "append_images": [other, other]}


RED_BLUE, GREY = [RED, BLUE], [(87, 87, 87), (52, 52, 52)]


@pytest.mark.parametrize(
    ("ending", "change", "halves"),
    [
        ("png", lambda x: (x.convert("L"), {}), GREY),
        ("jpg", lambda x: (x.convert("L"), {}), GREY),
        ("png", lambda x: (x.convert("1", dither=0), {}), [(0, 0, 0), (0, 0, 0)]),
        ("png", lambda x: (x.convert("LA"), {}), GREY),
        ("png", _palette, RED_BLUE),
        ("gif", _palette, RED_BLUE),
        ("jpg", lambda x: (x.convert("CMYK"), {"quality": 95}), RED_BLUE),
        ("png", _transparent, [(255, 255, 255), BLUE]),
        (
            "webp",
            lambda x: (_transparent(x)[0], {"lossless": True}),
            [(255,) * 3, BLUE],
        ),
        ("jpg", _upside_down, RED_BLUE),
        ("png", _upside_down, RED_BLUE),
        ("gif", _animated, RED_BLUE),
        ("tif", lambda x: (x.convert("CMYK"), {}), RED_BLUE),
        ("tif", _transparent, [(255, 255, 255), BLUE]),
        ("tif", _upside_down, RED_BLUE),
        ("tif", _animated, RED_BLUE),
        ("bmp", _palette, RED_BLUE),
        ("pgm", lambda x: (x.convert("L"), {}), GREY),
        ("webp", lambda x: (x, {"lossless": True, **_animated(x)[1]}), RED_BLUE),
    ],
)
def test_modes_come_out_as_they_are_meant_to_be_seen(tmp_path, ending, change, halves):
    image, how = change(two_halves())
    path = tmp_path / f"x.{ending}"
    write(path, image, **how)
    pixels = folder.decode(str(path), size=32)
    assert pixels.shape == (40, 60, 3)
    np.testing.assert_allclose(pixels[20, [10, 50]], halves, atol=8)


def test_transparent_palette_is_white(tmp_path):
    image, how = _transparent_palette(two_halves())
    write(tmp_path / "x.png", image, **how)
    pixels = folder.decode(str(tmp_path / "x.png"), size=32)
    hidden = image.getpixel((10, 20)) == 0
    assert pixels[20, 10 if hidden else 50].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("bits", "colours", "row", "seen"),
    [
        (2, 1, b"\x60", [[255] * 3, [170] * 3]),
        (4, 1, b"\x3a", [[255] * 3, [170] * 3]),
        (8, 1, b"\x03\xaa", [[255] * 3, [170] * 3]),
        (16, 1, b"\0\x03\xaa\xaa", [[255] * 3, [170] * 3]),
        (8, 3, b"\x03\x04\x05\xaa\0\xaa", [[255] * 3, [170, 0, 170]]),
        (16, 3, b"\3\7\4\7\5\7\xaa\xaa\0\0\xaa\xaa", [[255] * 3, [170, 0, 170]]),
    ],
)
def test_a_transparent_colour_is_white_at_any_depth(tmp_path, bits, colours, row, seen):
    """Two pixels; the colour of the first one is transparent."""

    def chunk(kind, content):
        size, check = (
            n.to_bytes(4, "big") for n in (len(content), zlib.crc32(kind + content))
        )
        return size + kind + content + check

    first = int.from_bytes(row, "big") >> (8 * len(row) - bits * colours)
    parts = [first >> bits * n & 2**bits - 1 for n in reversed(range(colours))]
    header = bytes([0, 0, 0, 2, 0, 0, 0, 1, bits, colours - 1, 0, 0, 0])
    (tmp_path / "x.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", b"".join(part.to_bytes(2, "big") for part in parts))
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )
    assert folder.decode(str(tmp_path / "x.png"), size=32)[0].tolist() == seen


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.png", "<u2"), ("x.pgm", "<i4"), ("x.tif", "<u2"), ("x.tif", ">u2")],
)
def test_16_bits_of_grey_keep_their_range(tmp_path, name, kind):
    ramp = np.linspace(0, 65535, 256).astype(kind).reshape(16, 16)
    write(tmp_path / name, Image.fromarray(ramp))
    pixels = folder.decode(str(tmp_path / name), size=32)
    np.testing.assert_array_equal(pixels[..., 1].ravel(), np.arange(256))


def test_large_jpegs_are_read_at_a_fraction_of_their_size(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    large = Image.fromarray(noise).resize((1200, 900), Image.Resampling.BICUBIC)
    write(tmp_path / "x.jpg", large, quality=95)
    write(tmp_path / "x.png", large)
    reduced = folder.decode(str(tmp_path / "x.jpg"), size=32)
    assert reduced.shape[:2] == (113, 150)
    full = folder.decode(str(tmp_path / "x.png"), size=32)
    both = [as_network_takes(x) for x in (reduced, full)]
    np.testing.assert_allclose(*both, atol=0.1)


def test_shrinking_averages_areas_of_the_central_square():
    image = np.random.default_rng(0).integers(0, 256, (96, 131, 3), np.uint8)
    square = image[:, 17 : 17 + 96].astype(float)
    means = square.reshape(32, 3, 32, 3, 3).mean(axis=(1, 3))
    result = as_network_takes(image)
    np.testing.assert_allclose(result, means / 127.5 - 1, atol=1e-5)
    tall = image.transpose(1, 0, 2)
    result = as_network_takes(tall, tf.constant(True))
    expected = (means / 127.5 - 1).transpose(1, 0, 2)[:, ::-1]
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_classes_and_splits_follow_from_names_alone(tmp_path):
    source = load(make_folder(tmp_path / "one"), held_out_fraction=0.25)
    assert source.spec.class_names == ("a", "b")
    assert (source.spec.train_images, source.spec.held_out_images) == (16, 4)
    assert source.class_counts("train") == source.spec.class_counts == (8, 8)
    assert source.class_counts("held_out") == (2, 2)
    assert source.spec.source == "folder"
    for spoiled in ("a/.hidden.png", "a/notes.txt", ".git/x.png"):
        path = tmp_path / "one" / spoiled
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    again = load(tmp_path / "one", held_out_fraction=0.25)
    assert again.spec == source.spec
    held_out_images = []
    for each in (source, load(make_folder(tmp_path / "two"), held_out_fraction=0.25)):
        ((image, label),) = each.batches("held_out", 100).as_numpy_iterator()
        assert label.tolist() == [0, 0, 1, 1]
        held_out = [path[-len("a/000.png") :] for path, _ in each._splits["held_out"]]
        assert held_out == ["a/002.png", "a/004.png", "b/003.png", "b/005.png"]
        held_out_images.append(image)
    np.testing.assert_array_equal(*held_out_images)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_each_split_has_an_image_of_each_class(tmp_path, fraction):
    source = load(make_folder(tmp_path), held_out_fraction=fraction)
    for split in ("train", "held_out"):
        ((_, label),) = source.batches(split, 100).as_numpy_iterator()
        assert set(label) == {0, 1}


def test_unreadable_files_are_named_once_and_replaced(tmp_path, caplog):
    make_folder(tmp_path, 50)
    intact = list(load(tmp_path).batches("train", 100).as_numpy_iterator())
    train = [path for path, _ in load(tmp_path)._splits["train"]]
    with open(train[10], "wb") as file:  # found by its header
        file.write(b"<html>404</html>")
    with open(train[20], "rb+") as file:  # found only when it is decoded
        file.truncate(60)
    with caplog.at_level(logging.WARNING):
        source = load(tmp_path)
        source.check_ready()
        assert [train[10] in record.getMessage() for record in caplog.records] == [True]
        ((image, label),) = source.batches("train", 100).as_numpy_iterator()
        list(source.train_batches(45, seed=0).take(4))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert train[20] in messages[1]
    assert "unreadable image 2 of 100" in messages[1]
    expected = intact[0][0].copy()
    expected[[10, 20]] = expected[[11, 21]]
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(label, intact[0][1])


def test_every_flipped_bit_in_the_pixels_of_a_png_is_noticed(tmp_path):
    """Its decoder alone passes over one in eight."""
    pixels = np.random.default_rng(0).integers(0, 9, [32, 32, 3], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "sound.png")
    sound = (tmp_path / "sound.png").read_bytes()
    np.testing.assert_array_equal(folder.decode(tmp_path / "sound.png", 32), pixels)
    begin = sound.index(b"IDAT") + 4
    for place in range(begin, len(sound) - 16, 7):  # up to their checksum
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "damaged.png").write_bytes(damaged)
        with pytest.raises(BadInput, match="a file that can be read"):
            folder.read(str(tmp_path / "damaged.png"), 32, "--image")


def test_an_unreadable_file_has_its_neighbour_in_memory_too(tmp_path, caplog):
    make_folder(tmp_path, 50)
    with open(load(tmp_path)._splits["train"][20][0], "rb+") as file:
        file.truncate(60)
    of_files, of_memory = load(tmp_path), load(tmp_path)
    expected = list(of_files.train_batches(45, seed=0).take(4).as_numpy_iterator())
    caplog.clear()
    of_memory.keep_in_memory()
    found = list(of_memory.train_batches(45, seed=0).take(4).as_numpy_iterator())
    assert len(caplog.records) == 1
    for left, right in zip(expected, found):
        np.testing.assert_array_equal(left[0], right[0])
        np.testing.assert_array_equal(left[1], right[1])


def test_images_are_decoded_once_into_one_array_for_all_pipelines(tmp_path):
    make_folder(tmp_path, 100)
    given = {"source": "folder", "path": str(tmp_path), "held_out_for": ""}
    source = data.load(image_size=128, flip=True, **given)
    source.check_ready()
    tracemalloc.start()
    try:
        source.keep_in_memory()
        shutil.rmtree(tmp_path / "a")
        for each in (source, source.unflipped()):
            for pipeline_id in range(2):
                context = tf.distribute.InputContext(2, pipeline_id, 2)
                batches = each.train_batches(20, seed=0, context=context).take(30)
                labels = np.concatenate([label for _, label in batches])
                assert set(labels) == {0, 1}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 200 * 128 * 128 * 3  # a second copy would be 2.0


def test_too_many_unreadable_files_stop(tmp_path):
    make_folder(tmp_path)
    for name in ("a/000.png", "b/001.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=r"2 of 20 images .* 5%.*a/000\.png.*b/001\.png"):
        load(tmp_path).check_ready()


def test_too_many_files_that_break_off_stop(tmp_path):
    make_folder(tmp_path)
    for path in tmp_path.glob("a/*.png"):
        path.write_bytes(path.read_bytes()[:60])
    source = load(tmp_path)
    source.check_ready()
    with pytest.raises(BadInput, match="of 20 images"), data.sentences():
        list(source.batches("train", 10))


def test_a_class_of_which_nothing_can_be_read_stops(tmp_path):
    make_folder(tmp_path, 40)
    for number in range(3):
        write(tmp_path / "c" / f"{number}.png", two_halves())
    paths = sorted(tmp_path.glob("c/*"))
    told = "none of the training images of class c can be read.*/c/.*png"
    for path in paths:  # found only when they are decoded
        path.write_bytes(path.read_bytes()[:60])
    source = load(tmp_path, held_out_for="")
    source.check_ready()
    with pytest.raises(BadInput, match=told), data.sentences():
        list(source.batches("train", 10))
    for path in paths:  # found by their headers
        path.write_bytes(b"<html>404</html>")
    for held_out_for in ("", "evaluation"):  # which takes one of the three
        with pytest.raises(BadInput, match=told):
            load(tmp_path, held_out_for=held_out_for).check_ready()
    write(paths[0], two_halves())
    load(tmp_path, held_out_for="").check_ready()


def test_resuming_reads_nothing_of_what_it_skips(tmp_path, caplog):
    source = load(make_folder(tmp_path, 200))
    whole = list(source.train_batches(5, seed=9).take(9).as_numpy_iterator())
    skipped = order.shuffled_index(tf.range(30, dtype=tf.int64), 360, seed=9).numpy()
    for index in skipped:
        path, _ = source._splits["train"][index]
        tmp_path.joinpath(path).unlink()
    resumed = source.train_batches(5, seed=9, first_batch=6).take(3)
    for (image, label), expected in zip(resumed.as_numpy_iterator(), whole[6:]):
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(label, expected[1])
    assert str(tmp_path) not in caplog.text  # threads of other tests may still read


def test_a_program_with_a_running_pipeline_can_end(tmp_path):
    """It hangs if a decoder is at work when the interpreter shuts down."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    write(tmp_path / "a" / "0.png", Image.fromarray(noise))
    for name in ("a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "a" / "0.png")
    program = (
        "from biggan_tf import data\n"
        f"source = data.load(image_size=32, source='folder', path={str(tmp_path)!r})\n"
        "batches = iter(source.train_batches(8, seed=0))\n"
        "next(batches)\n"
        "raise SystemExit(5)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=300, check=False)
    assert ended.returncode == 5


def _floats(path):
    Image.new("F", (40, 40)).save(path, "TIFF")


def _of_32_bits(path):
    Image.new("I", (40, 40)).save(path, "TIFF")


def _signed(path):
    Image.new("L", (40, 40)).save(path, "TIFF", tiffinfo={339: (2,)})


def _grey_tiff_of(tag, usual, value):
    def spoil(path):
        Image.new("I;16", (40, 40)).save(path, "TIFF")
        entry = struct.pack("<HHI", tag, 3, 1)
        before, after = (entry + struct.pack("<I", x) for x in (usual, value))
        content = path.read_bytes()
        assert before in content
        path.write_bytes(content.replace(before, after))

    return spoil


def _bomb(path):
    """A PNG whose header says that it has 900 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT")


def _forbidden(path):
    path.chmod(0)


def _text(path):
    path.write_text("<html>404</html>")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_bomb, "Pillow's limit of 178,956,970 pixels, as a decompression bomb"),
        (_forbidden, "Permission denied"),
        (_text, "no image of JPEG, PNG"),
        (_floats, "no known range; take 8 bits, or 16"),
        (_of_32_bits, "no known range"),
        (_signed, "no known range"),
        (_grey_tiff_of(258, 16, 12), "no known range"),  # bits
        (_grey_tiff_of(262, 1, 0), "no known range"),  # 0 is white
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_words(open_path, spoil, said):
    make_folder(open_path, 5)
    load(open_path).check_ready()  # imports what nobody may not read, if root has it
    spoil(open_path / "a" / "000.png")
    refusal = pytest.raises(BadInput, match=rf"1 of 10 .*a/000\.png: .*{said}")
    with as_nobody(), refusal:
        load(open_path).check_ready()


def test_a_folder_that_may_not_be_read_is_named(open_path):
    make_folder(open_path, 5)
    (open_path / "b").chmod(0)
    refusal = pytest.raises(BadInput, match=r"/b is no folder .*Permission denied")
    with as_nobody(), refusal:
        load(open_path)


def test_small_images_are_enlarged_and_counted(tmp_path):
    make_folder(tmp_path)
    for side in (31, 20, 200):
        write(tmp_path / "a" / f"{side}.bmp", two_halves((400, side)))
    source = load(tmp_path)
    assert "enlarged to" not in str(source.remarks())
    source.check_ready()
    assert "enlarged to 32 px: 2 of 23 images, down to 20 px" in source.remarks()


def test_file_names_that_are_no_unicode_work_to_the_end(tmp_path, caplog):
    make_folder(tmp_path, 30)
    names = [b"\xe9t\xe9.png", b"\xff.jpg", b"caf\xc3\xa9 \xe6\x97\xa5.png"]
    for name in names:
        write(tmp_path / "a" / "x.png", two_halves())
        os.rename(
            tmp_path / "a" / "x.png", os.path.join(os.fsencode(tmp_path / "a"), name)
        )
    broken = os.path.join(os.fsencode(tmp_path / "b"), b"br\xfcche.png")
    with open(broken, "wb") as file:
        file.write((tmp_path / "b" / "001.png").read_bytes()[:60])
    source = load(tmp_path, held_out_for="")
    before = source.fingerprint("train")
    os.rename(broken, broken + b".jpg")
    source = load(tmp_path, held_out_for="")
    assert source.fingerprint("train") != before
    source.check_ready()
    labels = np.concatenate([y for _, y in source.batches("train", 9)])
    assert np.bincount(labels).tolist() == [34, 30]  # the first one of a stands in
    assert r"br\udcfcche.png.jpg" in caplog.text


def test_sheets_of_a_run_do_not_come_among_its_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = data.DataSpec("folder", "pics/samples", 32, 1, ("a",), 9, 0, "", "")
    for model_dir in ("pics", "pics/samples", "pics/x/.."):
        (tmp_path / model_dir / "x").mkdir(parents=True, exist_ok=True)
        with pytest.raises(BadInput, match="sample sheets would count as images"):
            plan._check_apart(Path(model_dir), spec)
    plan._check_apart(Path("pics/x"), spec)
    plan._check_apart(Path("pics"), dataclasses.replace(spec, source="embedded"))
