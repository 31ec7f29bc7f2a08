"""Declared options: what each kind takes and refuses, and in which words."""

from __future__ import annotations

import gin
import pytest

from biggan_tf import config
from biggan_tf.errors import BadInput

NAN = float("nan")


@config.options("kinds")
class Kinds:
    whole: int = config.option(3, "how many", low=1, high=9)
    number: float = config.option(0.5, "how much", low=-1, high=1)
    truth: bool = config.option(False, "whether")
    text: str = config.option("some", "what")
    choice: str = config.option("a", "which", choices=("a", "b"))
    sides: tuple[int, ...] = config.option((8,), "where", low=4)
    chosen: tuple[str, ...] = config.option((), "which ones", choices=("x", "y"))
    band: tuple[float, float] | None = config.option(None, "from and to")
    perhaps: int | None = config.option(None, "how many", low=1)
    where: str = config.option("here", "of the images", path=True)


DEFAULTS = {
    "whole": 3,
    "number": 0.5,
    "truth": False,
    "text": "some",
    "choice": "a",
    "sides": (8,),
    "chosen": (),
    "band": None,
    "perhaps": None,
    "where": "here",
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("whole", [1, 9]),
        ("number", [-1, -1.0, 0.25, 1, 1.0]),
        ("truth", [True, False]),
        ("text", [" a", "any"]),
        ("choice", ["a", "b"]),
        ("sides", [(), (4,), (8, 16, 4)]),
        ("chosen", [(), ("y", "x")]),
        ("band", [None, (0.5, 2), (0, 0)]),
        ("perhaps", [None, 1, 2**31 - 1]),
    ],
)
def test_declared_values_are_taken(name, values):
    for value in values:
        config.parse([], [f"kinds.{name} = {value!r}"])
        for found in (getattr(Kinds(), name), getattr(Kinds(**{name: value}), name)):
            assert found == value
            # TensorFlow mixes no whole numbers with others.
            assert name != "number" or isinstance(found, float)
        if isinstance(value, tuple):
            assert getattr(Kinds(**{name: list(value)}), name) == value


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("whole", [0, 10, 3.0, True, None, "3", (3,)], "a whole number from 1 to 9"),
        ("number", [-1.5, 1.5, NAN, -NAN, True, None, "0"], "a number from -1 to 1"),
        ("truth", [0, 1, None, "True"], "True or False"),
        ("text", [1, None, ("a",), "", " "], "some text in quotes"),
        ("choice", ["c", "", 1, None, ("a",)], "one of 'a', 'b'"),
        (
            "sides",
            [8, None, (3,), (8, 2.0), (True,), ((8,),), "8"],
            "a tuple, each element a whole number from 4 to 2,147,483,647,",
        ),
        ("chosen", ["x", ("z",), (1,), None], "a tuple, each element one of 'x', 'y',"),
        (
            "band",
            [(), (1,), (1, 2, 3), (1, None), (-1, 1), (0, NAN), 1.0, "ab"],
            "a tuple of 2, each element a number from 0 to 2,147,483,647, or None",
        ),
        (
            "perhaps",
            [0, 1.5, False, 2**31, ()],
            "a whole number from 1 to 2,147,483,647 or None",
        ),
    ],
)
def test_other_values_are_refused_where_they_stand(tmp_path, name, wrong, right):
    meaning = Kinds.__dataclass_fields__[name].metadata["option"].meaning
    path = tmp_path / "kinds.gin"
    for value in wrong:
        sentence = f"kinds.{name} = {value!r}: take {right} ({meaning})."
        with pytest.raises(BadInput) as made:
            Kinds(**{name: value})
        assert str(made.value) == sentence
        if "nan" not in repr(value):  # for which gin has no word
            path.write_text(f"\nkinds.{name} = {value!r}")
            with pytest.raises(BadInput) as bound:
                config.parse([str(path)], [])
            assert str(bound.value) == f"{path}:2: {sentence}"
    assert getattr(Kinds(), name) == DEFAULTS[name]  # none of them is bound


def test_an_element_that_is_there_twice_is_refused():
    assert Kinds(sides=(8, 16)).sides == (8, 16)
    for doubled in ({"sides": (8, 16, 8)}, {"chosen": ("x", "x")}):
        with pytest.raises(BadInput, match="take each element once"):
            Kinds(**doubled)
    assert Kinds(band=(1, 1)).band == (1, 1)


@pytest.mark.parametrize("text", ["C:\new", "a\tb", "\0", "\x1b[0m", "\udcff", "\x7f"])
def test_text_that_no_file_can_hold_is_refused(text):
    for bind in (lambda: Kinds(text=text), lambda: bind_text(text)):
        with pytest.raises(
            BadInput, match=r"kinds.text = .*: write / or two \\ for each"
        ):
            bind()


def bind_text(text):
    config.parse([], [f"kinds.text = {text!r}"])


def test_a_path_begins_in_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of mine")
    assert Kinds(where="~/images").where == "/home/of mine/images"
    assert Kinds(where="/a~/b", text="~/c") == Kinds(where="/a~/b", text="~/c")
    assert Kinds(text="~/c").text == "~/c"


def test_a_value_that_a_later_file_replaces_may_be_anything(tmp_path):
    (tmp_path / "kinds.gin").write_text("kinds.whole = 99")
    config.parse([str(tmp_path / "kinds.gin")], ["kinds.whole = 4"])
    assert Kinds().whole == 4


def test_a_room_takes_what_it_is_handed_over_from_nobody_else():
    @config.options("handed")
    class Handed:
        size: int
        factor: int = config.option(2, "how often")

    assert Handed(size=3) == Handed(3, factor=2)
    with pytest.raises(BadInput, match="there is no option size; take factor"):
        config.parse([], ["handed.size = 3"])
    assert config.operative() == "handed.factor = 2\n"


@config.options("related")
class Related:
    low: int = config.option(1, "the lower end")
    high: int = config.option(2, "the upper end", free=True)
    needed: str = config.option(gin.REQUIRED, "what cannot be left out")

    def check(self):
        if self.low > self.high:
            raise BadInput(f"related.low = {self.low}: take at most {self.high}.")


def test_relations_between_options_are_checked_when_the_room_is_made():
    config.parse([], ["related.low = 3", "related.needed = 'x'"])
    with pytest.raises(BadInput) as error:
        Related()
    assert str(error.value) == "related.low = 3: take at most 2."
    assert Related(high=3).low == 3
    assert "related.high" in config.free_bindings()
    assert not {"related.low", "related.needed"} & config.free_bindings()


def test_what_is_needed_has_to_be_given():
    with pytest.raises(BadInput, match="^related.needed has no value: "):
        Related()
    assert Related(needed="x").needed == "x"


def test_a_long_value_is_quoted_by_its_beginning():
    with pytest.raises(BadInput) as refused:
        Kinds(choice="x" * 10**5)
    assert "xxx..." in str(refused.value)
    assert len(str(refused.value)) < 400
    path = "/".join(["p" * 200] * 20)
    assert path in str(BadInput(f"{path} is missing."))
