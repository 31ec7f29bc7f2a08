"""What people write for classes."""

import contextlib
import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_tf import labels
from biggan_tf.errors import BadInput

NAMES = ("Bag", "Ankle boot", "a, b", "x=1", " padded", "name:é", "Größe", "犬")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("all", range(8)),
        ("0, Ankle boot,7", [0, 1, 7]),
        ("3-5,0", [3, 4, 5, 0]),
        ("2 - 2", [2]),
        ("a, b", [2]),
        ('"a, b",Bag', [2, 0]),
        ("x=1", [3]),
        (" padded", [4]),
        ("name:é,Größe,犬", [5, 6, 7]),
        ("name:Bag,index:1,index:0-1", [0, 1, 0, 1]),
    ],
)
def test_classes_by_name_and_by_index(text, found):
    assert labels.parse(text, NAMES, "--labels") == list(found)


@pytest.mark.parametrize(
    "wrong",
    [
        "8",
        "-1",
        "bag",
        "",
        "1,,2",
        "1.0",
        "2-8",
        "5-3",
        "²",
        "index:Bag",
        "name:0",
        "0x1",
        "1" * 5000,
        "index:" + "1" * 5000,
    ],
)
def test_what_is_no_class_is_refused(wrong):
    with pytest.raises(
        BadInput, match="--labels=.*no such class; take indices .* to 7"
    ):
        labels.parse(wrong, NAMES, "--labels")


def test_a_name_that_is_another_class_s_index_is_asked_about():
    """As folders 1 to 10 have; a name that is its own class's index is no question."""
    names = [*map(str, range(1, 11)), "0-1", "all"]
    for word in ("1", "9", "3,1", "0-1", "all"):
        with pytest.raises(BadInput, match="one class or another; write name:"):
            labels.parse(word, names, "--labels")
    assert labels.parse("name:1,index:1,0", names, "--labels") == [0, 1, 0]
    assert labels.parse("name:all,index:0-1,name:0-1", names, "-l") == [11, 0, 1, 10]
    assert labels.parse("10", names[:10], "--labels") == [9]
    assert labels.parse("0,2", ["0", "1", "2"], "--labels") == [0, 2]
    blanks = ["trail", "trail "]
    assert labels.parse("name:trail ", blanks, "-l") == [1]
    assert labels.parse(" name:trail", blanks, "-l") == [0]
    for names in (["a", "b", "a,b"], ["a,b", "a", "b"]):
        with pytest.raises(BadInput, match="one class, and a list of others"):
            labels.parse("a,b", names, "--labels")
        assert labels.parse('"a,b"', names, "--labels") == [names.index("a,b")]
        assert labels.parse("name:a,b", names, "--labels") == [names.index("a,b")]
    with pytest.raises(BadInput, match='name:"q" for that one'):
        labels.parse('"q"', ["q", '"q"'], "--labels")


def test_a_range_of_indices_that_may_be_one_of_names_is_asked_about():
    names = [*map(str, range(1, 11)), "0-1", "all"]
    for word in ("1-3", "2 - 9", "0,1-2"):
        with pytest.raises(BadInput, match=r"write index:\d.* or name:\d,.*name:\d\."):
            labels.parse(word, names, "--labels")
    with pytest.raises(BadInput, match="index:1-9 or name:1,name:2,...,name:9."):
        labels.parse("1-9", names, "--labels")
    ten = names[:10]  # 10 is no index of theirs
    assert labels.parse("index:1-3,8-10", ten, "--labels") == [1, 2, 3, 7, 8, 9]
    assert labels.parse("0-2", names, "--labels") == [0, 1, 2]  # none is called 0
    padded = [f"{number:02}" for number in range(1, 13)]
    with pytest.raises(BadInput, match="index:01-03 or name:01,name:02,name:03"):
        labels.parse("01-03", padded, "--labels")
    assert labels.parse("1-3", padded, "--labels") == [1, 2, 3]
    assert labels.parse("09-12", padded, "--labels") == [8, 9, 10, 11]
    as_text = sorted(map(str, range(11)))  # 0, 1, 10, 2, ...
    assert labels.parse("0-1", as_text, "--labels") == [0, 1]
    with pytest.raises(BadInput, match="index:1-2 or name:1,name:2"):
        labels.parse("1-2", as_text, "--labels")


def csv_line(words):
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="").writerow(words)
    return file.getvalue()


pieces = ["name:", "index:", "all", "-", ",", '"', " ", "0", "1", "2", "a"]
words = st.lists(st.sampled_from(pieces), max_size=5).map("".join)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(words, unique=True, min_size=1, max_size=6))
def test_every_class_can_be_said_whatever_the_others_are_called(names):
    said = [f"name:{name}" for name in names]
    for index, name in enumerate(names):
        for form in (said[index], f"index:{index}"):
            if form in names and names.index(form) != index:
                with pytest.raises(BadInput, match="one class or another"):
                    labels.parse(form, names, "--labels")
            else:
                assert labels.parse(form, names, "--labels") == [index]
        assert labels.parse(labels.spell([index], names), names, "--labels") == [index]
        with contextlib.suppress(BadInput):
            assert labels.parse(name, names, "--labels")
    if not {*said} & {*names}:
        assert labels.parse(csv_line(said), names, "--labels") == [*range(len(names))]


def test_a_class_called_as_another_one_is_said_is_asked_about():
    names = ["all", "0", "index:1", "name:0", "name:all", "index:2", "index:0-1"]
    for word, forms in {
        "index:1": "name:index:1 or index:01",
        "name:0": "name:name:0 or index:01",
        "name:all": "name:name:all or index:0",
        "0,2": "index:01 or index:0",
        "2,index:1": "name:index:1 or index:01",
        "index:0-1": "name:index:0-1 or index:00-01",
    }.items():
        with pytest.raises(BadInput) as error:
            labels.parse(word, names, "--labels")
        assert f"one class or another; write {forms}." in str(error.value)
    assert labels.parse("index:01,name:index:1,name:index:2", names, "-l") == [1, 2, 5]
    assert labels.parse("index:1", ["a", "index:1"], "-l") == [1]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_accent_may_be_a_letter_of_its_own_or_not(forms):
    """Folders of a Mac have names in NFD, and keyboards write NFC."""
    names, typed = (
        [unicodedata.normalize(form, name) for name in ("Café", "Brötchen", "각")]
        for form in forms
    )
    for index, word in enumerate(typed):
        assert labels.parse(word, names, "--labels") == [index]
    assert labels.parse(f"{typed[2]}, name:{typed[0]}", names, "--labels") == [2, 0]
    both = [typed[0], names[0]]  # of one data set: two classes
    assert [labels.parse(name, both, "--labels") for name in both] == [[0], [1]]
    assert labels.spell([1, 0], names) == f"{names[1]},{names[0]}"
