"""Each mistake in a config ends in one sentence; each model directory keeps its own."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import gin
import pytest
from doors import called
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from biggan_tf import config
from biggan_tf.config.door import _one_line
from biggan_tf.config.options import current, declared
from biggan_tf.errors import BadInput

RECIPES = sorted(
    path.name
    for path in config.GIN_FOLDER.glob("*.gin")
    if path.name != "base.gin" and "freeze" not in path.name
)


@config.options("paint")
class Paint:
    surface: str = config.option(gin.REQUIRED, "what is painted")
    colour: str = config.option("red", "of the paint")
    coats: int = config.option(2, "layers of it", low=1, high=9)
    rate: float = config.option(0.1, "litres per square metre", high=1, free=True)
    mixture: tuple[int, ...] = config.option((), "shares of the pigments")

    def check(self):
        if self.colour == "plaid":
            raise BadInput("paint.colour = 'plaid': take one colour.")


@config.options("varnish", free=True)
class Varnish:
    kind: str = config.option(gin.REQUIRED, "of the varnish")
    layers: int = config.option(1, "of it")


def paint(**options):
    made = Paint(**options)
    return made.colour, made.coats, made.surface, made.rate


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


def test_later_files_and_then_params_win(write):
    first = write("first.gin", "paint.surface = 'wood'\npaint.coats = 3\n")
    second = write("second.gin", "paint.coats = 4\npaint.rate = 0.5\n")
    config.parse([first, second], ["paint.rate = 0.25", "paint.colour = 'blue'"])
    assert paint() == ("blue", 4, "wood", 0.25)


def test_a_macro_whose_only_value_is_replaced_is_no_mistake(write):
    inner = write("inner.gin", "many = 3\npaint.coats = %many\n")
    config.parse([inner], ["paint.coats = 4"])
    assert paint(surface="oak")[1] == 4
    config.clear()
    outer = write("outer.gin", "include 'inner.gin'\npaint.coats = 5\n")
    config.parse([outer], [])
    assert paint(surface="oak")[1] == 5
    config.clear()
    config.parse([inner, write("later.gin", "paint.coats = 6\n")], [])
    assert paint(surface="oak")[1] == 6
    config.clear()
    with pytest.raises(BadInput, match='"many = 9": many: nothing uses this macro'):
        config.parse([inner], ["paint.coats = 4", "many = 9"])
    with pytest.raises(BadInput, match="bindings: many: nothing uses this macro"):
        config.parse([inner], {"paint.coats": 4, "many": 9})


def test_an_include_replaces_nothing_of_its_own_file(write):
    write("base.gin", "paint.coats = 2\nmany = 0.3\npaint.rate = %many\n")
    for line in ("paint.coats = 3", "many = 0.9"):
        own = write("own.gin", f"{line}\ninclude 'base.gin'\n")
        told = "own.gin:2: include 'base.gin': put it above .*own.gin:1, for it binds "
        with pytest.raises(BadInput, match=told + line.split()[0]):
            config.parse([own], [])
    own = write("own.gin", "paint.surface = 'oak'\ninclude 'base.gin'\n")
    config.parse([own, write("later.gin", "include 'base.gin'\n")], [])
    assert paint()[1:3] == (2, "oak")


def test_include_is_found_beside_its_file_from_any_folder(write, tmp_path, monkeypatch):
    write("inner/base.gin", "paint.surface = %where\nwhere = 'wall'\n")
    variant = write("inner/variant.gin", "include 'base.gin'\nwhere = 'door'\n")
    monkeypatch.chdir("/")
    config.parse([variant], [])
    assert paint()[2] == "door"


def test_a_bare_name_is_found_in_the_packaged_folder(write, tmp_path, monkeypatch):
    write("gin/house.gin", "include 'base.gin'\n")
    write("gin/base.gin", "paint.surface = 'roof'\n")
    monkeypatch.setattr("biggan_tf.config.parsing.GIN_FOLDER", tmp_path / "gin")
    monkeypatch.chdir("/")
    config.parse(["house.gin"], [])
    assert paint()[2] == "roof"
    config.clear()
    config.parse(["gin/house.gin"], [])  # as it is called in a checkout
    assert paint()[2] == "roof"
    with pytest.raises(BadInput, match=r"no file hause\.gin .*; take house\.gin"):
        config.parse(["gin/hause.gin"], [])
    elsewhere = write("own/mine.gin", "include 'base.gin'\n")
    config.parse([elsewhere], [])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\npiant.coats = 1", 2, ["piant.coats: there is no room piant", "take paint"]),
        ("paint.coat = 1", 1, ["paint.coat: there is no option coat", "take coats"]),
        ("paint.zzz = 1", 1, ["zzz", "coats or colour or mixture or rate or surface"]),
        ("piant:\n  coats = 1", 2, ["there is no room piant"]),
        ("paint:\n  coats = 1\n  coat = 1", 3, ["there is no option coat"]),
        ("attic/paint.coats = 1", 1, ["there is no room attic/paint", "take paint"]),
        ("paint.surface = @piant()", 1, ["@piant() is not a value"]),
        ("paint.surface = @paint", 1, ["@paint is not a value"]),
        ("paint.colour = blue", 1, ["blue is not a value", "quotes"]),
        ("paint.shiny = true", 1, ["write paint.shiny = True"]),
        ("paint.coats = nan", 1, ["nan is not a value; take a whole number from 1"]),
        ("paint.coats = ...", 1, ["... is not a value; take a whole number from 1"]),
        ("include x.gin", 1, ["a name needs quotes (include 'x.gin')"]),
        ("paint.coats 3", 1, ["paint.coats 3", "room.option = value"]),
        (
            "paint.coats = 0",
            1,
            ["paint.coats = 0: take a whole number from 1 to 9 (layers of it)."],
        ),
        (
            "n = 0\npaint.coats = %n",
            2,
            ["paint.coats = 0: take a whole number from 1 to 9"],
        ),
        ("paint.coats = [1,\n2", 2, ["ends inside a value"]),
        ("paint.coats = 3 4", 1, ["Expected newline"]),
        (
            "paint.surface = oak",
            1,
            ["quotes (paint.surface = 'oak'), and a macro"],
        ),
        ("paint.surface = /old/oak", 1, ["quotes (paint.surface = '/old/oak')."]),
        ("paint.surface = ~/my oak", 1, ["quotes (paint.surface = '~/my oak')."]),
        (r"paint.surface = 'C:\Users\me'", 1, ["= 'C:/Users/me', or two \\ for each"]),
        (r"paint.surface = C:\oak", 1, ["write paint.surface = 'C:/oak', or two"]),
        (
            r"paint.surface = 'C:\new\table'",
            1,
            [r"paint.surface = 'C:\new\table': write / or two \ for each"],
        ),
        ("paint.coats = {[1]: 2}", 1, ["not a value"]),
        (f"paint.coats = {'[' * 5000}", 1, ["nested too deeply"]),
        (f"paint.coats = {'[' * 5000}{']' * 5000}", 1, ["nested too deeply"]),
        (f"paint.coats = {'1' * 5000}", 1, ["paint.coats = "]),
        ("a = 1\npaint:\n    coats = 1\n  rate = 2", 4, ["unindent"]),
        ("import os", 1, ["import os: ", "runs no code"]),
        ("from os import path", 1, ["from os import path: ", "runs no code"]),
        ("include 'none.gin'", 1, ["no file none.gin"]),
        ("include 'this.gin'", 1, ["includes itself"]),
        ("coats = 3", 1, ["nothing uses this macro", "take paint.coats"]),
        ("quite_else = 3", 1, ["nothing uses this macro", "room.option = value"]),
        (
            "paint = 3",
            1,
            ["nothing uses this macro", "an option of paint reads paint."],
        ),
        ("paint.coats = %n", 1, ["%n: no macro has this name", "there is none"]),
        ("m = 1\npaint.coats = [%n, %m]", 2, ["%n: no macro", "take m."]),
        ("a = %b\nb = [%a]", 1, ["%a stands for itself"]),
        ("".join(f"m{n} = %m{n + 1}\n" for n in range(3000)), 1, ["stand for one an"]),
        (
            "paint.surface = %gin.REQUIRED",
            1,
            ["paint.surface has no value", '--gin_param="paint.surface = ..."'],
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(write, text, line, words):
    path = write("this.gin", text)
    with pytest.raises(BadInput) as error:
        config.parse([path], [])
    sentence = str(error.value)
    assert sentence.startswith(f"{path}:{line}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "`" not in sentence
    for word in words:
        assert word in sentence


def test_a_mistake_in_a_param_names_the_flag():
    with pytest.raises(BadInput, match=r'^--gin_param="paint.coat = 1": paint.coat: '):
        config.parse([], ["paint.coat = 1"])


def test_a_missing_file_lists_where_it_was_sought_and_what_is_near(write, tmp_path):
    write("biggan128.gin", "")
    with pytest.raises(
        BadInput, match=r"no file biggan182.gin in .*take biggan128.gin\."
    ):
        config.parse([str(tmp_path / "biggan182.gin")], [])


def test_the_mark_of_windows_editors_is_passed_over(tmp_path):
    (tmp_path / "this.gin").write_text("paint.surface = 'oak'", encoding="utf-8-sig")
    config.parse([str(tmp_path / "this.gin")], [])
    assert paint()[2] == "oak"


@pytest.mark.parametrize("name", ["/dev/null", "empty.gin"])
def test_an_empty_file_is_refused(write, tmp_path, name):
    write("empty.gin", "")
    with pytest.raises(BadInput, match=f"--gin_file=.*{name}: the file is empty"):
        config.parse([str(tmp_path / name)], [])


def test_a_device_that_never_ends_is_refused():
    with pytest.raises(BadInput, match="/dev/zero: .* device, which may never end"):
        config.parse(["/dev/zero"], [])


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "picture.gin"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadInput, match="cannot be read as text"):
        config.parse([str(path)], [])


def test_a_name_with_its_module_is_none_and_nothing_is_bound_of_a_bad_text():
    with pytest.raises(BadInput, match=r"there is no room north\.paint; take paint"):
        config.parse([], ["paint.coats = 9", "north.paint.coats = 1"])
    with pytest.raises(BadInput, match="nothing uses this macro"):
        config.parse([], ["batch_sise = 1"])
    assert paint(surface="oak")[1] == 2


SIGNS = "=.,:;()[]{}@%/-$#\"'\\\n\t\r\0 "
WORDS = ["paint", "coats", "3", "1e9", "0x", "é", "import", "from", "include", "None"]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([*SIGNS, *WORDS])).map("".join))
@example("paint.coats = ")
def test_any_text_is_bound_or_refused(text):
    config.clear()
    with contextlib.suppress(BadInput):
        config.parse([], [text])


def test_dead_bindings_are_listed_with_their_place(write):
    path = write("a.gin", "paint.surface = 'oak'\npaint.coats = 1\nvarnish.layers = 2")
    config.parse([path], ["paint.rate = 0.5"])
    paint(coats=5)  # what the caller gives, gin does not
    with pytest.raises(BadInput) as error:
        config.refuse_dead_bindings(["paint", "varnish"])
    assert f"paint.coats ({path}:2)" in str(error.value)
    assert f"varnish.layers ({path}:3)" in str(error.value)
    assert "surface" not in str(error.value)
    assert "paint.rate" not in str(error.value)


def test_bindings_of_rooms_outside_the_list_may_be_dead():
    config.parse([], ["paint.surface = 'oak'", "varnish.layers = 2"])
    paint()
    config.refuse_dead_bindings(["paint"])
    with pytest.raises(KeyError):
        config.refuse_dead_bindings(["pianting"])


def test_what_is_forgotten_is_bound_no_more():
    config.parse([], ["paint.coats = 7", "varnish.layers = 2"])
    assert paint(surface="oak")[1] == 7
    config.forget("paint")
    assert paint(surface="oak")[1] == 2
    config.refuse_dead_bindings(["paint"])
    with pytest.raises(BadInput, match=r"varnish\.layers"):
        config.refuse_dead_bindings(["varnish"])


def test_operative_is_what_calls_took_and_reads_back():
    config.parse(
        [],
        [
            "wide = 7",
            "all = [%wide, 1]",
            "paint.mixture = %all",
            "paint.surface = 'oak'",
            "varnish.layers = 2",
        ],
    )
    before = Paint()
    assert before.mixture == (7, 1)
    text = config.operative()
    assert text == (
        "paint.coats = 2\n"
        "paint.colour = 'red'\n"
        "paint.mixture = (7, 1)\n"
        "paint.rate = 0.1\n"
        "paint.surface = 'oak'\n"
    )
    Varnish(kind="matt")
    assert config.operative() == f"{text}\nvarnish.layers = 2\n"
    config.clear()
    config.parse([], [text])
    assert Paint() == before


def test_a_directory_is_claimed_once(tmp_path):
    model_dir = tmp_path / "runs" / "one"
    config.parse([], ["paint.surface = 'oak'"])
    paint()
    importlib.import_module("biggan_tf.run").TrainOptions()
    config.claim(model_dir)
    config.claim(model_dir)
    assert (model_dir / "config.gin").read_text() == config.operative()
    assert [path.name for path in model_dir.iterdir()] == ["config.gin"]

    config.clear()
    config.read_back(model_dir)
    assert paint() == ("red", 2, "oak", 0.1)


def test_another_config_is_refused_with_the_difference(tmp_path):
    config.parse([], ["paint.surface = 'oak'", "paint.coats = 1"])
    paint()
    config.claim(tmp_path)
    kept = (tmp_path / "config.gin").read_text()
    config.parse([], ["paint.coats = 4", "paint.rate = 0.5"])
    paint()
    with pytest.raises(BadInput) as error:
        config.claim(tmp_path)
    assert f"--model_dir={tmp_path} belongs to another config" in str(error.value)
    assert "paint.coats is 1 there and 4 here" in str(error.value)
    assert "surface" not in str(error.value)
    assert "rate" not in str(error.value)
    assert (tmp_path / "config.gin").read_text() == kept
    importlib.import_module("biggan_tf.run").TrainOptions()
    with pytest.raises(BadInput, match="train.batch_size is absent there and 2048 h"):
        config.claim(tmp_path)


def test_free_bindings_may_change_and_are_kept_up_to_date(tmp_path):
    assert {"paint.rate", "varnish.kind"} <= config.free_bindings()
    assert "paint.coats" not in config.free_bindings()
    config.parse([], ["paint.surface = 'oak'", "paint.coats = 1"])
    paint()
    config.claim(tmp_path)
    config.parse([], ["paint.rate = 0.5", "varnish.kind = 'matt'"])
    paint()
    Varnish()
    config.claim(tmp_path)
    text = (tmp_path / "config.gin").read_text()
    assert "paint.rate = 0.5\n" in text
    assert "varnish.kind = 'matt'\n" in text


def test_values_are_compared_and_not_how_they_are_written(tmp_path):
    (tmp_path / "config.gin").write_text(
        'paint.coats = 2\n\npaint.colour = "red"\npaint.mixture = [1, 2]\n'
        "paint.rate = 1\npaint.surface = 'oak'\n"
    )
    config.parse([], ["paint.surface = 'oak'", "paint.mixture = (1, 2)"])
    config.parse([], ["paint.rate = 1.0"])
    Paint()
    config.claim(tmp_path)


def test_a_config_that_was_cut_short_takes_no_defaults(tmp_path):
    config.parse([], ["paint.surface = 'oak'"])
    paint()
    importlib.import_module("biggan_tf.run").TrainOptions()
    path, text = tmp_path / "config.gin", config.operative()
    config.clear()
    cut = text.partition("train.")[0]
    for lacking in ("train.total_steps", "paint.mixture, paint.surface"):
        path.write_text(cut)
        with pytest.raises(BadInput, match=f"config.gin: it lacks {lacking};"):
            config.read_back(tmp_path)
        cut = text.partition("paint.mixture")[0]
    uses = config.claim, lambda folder: config.keep(folder, "paint.colour")
    for use in uses:
        with pytest.raises(BadInput, match="it lacks paint.mixture, paint.surface;"):
            use(tmp_path)
    path.write_text("")
    for use in (config.read_back, *uses):
        with pytest.raises(BadInput, match="config.gin: it is empty; take the file as"):
            use(tmp_path)
    path.write_text(f"\ufeff{text}", encoding="utf-8")  # as Windows editors write it
    config.read_back(tmp_path)
    assert paint()[2] == "oak"


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BadInput, match=r"--model_dir=.*file/run: its config.gin cannot be"
    ):
        config.claim(tmp_path / "file" / "run")


def test_a_directory_without_a_config_cannot_be_read_back(tmp_path):
    with pytest.raises(BadInput, match="there is no config"):
        config.read_back(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        "include 'other.gin'",
        "paint.surface = @paint()",
        "paint.surface = %macro",
        "paint.surface = __import__('os').sep",
        "paint:",
    ],
)
def test_a_directory_with_more_than_values_is_refused(tmp_path, line):
    (tmp_path / "config.gin").write_text(f"paint.coats = 1\n{line}\n")
    Varnish(kind="matt")
    for use in (config.read_back, config.claim):
        with pytest.raises(
            BadInput, match=r"config\.gin:2: .* holds plain values only"
        ):
            use(tmp_path)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (paint, r"^paint.surface has no value: .*paint.surface = \.\.\.\"\.$"),
        (Varnish, r"^varnish.kind has no value: bind it "),
        (
            lambda: paint(colour="plaid", surface="oak"),
            r"^paint.colour = 'plaid': take one colour\.$",
        ),
        (
            lambda: paint(coats=True, surface="oak"),
            r"^paint.coats = True: take a whole number from 1 to 9 \(layers of it\)\.$",
        ),
    ],
)
def test_errors_out_of_gin_calls_are_plain_sentences(call, sentence):
    with pytest.raises(BadInput, match=sentence):
        call()


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(TypeError):
        Varnish(kind="matt", colour="red")


DOOR = """
from absl import flags
from biggan_tf import config
from tests_door_rooms import Paint
FLAGS = flags.FLAGS
config.define_flags()
flags.DEFINE_integer("layers", 1, "Of paint.", 1, 9)
def main():
    config.parse(FLAGS.gin_file, FLAGS.gin_param)
    made = Paint()
    print((made.colour, made.surface))
    config.refuse_dead_bindings(["paint"])
if __name__ == "__main__":
    config.run(main)
"""

ROOMS = """
from __future__ import annotations
import gin
from biggan_tf import config
@config.options("paint")
class Paint:
    colour: str = config.option("red", "of the paint")
    surface: str = config.option(gin.REQUIRED, "what is painted")
"""


@pytest.fixture
def door(tmp_path):
    """Runs a program made of the door's frame, outside the repository."""
    (tmp_path / "door.py").write_text(DOOR)
    (tmp_path / "tests_door_rooms.py").write_text(ROOMS)
    root = Path(config.__file__).parents[2]

    def run(*arguments: str | bytes) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "door.py", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_flags_of_a_door_repeat(door):
    done = door("--gin_param=paint.surface = 'oak'", "--gin_param", "paint.colour='x'")
    assert (done.returncode, done.stdout, done.stderr) == (0, "('x', 'oak')\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--gin_file=none.gin"], "error: --gin_file=none.gin: there is no file"),
        (["--gin_file=./demo.gin"], "error: --gin_file=./demo.gin: there is no file"),
        ([], "error: paint.surface has no value"),
        (["--gin_param=paint.surfice = 1"], "error: --gin_param="),
    ],
)
def test_a_door_ends_in_one_line_and_status_2(door, arguments, sentence):
    done = door(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_a_door_knows_the_home_folder_and_what_is_no_text(door, tmp_path):
    (tmp_path / "mine.gin").write_text("paint.surface = 'oak'")
    (tmp_path / "door.py").write_text(
        f"import os\nos.environ['HOME'] = {str(tmp_path)!r}\n" + DOOR
    )
    assert door("--gin_file=~/mine.gin").stdout == "('red', 'oak')\n"
    done = door(b"--gin_file=\xff.gin")
    assert (done.returncode, done.stdout) == (2, "")
    assert "\\udcff.gin: this is no valid UTF-8" in done.stderr


def test_a_door_refuses_unknown_flags_and_explains_the_known(door):
    for words, sentence in (
        (
            ["--gin_fil=x"],
            "--gin_fil=x: there is no such flag; take --gin_file or --gin_param.",
        ),
        (
            ["--loss=hinge"],
            "--loss=hinge: there is no such flag; write --gin_param="
            "\"gan.loss = 'hinge'\".",
        ),
        (["--layers=x"], "--layers=x: invalid literal for int() with base 10: 'x'."),
        (["x"], "x: this is no flag; flags read --flag=value."),
    ):
        done = door(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: {sentence}\n"
    done = door("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--gin_param" in done.stdout


def test_without_gin_config_the_error_says_so(tmp_path):
    (tmp_path / "gin").mkdir()  # as in a checkout: a folder with the library's name
    program = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p];"
        f"sys.path += [{str(tmp_path)!r}, {str(Path(config.__file__).parents[2])!r}];"
        "import biggan_tf.config"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the package gin-config is not installed" in done.stderr


def test_every_default_stands_in_base_gin():
    """base.gin holds every option of the program, with the default of the code."""
    importlib.import_module("biggan_tf.loop")  # which imports every room
    config.parse(["base.gin"], [])
    assert {
        f"{name}.{option}": field.default
        for name, room in config.ROOMS.items()
        if room.__module__.startswith("biggan_tf.")
        for option, field in declared(room).items()
        if field.default is not gin.REQUIRED  # which every recipe states
    } == current().bound


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_makes_networks_of_every_size(recipe, tmp_path):
    """Whoever changes the size of the images need change nothing else."""
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    of_a_folder = recipe in ("folder.gin", "quick32.gin")
    folder = [f"data.path = {str(tmp_path)!r}"] if of_a_folder else []
    plan = importlib.import_module("biggan_tf.plan")
    for size in (32, 64, 128, 256, 512):
        config.clear()
        # Feature networks take a while to load.
        sizes = [f"data.image_size = {size}", "evaluation.every_steps = 0"]
        config.parse([recipe], [*folder, *sizes])
        made = plan.make_plan()
        assert made.generator.resolution == made.discriminator.resolution == size
        assert made.generator.latent_size > 0


def test_a_run_records_the_sizes_that_followed(tmp_path):
    plan = importlib.import_module("biggan_tf.plan")
    size = ["data.source = 'embedded'", "data.name = None", "data.image_size = 256"]
    config.parse(["biggan128.gin"], size)
    plan.make_plan()
    text = config.operative()
    for line in (
        "generator.latent_size = 140",
        "generator.attention = (128,)",
        "discriminator.attention = (64,)",
    ):
        assert line in text.splitlines()
    config.claim(tmp_path)
    # An earlier version knew no chunk_size; its runs go on, and need no new one.
    lines = [line for line in text.splitlines(True) if "chunk_size" not in line]
    (tmp_path / "config.gin").write_text("".join(lines))
    config.clear()
    config.parse(["biggan128.gin"], [*size, "generator.chunk_size = 10"])
    plan.make_plan()
    with pytest.raises(BadInput, match="latent_size is 140 there and 70 here"):
        config.claim(tmp_path)
    config.clear()
    config.parse(["biggan128.gin"], size)
    plan.make_plan()
    config.claim(tmp_path)


# What training of an earlier version wrote, with values that are no defaults.
OLD = """\
gan.consistency_penalty = 0.5
gan.discriminator_steps = 3
gan.embedding_decay = 1e-06
gan.lecam_decay = 0.5
gan.lecam_penalty = 0.25
gan.orthogonal_form = 'full'
gan.orthogonal_penalty = 0.0001
gan.r1_every_steps = 2
gan.r1_penalty = 10
gan.sigma0_clamp = True
gan.sigma0_penalty = 0.75
gan.sigma0_ratio = None
gan.sigma0_target = 2.0

networks.bn_epsilon = 0.001
networks.condition_order = 'zy'
networks.discriminator_attention = [16]
networks.discriminator_precision = 'mixed_bfloat16'
networks.discriminator_spectral_norm = False
networks.discriminator_width = 4
networks.embedding_size = 8
networks.family = 'biggan_deep'
networks.generator_attention = (16, 8)
networks.generator_precision = 'float32'
networks.generator_spectral_norm = True
networks.generator_width = 6
networks.initializer = 'normal'
networks.latent_size = 16
networks.recompute = True
networks.released_rgb = True
networks.skip_z = False
networks.sn_epsilon = 1e-08
"""
NEW = {
    "consistency.weight": 0.5,
    "discriminator.attention": (16,),
    "discriminator.family": "biggan_deep",
    "discriminator.initializer": "normal",
    "discriminator.precision": "mixed_bfloat16",
    "discriminator.recompute": True,
    "discriminator.sn_epsilon": 1e-08,
    "discriminator.spectral_norm": False,
    "discriminator.width": 4,
    "embedding_decay.weight": 1e-06,
    "gan.discriminator_steps": 3,
    "generator.attention": (16, 8),
    "generator.bn_epsilon": 0.001,
    "generator.chunk_size": 20,
    "generator.condition_order": "zy",
    "generator.embedding_size": 8,
    "generator.family": "biggan_deep",
    "generator.initializer": "normal",
    "generator.latent_size": 16,
    "generator.precision": "float32",
    "generator.recompute": True,
    "generator.released_rgb": True,
    "generator.skip_z": False,
    "generator.sn_epsilon": 1e-08,
    "generator.spectral_norm": True,
    "generator.width": 6,
    "lecam.decay": 0.5,
    "lecam.weight": 0.25,
    "orthogonal.form": "full",
    "orthogonal.weight": 0.0001,
    "r1.every_steps": 2,
    "r1.weight": 10,
    "sigma0.clamp": True,
    "sigma0.ratio": None,
    "sigma0.target": 2.0,
    "sigma0.weight": 0.75,
}


def test_a_directory_of_an_earlier_version_is_read_by_the_names_of_today(tmp_path):
    importlib.import_module("biggan_tf.loop")  # which imports every room
    kept = {
        f"{room}.{name}": field.default
        for room in ("gan", "train")
        for name, field in declared(config.ROOMS[room]).items()
    }
    lines = "".join(f"{name} = {value!r}\n" for name, value in kept.items())
    (tmp_path / "config.gin").write_text(lines + OLD)
    config.read_back(tmp_path)
    assert current().bound == {**kept, **NEW}


def test_a_directory_of_an_earlier_version_is_claimed_by_what_it_means(tmp_path):
    architecture = importlib.import_module("biggan_tf.architecture")
    networks = "".join(line for line in OLD.splitlines(True) if "networks." in line)
    (tmp_path / "config.gin").write_text(networks)
    rooms = "generator.", "discriminator."
    config.parse([], {n: NEW[n] for n in NEW if n.startswith(rooms)})
    architecture.GeneratorSpec(32, 10)
    architecture.DiscriminatorSpec(32, 10)
    config.claim(tmp_path)
    assert (tmp_path / "config.gin").read_text() == networks
    config.parse([], ["discriminator.width = 8"])
    architecture.DiscriminatorSpec(32, 10)
    with pytest.raises(
        BadInput, match=r"\(discriminator.width is 4 there and 8 here\)"
    ):
        config.claim(tmp_path)


def test_a_full_disk_is_one_line(capsys):
    with pytest.raises(SystemExit), _one_line():
        raise OSError(errno.ENOSPC, "No space left on device", "x.png")
    told = "error: x.png: cannot be written (No space left on device): make room."
    assert capsys.readouterr().err == f"{told}\n"


def test_a_file_that_may_not_be_read_is_one_line(capsys):
    with pytest.raises(SystemExit), _one_line():
        raise PermissionError(errno.EACCES, "Permission denied", "run/scalars.jsonl")
    told = "error: run/scalars.jsonl: it may not be read or written here.\n"
    assert capsys.readouterr().err == told


def test_a_path_that_cannot_be_one_is_one_line(capsys):
    with pytest.raises(SystemExit), _one_line():
        Path(300 * "x").stat()
    assert capsys.readouterr().err == f"error: {300 * 'x'}: File name too long.\n"


def test_a_pipe_that_nobody_reads_is_one_line():
    found = _printing("with _one_line(): print('x' * 100_000, flush=True)", closed=True)
    assert found == "error: standard output is closed; what was to be printed is lost."


def test_a_log_on_a_full_disk_is_one_line():
    found = _printing("config.run(lambda: print('x'))", closed=False)
    assert found.startswith("error: standard output: cannot be written (No space")


def test_an_empty_flag_that_may_be_repeated_is_refused():
    empty = ["--gin_file=test.gin", "--gin_param="]
    more = [*empty, "--gin_param=train.seed = 1"]
    for outcome in called("biggan_tf.train", empty, more):
        assert outcome.complaint.startswith("--gin_param= is empty: give a value")


def test_a_flag_without_its_value_does_not_take_the_next_flag():
    train = called(
        "biggan_tf.train",
        ["--gin_file=demo.gin", "--model_dir", "--dry_run"],
        ["--gin_file=demo.gin", "--model_dir", "--nodry_run"],
        ["--model_dir=x", "--gin_file", "--gin_param=train.seed=1"],
    )
    sample = ["--module=x", "--output=x.png", "--labels", "--seed=1"]
    refused = [*train, *called("biggan_tf.sample", sample)]
    assert [each.complaint for each in refused] == [
        "--model_dir is without a value: --dry_run follows it.",
        "--model_dir is without a value: --nodry_run follows it.",
        "--gin_file is without a value: --gin_param=train.seed=1 follows it.",
        "--labels is without a value: --seed=1 follows it.",
    ]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_lose_what_is_printed_and_nothing_else(closed, tmp_path):
    program = (
        "from biggan_tf import config; "
        f"config.run(lambda: print('x') or open({str(tmp_path / 'y')!r}, 'w').close())"
    )
    command = f"{sys.executable} -c {shlex.quote(program)} {closed}"
    assert subprocess.run(command, shell=True).returncode == 0
    assert (tmp_path / "y").exists()


def test_ctrl_c_is_one_line():
    program = (
        "import os, signal; from biggan_tf import config; "
        # A shell's background jobs, such as of `make test &`, ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "config.run(lambda: os.kill(os.getpid(), signal.SIGINT))"
    )
    found = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE)
    assert found.stderr == b"error: interrupted.\n"
    assert found.returncode == 128 + signal.SIGINT


def test_what_an_encoding_lacks_is_printed_as_an_escape():
    program = "from biggan_tf import config; config.run(lambda: print('\u65e5 a'))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert found.stdout == b"\\u65e5 a\n"


def _printing(program: str, closed: bool) -> str:
    """Runs it with a standard output that fails; returns the line that says so."""
    imports = (
        "from biggan_tf import config; from biggan_tf.config.door import _one_line"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full, open(writer, "wb") as pipe:
        found = subprocess.run(
            [sys.executable, "-c", f"{imports}\n{program}"],
            stdout=pipe if closed else full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert found.returncode == 2, found.stderr
    (line,) = found.stderr.splitlines()
    return line
