"""Films: what they show, and that they play."""

import dataclasses
import functools
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence
from test_survival import full_disk

from biggan_tf import api, films, images, sheets
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler


def draw(z, y, truncation):
    """Grey by the first component of z, red by the class: smooth in both."""
    grey = np.tanh(np.asarray(z)[:, :1])
    red = np.asarray(y) @ np.linspace(-1, 1, 5)[:, None]
    colour = np.concatenate([red, grey, grey], 1)[:, None, None]
    return np.broadcast_to(colour, [len(z), 16, 16, 3]).astype(np.float32)


SAMPLER = Sampler(draw, 5, 8, 16, tuple("abcde"), "resample", (), 0, "", 5 * (0.2,))


@pytest.mark.parametrize("labels", [[0, 1, 4], [2], [3, 3]])
def test_a_walk_is_smooth_and_ends_where_it_began(labels):
    walk = films.make_walk(SAMPLER, labels, 3, 0.7, 0, 20)
    stops = len(labels) if len(labels) > 1 else 4
    assert walk.z.shape == (20 * stops + 1, 3, 8)
    for x in (walk.z, walk.y):
        np.testing.assert_array_equal(x[0], x[-1])
    norms = np.linalg.norm(walk.z, axis=-1)
    steps = np.linalg.norm(np.diff(walk.z, axis=0), axis=-1)
    assert steps.max() < 0.2 * norms.max()
    assert np.abs(np.diff(walk.y, axis=0)).max() <= 0.0501
    # At each stop the latents are drawn ones and the classes are pure.
    at_stops = norms[::20]
    assert norms.min() >= at_stops.min() - 1e-5
    for stop in range(stops):
        expected = [labels[(stop + tile) % len(labels)] for tile in range(3)]
        np.testing.assert_array_equal(walk.y[20 * stop].argmax(1), expected)
        np.testing.assert_array_equal(walk.y[20 * stop].max(1), 1)


def test_the_great_circle_keeps_its_norm():
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=[2, 4, 100])
    path = sheets.great_circle(start, end, np.linspace(0, 1, 9))
    np.testing.assert_allclose(path[0], start, rtol=1e-5)
    np.testing.assert_allclose(path[-1], end, rtol=1e-5)
    norms = np.linalg.norm(path, axis=-1)
    assert norms.min() > 0.99 * min(norms[0].min(), norms[-1].min())
    for other in (-start, -2 * start):  # every great circle leads there
        path = sheets.great_circle(start, other, np.linspace(0, 1, 5))
        np.testing.assert_allclose(path[-1], other, atol=1e-5)
        norms = np.linalg.norm(path, axis=-1)
        assert norms.min() > 0.99 * norms[0].min()
    for same in (start, np.zeros_like(start)):
        path = sheets.great_circle(same, same, np.linspace(0, 1, 3))
        np.testing.assert_allclose(path, [same] * 3, rtol=1e-6)


def frames_of(path):
    """What a player sees: the frames, uint8 [n, height, width, 3]; and their rate."""
    if path.suffix == ".mp4":
        count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), *raw]
        pixels = subprocess.run(command, capture_output=True, check=True).stdout
        frames = np.frombuffer(pixels, np.uint8)
        return frames.reshape([count, 64, -1, 3]), count / seconds
    with Image.open(path) as film:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(film)]
        return np.stack(frames), 1000 / film.info["duration"]


@pytest.mark.parametrize("ending", [".mp4", ".webp", ".GIF"])
def test_a_film_plays(tmp_path, ending):
    path = tmp_path / f"walk{ending}"
    assert api.film(SAMPLER, path, "a,e", 3, seconds=0.5, rate=20) == path
    frames, rate = frames_of(path.rename(path.with_suffix(ending.lower())))
    walk = films.make_walk(SAMPLER, [0, 4], 3, 0.5, 0, 10)
    expected = np.stack([*films.draw(SAMPLER, walk, 3)]).astype(float)
    height, width = expected.shape[1:3]
    assert (len(frames), rate) == (21, pytest.approx(20))
    shown = frames[:, :height, :width]
    assert np.abs(shown - expected).mean() < 6  # of 255; films are compressed
    assert np.abs(shown[0].astype(float) - shown[-1]).mean() < 3
    assert len(list(tmp_path.iterdir())) == 1


def test_every_class_is_drawn_by_default_whatever_it_is_called():
    sampler = dataclasses.replace(SAMPLER, class_names=("all", *"bcde"))
    assert len(api.sample(sampler, columns=1)) == 5
    assert len(api.sample(sampler, "name:all", 1)) == 1
    with pytest.raises(BadInput, match="write name:all or index:all"):
        api.sample(sampler, "all", 1)


@pytest.mark.parametrize("rate", [1, 7, 24, 30, 50])
def test_a_gif_lasts_as_long_as_it_should(tmp_path, rate):
    """Though its frames last whole hundredths of a second."""
    frames = np.random.default_rng(0).integers(0, 255, (24, 8, 8, 3), np.uint8)
    films.write(tmp_path / "x.gif", iter(frames), rate)
    with Image.open(tmp_path / "x.gif") as film:
        lasting = [f.info["duration"] for f in ImageSequence.Iterator(film)]
    assert len(lasting) == 24
    assert max(lasting) - min(lasting) <= 10  # milliseconds
    assert sum(lasting) == pytest.approx(24_000 / rate, abs=5)


def test_a_walk_through_given_latents(tmp_path, monkeypatch, capsys):
    arrays, film = tmp_path / "kept.npz", tmp_path / "walk.webp"
    first = dataclasses.replace(SAMPLER, weights_sha256="a")
    api.sample(first, "a,e,c", 1, 0.7, 3, output=arrays)
    assert api.walk(SAMPLER, film, arrays, seconds=0.5, rate=20) == film
    frames, _ = frames_of(film)
    monkeypatch.setenv("HOME", str(tmp_path))
    stops = api.redraw(SAMPLER, "~/kept.npz")
    assert "another module" not in capsys.readouterr().out
    other = dataclasses.replace(SAMPLER, weights_sha256="b")
    api.redraw(other, arrays)
    assert "kept.npz: another module drew its images" in capsys.readouterr().out
    for index, stop in enumerate([*stops, stops[0]]):
        shown = frames[10 * index, :, :64].astype(float)
        assert np.abs(shown - stop[0, 0]).max() < 8  # of 255; the film is compressed
    assert len(frames) == 31
    assert np.abs(np.diff(frames.astype(float), axis=0)).mean(axis=(1, 2, 3)).max() < 30
    for wrong in ({"truncation": [1, 1, 2]}, {"z": 0, "labels": [0]}):
        with np.load(arrays) as file:
            stored = dict(file)
        given = {**stored, **wrong}
        given["z"] = stored["z"][: len(given["labels"])]
        given["truncation"] = np.resize(given["truncation"], len(given["z"]))
        with pytest.raises(BadInput, match="--latents: to walk, give those of 2 to"):
            api.walk(SAMPLER, film, given)


def test_what_cannot_be_filmed_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "walk.mp4"
    for wrong, sentence in (
        ({"walks": 0}, "walks = 0"),
        ({"rate": 1000}, "rate = 1000"),
        ({"seconds": 0.01}, "seconds = 0.01"),
        ({"seconds": float("nan")}, "seconds = nan"),
        ({"labels": [0] * 101}, "100 classes at most"),
        ({"truncation": 0}, "--truncation=0"),
    ):
        with pytest.raises(BadInput, match=sentence):
            api.film(SAMPLER, path, **wrong)
    for film in (api.film, functools.partial(api.walk, latents={})):
        with pytest.raises(BadInput, match="rate = 51: take 1 to 50 .* for a .gif"):
            film(SAMPLER, tmp_path / "walk.GIF", rate=51)
        with pytest.raises(BadInput, match="rate = 91: take 1 to 90 .* for a .webp"):
            film(SAMPLER, tmp_path / "walk.webp", rate=91)
    large = dataclasses.replace(SAMPLER, image_size=2000)
    with pytest.raises(BadInput, match=r"walk\.mp4: it would have .* on a side"):
        api.film(large, path, walks=97)
    wide = dataclasses.replace(SAMPLER, latent_size=1000)
    deep = dataclasses.replace(SAMPLER, latent_size=10**6)
    picture = tmp_path.with_suffix(".png")
    images.write(picture, np.zeros([8, 8, 3], np.uint8))
    for draw in (
        lambda: api.sample(large, columns=10**6),
        lambda: api.film(wide, path, walks=100, seconds=600, rate=100),
        lambda: api.film(large, tmp_path / "x.gif", seconds=600, rate=50),
        lambda: api.film(large, tmp_path / "x.webp", seconds=600, rate=50),
        lambda: api.project(large, picture, tmp_path / "x.webp", steps=10_000),
        lambda: api.project(deep, picture, steps=10_000, starts=64),
    ):
        with pytest.raises(BadInput, match="GiB of memory, and .* are free"):
            draw()
    broad = dataclasses.replace(SAMPLER, image_size=200)
    with pytest.raises(BadInput, match=r"x\.jpg: it would have .* on a side"):
        api.sample(broad, "a", columns=330, output=tmp_path / "x.jpg")
    with pytest.raises(BadInput, match=r"seconds = 600\.1: take .* to 600"):
        api.film(SAMPLER, tmp_path / "x.gif", seconds=600.1)
    with pytest.raises(BadInput, match="walk.avi: give the name of a .mp4 or"):
        api.film(SAMPLER, tmp_path / "walk.avi")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(BadInput, match="pip install 'biggan-tf\\[film\\]'"):
        api.film(SAMPLER, path)
    assert not list(tmp_path.iterdir())


def test_a_film_that_fails_leaves_the_one_before(tmp_path):
    path = tmp_path / "walk.webp"
    path.write_text("before")

    def breaking():
        yield images.sheet(np.zeros([1, 64, 64, 3], np.uint8), 1)
        raise RuntimeError

    for ending in images.FILM_FORMATS:
        with pytest.raises(RuntimeError):
            films.write(path.with_suffix(ending), breaking(), 10)
    assert [p.name for p in tmp_path.iterdir()] == ["walk.webp"]
    assert path.read_text() == "before"


@pytest.mark.parametrize("ending", [".mp4", ".webp", ".gif"])
def test_a_film_that_does_not_fit_on_the_disk_leaves_the_one_before(tmp_path, ending):
    path = tmp_path / f"walk{ending}"
    path.write_bytes(b"before")
    with full_disk(500), pytest.raises(OSError, match="written|too large"):
        api.film(SAMPLER, path, walks=4, seconds=0.3)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
