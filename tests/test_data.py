"""What every source promises, on real files; and the front door's refusals."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from biggan_tf import config, data
from biggan_tf.data import embedded, memory, order
from biggan_tf.data.resizing import resized
from biggan_tf.errors import BadInput

COUNT = 26  # images in a training split made here


def picture(number: int) -> np.ndarray:
    """Image that tells its number (red) and whether it is mirrored (green)."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = number * 5
    image[:, :16, 1] = 255
    return image


def numbers(*images: np.ndarray) -> list[int]:
    return (
        np.round((np.concatenate(images)[:, 0, 0, 0] + 1) * 25.5).astype(int).tolist()
    )


def mirrored(images: np.ndarray) -> np.ndarray:
    return images[:, 0, 0, 1] < 0


class NumberedPictures(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set of pictures, prepared in three files."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["even", "odd"]),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, COUNT),
            "test": self._generate_examples(COUNT, COUNT + 6),
        }

    def _generate_examples(self, first, last):
        for number in range(first, last):
            yield number, {"image": picture(number), "label": number % 2}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """What `load` takes for each source; both made here have COUNT training images."""
    prepared = tmp_path_factory.mktemp("tfds")
    tfds.builder("numbered_pictures", data_dir=prepared).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    folder = tmp_path_factory.mktemp("folder")
    for number in range(COUNT + 6):
        path = folder / ("odd" if number % 2 else "even") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    return {
        "embedded": {},
        "tfds": {"name": "numbered_pictures", "data_dir": str(prepared)},
        "folder": {"path": str(folder), "held_out_fraction": 0.2},
    }


@pytest.fixture(params=["embedded", "tfds", "folder"])
def any_source(request, arguments):
    return lambda **more: data.load(
        image_size=32, source=request.param, **arguments[request.param], **more
    )


def test_some_images_are_spread_over_all(any_source):
    source = any_source()
    size = source.spec.held_out_images
    for count in (1, size * 2 // 3, size + 9):
        batches = source.spread("held_out", count).batch(1000)
        labels = np.concatenate([labels for _, labels in batches])
        assert len(labels) == min(count, size)
        if source.spec.source != "tfds" and count > 1:  # TFDS shuffles its files
            assert np.ptp(np.bincount(labels)) <= 1


@pytest.fixture(params=["tfds", "folder"])
def small_source(request, arguments):
    given = {"image_size": 32, "source": request.param, **arguments[request.param]}
    return lambda **more: data.load(**{**given, **more})


def take(batches: tf.data.Dataset, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(batches.take(count).as_numpy_iterator())


def assert_same(left, right):
    assert len(left) == len(right)
    for (left_image, left_label), (right_image, right_label) in zip(left, right):
        np.testing.assert_array_equal(left_image, right_image)
        np.testing.assert_array_equal(left_label, right_label)


def test_batches_are_what_the_rooms_agreed_on(any_source):
    source = any_source(flip=True)
    source.check_ready()
    assert source.train_batches(4, seed=0).element_spec == (
        tf.TensorSpec([4, 32, 32, 3], tf.float32),
        tf.TensorSpec([4], tf.int32),
    )
    images, labels = zip(*source.batches("held_out", 100).as_numpy_iterator())
    images, labels = np.concatenate(images), np.concatenate(labels)
    assert images.shape == (source.spec.held_out_images, 32, 32, 3)
    assert images.dtype == np.float32
    assert images.min() == -1
    assert images.max() == 1
    assert labels.dtype == np.int32
    assert set(labels) == set(range(source.spec.num_classes))
    assert len(source.spec.class_names) == source.spec.num_classes


def test_ordered_passes_are_whole_repeatable_and_never_mirrored(small_source):
    source = small_source(flip=True)
    batches = take(source.batches("train", 10), 9)
    assert [len(label) for _, label in batches] == [10, 10, 6]
    assert_same(batches, take(source.batches("train", 10), 9))
    train = numbers(*(image for image, _ in batches))
    ((image, label),) = source.batches("held_out", 10).as_numpy_iterator()
    assert not mirrored(image).any()
    assert len(label) == source.spec.held_out_images == 6
    assert sorted(train + numbers(image)) == list(range(COUNT + 6))
    np.testing.assert_array_equal(np.array(numbers(image)) % 2, label)


def test_every_epoch_is_another_permutation(small_source):
    batches = take(small_source().train_batches(13, seed=3), 8)
    seen = numbers(*(image for image, _ in batches))
    epochs = [seen[at : at + COUNT] for at in range(0, len(seen), COUNT)]
    everything = sorted(epochs[0])
    assert len(set(everything)) == COUNT
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    # Neighbours in one epoch are not neighbours in the next: no file stays together.
    pairs = [set(zip(epoch, epoch[1:])) for epoch in epochs]
    assert len(pairs[0] & pairs[1]) < COUNT / 4


def test_an_epoch_of_the_embedded_set_is_balanced():
    labels = [
        y for _, y in take(data.load(image_size=32).train_batches(500, seed=1), 16)
    ]
    assert set(np.bincount(np.concatenate(labels))) == {embedded.TRAIN_PER_CLASS}
    assert min(np.bincount(labels[0])) > 20  # of 50: batches are mixed


@pytest.mark.parametrize("first_batch", [1, 2, 7, 11])
def test_resumed_stream_is_the_stream_it_would_have_been(any_source, first_batch):
    source = any_source(flip=True)  # small sources: 3.25 batches an epoch
    whole = take(source.train_batches(8, seed=5), first_batch + 3)
    resumed = source.train_batches(8, seed=5, first_batch=first_batch)
    assert_same(whole[first_batch:], take(resumed, 3))


def test_resumes_at_the_seam_of_embedded_epochs():
    source = data.load(image_size=32, flip=True)
    before = take(source.train_batches(300, seed=5, first_batch=25), 4)
    assert_same(before[1:], take(source.train_batches(300, 5, first_batch=26), 3))


@pytest.mark.parametrize(("replicas", "pipelines"), [(1, 1), (2, 1), (4, 1), (4, 2)])
def test_replicas_together_see_what_one_device_sees(any_source, replicas, pipelines):
    source = any_source(flip=True)
    local = replicas // pipelines
    first_batch, batches = 2, 5
    slices = {}
    for pipeline in range(pipelines):
        context = tf.distribute.InputContext(pipelines, pipeline, replicas)
        elements = take(
            source.train_batches(8, 5, first_batch, context), batches * local
        )
        for number, element in enumerate(elements):
            batch, replica = divmod(number, local)
            slices[batch, pipeline * local + replica] = element
    together = [
        tuple(
            np.concatenate(
                [slices[batch, replica][element] for replica in range(replicas)]
            )
            for element in (0, 1)
        )
        for batch in range(batches)
    ]
    assert_same(take(source.train_batches(8, 5, first_batch), batches), together)


def test_mirrored_strategy_gives_each_replica_its_slice():
    source = data.load(image_size=32, flip=True)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    distributed = iter(
        strategy.distribute_datasets_from_function(
            lambda context: source.train_batches(8, seed=5, context=context)
        )
    )
    for image, label in take(source.train_batches(8, seed=5), 3):
        images, labels = next(distributed)
        np.testing.assert_array_equal(image, np.concatenate(images.values))
        np.testing.assert_array_equal(label, np.concatenate(labels.values))


def test_seed_and_nothing_else_decides_the_stream(any_source):
    source = any_source(flip=True)
    stream = take(source.train_batches(8, seed=5), 4)
    other = take(source.train_batches(8, seed=6), 4)
    assert any((a != b).any() for (a, _), (b, _) in zip(stream, other))
    try:
        for global_seed in (0, 7):
            tf.random.set_seed(global_seed)
            assert_same(stream, take(source.train_batches(8, seed=5), 4))
    finally:
        tf.random.set_seed(None)


@pytest.mark.parametrize("kept", [False, True])
def test_half_are_mirrored_anew_in_each_epoch(small_source, kept):
    source = small_source(flip=True)
    if kept:
        source.keep_in_memory()
    stream = take(source.train_batches(COUNT, seed=0), 8)
    by_number = [mirrored(x)[np.argsort(numbers(x))] for x, _ in stream]
    assert 0.35 < np.mean(by_number) < 0.65
    assert len({tuple(epoch) for epoch in by_number}) == 8
    unflipped = take(small_source().train_batches(COUNT, seed=0), 8)
    assert [numbers(x) for x, _ in unflipped] == [numbers(x) for x, _ in stream]
    assert not any(mirrored(x).any() for x, _ in unflipped)


def test_numbers_are_the_same_from_files_and_from_memory(small_source):
    of_files, of_memory = (small_source(image_size=21, flip=True) for _ in range(2))
    to_judge = of_memory.unflipped()  # made earlier, it reads the same memory
    of_memory.keep_in_memory()
    assert of_memory.in_memory
    assert to_judge.in_memory
    assert not of_files.in_memory
    whole = take(of_files.train_batches(8, seed=5), 12)  # 3.25 batches an epoch
    levels = (np.concatenate([x for x, _ in whole]) + 1) * 127.5
    assert len(np.unique(levels[..., 1].round())) > 2  # resizing made other levels
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    for first_batch in (0, 2, 7):  # in the first epoch, and later
        resumed = of_memory.train_batches(8, seed=5, first_batch=first_batch)
        assert_same(whole[first_batch:], take(resumed, 12 - first_batch))
    second_of_two = tf.distribute.InputContext(2, 1, 4)
    assert_same(
        take(of_files.train_batches(8, 5, 3, second_of_two), 9),
        take(of_memory.train_batches(8, 5, 3, second_of_two), 9),
    )
    assert_same(
        take(of_files.unflipped().train_batches(8, seed=5), 5),
        take(to_judge.train_batches(8, seed=5), 5),
    )


def test_images_are_kept_only_if_they_fit(small_source):
    once = "training of more than an epoch decodes its images once and keeps them"
    needed = COUNT * 32 * 32 * 3
    for share, said in (
        (0.5, f"{once}: 0.000 GiB, within"),
        (needed / 2**60, "training decodes its images anew in every epoch: 0.000 GiB"),
        (0.0, ""),
    ):
        source = small_source(memory_share=share)
        source.keep_in_memory()
        assert source.in_memory == (share == 0.5)
        last = source.remarks()[-1]
        assert last.startswith(said)
        assert last.startswith("training") == bool(said)


@pytest.mark.parametrize(
    ("folder", "limit", "usage"),
    [
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_what_a_container_takes_is_not_free(
    tmp_path, monkeypatch, folder, limit, usage
):
    free, where = memory.available(), tmp_path / folder
    where.mkdir(exist_ok=True)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    (where / usage).write_text("7000000\n")
    (where / "memory.stat").write_text("anon 5\ninactive_file 2000000\n")
    for most, expected in (("9000000", 4e6), ("1000000", 0), ("max", None)):
        (where / limit).write_text(f"{most}\n")
        found = memory.available()
        assert found == expected if expected is not None else found > 0.5 * free


def test_a_request_to_stop_ends_the_decoding(small_source):
    source = small_source()
    source.keep_in_memory(stop=[15])
    assert not source.in_memory
    assert len(take(source.train_batches(8, seed=5), 4)) == 4


def test_a_run_that_began_with_fractions_keeps_them(small_source):
    spec = dataclasses.replace(small_source(image_size=21).spec, rounded=False)
    early = small_source(image_size=21, before=spec)
    assert early.spec == spec
    early.keep_in_memory()
    assert not early.in_memory
    assert "this run began with fractions of 8-bit levels" in early.remarks()[-1]
    ((images, _),) = take(early.train_batches(COUNT, seed=5), 1)
    exact = [resized(picture(n), 21) / 127.5 - 1 for n in numbers(images)]
    np.testing.assert_array_equal(images, exact)
    levels = (images + 1) * 127.5
    assert abs(levels - levels.round()).max() > 0.1
    # Scores compare whole levels, whatever a run began with.
    ((judged, _),) = take(early.unflipped().train_batches(COUNT, seed=5), 1)
    levels = (judged + 1) * 127.5
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)


def test_no_order_comes_twice():
    """Of the epochs of a long run, nor of seeds."""
    count, seeds = 50, (5, 261, 517, 2**40 + 5, 2**63 - 251)
    position = tf.range(700 * count, dtype=tf.int64)
    epochs = order.shuffled_index(position, count, seed=5).numpy().reshape(700, count)
    firsts = [order.shuffled_index(position[:count], count, seed) for seed in seeds]
    assert len({tuple(each) for each in epochs}) == 700
    assert len({tuple(each.numpy()) for each in firsts}) == len(seeds)
    assert (np.sort(epochs) == np.arange(count)).all()


def test_orders_and_coins_look_random():
    count = 50_000  # the size at which 4 rounds of the cipher fail plainly
    position = tf.range(2 * count, dtype=tf.int64)
    epochs = order.shuffled_index(position, count, seed=5).numpy().reshape(2, count)
    assert (np.sort(epochs) == np.arange(count)).all()
    coins = order.coin(position, seed=5).numpy().astype(float)

    def correlation(left, right):
        return abs(np.corrcoef(left, right)[0, 1])

    limit = 5 / count**0.5  # five standard deviations
    assert correlation(*epochs) < limit
    assert correlation(epochs[0, 1:], epochs[0, :-1]) < limit
    assert abs(coins.mean() - 0.5) < limit
    for distance in (1, 2, 8, 64, count):
        assert correlation(coins[distance:], coins[:-distance]) < limit


@pytest.mark.parametrize("image_size", [32, 64])
def test_embedded_images_keep_their_black_margin(image_size):
    ((image, _),) = take(data.load(image_size=image_size).batches("held_out", 2000), 1)
    margin = image_size // 16 - (image_size > 32)  # enlarging blends the edge
    assert image.shape == (2000, image_size, image_size, 3)
    assert (image[:, :margin] == -1).all()
    assert (image[:, :, -margin:] == -1).all()
    assert (image[..., 0] == image[..., 2]).all()
    assert image.mean() > -0.7


def test_embedded_set_is_small_balanced_and_split_apart():
    assert embedded.FILE.stat().st_size <= 4_000_000
    assert "MIT License" in embedded.FILE.with_name("fashion_mnist.LICENSE").read_text()
    source = data.load(image_size=32)
    ((train, train_label),) = take(source.batches("train", 8000), 1)
    ((held_out, held_out_label),) = take(source.batches("held_out", 2000), 1)
    train, held_out = train[..., 0], held_out[..., 0]
    assert np.bincount(train_label).tolist() == [800] * 10
    assert np.bincount(held_out_label).tolist() == [200] * 10
    assert not {x.tobytes() for x in train} & {x.tobytes() for x in held_out}
    # Images have their own labels: the nearest class mean is mostly right.
    means = train.reshape(10, 800, -1).mean(axis=1)
    nearest = (
        held_out.reshape(2000, -1) @ means.T - (means**2).sum(axis=1) / 2
    ).argmax(1)
    assert np.mean(nearest == held_out_label) > 0.6


def test_batch_that_does_not_divide_is_refused():
    context = tf.distribute.InputContext(1, 0, 4)
    with pytest.raises(BadInput, match=r"batch size = 10: take a multiple of 4,"):
        data.load(image_size=32).train_batches(10, seed=0, context=context)


def test_gin_binds_the_front_door():
    config.parse([], ["data.image_size = 64", "data.flip = True"])
    assert data.load().spec.image_size == 64


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"image_size": 7},
            r"data\.image_size = 7: take a whole number from 8 to 4,096",
        ),
        ({"image_size": 64.0}, r"data\.image_size = 64\.0: take a whole number"),
        ({"source": "lsun"}, r"data\.source = 'lsun': .* 'embedded', 'tfds', 'folder'"),
        ({"name": "cifar10"}, r"data\.name = 'cifar10': leave it out; .* 'embedded'"),
        ({"path": "/x"}, r"data\.path = '/x': leave it out; .* 'embedded'"),
        (
            {"source": "folder", "path": "x", "split": "a"},
            r"data\.split = 'a': leave it out; "
            r".*takes path or held_out_fraction or labels\.",
        ),
        ({"source": "folder"}, r"data\.path = None: data.source = 'folder' needs it"),
        ({"source": "tfds"}, r"data\.name = None: data.source = 'tfds' needs it"),
        (
            {"source": "folder", "path": "x", "held_out_fraction": 1.0},
            r"data\.held_out_fraction = 1\.0: take a number from 1e-06 to 0\.99",
        ),
        (
            {
                "source": "tfds",
                "name": "cifar10",
                "held_out_fraction": 0.1,
                "held_out_split": "test",
            },
            r"data\.held_out_fraction = 0\.1: .*data\.held_out_split = 'test'",
        ),
    ],
)
def test_front_door_refuses(wrong, said):
    with pytest.raises(BadInput, match=said):
        data.load(**{"image_size": 32, **wrong})


def test_only_the_source_that_is_asked_for_is_imported():
    program = (
        "import sys; from biggan_tf import data; data.load(image_size=32);"
        "raise SystemExit('tensorflow_datasets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("kind", ["tfds", "folder"])
def test_flags_name_data(arguments, kind):
    which = arguments[kind].get("name") or arguments[kind].get("path")
    data_dir = arguments[kind].get("data_dir")
    config.parse([], [f"data.data_dir = {data_dir!r}", "data.flip = True"])
    named = data.named(f"{kind}:{which}", 32, "--data")
    assert (named.spec.source, named.spec.name) == (kind, which)
    assert not named.spec.own_classes
    for _, (image, _) in zip(range(3), named.train_batches(8, seed=0)):
        assert not mirrored(image.numpy()).any()


def test_flags_name_embedded_data_or_are_refused():
    spec = data.named("embedded", 64, "--data").spec
    assert (spec.source, spec.image_size, spec.own_classes) == ("embedded", 64, True)
    for wrong in ("lsun", "tfds", "tfds:", "folder", "embedded:x", ""):
        with pytest.raises(BadInput, match=f"^--data={wrong}: take one of embedded, "):
            data.named(wrong, 32, "--data")
