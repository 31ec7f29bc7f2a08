"""Draws are functions of a seed, distributed as they say they are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import latents
from biggan_tf.errors import BadInput

SEED = latents.root_seed(7)
COUNT = 100_000


def normal_cdf(z: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.vectorize(math.erf)(z / math.sqrt(2))


def kolmogorov_smirnov(draws: np.ndarray, threshold: float) -> float:
    """Distance, times sqrt(n), to N(0, 1) cut off at +-threshold; under 2 is near."""
    draws = np.sort(draws.ravel().astype("float64"))
    low, high = normal_cdf(np.array([-threshold, threshold]))
    cdf = (normal_cdf(draws) - low) / (high - low)
    steps = np.arange(len(draws) + 1) / len(draws)
    distance = max(np.max(steps[1:] - cdf), np.max(cdf - steps[:-1]))
    return distance * math.sqrt(len(draws))


@pytest.mark.parametrize("threshold", [0.04, 0.5, 1.0, 2.0, math.inf])
def test_truncation_resamples_what_lies_outside(threshold):
    z = latents.truncated_normal([COUNT // 10, 10], SEED, threshold).numpy()
    assert z.shape == (COUNT // 10, 10)
    assert z.dtype == np.float32
    assert np.all(np.abs(z) <= np.float32(threshold))
    assert np.all(np.isfinite(z))
    assert kolmogorov_smirnov(z, threshold) < 2
    # Neither clamped to the threshold nor shrunk away from it.
    edge = min(threshold, 3.0)
    assert np.mean(np.abs(z) == np.float32(edge)) < 1e-3
    assert np.abs(z).max() > 0.99 * edge


def test_untruncated_draws_are_standard_normal():
    for z in (
        tf.random.stateless_normal([COUNT], SEED).numpy(),
        latents.truncated_normal([COUNT], SEED, math.inf).numpy(),
    ):
        assert kolmogorov_smirnov(z, math.inf) < 2
        assert abs(np.mean(z)) < 0.01
        assert abs(np.std(z) - 1) < 0.01
        assert abs(np.mean(z**4) - 3) < 0.1


def test_a_seed_at_two_thresholds_is_the_same_point_moved_monotonically():
    thresholds = [0.04, 0.3, 1.0, 2.0, 5.0, math.inf]
    z = [latents.truncated_normal([2000], SEED, t).numpy() for t in thresholds]
    order = np.argsort(z[0])
    for smaller, larger in zip(z, z[1:]):
        assert np.all(np.diff(larger[order]) > -1e-5)
        assert np.all(np.sign(smaller) == np.sign(larger))
        assert np.all(np.abs(smaller) <= np.abs(larger) + 1e-6)


def test_the_threshold_may_be_a_tensor():
    @tf.function(input_signature=[tf.TensorSpec([])])
    def sample(threshold: tf.Tensor) -> tf.Tensor:
        return latents.truncated_normal([100], SEED, threshold)

    for threshold in (0.5, 2.0, math.inf):
        np.testing.assert_allclose(
            sample(threshold),
            latents.truncated_normal([100], SEED, threshold),
            rtol=1e-5,
        )


def test_scaled_truncation_is_that_of_the_released_modules():
    z = latents.scaled_normal([COUNT], SEED, 0.4).numpy()
    assert np.all(np.abs(z) <= 0.8)
    assert np.abs(z).max() > 0.79
    assert kolmogorov_smirnov(z / 0.4, 2.0) < 2
    assert np.all(latents.scaled_normal([10], SEED, 0.0) == 0)


def test_labels_are_uniform_over_all_classes():
    y = latents.labels(COUNT, latents.uniform(10), SEED)
    assert y.dtype == tf.int32
    counts = np.bincount(y, minlength=10)
    assert len(counts) == 10
    chi_squared = np.sum((counts - COUNT / 10) ** 2 / (COUNT / 10))
    assert chi_squared < 27.9  # 0.999 quantile of 9 degrees of freedom


COUNTS = 550, 0, 150, 299, 1


def test_labels_are_as_frequent_as_the_data_has_them():
    drawn = np.bincount(latents.labels(COUNT, latents.shares(COUNTS), SEED))
    expected = COUNT * np.array(COUNTS) / 1000
    assert drawn[1] == 0
    spread = 4 * np.sqrt(expected)  # standard deviations
    assert np.all(np.abs(drawn - expected) <= spread)


def test_labels_are_the_same_with_xla():
    for frequencies in (latents.uniform(5), latents.shares(COUNTS)):

        def draw(frequencies=frequencies):
            return latents.labels(1000, frequencies, SEED)

        compiled = tf.function(draw, jit_compile=True, autograph=False)
        np.testing.assert_array_equal(compiled(), draw())


def test_equal_frequencies_draw_what_earlier_versions_drew():
    expected = tf.random.stateless_uniform([50], SEED, 0, 7, tf.int32)
    for frequencies in (latents.uniform(7), latents.shares([30] * 7)):
        np.testing.assert_array_equal(latents.labels(50, frequencies, SEED), expected)


@pytest.mark.parametrize(
    ("asked", "counts", "labels", "said"),
    [
        (None, (10, 20), "uniform", "as any other"),
        (None, (10, 21, 1000), "data", "as in the data, which has 10 to 1,000 images"),
        (None, (), "uniform", "as any other"),
        ("uniform", (10, 21), "uniform", "as any other"),
        ("data", (10, 20), "data", "10 to 20"),
    ],
)
def test_labels_are_as_in_the_data_if_that_is_unbalanced(asked, counts, labels, said):
    options = latents.LatentOptions(labels=asked, counts=counts)
    assert options.labels == labels
    assert said in options.remark()
    as_data = counts and labels == "data"
    right = latents.shares(counts) if as_data else latents.uniform(4)
    assert options.frequencies(4) == right


def test_labels_as_in_data_that_nobody_counted_are_refused():
    with pytest.raises(BadInput, match="latents.labels = 'data': take 'uniform'"):
        latents.LatentOptions(labels="data")


@pytest.mark.parametrize("replicas", [1, 2])
def test_unbalanced_labels_depend_on_no_replicas_or_micro_batches(replicas):
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    frequencies, parts = latents.shares(COUNTS), []
    whole = latents.Draws(SEED, 32).labels(frequencies)
    for index in range(4):
        draws = latents.Draws(SEED, 32, micro_batches=4, micro_batch=index)
        here = strategy.run(lambda draws=draws: draws.labels(frequencies))
        parts += strategy.experimental_local_results(here)
    np.testing.assert_array_equal(tf.concat(parts, 0), whole)


DRAWS = {
    "normal": lambda seed: tf.random.stateless_normal([50], seed),
    "labels": lambda seed: latents.labels(50, latents.uniform(1000), seed),
    "unbalanced": lambda seed: latents.labels(50, latents.shares(COUNTS), seed),
    "resample": lambda seed: latents.TRUNCATIONS["resample"]([50], seed, 0.5),
    "scaled": lambda seed: latents.TRUNCATIONS["scaled"]([50], seed, 0.5),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_is_a_function_of_its_seed(name):
    draw = DRAWS[name]
    np.testing.assert_array_equal(draw(SEED), draw(latents.root_seed(7)))
    np.testing.assert_allclose(draw(SEED), tf.function(draw)(SEED), rtol=1e-5)
    others = [
        latents.root_seed(8),
        latents.fold(SEED, 0),
        latents.fold(SEED, 1),
        latents.fold(SEED, 0, 1),
        latents.fold(SEED, 1, 0),
    ]
    values = [tuple(draw(seed).numpy()) for seed in [SEED, *others]]
    assert len(set(values)) == len(values)


def test_folding_a_step_is_the_same_from_the_host_and_from_its_variable():
    step = tf.Variable(3, dtype=tf.int64)
    folded = latents.fold(SEED, step)
    same = latents.fold(SEED, tf.constant(3, tf.int64))
    np.testing.assert_array_equal(folded, same)
    step.assign_add(1)
    assert np.any(latents.fold(SEED, step) != folded)


def test_neighbouring_seeds_and_steps_are_uncorrelated():
    draws = np.stack(
        [
            tf.random.stateless_normal(
                [COUNT // 10], latents.fold(latents.root_seed(seed), step)
            )
            for seed in range(3)
            for step in range(4)
        ]
    )
    correlations = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlations).max() < 0.05


@pytest.mark.parametrize("replicas", [1, 2, 4])
def test_the_shares_of_the_replicas_are_the_global_batch(replicas):
    devices = [f"CPU:{index}" for index in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices)

    @tf.function
    def shares() -> tuple:
        def share() -> tuple[tf.Tensor, tf.Tensor]:
            z = tf.random.stateless_normal([8, 3], SEED)
            y = latents.labels(8, latents.uniform(10), SEED)
            return latents.replica_slice(z), latents.replica_slice(y)

        return tf.nest.map_structure(
            strategy.experimental_local_results, strategy.run(share)
        )

    z, y = shares()
    assert len(z) == replicas
    np.testing.assert_array_equal(
        tf.concat(z, 0), tf.random.stateless_normal([8, 3], SEED)
    )
    np.testing.assert_array_equal(
        tf.concat(y, 0), latents.labels(8, latents.uniform(10), SEED)
    )


@pytest.mark.parametrize(
    ("convention", "good", "bad"),
    [
        ("resample", [0.04, 2.0, math.inf], [0.0, 1e-40, -1.0, math.nan, 1e39]),
        ("scaled", [0.0, 0.5, 1.0], [-0.1, 1.1, math.inf, math.nan]),
    ],
)
def test_each_convention_knows_its_thresholds(convention, good, bad):
    for threshold in good:
        latents.check_truncation(convention, threshold, "--truncation")
    for threshold in bad:
        told = f"--truncation={threshold:g}: take"
        with pytest.raises(BadInput, match=re.escape(told)):
            latents.check_truncation(convention, threshold, "--truncation")


# --- the distributions of Appendix E --------------------------------------------------

WIDE = [4000, 6]
# Mean, and mean square, of a component.
MOMENTS = {
    "normal": (0, 1),
    "annealed": (0, 1),
    "uniform": (0, 1 / 3),
    "bernoulli": (0.5, 0.5),
    "signed_bernoulli": (0, 1),
    "categorical": (0, 2 / 3),
    "censored_normal": (math.sqrt(1 / (2 * math.pi)), 0.5),
    "normal_bernoulli": (0, 0.5),
    "concatenation": (0.25, 0.75),
    "per_sample_sigma": (0, 1 + 1 / 12),
}


def latent(name: str) -> latents.LatentOptions:
    steps = 100 if name == "annealed" else None
    return latents.LatentOptions(distribution=name, anneal_steps=steps)


@pytest.mark.parametrize("name", latents.DISTRIBUTIONS)
def test_each_distribution_has_its_moments(name):
    z = latent(name).draw(WIDE, SEED).numpy()
    assert (z.dtype, z.shape) == (np.float32, tuple(WIDE))
    mean, square = MOMENTS[name]
    np.testing.assert_allclose(
        [z.mean(), np.square(z).mean()], [mean, square], atol=0.03
    )
    again = latent(name).draw(WIDE, SEED).numpy()
    np.testing.assert_array_equal(z, again)
    convention = latent(name).convention("resample")
    known = {"normal": "resample", "annealed": "resample"}
    assert convention == known.get(name, name)
    if convention in latents.DISCRETE:
        assert len(np.unique(z)) == (3 if name == "categorical" else 2)
        with pytest.raises(BadInput, match="no tails"):
            latents.check_truncation(convention, 0.5, "--truncation")
        with pytest.raises(tf.errors.InvalidArgumentError, match="cannot be truncated"):
            latents.TRUNCATIONS[convention](WIDE, SEED, tf.constant(0.5))
        return
    latents.check_truncation(convention, 0.5, "--truncation")
    cut = latents.TRUNCATIONS[convention](WIDE, SEED, tf.constant(0.5)).numpy()
    largest = {"concatenation": 1.0, "per_sample_sigma": 0.75}.get(name, 0.5)
    assert largest * 0.97 < np.abs(cut).max() <= largest


def test_annealing_falls_from_two_to_one():
    spread = [
        latent("annealed").draw(WIDE, SEED, s).numpy().std() for s in (0, 50, 999)
    ]
    np.testing.assert_allclose(spread, [2, 1.5, 1], atol=0.05)


def test_sigma_is_each_sample_s_own():
    rows = (
        latents.LatentOptions("per_sample_sigma")
        .draw([50, 5000], SEED)
        .numpy()
        .std(axis=1)
    )
    assert 0.45 < rows.min() < 0.6
    assert 1.4 < rows.max() < 1.55


def test_scaled_truncation_is_for_normal_latents_alone():
    assert latent("normal").convention("scaled") == "scaled"
    with pytest.raises(
        BadInput, match="'scaled' with .* it is for normal latents only"
    ):
        latent("uniform").convention("scaled")
