"""Layouts of samples, and the door `sample`, on real exported modules."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from doors import called
from PIL import Image
from test_films import SAMPLER
from test_saved_model import CLASSES, Trained, export

from biggan_tf import api, given, sample_folder, saved_model, sheets
from biggan_tf.errors import BadInput
from biggan_tf.sampling import Sampler


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exports") / "export"
    export(Trained(), path, with_discriminator=False)
    return path


@pytest.fixture(scope="module")
def module(path) -> Sampler:
    return saved_model.load(path)


def test_class_rows(module):
    rows = sheets.class_rows(module, [3, 3, 7], 4, 0.5, 0)
    assert [row.title for row in rows] == ["d", "d", "h"]
    assert [row.y.tolist() for row in rows] == [[3] * 4, [3] * 4, [7] * 4]
    z = np.concatenate([row.z for row in rows])
    np.testing.assert_array_equal(z, module.latents(12, 0.5, 0))
    assert np.all(rows[0].z != rows[1].z)


def test_latent_interpolation(module):
    for row in sheets.latent_interpolation_rows(module, [1, 2], 5, 0.5, 0):
        steps = np.diff(row.z, axis=0)
        np.testing.assert_allclose(steps, np.tile(steps[:1], [4, 1]), atol=1e-6)
        assert np.abs(steps).max() > 0.01
        assert len(set(row.y)) == 1


@pytest.mark.parametrize("truncation", [0.5, float("inf")])
def test_latents_on_a_great_circle_keep_their_norm(module, truncation):
    ends = module.latents(4, truncation, 0).reshape(2, 2, -1)
    rows = sheets.great_circle_rows(module, [1, 2], 5, truncation, 0)
    for row, (first, last) in zip(rows, ends):
        np.testing.assert_allclose(row.z[[0, -1]], [first, last], atol=1e-5)
        norms = np.linalg.norm(row.z, axis=1)
        np.testing.assert_allclose(norms, np.linspace(*norms[[0, -1]], 5), rtol=1e-5)
        ways = row.z / norms[:, None]
        angles = np.arccos((ways[1:] * ways[:-1]).sum(1))
        np.testing.assert_allclose(angles, angles[0], rtol=1e-3)
        # In the plane of both ends.
        assert np.linalg.matrix_rank(row.z, tol=1e-3) == 2


def test_class_interpolation(module):
    rows = sheets.class_interpolation_rows(module, [1, 2, 9], 5, 0.5, 0)
    assert [row.title for row in rows] == ["b to c", "c to j"]
    np.testing.assert_allclose(rows[0].y[:, 1], [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(rows[1].y[:, 9], [0, 0.25, 0.5, 0.75, 1])
    for row in rows:
        np.testing.assert_allclose(row.y.sum(axis=1), 1)
        np.testing.assert_array_equal(row.z, rows[0].z[:1].repeat(5, axis=0))
    first, second = sheets.draw(module, rows)
    np.testing.assert_allclose(first[-1], second[0], atol=1e-5)
    assert np.abs(first[0] - first[-1]).max() > 0.01


def test_files_of_other_images_have_other_marks():
    z, y = np.zeros([1, 8], np.float32), np.eye(2, dtype=np.float32)
    rows = [sheets.Row("", z, y[:1], 0.5), sheets.Row("", z, y[1:], 0.5)]
    rows += [rows[0]._replace(truncation=0.7), rows[0]._replace(z=z + 1)]
    assert len({sheets.mark([row]) for row in rows}) == len(rows)
    assert sheets.mark(rows[:1]) == sheets.mark([rows[0]._replace(title="x")])


def test_rows_between_classes_of_long_names_name_both():
    names = ("golden retriever", "tabby", "Egyptian cat", *SAMPLER.class_names[3:])
    module = dataclasses.replace(SAMPLER, class_names=names)
    rows = sheets.class_interpolation_rows(module, [0, 1, 2], 3, 0.5, 0)
    assert [row.title for row in rows] == [
        "golden re… to tabby",
        "tabby to Egyptian cat",
    ]


def test_truncation_rows_show_the_same_latents_more_or_less_truncated(module):
    rows = sheets.truncation_rows(module, [1, 2], 3, [2, 0.5, 0.04], 0)
    assert [row.title for row in rows] == ["2", "0.5", "0.04"]
    for row in rows:
        assert row.y.tolist() == [1, 1, 1, 2, 2, 2]
        assert 0.8 * row.truncation < np.abs(row.z).max() <= row.truncation
        np.testing.assert_array_equal(np.sign(row.z), np.sign(rows[0].z))


def test_what_the_door_draws(path, module, tmp_path):
    def arguments(name, *more):
        return [f"--module={path}", f"--output={tmp_path}/{name}", *more]

    results = called(
        "biggan_tf.sample",
        arguments("sheet.png", "--labels=0,d", "--columns=3"),
        arguments("again.png", "--labels=0,d", "--columns=3"),
        arguments("seed.png", "--labels=0,d", "--columns=3", "--seed=1"),
        arguments("z.png", "--labels=0", "--columns=3", "--interpolate=z"),
        arguments("arc.png", "--labels=0", "--columns=3", "--interpolate=great_circle"),
        arguments("dirs.npz", "--labels=2", "--columns=3", "--interpolate=direction"),
        arguments("dump.npz", "--columns=2", "--truncation=inf"),
        arguments("soft.npz", "--labels=0,3", "--columns=3", "--interpolate=class"),
        arguments("folder/", "--count=150", "--seed=3"),
        arguments("classes/", "--per_class=2", "--labels=3,0"),
        arguments("mixed.npz", "--labels=0,3", "--mix=1,3", "--columns=3"),
        arguments("mixed.png", "--labels=0,3", "--mix=1,3", "--columns=3"),
        arguments("mixed2.png", f"--latents={tmp_path}/mixed.npz", "--columns=3"),
        arguments("one.npz", "--labels=0,3", "--columns=2", "--truncations=0.5"),
        arguments("walk.webp", f"--latents={tmp_path}/mixed.npz", "--seconds=0.1"),
        arguments("new/strip.png", "--labels=0,3", "--truncations=2,0.5,0.04"),
    )
    assert [complaint for _, complaint in results] == [""] * len(results)
    sheet, again, seed = (
        np.asarray(Image.open(tmp_path / f"{name}.png"))
        for name in ("sheet", "again", "seed")
    )
    assert sheet.shape[0] == 2 * 64 + 2
    assert sheet.shape[1] > 3 * 64 + 4
    np.testing.assert_array_equal(sheet, again)
    assert np.any(sheet != seed)
    straight, arc = (
        np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("z", "arc")
    )
    np.testing.assert_array_equal(straight[:, -64:], arc[:, -64:])
    assert np.any(straight != arc)
    told = [result.printed.strip() for result in results[3:5]]
    assert told[0].endswith("3 images, z on a straight line")
    assert told[1].endswith("3 images, z on a great circle")

    # A list of one threshold is a row too, with both classes in it.
    one = np.load(tmp_path / "one.npz")["labels"]
    assert one.tolist() == [0, 0, 3, 3]
    assert "of values are black or white" in results[-3].printed

    moved = np.load(tmp_path / "dirs.npz")["z"].reshape(6, 3, -1)
    np.testing.assert_array_equal(moved[:, 1], moved[:1, 1].repeat(6, axis=0))
    steps = moved[:, 2] - moved[:, 1]
    np.testing.assert_allclose(steps, 3 * module.directions[:6], atol=1e-5)

    dump = np.load(tmp_path / "dump.npz")
    assert dump["images"].shape == (20, 32, 32, 3)
    assert dump["images"].dtype == np.uint8
    np.testing.assert_array_equal(dump["labels"], np.repeat(np.arange(10), 2))
    assert np.all(dump["truncation"] == np.inf)
    x = module.images(dump["z"], dump["labels"], np.inf)
    np.testing.assert_allclose((x + 1) * 128, dump["images"] + 0.5, atol=0.51)
    soft = np.load(tmp_path / "soft.npz")
    np.testing.assert_allclose(soft["labels"][:, 3], [0, 0.5, 1])

    mixed = np.load(tmp_path / "mixed.npz")
    np.testing.assert_allclose(mixed["labels"][:, [0, 3]], [[0.25, 0.75]] * 3)
    once, again = (tmp_path / f"mixed{number}.png" for number in ("", 2))
    assert once.read_bytes() == again.read_bytes()
    assert "walk.webp: 7 frames" in results[-2].printed

    check_folders(path, tmp_path, module, results[-8].printed)

    lines = results[-1].printed.splitlines()
    shares = [float(line.split()[2].rstrip("%")) for line in lines[:-1]]
    assert [line.split()[1] for line in lines[:-1]] == ["2:", "0.5:", "0.04:"]
    assert all(0 <= share <= 100 for share in shares)
    assert "48 images" in lines[-1]
    assert os.listdir(tmp_path / "new") == ["strip.png"]


def check_folders(path, tmp_path, module, printed):
    """What the door wrote; and goes on with."""
    pictures = sorted((tmp_path / "folder").glob("*.png"))
    assert "150 images at truncation inf, 0 of them were there" in printed
    numbers = {int(file.stem.split("_")[-1]): file for file in pictures}
    assert sorted(numbers) == list(range(150))
    for index in (0, 1):
        z, y = module.batch(index, np.inf, 3)
        for i in (0, 21):
            file = numbers[128 * index + i]
            assert file.name.startswith(f"{int(y[i]):04}_{CLASSES[int(y[i])]}_")
            picture = np.asarray(Image.open(file))
            expected = module.images(z.numpy()[i : i + 1], y[i : i + 1], np.inf)[0]
            np.testing.assert_allclose((expected + 1) * 128, picture + 0.5, atol=0.51)
    names = [file.name for file in sorted((tmp_path / "classes").glob("*.png"))]
    assert names == ["0000_a_000002.png", "0000_a_000003.png"] + [
        f"0003_d_00000{number}.png" for number in (0, 1)
    ]

    def write(count, **changes):
        options = {"labels": range(10), "per_class": None, "truncation": np.inf}
        options = {"module": str(path), "seed": 3, **options, **changes}
        folder = sample_folder.SampleFolder(**options)
        return folder.write(tmp_path / "folder", module, count)

    before = {file.name: file.read_bytes() for file in pictures}
    for lost in (numbers[5], numbers[149]):  # by a kill
        lost.unlink()
    assert write(150) == 2
    for name, content in before.items():
        assert (tmp_path / "folder" / name).read_bytes() == content
    assert write(160) == 10
    with pytest.raises(
        BadInput, match="folder: take an empty folder.* seed = 3, not 4"
    ):
        write(160, seed=4)
    with pytest.raises(BadInput, match="holds 10 other files"):
        write(150)
    assert len(list((tmp_path / "folder").glob("*.png"))) == 160


def sample_files(folder, **changes):
    about = {"labels": [0, 1], "per_class": 2, "truncation": 0.123456789, "seed": 0}
    sampler = dataclasses.replace(SAMPLER, weights_sha256=changes.pop("sha256", "a"))
    made = sample_folder.SampleFolder(**{"module": "m", **about, **changes})
    return made.write(folder, sampler, 4)


def test_a_folder_goes_on_with_the_same_samples_only(tmp_path):
    assert sample_files(tmp_path) == 4
    assert sample_files(tmp_path, module="moved") == sample_files(tmp_path) == 0
    for changed in ({"sha256": "b"}, {"truncation": 0.123457}, {"seed": 1}):
        name = next(iter(changed))
        with pytest.raises(BadInput, match=f"same command, for its images .*{name} ="):
            sample_files(tmp_path, **changed)
    file = tmp_path / ".samples.json"
    kept = json.loads(file.read_text())
    # Of an earlier version, whose hash was of all files beside the module too.
    del kept["module_sha256"]
    file.write_text(json.dumps({**kept, "weights_sha256": "c"}))
    assert sample_files(tmp_path) == 0
    # Of one before, which rounded the truncation.
    file.write_text(json.dumps({**kept, "truncation": "0.123457"}))
    assert sample_files(tmp_path) == 0
    assert json.loads(file.read_text())["truncation"] == "0.123456789"
    for wrong in ({}, {"seed": 0}):
        file.write_text(json.dumps(wrong))
        with pytest.raises(BadInput, match="holds 4 files, and no .samples.json with"):
            sample_files(tmp_path)
    file.unlink()
    with pytest.raises(BadInput, match="holds 4 files, and no .samples.json with"):
        sample_files(tmp_path)


def test_modules_of_one_address_do_not_mix_in_a_folder(tmp_path):
    made = sample_folder.SampleFolder("gs://bucket/m", [0, 1], 2, 0.5, 0)
    first, second = (
        dataclasses.replace(SAMPLER, weights_sha256="", generator_sha256=sha)
        for sha in "ab"
    )
    made.write(tmp_path, first, 4)
    with pytest.raises(
        BadInput, match="for its images have module_sha256 = a .*not b "
    ):
        made.write(tmp_path, second, 4)
    assert made.write(tmp_path, first, 4) == 0
    other = dataclasses.replace(made, module="gs://bucket/n")
    with pytest.raises(BadInput, match="for its images have module = gs://bucket/m"):
        other.write(tmp_path, first, 4)


def test_more_names_than_memory_holds_are_refused(tmp_path):
    folder = sample_folder.SampleFolder("m", [0, 1], None, 0.5, 0)
    with pytest.raises(BadInput, match=r"count: .* files need .* GiB of memory"):
        folder.write(tmp_path, SAMPLER, 10**12)
    assert not os.listdir(tmp_path)


def test_latents_of_another_export_are_told(module, tmp_path, capsys):
    rows = sheets.class_rows(module, [1], 2, 0.5, 0)
    sheets.save(tmp_path / "a.npz", module, rows, sheets.draw(module, rows))
    for changes in (
        {},
        {"weights_sha256": "", "generator_sha256": ""},
        {"generator_sha256": "f"},
        {"statistics": "those of 9 passes"},
        {"convention": "scaled"},
    ):
        other = dataclasses.replace(module, **changes)
        given.read(tmp_path / "a.npz", other, "--latents")
        differs = bool(changes) and "" not in changes.values()
        told = "another module drew its images, so these will differ"
        assert (told in capsys.readouterr().out) == differs


def test_two_at_once_do_not_mix_in_a_folder(tmp_path):
    def draw(*asked):  # as another process would, meanwhile
        with pytest.raises(BadInput, match=r"process \d+ .* draws there; wait until"):
            sample_files(tmp_path, seed=1)
        return SAMPLER.draw(*asked)

    sampler = dataclasses.replace(SAMPLER, draw=draw)
    folder = sample_folder.SampleFolder("m", [0, 1], 2, 0.5, 0)
    assert folder.write(tmp_path, sampler, 4) == 4


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "mine.txt").touch()
    for wrong, told in (
        (Path("/proc/x"), "x: its .samples.lock cannot be written"),
        (tmp_path / "mine.txt", "mine.txt: it cannot be used"),
        (tmp_path, "holds 1 files, and no .samples.json"),
    ):
        with pytest.raises(BadInput, match=f"--output=.*{told}"):
            sample_files(wrong)
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_picture_that_was_cut_short_is_drawn_again(tmp_path):
    assert sample_files(tmp_path) == 4
    whole = {file: file.read_bytes() for file in tmp_path.glob("*.png")}
    first, second, *_ = whole
    first.write_bytes(b"")
    second.write_bytes(whole[second][:-4])
    assert sample_files(tmp_path) == 2
    assert {file: file.read_bytes() for file in whole} == whole


def test_numbers_of_numpy_and_what_is_no_path(path, tmp_path):
    numbers = {"truncation": np.float32(0.5), "seed": np.uint64(3)}
    assert api.sample_files(path, tmp_path / "a", np.int64(3), **numbers) == 3
    each = {"per_class": np.int8(100), "labels": np.arange(2), **numbers}
    assert api.sample_files(path, tmp_path / "b", **each) == 200
    assert api.sample_files(path, tmp_path / "b", **each) == 0
    with pytest.raises(BadInput, match=r"module = Sampler\(...\): give its path"):
        api.sample_files(SAMPLER, tmp_path / "c", 3)
    for wrong in (None, 3, b"m"):
        with pytest.raises(BadInput, match="is no path of a file"):
            api.load(wrong)


def test_bad_command_lines_get_one_sentence(path, tmp_path):
    module, output = f"--module={path}", f"--output={tmp_path / 'x.png'}"
    folder = tmp_path / "folder.png"
    folder.mkdir()
    cases = {
        (output,): "--module is missing",
        (module, f"--output={folder}", "--columns=2"): "png, a folder: leave out --col",
        (module,): "--output is missing",
        (module, "--output="): "--output= is empty: give a value",
        (f"--module={tmp_path}", output): "there is no saved_model.pb",
        (module, f"--output={tmp_path / 'x.bmp'}"): ".jpeg or .npz file",
        (module, "--output=/proc/x/y.png"): "cannot be written",
        (module, output, "--labels=Bag"): "--labels=Bag: there is no such",
        (module, output, "--labels=10"): "--labels=10: there is no such",
        (module, output, "--count=3"): "FOLDER/, with --count or --per_class",
        (module, f"--output={tmp_path}/x/"): "give --count or --per_class, one",
        (module, output, "--truncation=0"): "--truncation=0",
        (module, output, "--truncation=nan"): "--truncation=nan",
        (module, output, "--truncations=1,-2"): "--truncations=-2",
        (module, output, "--truncations=1,x"): "--truncations=1,x: take numbers",
        (module, output, "--interpolate=class", "--labels=0"): "name two",
        (module, output, "--interpolate=z", "--truncations=1"): (
            "--truncations=1: leave out --interpolate; with it take --labels or"
        ),
        (module, output, "--truncations=1", "--truncation=1"): "out --truncation;",
        (module, output, "--truncations="): "--truncations= is empty",
        (module, output, "--mix=", "--labels=0"): "--mix= is empty",
        (module, output, "--interpolate=z", "--mix=1"): "=z: leave out --mix;",
        **{
            (module, output, f"--interpolate={way}", "--columns=1"): (
                f"columns = 1: take 2 or more with layout = {way!r}"
            )
            for way in ("z", "great_circle", "class", "direction")
        },
        (
            module,
            f"--output={tmp_path}/x.npz",
            "--latents=y.npz",
            "--columns=3",
        ): "=y.npz: leave out --columns; an .npz has no rows",
        (module, output, "--walks=2"): f"{output}: leave out --walks; with it take",
        (module, output, "--seconds=2"): "leave out --seconds",
        (module, output, "--rate=2"): "leave out --rate",
        (module, f"--output={tmp_path}/x.gif", "--columns=2"): "leave out --columns",
        (module, f"--output={tmp_path}/", "--rate=2"): "leave out --rate",
        (module, output, "--latents=x.npz", "--rate=2"): "=x.npz: leave out --rate",
        (module, output, "--latents="): "--latents= is empty",
        (module, output, "--mix=1", "--labels=0,1"): "give as many shares as there",
        (module, f"--output={tmp_path}/", "--mix=1"): "leave out --mix",
        (module, output, "--latents=no.npz"): "--latents=no.npz: give a .npz file",
        (module, output, "--latents=x.npz", "--seed=0"): "leave out --seed",
        (module, f"--output={tmp_path}/", "--latents=x.npz"): "leave out --latents",
    }
    outcomes = called("biggan_tf.sample", *map(list, cases))
    for (_, complaint), expected in zip(outcomes, cases.values()):
        assert expected in complaint
        assert "\n" not in complaint
    assert os.listdir(tmp_path) == ["folder.png"]
    assert not os.listdir(folder)


def test_classes_of_other_names_are_not_compared(path):
    with pytest.raises(BadInput, match="leave out accuracy, for 10 .* and not 'a'"):
        api.evaluate(path, data="embedded", metrics="fid,accuracy")


def test_class_names_of_the_module(module):
    assert module.class_names == CLASSES
