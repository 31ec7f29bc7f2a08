"""Mutated recipes and flags: a plan, or one sentence that says what is wrong.

BIGGAN_FUZZ_EXAMPLES=5000 tries as many of each kind; the suite tries a few hundred.
"""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biggan_tf import config, loop
from biggan_tf.errors import BadInput

EXAMPLES = int(os.environ.get("BIGGAN_FUZZ_EXAMPLES", "75"))
SECONDS = 5  # of the processor, for the slowest
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,  # which would be of the clock
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
RECIPES = sorted(path.name for path in config.GIN_FOLDER.glob("*.gin"))
BASE = (config.GIN_FOLDER / "base.gin").read_text()
BINDINGS = re.findall(r"^([a-z_]+\.\w+) = ", BASE, re.MULTILINE)
VALUES = re.findall(r"^[a-z_]+\.\w+ = (.*?)(?: *#.*)?$", BASE, re.MULTILINE)
# A TPU would be sought in the network.
KINDS = "'one_device'", "'mirrored'", "'multi_worker'", "'virtual_cpus'", "'tpu'"

numbers = st.one_of(
    st.integers(-3, 300),
    st.sampled_from([2**31 - 1, 2**31, 2**63, 10**30, -(10**30)]),
    st.floats(),
    st.sampled_from([1e-300, 1e308, -0.0]),
)
plain = st.one_of(numbers, st.booleans(), st.none(), st.text(max_size=8))
nested = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=6,
)
texts = st.one_of(
    nested.map(repr),
    st.sampled_from(
        [*VALUES, *KINDS, "%macro", "@data()", "@gan", "%gin.REQUIRED", ""]
    ),
)
bindings = st.tuples(st.sampled_from(BINDINGS), texts).map(" = ".join)


@pytest.fixture(scope="module", autouse=True)
def no_cluster():
    """Which the environment of the tests may name."""
    before = os.environ.pop("TF_CONFIG", None)
    yield
    if before is not None:
        os.environ["TF_CONFIG"] = before


def plan(files: list[str], params: list[str]) -> None:
    """What `train --dry_run` does before it builds networks."""
    config.clear()
    begin = time.process_time()
    try:
        config.parse(files, params)
        loop.make_plan()
    except BadInput as error:
        sentence = str(error)
        assert sentence
        assert "\n" not in sentence, sentence
        assert "Traceback" not in sentence
    assert time.process_time() - begin < SECONDS


@fuzz
@given(
    st.sampled_from(["test.gin", "demo.gin", "biggan32.gin"]),
    st.lists(bindings, min_size=1, max_size=3),
)
def test_any_values_make_a_plan_or_a_sentence(recipe, params):
    plan([recipe], params)


@fuzz
@given(st.data())
def test_any_damage_to_a_recipe_makes_a_plan_or_a_sentence(tmp_path_factory, data):
    """Characters and lines that are lost, doubled, exchanged or new."""
    text = (config.GIN_FOLDER / data.draw(st.sampled_from(RECIPES))).read_text()
    for _ in range(data.draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.integers(0, 5))
        row = data.draw(st.integers(0, len(lines) - 1))
        kind = data.draw(st.integers(0, 3))
        if kind == 0:
            text = text[:start] + text[start + length :]
        elif kind == 1:
            new = data.draw(st.text(max_size=4) | bindings | st.just("\n"))
            text = text[:start] + new + text[start:]
        elif kind == 2:
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[row], lines[other] = lines[other], lines[row]
            text = "".join(lines)
        else:
            text = "".join([*lines[:row], *lines[row + 1 :]])
    path = tmp_path_factory.getbasetemp() / "damaged.gin"
    path.write_text(text, encoding="utf-8", errors="ignore")
    plan([str(path)], [])


@fuzz
@given(
    st.lists(st.text(max_size=12) | st.sampled_from([*RECIPES, "/", ".."]), max_size=2),
    st.lists(st.text(max_size=20) | bindings, max_size=3),
)
def test_any_flags_make_a_plan_or_a_sentence(files, params):
    plan(files, params)
