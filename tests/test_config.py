"""Each mistake in a config ends in one sentence; each model directory keeps its own."""

import contextlib
import subprocess
import sys
from pathlib import Path

import gin
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from biggan_tf import config
from biggan_tf.errors import BadInput


@gin.configurable("paint")
def paint(colour="red", coats=2, *, surface=gin.REQUIRED, rate=0.1):
    if colour == "plaid":
        raise BadInput("`paint.colour` is 'plaid'; it must be one colour")
    return colour, coats, surface, rate


@gin.configurable("varnish")
def varnish(kind, layers=1):
    return kind, layers


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
    elsewhere = write("own/mine.gin", "include 'base.gin'\n")
    config.parse([elsewhere], [])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\npiant.coats = 1", 2, ["no configurable `piant`", "mean `paint`"]),
        ("paint.coat = 1", 1, ["`paint` has no parameter `coat`", "mean `coats`"]),
        ("paint.zzz = 1", 1, ["`zzz`", "`coats` or `colour` or `rate` or `surface`"]),
        ("piant:\n  coats = 1", 1, ["no configurable `piant`"]),
        ("paint:\n  coats = 1\n  coat = 1", 3, ["no parameter `coat`"]),
        ("paint.surface = @piant()", 1, ["no configurable `piant`"]),
        ("paint.colour = blue", 1, ["`blue` is not a value", "quotes"]),
        ("paint.coats 3", 1, ["paint.coats 3", "room.parameter = value"]),
        ("paint.coats = [1,\n2", 2, ["ends inside a value"]),
        ("paint.coats = 3 4", 1, ["expected newline"]),
        ("paint.coats = {[1]: 2}", 1, ["not a value"]),
        ("a = 1\npaint:\n    coats = 1\n  rate = 2", 4, ["unindent"]),
        ("import os", 1, ["`import os` is refused"]),
        ("from os import path", 1, ["refused"]),
        ("include 'none.gin'", 1, ["no file none.gin"]),
        ("include 'this.gin'", 1, ["includes itself"]),
        ("coats = 3", 1, ["macro that nothing uses", "mean `paint.coats`"]),
        ("quite_else = 3", 1, ["macro that nothing uses", "room.parameter = value"]),
        ("paint.coats = %n", 1, ["no macro `%n`", "there is none"]),
        ("m = 1\npaint.coats = [%n, %m]", 2, ["no macro `%n`", "there is `m`"]),
        ("a = %b\nb = [%a]", 1, ["`%a` stands for itself"]),
        (
            "paint.surface = %gin.REQUIRED",
            1,
            ["`paint.surface` has no value", '--gin_param="paint.surface = ..."'],
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(write, text, line, words):
    path = write("this.gin", text)
    with pytest.raises(BadInput) as error:
        config.parse([path], [])
    sentence = str(error.value)
    assert sentence.startswith(f"{path}:{line}: ")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_a_mistake_in_a_param_names_the_flag():
    with pytest.raises(BadInput, match=r'^--gin_param="paint.coat = 1": `paint` has'):
        config.parse([], ["paint.coat = 1"])


def test_a_missing_file_lists_where_it_was_sought_and_what_is_near(write, tmp_path):
    write("biggan128.gin", "")
    with pytest.raises(BadInput, match=r"no file biggan182.gin in .*`biggan128.gin`\?"):
        config.parse([str(tmp_path / "biggan182.gin")], [])


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "picture.gin"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BadInput, match="cannot be read as text"):
        config.parse([str(path)], [])


def test_an_ambiguous_name_lists_the_full_ones():
    for module in ("north", "south"):
        gin.external_configurable(dict, "twin", module=module)
    with pytest.raises(BadInput, match=r"ambiguous; write `north.twin` or `south.t"):
        config.parse([], ["twin.a = 1"])
    with pytest.raises(BadInput, match="has no parameter `a`"):  # nor does `dict` tell
        config.parse([], ["north.twin.a = 1"])
    with pytest.raises(BadInput, match="macro that nothing uses"):
        config.parse([], ["batch_sise = 1"])


SIGNS = "=.,:;()[]{}@%/-$#\"'\\\n\t\r\0 "
WORDS = ["paint", "coats", "3", "1e9", "0x", "é", "import", "from", "include", "None"]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from([*SIGNS, *WORDS])).map("".join))
@example("paint.coats = ")
def test_any_text_is_bound_or_refused(text):
    gin.clear_config()
    with contextlib.suppress(BadInput):
        config.parse([], [text])


def test_dead_bindings_are_listed_with_their_place(write):
    path = write("a.gin", "paint.surface = 'oak'\npaint.coats = 1\nvarnish.layers = 2")
    config.parse([path], ["paint.rate = 3", "attic/paint.coats = 1"])
    paint(coats=5)  # what the caller gives, gin does not
    with pytest.raises(BadInput) as error:
        config.refuse_dead_bindings(["paint", "varnish"])
    assert f"`paint.coats` ({path}:2)" in str(error.value)
    assert f"`varnish.layers` ({path}:3)" in str(error.value)
    assert "attic/paint.coats" in str(error.value)
    assert "surface" not in str(error.value)
    assert "paint.rate =" not in str(error.value)


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
        [], ["wide = 7", "paint.surface = [%wide, ('a', %wide)]", "varnish.layers = 2"]
    )
    before = paint()
    text = config.operative()
    assert text == (
        "paint.coats = 2\n"
        "paint.colour = 'red'\n"
        "paint.rate = 0.1\n"
        "paint.surface = [7, ('a', 7)]\n"
    )
    gin.clear_config()
    config.parse([], [text])
    assert paint() == before


def test_a_directory_is_claimed_once(tmp_path):
    model_dir = tmp_path / "runs" / "one"
    config.parse([], ["paint.surface = 'oak'"])
    paint()
    config.claim(model_dir)
    config.claim(model_dir)
    assert (model_dir / "config.gin").read_text() == config.operative()
    assert [path.name for path in model_dir.iterdir()] == ["config.gin"]

    gin.clear_config()
    config.read_back(model_dir)
    assert paint() == ("red", 2, "oak", 0.1)


def test_another_config_is_refused_with_the_difference(tmp_path):
    config.parse([], ["paint.surface = 'oak'", "paint.coats = 1"])
    paint()
    config.claim(tmp_path)
    kept = (tmp_path / "config.gin").read_text()
    config.parse([], ["paint.coats = 4", "varnish.kind = 'matt'"])
    paint()
    varnish()
    with pytest.raises(BadInput) as error:
        config.claim(tmp_path, free=["paint.rate"])
    assert f"--model_dir={tmp_path} belongs to another config" in str(error.value)
    assert "`paint.coats` is 1 there and 4 here" in str(error.value)
    assert "`varnish.kind` is absent there and 'matt' here" in str(error.value)
    assert "surface" not in str(error.value)
    assert (tmp_path / "config.gin").read_text() == kept


def test_free_bindings_may_change_and_are_kept_up_to_date(tmp_path):
    config.parse([], ["paint.surface = 'oak'", "paint.coats = 1"])
    paint()
    config.claim(tmp_path)
    config.parse([], ["paint.coats = 4", "varnish.kind = 'matt'"])
    paint()
    varnish()
    config.claim(tmp_path, free=["paint.coats", "varnish.*"])
    assert "paint.coats = 4\n" in (tmp_path / "config.gin").read_text()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--model_dir=.*file/run: cannot be written"):
        config.claim(tmp_path / "file" / "run")


def test_a_directory_without_a_config_cannot_be_read_back(tmp_path):
    with pytest.raises(BadInput, match="there is no config"):
        config.read_back(tmp_path)


def test_a_config_that_imports_is_refused(tmp_path):
    (tmp_path / "config.gin").write_text("import os\n")
    with pytest.raises(BadInput, match="holds values alone"):
        config.read_back(tmp_path)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (paint, r"^`paint.surface` has no value; give .*paint.surface = \.\.\.\"$"),
        (varnish, r"^`varnish.kind` has no value; give "),
        (
            lambda: paint("plaid", surface="oak"),
            r"^`paint.colour` is 'plaid'; it must be one colour$",
        ),
    ],
)
def test_errors_out_of_gin_calls_are_plain_sentences(call, sentence):
    with pytest.raises(BadInput, match=sentence), config.call_errors():
        call()


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(TypeError), config.call_errors():
        varnish("matt", colour="red")


DOOR = """
from absl import flags
from biggan_tf import config
from tests_door_rooms import paint
FLAGS = flags.FLAGS
config.define_flags()
def main():
    config.parse(FLAGS.gin_file, FLAGS.gin_param)
    print(paint())
    config.refuse_dead_bindings(["paint"])
if __name__ == "__main__":
    config.run(main)
"""

ROOMS = """
import gin
@gin.configurable("paint")
def paint(colour="red", surface=gin.REQUIRED):
    return colour, surface
"""


@pytest.fixture
def door(tmp_path):
    """Runs a program made of the door's frame, outside the repository."""
    (tmp_path / "door.py").write_text(DOOR)
    (tmp_path / "tests_door_rooms.py").write_text(ROOMS)
    root = Path(config.__file__).parents[2]

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "door.py", *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


def test_the_flags_of_a_door_repeat(door):
    done = door("--gin_param=paint.surface = 'oak'", "--gin_param", "paint.colour = 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 'oak')\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--gin_file=none.gin"], "error: --gin_file=none.gin: there is no file"),
        ([], "error: `paint.surface` has no value"),
        (["--gin_param=paint.surfice = 1"], "error: --gin_param="),
    ],
)
def test_a_door_ends_in_one_line_and_status_2(door, arguments, sentence):
    done = door(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def test_a_door_refuses_unknown_flags_and_explains_the_known(door):
    assert "Unknown command line flag 'gin_fil'" in door("--gin_fil=x").stderr
    assert "unexpected argument 'x'" in door("x").stderr
    assert "--gin_param" in door("--help").stdout


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
        timeout=240,
        check=False,
    )
    assert "the package gin-config is not installed" in done.stderr
