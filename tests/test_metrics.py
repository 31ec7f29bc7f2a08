"""Scores against independent implementations from PyPI and against brute force."""

import importlib.util
import itertools
import warnings
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from biggan_tf import metrics
from biggan_tf.errors import BadInput
from biggan_tf.features import fit_linear_head
from biggan_tf.metrics import distances


@pytest.fixture(scope="module")
def tfgan():
    """TF-GAN's evaluation functions: float64 in, float64 out."""
    if importlib.util.find_spec("tensorflow_gan") is None:
        pytest.skip("TF-GAN, to compare with, is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # distutils
        import tensorflow_gan

    return tensorflow_gan.eval


@pytest.fixture
def random():
    return np.random.default_rng(0)


def features(random, count, size, shift=0.0):
    """Correlated, positive, of unequal scales: like pooled activations."""
    mixing = np.random.default_rng(size).normal(size=(size, size))
    scales = np.geomspace(1.0, 0.05, size)
    return np.abs(random.normal(size=(count, size)) * scales @ mixing + 0.5 + shift)


def statistics(rows, batch=64, **arguments):
    result = metrics.FeatureStatistics(**arguments)
    for start in range(0, len(rows), batch):
        result.update(rows[start : start + batch])
    return result


# Feature statistics


def test_statistics_are_those_of_numpy_however_they_are_batched(random):
    rows = features(random, 500, 12) + 1e6  # a far mean: where naive sums lose digits
    whole = statistics(rows, keep=100)
    uneven = statistics(rows[:220], batch=7, keep=100)
    uneven.update(rows[220:])
    for found in (whole, uneven):
        assert found.count == 500
        np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-14)
        np.testing.assert_allclose(
            found.covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-9
        )
        assert found.features.dtype == np.float32
        np.testing.assert_array_equal(found.features, whole.features)
    chosen = {tuple(row) for row in whole.features}
    assert len(chosen) == 100
    assert chosen <= {tuple(row) for row in rows.astype(np.float32)}


def test_statistics_may_be_read_between_two_batches(random):
    rows = 1e3 + features(random, 1300, 5)
    found = metrics.FeatureStatistics()
    for start in range(0, 1300, 300):
        found.update(rows[start : start + 300])
        found.keep_factor()  # of these images alone
        expected = rows[: start + 300]
        np.testing.assert_allclose(found.mean, expected.mean(0), rtol=1e-13)
        for covariance in (found.covariance, found.factor @ found.factor.T):
            np.testing.assert_allclose(covariance, np.cov(expected.T), rtol=1e-8)


def test_the_features_that_stay_are_chosen_from_all(random):
    """Images may come class by class."""
    rows = np.repeat(np.arange(10.0), 500)[:, None]
    kept = statistics(rows, keep=400)
    counts = np.bincount(kept.features[:, 0].astype(int), minlength=10)
    assert len(kept.features) == 400
    assert counts.min() > 20
    halves = kept.features[:200].mean(), kept.features[200:].mean()
    assert abs(halves[0] - halves[1]) < 1  # they stay in random order
    again, other = statistics(rows, keep=400), statistics(rows, keep=400, seed=1)
    np.testing.assert_array_equal(again.features, kept.features)
    assert np.any(other.features != kept.features)


def test_statistics_survive_a_file(random, tmp_path):
    path = tmp_path / "reference.npz"
    protocol = {"data": "x", "count": 90, "resize": ("area", 32)}
    saved = statistics(features(random, 90, 5), protocol=protocol, keep=10)
    saved.save(path)
    loaded = metrics.FeatureStatistics.load(path)
    assert loaded.count == 90
    assert loaded.protocol == {"data": "x", "count": 90, "resize": ["area", 32]}
    np.testing.assert_array_equal(loaded.mean, saved.mean)
    np.testing.assert_allclose(loaded.covariance, saved.covariance, rtol=1e-15)
    np.testing.assert_array_equal(loaded.features, saved.features)
    assert metrics.frechet_distance(saved, loaded) < 1e-12
    assert [file.name for file in tmp_path.iterdir()] == ["reference.npz"]


def test_a_file_of_statistics_holds_no_pickle(random, tmp_path):
    statistics(features(random, 9, 5)).save(tmp_path / "reference.npz")
    with zipfile.ZipFile(tmp_path / "reference.npz") as file:
        names = {name[: -len(".npy")] for name in file.namelist()}
    assert names == {"count", "mean", "covariance", "features", "protocol"}
    with np.load(tmp_path / "reference.npz", allow_pickle=False) as file:
        assert all(file[name] is not None for name in names)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off", b"text", "npy"])
def test_what_is_no_file_of_statistics_is_named(tmp_path, content):
    path = tmp_path / "reference.npz"
    if content == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=r"reference\.npz is no file of reference"):
        metrics.FeatureStatistics.load(path)


@pytest.mark.parametrize(
    ("name", "broken", "told"),
    [
        ("covariance", lambda x: x * np.nan, "holds NaN or infinity"),
        ("mean", lambda x: x / 0, "holds NaN or infinity"),
        ("covariance", lambda x: -x, "has the variance -.*, which is below 0"),
        ("covariance", np.triu, "is not symmetric"),
        ("covariance", lambda x: x > 0, "is bool and no real numbers"),
        ("mean", lambda x: x * 1j, "is complex128 and no real numbers"),
        ("mean", lambda x: x[1:], r"has shape \(4,\) and covariance \(5, 5\)"),
        ("features", lambda x: x * np.nan, "holds NaN or infinity"),
        ("features", lambda x: x[:, 1:], r"have shape \[9, 4\]"),
        ("features", lambda x: x[0], r"have shape \[5\]"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_statistics_that_are_none_are_refused(random, tmp_path, name, broken, told):
    path = tmp_path / "reference.npz"
    statistics(features(random, 9, 5), keep=9).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: broken(arrays[name])})
    with pytest.raises(BadInput, match=rf"reference\.npz is no .*\({name} {told}\)"):
        metrics.FeatureStatistics.load(path)


def test_what_differs_of_two_protocols_is_said():
    made = metrics.FeatureStatistics({"features": "lite0_128", "hash": "a", "count": 9})
    assert made.differences({"features": "lite0_128", "hash": "a"}) == ""
    told = made.differences({"features": "lite0_128", "hash": "b", "resize": "area"})
    assert told == 'hash = "a" instead of "b", resize = null instead of "area"'


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0.0, np.nan]], "NaN"),
        ([[0.0, np.inf]], "NaN or infinity"),
        (np.zeros((0, 2)), "shape"),
        (np.zeros(2), "shape"),
        (np.zeros((4, 3)), "size 3 after features of size 2"),
    ],
)
def test_bad_features_are_refused(rows, message):
    seen = statistics(np.zeros((2, 2)))
    with pytest.raises(BadInput, match=message):
        seen.update(np.asarray(rows))


# FID


def test_fid_agrees_with_tfgan(tfgan, random):
    real, fake = features(random, 900, 48), features(random, 700, 48, shift=0.1)
    found = metrics.frechet_distance(statistics(real), statistics(fake))
    expected = tfgan.frechet_classifier_distance_from_activations(
        tf.constant(real), tf.constant(fake)
    )
    assert found == pytest.approx(float(expected), rel=1e-6)


def test_fid_has_its_closed_form_where_covariances_commute(random):
    basis = np.linalg.qr(random.normal(size=(20, 20)))[0]
    pair, variances = [], []
    for seed in (1, 2):
        generator = np.random.default_rng(seed)
        rows = generator.normal(size=(60, 20))
        rows = np.linalg.qr(rows - rows.mean(0))[0] * np.sqrt(59)  # covariance: I
        variances.append(generator.uniform(0, 2, 20) * (np.arange(20) % (seed + 1) > 0))
        pair.append(statistics(rows * np.sqrt(variances[-1]) @ basis.T + seed))
    expected = 20 + np.sum((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2)
    assert metrics.frechet_distance(*pair) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("fewer", [2, 40])
def test_fid_stays_finite_without_full_rank(random, fewer):
    """Rank-deficient features: rotating them must not change the distance."""
    low = np.random.default_rng(1).normal(size=(2, 300, 6)) * [[[1.0]], [[1.5]]]
    low = [low[0], low[1][:fewer]]
    rotation = np.linalg.qr(random.normal(size=(64, 64)))[0][:6]
    expected = metrics.frechet_distance(*map(statistics, low))
    found = metrics.frechet_distance(*(statistics(rows @ rotation) for rows in low))
    assert found == pytest.approx(expected, rel=1e-7)


def test_fid_of_duplicates_and_of_equals(random):
    rows = features(random, 50, 30)
    point = statistics(np.ones((50, 30)))
    other = statistics(np.full((50, 30), 3.0))
    assert metrics.frechet_distance(point, other) == pytest.approx(30 * 4)
    spread = statistics(rows)
    expected = np.sum((spread.mean - 1) ** 2) + np.trace(spread.covariance)
    assert metrics.frechet_distance(point, spread) == pytest.approx(expected)
    twice = statistics(np.concatenate([rows, rows]))
    small = metrics.frechet_distance(spread, twice) / np.trace(spread.covariance)
    assert 0 <= small < 1e-3
    assert metrics.frechet_distance(spread, spread) < 1e-10


def test_fid_refuses_what_cannot_be_compared(random):
    wide, narrow = (statistics(features(random, 30, size)) for size in (8, 6))
    with pytest.raises(BadInput, match=r"size 8 .* size 6"):
        metrics.frechet_distance(wide, narrow)
    with pytest.raises(BadInput, match="2 images or more; found 1"):
        metrics.frechet_distance(wide, statistics(np.zeros((1, 8))))


def test_fid_below_0_by_more_than_rounding_is_refused(random):
    real = statistics(features(random, 30, 8))
    for trace in (-9.0, np.nan, np.inf):
        fake = statistics(features(random, 30, 8))
        fake._scatter[0, 0] = trace * np.trace(fake.covariance) * 29
        with pytest.raises(
            BadInput, match="FID would be -|NaN or infinity have no FID"
        ):
            metrics.frechet_distance(real, fake)


def test_a_metric_asks_for_the_images_that_it_needs():
    for name, fewest in {"fid": 1281, "is": 20, "kid": 3, "prdc": 6}.items():
        asking = [metrics.METRICS[name]]
        metrics.check_enough_images("x", fewest, asking, 1280, 2023)
        with pytest.raises(BadInput, match=rf"x = \d+: take {fewest} .*{name}"):
            metrics.check_enough_images("x", fewest - 1, asking, 1280, 2023)


def test_fid_of_infinitely_many_images_is_extrapolated(random):
    real, fake = features(random, 40_000, 12), features(random, 1600, 12)
    request = metrics.Request(1600, 12, (), False, 0, None)
    reference = metrics.Reference(statistics(real), (), None, 0)
    score = metrics.FidInfinity(request, reference)
    for start in range(0, 1600, 130):  # batches that straddle the numbers of images
        score.update(metrics.Batch(None, fake[start : start + 130], None, None))
    ends = [400, 600, 800, 1000, 1200, 1400, 1600]
    fids = [
        metrics.frechet_distance(reference.statistics, statistics(fake[:end]))
        for end in ends
    ]
    expected = np.polyfit(1 / np.array(ends), fids, 1)[1]
    found, error = score.result().values()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
    # The line is a weighted sum of FIDs, each of which is a mean over its images.
    weights = [np.polyfit(1 / np.array(ends), unit, 1)[1] for unit in np.eye(7)]
    shares = sum(w / end * (np.arange(1600) < end) for w, end in zip(weights, ends))
    whole = metrics.METRICS["fid"](request, reference)
    whole.update(metrics.Batch(None, fake, None, None))
    deviation = whole.result()["fid_se"] * 40
    assert error == pytest.approx(deviation * np.linalg.norm(shares), rel=1e-6)
    assert abs(found) < fids[-1] < fids[0] / 2  # both are of one distribution


def test_intra_class_fid_is_the_mean_over_classes(random):
    real = [features(random, 50, 4) for _ in range(2)]
    fake = [features(random, 50, 4, label) for label in (0.0, 1.0)]
    pairs = zip(map(statistics, real), map(statistics, fake))
    expected = np.mean([metrics.frechet_distance(*pair) for pair in pairs])
    request = metrics.Request(100, 4, ("a", "b"), False, 0, None)
    labels = np.repeat([0, 1], 50)

    def show(to, rows):
        for some in np.split(random.permutation(100), 4):
            to.update(metrics.Batch(None, rows[some], None, labels[some]))

    observer = metrics.IntraFid.observer(request, 0)
    show(observer, np.concatenate(real))
    reference = metrics.Reference(None, {"intra_fid": observer}, None, 0)
    found = metrics.IntraFid(request, reference)
    show(found, np.concatenate(fake))
    assert found.result()["intra_fid"] == pytest.approx(expected)


# Inception Score and label accuracy


def inception_score(num_images, splits=10):
    request = metrics.Request(num_images, 0, (), False, 0, None)
    return metrics.InceptionScore(request, None, splits)


def seen(logits):
    return metrics.Batch(None, None, logits, None)


def test_inception_score_agrees_with_tfgan(tfgan, random):
    logits = 5 * random.normal(size=(1013, 10))
    score = inception_score(len(logits))
    for start in range(0, len(logits), 90):  # batches that straddle splits
        score.update(seen(logits[start : start + 90]))
    ends = [i * 1013 // 10 for i in range(11)]
    expected = [
        float(tfgan.classifier_score_from_logits(tf.constant(logits[start:end])))
        for start, end in zip(ends, ends[1:])
    ]
    mean, deviation, error = score.result().values()
    assert mean == pytest.approx(np.mean(expected), rel=1e-6)
    assert deviation == pytest.approx(np.std(expected), rel=1e-6)
    assert error == pytest.approx(np.std(expected, ddof=1) / 10**0.5, rel=1e-6)


def test_inception_score_has_its_bounds_at_extreme_logits():
    sure = inception_score(40, splits=2)
    sure.update(seen(2000.0 * np.eye(4)[np.arange(40) % 4]))
    assert sure.result() == pytest.approx({"is": 4.0, "is_std": 0.0, "is_se": 0.0})
    one = inception_score(40, splits=2)
    one.update(seen(2000.0 * np.eye(4)[np.zeros(40, int)]))
    assert one.result() == pytest.approx({"is": 1.0, "is_std": 0.0, "is_se": 0.0})


def test_inception_score_wants_the_images_it_was_promised(random):
    with pytest.raises(BadInput, match="10 splits needs as many images"):
        inception_score(9)
    score = inception_score(20)
    score.update(seen(random.normal(size=(19, 3))))
    with pytest.raises(BadInput, match=r"19 images .* over 20"):
        score.result()
    with pytest.raises(BadInput, match=r"21 images .* over 20"):
        score.update(seen(random.normal(size=(2, 3))))


def test_label_accuracy_counts():
    reference = metrics.Reference(None, (), lambda features: 2 * features, 0)
    accuracy = metrics.LabelAccuracy(None, reference)
    accuracy.update(metrics.Batch(None, np.eye(3), None, np.array([0, 1, 1])))
    accuracy.update(metrics.Batch(None, np.eye(3)[:1], None, np.array([0])))
    found = accuracy.result()
    assert found == {"accuracy_linear": 0.75, "accuracy_linear_se": 0.1875**0.5 / 2}


def test_top_1_and_top_5_count_the_label_among_the_logits(random):
    """A class's logit may lie elsewhere: classes 0 to 9 have logits 9 to 0."""
    request = metrics.Request(300, 0, "abcdefghij", False, 0, None)
    with pytest.raises(BadInput, match="topk: .* the 10 classes of the data"):
        metrics.METRICS["topk"].check(request)
    request = request._replace(logits_of=np.arange(10)[::-1])
    metrics.METRICS["topk"].check(request)
    score = metrics.METRICS["topk"](request, None)
    logits, labels = random.normal(size=(300, 10)), random.integers(0, 10, 300)
    for some in np.split(np.arange(300), 3):
        score.update(metrics.Batch(None, None, logits[some], labels[some]))
    order = np.argsort(-logits, axis=1)
    places = (order == 9 - labels[:, None]).argmax(1)
    first, in_five = np.mean(places == 0), np.mean(places < 5)
    found = score.result()
    assert (found["top1"], found["top5"]) == (first, in_five)
    assert found["top5_se"] == pytest.approx(np.std(places < 5) / 300**0.5)


def test_the_classification_accuracy_score_is_that_of_another_linear_classifier(
    random,
):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    centres = 1.2 * random.normal(size=(5, 6))

    def images(count, labels_of):
        classes = random.integers(0, 5, count)
        rows = centres[classes] + random.normal(size=(count, 6))
        return rows.astype(np.float32), labels_of[classes]

    right, swapped = np.arange(5), np.array([1, 0, 2, 3, 4])  # of the generator
    real, fake, held = images(900, right), images(900, swapped), images(400, right)
    request = metrics.Request(900, 6, "abcde", True, 900, None, split="held_out")
    cas = metrics.METRICS["cas"]
    with pytest.raises(
        BadInput, match="split = train: take held_out, or leave out cas"
    ):
        cas.check(request._replace(split="train"))
    observer = cas.observer(request, 0)
    observer.update(metrics.Batch(None, held[0], None, held[1]))
    head = fit_linear_head(*real, 5)
    seen = {"cas": observer}
    reference = metrics.Reference(None, seen, head, 0, fit_linear_head)
    score = cas(request, reference)
    for start in range(0, 900, 300):
        some = slice(start, start + 300)
        score.update(metrics.Batch(None, fake[0][some], None, fake[1][some]))
    found = score.result()
    for name, (rows, labels) in {"cas_linear": fake, "cas_linear_real": real}.items():
        scaler = StandardScaler().fit(rows)
        # C is 1 / (decay n).
        other = LogisticRegression(C=1 / (1e-2 * 900), max_iter=500)
        other.fit(scaler.transform(rows), labels)
        expected = other.score(scaler.transform(held[0]), held[1])
        assert found[name] == pytest.approx(expected, abs=0.01)
    assert 0.2 < found["cas_linear"] < found["cas_linear_real"] - 0.2 < 0.8


# KID


def kid(real, block_size, seed=0):
    reference = metrics.Reference(statistics(real, keep=len(real)), (), None, seed)
    return metrics.Kid(None, reference, block_size)


def test_kid_agrees_with_tfgan_on_the_same_blocks(tfgan, random):
    real, fake = features(random, 410, 32), features(random, 650, 32, shift=0.05)
    distance = kid(real, block_size=200, seed=3)
    real = statistics(real, keep=410).features.astype(np.float64)  # in its order
    for start in range(0, len(fake), 130):
        distance.update(metrics.Batch(None, fake[start : start + 130], None, None))
    order = np.random.default_rng(3).permutation(410)
    expected = [
        float(
            tfgan.kernel_classifier_distance_from_activations(
                tf.constant(real[order[block % 2 * 200 :][:200]]),
                tf.constant(fake[block * 200 :][:200]),
                max_block_size=200,
            )
        )
        for block in range(3)
    ]
    found = distance.result()
    assert found["kid"] == pytest.approx(np.mean(expected), rel=1e-6)
    assert found["kid_std"] == pytest.approx(np.std(expected), rel=1e-6)


def test_kid_is_unbiased(random):
    """A U-statistic: that of all is the mean of that of all parts."""
    x, y = features(random, 6, 4), features(random, 5, 4, shift=0.2)
    parts = [
        metrics.squared_mmd(x[list(some)], y[list(others)])
        for some in itertools.combinations(range(6), 3)
        for others in itertools.combinations(range(5), 3)
    ]
    assert np.mean(parts) == pytest.approx(metrics.squared_mmd(x, y), rel=1e-10)


def test_kid_refuses_too_few_images(random):
    rows = features(random, 99, 4)
    with pytest.raises(BadInput, match="blocks of 100 images: take 3 to 99"):
        kid(rows, block_size=100)
    distance = kid(rows, block_size=50)
    distance.update(metrics.Batch(None, rows[:49], None, None))
    with pytest.raises(BadInput, match="found 49"):
        distance.result()


# Precision, recall, density, coverage


def brute_force(real, fake, neighbours):
    def all_pairs(x, y):
        return np.array([((row - y) ** 2).sum(1) for row in x])

    def radii(x):
        return np.sort(all_pairs(x, x), axis=1)[:, neighbours]

    between = all_pairs(real, fake)
    in_real = between < radii(real)[:, None]
    in_fake = between < radii(fake)

    def error(covered):  # leaves out each generated image
        left = [np.delete(covered, i, 1).any(1).mean() for i in range(len(fake))]
        return ((len(fake) - 1) * np.var(left)) ** 0.5

    return {
        "precision": in_real.any(0).mean(),
        "recall": in_fake.any(1).mean(),
        "density": (1 / neighbours) * in_real.sum(0).mean(),
        "coverage": in_real.any(1).mean(),
        "precision_se": in_real.any(0).std() / len(fake) ** 0.5,
        "recall_se": error(in_fake),
        "density_se": in_real.sum(0).std() / neighbours / len(fake) ** 0.5,
        "coverage_se": error(in_real),
    }


@pytest.mark.parametrize("neighbours", [1, 5])
def test_prdc_is_exactly_that_of_the_package(random, neighbours, monkeypatch):
    from prdc import compute_prdc

    real = random.normal(size=(500, 4)).astype(np.float32)
    fake = (0.8 * random.normal(size=(420, 4)) + 0.5).astype(np.float32)
    expected = compute_prdc(real, fake, neighbours)
    found = metrics.prdc(real, fake, neighbours)
    assert {name: found[name] for name in expected} == expected
    assert all(0.01 < value != 1 for value in expected.values()), expected
    monkeypatch.setattr(distances, "_BLOCK_VALUES", 2**12)  # many blocks
    assert metrics.prdc(real, fake, neighbours) == found


def test_prdc_counts_duplicates_as_brute_force_does(random):
    """Whole-number grids, copies of one another far from 0: ties everywhere."""
    grid = 1000 + random.integers(0, 3, size=(300, 4)) / 3
    mixing = random.normal(size=(4, 40))
    real, fake = grid[:160] @ mixing, grid[100:] @ mixing
    expected = brute_force(real, fake, 3)
    assert metrics.prdc(real, fake, 3) == pytest.approx(expected, rel=1e-9)
    assert 0 < expected["precision"] < 1
    assert 0 < expected["recall"] < 1


def test_prdc_of_one_image_repeated(random):
    real = features(random, 60, 8)
    collapsed = np.repeat(real[:1], 50, axis=0)
    found = metrics.prdc(real, collapsed, 5)
    assert found == pytest.approx(brute_force(real, collapsed, 5), abs=1e-9)
    assert found["recall"] == 0
    assert found["precision"] == 1


def test_prdc_refuses_too_few_images(random):
    rows = features(random, 9, 4)
    with pytest.raises(BadInput, match="5 nearest neighbours among 5 generated"):
        metrics.prdc(rows, rows[:5])


# PRD


@pytest.mark.parametrize("beta", [8, 1 / 8])
def test_prd_is_the_highest_of_its_curve(random, beta):
    """The curve by its definition, at many angles."""
    real, fake = random.dirichlet(np.ones(20)), random.dirichlet(np.full(20, 0.5))
    real[3] = fake[5] = 0
    real, fake = real / real.sum(), fake / fake.sum()
    slopes = np.tan(np.linspace(1e-6, np.pi / 2 - 1e-6, 20_001))
    precision = np.minimum(slopes[:, None] * real, fake).sum(1)
    recall = np.minimum(real, fake / slopes[:, None]).sum(1)
    f = (1 + beta**2) * precision * recall / (beta**2 * precision + recall)
    assert metrics.prd_f(real, fake, beta) == pytest.approx(f.max(), rel=1e-4)
    assert metrics.prd_f(real, real, beta) == pytest.approx(1)
    assert metrics.prd_f(np.eye(2)[0], np.eye(2)[1], beta) == 0


def test_k_means_ends_where_that_of_scikit_learn_stays(random):
    from sklearn.cluster import KMeans

    rows = features(random, 600, 6) + 5 * random.integers(0, 3, (600, 1))
    labels = metrics.k_means(rows, 7, random)
    centres = np.array([rows[labels == label].mean(0) for label in range(7)])
    other = KMeans(7, init=centres, n_init=1).fit(rows)
    np.testing.assert_array_equal(other.labels_, labels)
    best = KMeans(7, n_init=10, random_state=0).fit(rows).inertia_
    assert other.inertia_ < 1.3 * best
    assert set(metrics.k_means(np.ones((30, 2)), 4, random)) == {0}


def prd(real, fake):
    reference = metrics.Reference(statistics(real, keep=len(real)), {}, None, 0)
    request = metrics.Request(len(fake), 4, (), False, 10_000, None)
    score = metrics.METRICS["prd"](request, reference)
    score.update(metrics.Batch(None, fake, None, None))
    return score.result()


def test_prd_tells_lost_modes_from_false_ones(random):
    """Twenty far modes: half of them lost, and half of them false."""
    modes = 1000 * random.normal(size=(20, 4))
    few = modes[:10].repeat(40, 0) + random.normal(size=(400, 4))
    more = modes.repeat(40, 0) + random.normal(size=(800, 4))
    more = random.permutation(more)
    low, high = 65 / 64 / (1 + 1 / 32), 65 / 64.5 / 2
    same, lost, false = prd(few, few), prd(more, few), prd(few, more)
    assert lost == prd(more, few)
    for found, scores in ((same, (1, 1)), (lost, (high, low)), (false, (low, high))):
        assert tuple(found.values())[:2] == pytest.approx(scores, abs=0.05)


# MS-SSIM


@pytest.mark.parametrize(("side", "scales"), [(32, 2), (64, 3), (128, 4), (256, 5)])
def test_ms_ssim_is_that_of_tensorflow(random, side, scales):
    x = random.integers(0, 256, (3, side // 8, side // 8, 3)).repeat(8, 1).repeat(8, 2)
    noise = random.normal(0, [[[[9]]], [[[30]]], [[[90]]]], x.shape)
    x, y = np.uint8(x), np.uint8(np.clip(x + noise, 0, 255))
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
    weights /= weights.sum()
    expected = tf.image.ssim_multiscale(*map(tf.constant, (x, y)), 255, weights)
    found = metrics.ms_ssim(x, y)
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    assert 0 < found[2] < found[1] < found[0] < 1


def test_ms_ssim_takes_two_real_images_of_a_class():
    request = metrics.Request(99, 4, ("a", "b"), False, 0, lambda: np.array([50, 49]))
    metrics.METRICS["ms_ssim"].check(request._replace(real=(1, 2)))
    with pytest.raises(BadInput, match="no class has two real images in .* held_out"):
        metrics.METRICS["ms_ssim"].check(
            request._replace(real=(1, 1), split="held_out")
        )


@pytest.mark.parametrize("count", [800, 5000])  # fewer and more than are kept
def test_ms_ssim_pairs_images_of_a_class_wherever_they_come(count):
    """Each class of real images is black in its first half and white in the other."""
    request = metrics.Request(count, 4, ("a", "b"), False, 0, None)
    white = np.uint8(255 * (np.arange(count) // (count // 4) % 2))
    images = np.broadcast_to(white[:, None, None, None], (count, 16, 16, 3))
    batch = metrics.Batch(images, None, None, np.arange(count) // (count // 2))
    observer = metrics.METRICS["ms_ssim"].observer(request, 0)
    observer.update(batch)
    reference = metrics.Reference(None, {"ms_ssim": observer}, None, 0)
    score = metrics.METRICS["ms_ssim"](request, reference)
    score.update(batch._replace(images=np.zeros_like(images)))
    alone = metrics.METRICS["ms_ssim"].observer(request, 0)
    alone.update(metrics.Batch(images[:1], None, None, np.zeros(1, int)))
    with pytest.raises(BadInput, match="no class has 2 images"):
        metrics.METRICS["ms_ssim"](request, reference._replace(seen={"ms_ssim": alone}))
    found = score.result()
    assert found["ms_ssim"] == pytest.approx(1)
    assert found["ms_ssim_real"] == pytest.approx(0.5, abs=0.05)
    assert len(observer.similarities) == min(1000, count // 2)


# Standard errors


def test_the_influence_of_an_image_on_fid_is_its_slope(random):
    """Of FID in the image's weight, by differences; one feature is twice there."""
    real, rows = statistics(features(random, 90, 10)), features(random, 200, 10, 0.1)
    rows[:, 0] = rows[:, 1]

    def fid(weights):
        weights = weights / weights.sum()
        mean = weights @ rows
        spread = (rows - mean).T * weights @ (rows - mean)
        fake = metrics.FeatureStatistics.of_moments(mean, spread, {})
        return metrics.frechet_distance(real, fake)

    steps = 1e-3 * np.eye(200)
    slopes = [(fid(1 + step) - fid(1 - step)) / 2e-3 for step in steps]
    score = metrics.METRICS["fid"](None, metrics.Reference(real, (), None, 0))
    score.update(metrics.Batch(None, rows, None, None))
    expected = np.linalg.norm(slopes)
    assert score.result()["fid_se"] == pytest.approx(expected, rel=5e-3)


def test_the_error_of_kid_leaves_out_each_image(random):
    real, fake = features(random, 30, 5), features(random, 20, 5, 0.3)
    score = kid(real, block_size=20)
    score.update(metrics.Batch(None, fake, None, None))
    block = score._real[score._order[:20]].astype(float)
    left = [metrics.squared_mmd(block, np.delete(fake, i, 0)) for i in range(20)]
    expected = (19 * np.var(left)) ** 0.5
    assert score.result()["kid_se"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["fid", "sfid", "fid_infinity", "intra_fid", "kid", "is", "prdc", "prd"]
)
def test_a_standard_error_is_how_far_scores_stray(name):
    """From one set of 400 generated images to another, beside the same real ones."""
    real = features(np.random.default_rng(1), 400, 4)
    of_real, labels = statistics(real, keep=400), np.arange(400) % 2
    of_real.spatial = of_real
    request = metrics.Request(400, 4, ("a", "b"), False, 400, None)
    observer, found = metrics.METRICS[name].observer(request, 0), []
    if observer:
        observer.update(metrics.Batch(None, real, None, labels))
    reference = metrics.Reference(of_real, {name: observer}, None, 0)
    for seed in range(40):
        rows = features(np.random.default_rng(seed), 400, 4, 0.3) * 1.2
        score = metrics.METRICS[name](request, reference)
        score.update(metrics.Batch(None, rows, 4 * rows, labels, rows))
        found.append(score.result())
    assert list(found[0]) == list(metrics.METRICS[name].scores(request))
    for error in [one for one in found[0] if one.endswith("_se")]:
        strays = np.std([scores[error[: -len("_se")]] for scores in found])
        told = np.mean([scores[error] for scores in found])
        assert 0.75 < told / strays < 1.4, (error, told, strays)


# Neighbours and diversity


def test_nearest_neighbours_of_a_stream(random):
    queries, rows = random.normal(size=(7, 5)), random.normal(size=(103, 5))
    search = metrics.NearestNeighbours(queries, 4)
    for start in range(0, 103, 20):
        search.update(rows[start : start + 20], np.arange(103)[start : start + 20])
    expected = [np.argsort(((query - rows) ** 2).sum(1))[:4] for query in queries]
    np.testing.assert_array_equal(search.found, expected)
