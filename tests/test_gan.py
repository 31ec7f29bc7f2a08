"""One step is the paper's, on any number of replicas, and a tick is its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tiny import specs

from biggan_tf import gan as gan_module
from biggan_tf import layers, losses, networks
from biggan_tf import update as update_module
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.errors import BadInput
from biggan_tf.gan import SCALARS, Gan, GanOptions
from biggan_tf.keras import keras
from biggan_tf.latents import Draws, LatentOptions
from biggan_tf.regularisers import (
    R1,
    Consistency,
    EmbeddingDecay,
    LeCam,
    Orthogonal,
    Regulariser,
    Sigma0,
)

BATCH = 8
D_STEPS = 2
SEED = np.array([5, 0], np.int32)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, size=(20 * BATCH, 32, 32, 3)).astype("float32")
LABELS = RNG.integers(0, 3, size=20 * BATCH).astype("int32")
REAL = IMAGES[:BATCH], LABELS[:BATCH]
UNBALANCED = LatentOptions(counts=(1, 2, 3))


class SgdGan(Gan):
    """Adam divides by the gradient's size, and so hides a forgotten scaling."""

    def _adam(self, learning_rate: float) -> keras.optimizers.legacy.SGD:
        return keras.optimizers.legacy.SGD(learning_rate)


def make(
    kind: type[Gan] = Gan,
    micro_batches: int = 1,
    regularisers: Sequence[Regulariser] = (),
    latent_options: LatentOptions | None = None,
    recompute: bool = False,
    **options: Any,
) -> Gan:
    keras.utils.set_random_seed(1)
    generator, discriminator = specs(recompute=recompute)
    gan = kind(
        networks.build(generator),
        networks.build(discriminator),
        GanOptions(**{"discriminator_steps": D_STEPS, **options}),
        BATCH,
        micro_batches=micro_batches,
        latent_options=latent_options,
        regularisers=regularisers,
    )
    for network in (gan.generator, gan.discriminator):
        for variable in network.variables:
            if "gamma" in variable.name:  # else attention would do nothing
                variable.assign(0.5)
    return gan


def state(gan: Gan) -> list[tf.Variable]:
    """Everything that a step changes."""
    return [
        *gan.generator.variables,
        *gan.discriminator.variables,
        *gan.generator_optimizer.variables(),
        *gan.generator_optimizer._optimizer.variables(),
        *gan.discriminator_optimizer.variables(),
        *gan.averages,
        *([] if gan.augmented_share is None else [gan.augmented_share]),
        gan.step,
    ]


def values(variables: list[tf.Variable]) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def assign(variables: list[tf.Variable], saved: list[np.ndarray]) -> None:
    for variable, value in zip(variables, saved):
        variable.assign(value)


def changed(variables: list[tf.Variable], before: list[np.ndarray]) -> list[bool]:
    return [bool(np.any(now != then)) for now, then in zip(values(variables), before)]


def stream(images: np.ndarray = IMAGES, batch: int = BATCH) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(batch)


class Repeated:
    """Batches that are all the same."""

    @staticmethod
    def get_next() -> tuple:
        return REAL


def update_discriminator(gan: Gan) -> dict:
    return gan.update_discriminator(lambda: REAL, SEED)


def update_generator(gan: Gan) -> dict:
    return gan.update_generator(tuple, SEED)


def tick(gan: Gan, steps: list[int], images: np.ndarray = IMAGES) -> list[dict]:
    batches = iter(stream(images))
    return [gan.train(batches, tf.constant(count)) for count in steps]


@pytest.fixture(scope="module")
def shared():
    gan = make(
        ema_decay=0.75,
        ema_start_step=2,
        generator_learning_rate=1e-3,
        discriminator_learning_rate=4e-3,
    )
    return gan, values(state(gan))


@pytest.fixture
def gan(shared):
    """One GAN for all tests, so that it is traced once, as it was when new."""
    gan, initial = shared
    assign(state(gan), initial)
    return gan


# --- replicas -------------------------------------------------------------------------


def make_sgd(micro_batches: int = 1, **options: Any) -> Gan:
    return make(
        SgdGan,
        micro_batches,
        **{
            "discriminator_steps": 1,
            "generator_learning_rate": 0.005,
            "discriminator_learning_rate": 0.005,
            "regularisers": [Orthogonal(weight=1e-2)],
            "ema_decay": 0.75,
            "ema_start_step": 2,
            **options,
        },
    )


def trained_on(
    replicas: int,
    start: list | None = None,
    micro_batches: int = 1,
    steps: int = 7,
    **options: Any,
) -> tuple[list, list]:
    """State before and after some steps of gradient descent."""
    # Keys of its own: two strategies of one process would mix up their collectives.
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    return descended(strategy, start, micro_batches, steps, **options)


def descended(
    strategy: tf.distribute.Strategy,
    start: list | None = None,
    micro_batches: int = 1,
    steps: int = 7,
    **options: Any,
) -> tuple[list, list]:
    with strategy.scope():
        gan = make_sgd(micro_batches, **options)
        assign(state(gan), start or [])
        before = values(state(gan))
        data = stream(batch=BATCH // micro_batches)
        batches = iter(strategy.experimental_distribute_dataset(data))
        scalars = gan.train(batches, tf.constant(steps))
    for variable in state(gan):
        copies = values(strategy.experimental_local_results(variable))
        assert all(np.array_equal(copies[0], copy) for copy in copies), variable.name
    return before, [*values(state(gan)), *(scalars[name] for name in SCALARS)]


def test_a_checkpoint_restores_every_replica_s_copy(tmp_path):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        options = {"augment": ("color",), "augment_target": 0.8}
        some = [LeCam(weight=0.1)]
        before, after = (make(regularisers=some, **options) for _ in range(2))
        for index, variable in enumerate(state(before)):
            variable.assign(tf.cast(tf.fill(variable.shape, index + 3), variable.dtype))
    Checkpoints(tmp_path, before).save(int(before.step.numpy()))
    assert Checkpoints(tmp_path, after).restore_latest()
    for index, variable in enumerate(state(after)):
        for copy in values(strategy.experimental_local_results(variable)):
            np.testing.assert_array_equal(copy, index + 3, variable.name)


# --- the two updates ------------------------------------------------------------------


@pytest.mark.parametrize(("replicas", "micro_batches"), [(1, 4), (2, 2)])
def test_micro_batches_make_the_update_of_the_whole_batch(
    replicas, micro_batches, monkeypatch
):
    """But for batch norm, whose statistics are those of a micro-batch: fixed here.

    Labels are as in unbalanced data.
    """
    monkeypatch.setattr(gan_module, "batch_statistics", layers.running_statistics)
    options = {"latent_options": UNBALANCED}
    whole = make_sgd(**options)
    before = values(state(whole))
    scalars = whole.train_step(Repeated)
    whole.step.assign_add(1)
    _, divided = trained_on(replicas, before, micro_batches, steps=1, **options)
    expected = [*values(state(whole)), *(scalars[name] for name in SCALARS)]
    for now, then in zip(divided, expected):
        scale = max(1.0, np.abs(then).max())
        np.testing.assert_allclose(now, then, atol=1e-5 * scale)


def test_an_update_of_d_moves_no_weight_of_g(gan):
    g, d = gan.generator, gan.discriminator
    before = values(g.trainable_variables), values(d.trainable_variables)
    averages = values(gan.averaged_weights())
    statistics = values([norm.moving_mean for norm in layers.batch_norms(g)])
    update_discriminator(gan)
    assert not any(changed(g.trainable_variables, before[0]))
    assert all(changed(d.trainable_variables, before[1]))
    assert not any(changed(gan.averaged_weights(), averages))
    # G runs in training mode all the same.
    assert all(changed([n.moving_mean for n in layers.batch_norms(g)], statistics))


def test_an_update_of_g_moves_no_weight_of_d(gan):
    g, d = gan.generator, gan.discriminator
    before = values(g.trainable_variables), values(d.trainable_variables)
    update_generator(gan)
    assert all(changed(g.trainable_variables, before[0]))
    assert not any(changed(d.trainable_variables, before[1]))


def test_d_sees_fake_and_real_in_one_pass(gan):
    spectral = layers.spectral_layers(gan.discriminator)
    expected = [
        layers.power_iteration(layer.matrix(), layer.u, layer.sn_epsilon)[0].numpy()
        for layer in spectral
    ]
    update_discriminator(gan)
    for layer, u in zip(spectral, expected):
        np.testing.assert_allclose(layer.u, u, atol=1e-6)


@pytest.mark.parametrize("loss", losses.ADVERSARIAL)
def test_the_losses_are_those_of_independent_passes(loss, gan, monkeypatch):
    d_loss, g_loss, halfway, _ = losses.ADVERSARIAL[loss]
    assert halfway == (0.5 if loss == "least_squares" else 0)
    monkeypatch.setattr(gan, "loss", losses.ADVERSARIAL[loss])
    z, y = gan.draw(Draws(SEED, BATCH))
    fake = gan.generator(z, y, statistics=layers.batch_statistics)
    # Fakes go with their own labels.
    fake_logits = gan.discriminator(fake, y)
    real_logits = gan.discriminator(*REAL)
    real_loss, fake_loss = d_loss(real_logits, fake_logits)
    start = values(state(gan))
    scalars = update_discriminator(gan)
    for name, right in {
        "loss/discriminator_real": real_loss,
        "loss/discriminator_fake": fake_loss,
        "loss/discriminator": real_loss + fake_loss,
        "accuracy/real": np.mean(real_logits > halfway),
        "accuracy/fake": np.mean(fake_logits < halfway),
    }.items():
        np.testing.assert_allclose(scalars[name], right, rtol=1e-4, err_msg=name)
    assign(state(gan), start)
    scalars = update_generator(gan)
    np.testing.assert_allclose(
        scalars["loss/generator"], g_loss(fake_logits), rtol=1e-4
    )


def test_every_update_draws_anew_and_every_step_again_the_same(gan, monkeypatch):
    draws = []
    draw = gan.draw

    def record(of_update: Draws) -> tuple[tf.Tensor, tf.Tensor]:
        draws.append(draw(of_update))
        return draws[-1]

    monkeypatch.setattr(gan, "draw", record)
    for step in (0, 1, 0):
        gan.step.assign(step)
        gan.train_step(Repeated)
    assert len(draws) == 3 * (D_STEPS + 1)
    for z, y in draws:
        assert z.shape == (BATCH, 8)
        assert (y.dtype, y.shape) == (tf.int32, (BATCH,))
    latent = [tuple(z.numpy().ravel()) for z, _ in draws]
    label = [tuple(y.numpy()) for _, y in draws]
    first, last = slice(0, D_STEPS + 1), slice(-D_STEPS - 1, None)
    assert latent[first] == latent[last]
    assert label[first] == label[last]
    assert len(set(latent)) == len(set(label)) == 2 * (D_STEPS + 1)
    assert tuple(REAL[1]) not in label


def test_fakes_are_of_classes_as_frequent_as_in_unbalanced_data(gan, monkeypatch):
    monkeypatch.setattr(gan, "latent_options", UNBALANCED)
    _, y = gan.draw(Draws(SEED, 6000))
    counts = np.bincount(y, minlength=3)
    np.testing.assert_allclose(counts, [1000, 2000, 3000], rtol=0.15)


def test_adam_has_each_network_s_own_rate(gan):
    """The first step of Adam with beta1 = 0 moves each weight by about its rate."""
    options = gan.options
    for update, network, rate in (
        (
            lambda: update_discriminator(gan),
            gan.discriminator,
            options.discriminator_learning_rate,
        ),
        (
            lambda: update_generator(gan),
            gan.generator,
            options.generator_learning_rate,
        ),
    ):
        before = values(network.trainable_variables)
        update()
        moves = [
            np.abs(now - then).max()
            for now, then in zip(values(network.trainable_variables), before)
        ]
        np.testing.assert_allclose(np.median(moves), rate, rtol=0.02)
        assert max(moves) < 1.01 * rate
    for optimizer in (gan.generator_optimizer._optimizer, gan.discriminator_optimizer):
        config = optimizer.get_config()
        assert config["epsilon"] == options.adam_epsilon
        np.testing.assert_allclose(
            [config["beta_1"], config["beta_2"]], [options.beta1, options.beta2]
        )


def test_set_rates_brings_those_of_the_options_back(gan):
    optimizers = gan.generator_optimizer._optimizer, gan.discriminator_optimizer
    for optimizer in optimizers:
        optimizer.learning_rate = 0.5
    gan.set_rates()
    rates = [optimizer.learning_rate.numpy() for optimizer in optimizers]
    np.testing.assert_allclose(rates, [1e-3, 4e-3])


# --- orthogonal regularisation --------------------------------------------------------


def test_orthogonal_penalty_takes_every_raw_kernel_but_the_embedding(gan):
    total = 0.0
    for variable in gan.generator.trainable_variables:
        if variable.shape.rank < 2 or "embedding" in variable.name:
            continue
        matrix = variable.numpy().astype("float64").reshape(-1, variable.shape[-1])
        gram = matrix.T @ matrix
        total += np.sum((gram - np.diag(np.diag(gram))) ** 2)
    penalty = Orthogonal(weight=1.0).generator_penalty(gan.generator)
    np.testing.assert_allclose(penalty, total, rtol=1e-5, atol=1e-6)
    assert total > 1


def test_orthogonal_penalty_adds_its_gradient_to_the_raw_weights():
    beta, rate = 0.05, 0.1
    gan = make(
        SgdGan, regularisers=[Orthogonal(weight=beta)], generator_learning_rate=rate
    )
    variables = gan.generator.trainable_variables
    start, raw = values(state(gan)), values(variables)
    with_penalty = update_generator(gan)
    moved = values(variables)
    assign(state(gan), start)
    gan.regularisers = ()
    without = update_generator(gan)
    np.testing.assert_allclose(
        with_penalty["loss/generator"], without["loss/generator"], rtol=1e-6
    )
    for variable, ours, begin in zip(variables, moved, raw):
        expected = np.zeros(variable.shape)
        if variable.shape.rank >= 2 and "embedding" not in variable.name:
            matrix = begin.reshape(-1, variable.shape[-1]).astype("float64")
            gram = matrix.T @ matrix
            gradient = 4 * beta * matrix @ (gram - np.diag(np.diag(gram)))
            expected = -rate * gradient.reshape(variable.shape)
        np.testing.assert_allclose(
            ours - variable.numpy(), expected, atol=1e-5, err_msg=variable.name
        )


# --- regularisers and freezing --------------------------------------------------------

EVERYTHING = {
    "discriminator_dropout": 0.2,
    "augment": ("color", "translation", "cutout"),
    "augment_target": 0.55,
    "augment_images": 20,
}


def every_regulariser() -> list[Regulariser]:
    return [
        Orthogonal(weight=1e-2, form="full"),
        Sigma0(clamp=True, ratio=1.0),
        R1(weight=0.1, every_steps=2),
        EmbeddingDecay(weight=1e-2),
        Consistency(weight=0.5),
        LeCam(weight=0.1, decay=0.5),
    ]


def test_four_replicas_train_as_one_with_every_regulariser():
    options = {"steps": 3, **EVERYTHING}
    before, one = trained_on(1, regularisers=every_regulariser(), **options)
    _, four = trained_on(4, before, regularisers=every_regulariser(), **options)
    assert len(one) == len(before) + len(SCALARS)
    moved = [np.abs(now - then).max() for now, then in zip(one, before)]
    assert np.median(moved) > 1e-3
    for value, right in zip(four, one):
        scale = max(1.0, np.abs(right).max())
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-5 * scale)


def test_two_replicas_recompute_what_one_keeps():
    some = [Orthogonal(weight=1e-2), R1(weight=0.1, every_steps=2)]
    options = {"steps": 2, "regularisers": some}
    before, one = trained_on(1, **options)
    _, two = trained_on(2, before, recompute=True, **options)
    for value, right in zip(two, one):
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("start_step", "decay"), [(0, 0.75), (5, 0.0)])
def test_the_average_takes_clamped_weights(start_step, decay):
    clamp = Sigma0(clamp=True, target=0.5)
    options = {"ema_decay": 0.75, "ema_start_step": start_step}
    gan = make(regularisers=[clamp], **options)
    before = values(gan.averaged_weights())
    update_generator(gan)
    weights = gan.generator.trainable_variables
    for average, weight, old in zip(gan.averaged_weights(), weights, before):
        right = decay * old + (1 - decay) * weight
        np.testing.assert_allclose(average, right, atol=1e-5)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_what_is_frozen_does_not_move(name):
    """Bitwise: weights, u, sigma, statistics, moving average, optimiser."""
    gan = make(**{f"freeze_{name}": True})
    frozen, trained = (
        [
            *network.variables,
            *optimizer.variables(),
            *getattr(optimizer, "_optimizer", optimizer).variables(),
        ]
        for network, optimizer in sorted(
            (
                (gan.generator, gan.generator_optimizer),
                (gan.discriminator, gan.discriminator_optimizer),
            ),
            key=lambda pair: pair[0].name != name,
        )
    )
    before = values(frozen), values(trained)
    gan.train_step(Repeated)
    assert not any(changed(frozen, before[0]))
    # All but what G's one chance to move leaves alone: sigma of a kernel is that of u.
    assert np.mean(changed(trained, before[1])) > 0.9


# --- the tick and the average ---------------------------------------------------------


def test_a_tick_of_steps_is_as_many_ticks_of_one(gan, shared):
    [whole] = tick(gan, [3])
    at_once = values(state(gan))
    assert gan.step.numpy() == 3
    assign(state(gan), shared[1])
    singles = tick(gan, [1, 1, 1])
    for one, other in zip(values(state(gan)), at_once):
        np.testing.assert_array_equal(one, other)
    for name, value in whole.items():
        if name != "nonfinite_step":
            mean = np.mean([scalars[name] for scalars in singles])
            np.testing.assert_allclose(value, mean, rtol=1e-5, err_msg=name)
    assert set(whole) == {*SCALARS, "nonfinite_step"}


def test_the_average_copies_until_its_start_and_then_decays(gan):
    batches = iter(stream())
    expected = None
    for step in range(1, 6):
        gan.train(batches, tf.constant(1))
        weights = values(gan.generator.trainable_variables)
        if step <= gan.options.ema_start_step:
            expected = weights
        else:
            expected = [0.75 * a + 0.25 * w for a, w in zip(expected, weights)]
        for average, right in zip(values(gan.averaged_weights()), expected):
            np.testing.assert_allclose(average, right, atol=1e-6)
    assert any(changed(gan.averaged_weights(), weights))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("ticks", [[5], [2, 3], [3, 2], [1, 1, 1, 2]])
@pytest.mark.parametrize("d_step", range(D_STEPS))
def test_the_first_step_that_is_not_finite_is_named(gan, ticks, d_step, bad):
    images = IMAGES.copy()
    images[BATCH * (2 * D_STEPS + d_step) + 1, 4, 5, 1] = bad  # in the third step
    first = [int(scalars["nonfinite_step"]) for scalars in tick(gan, ticks, images)]
    last_steps = np.cumsum(ticks)
    assert first[0] == (3 if last_steps[0] >= 3 else 0)
    reported = [step for step in first if step]
    assert reported[0] == 3


def test_finite_steps_name_none(gan):
    assert int(tick(gan, [4])[0]["nonfinite_step"]) == 0


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        ({"loss": "logistic"}, "gan.loss = 'logistic'.*hinge.*wasserstein"),
        ({"discriminator_steps": 0}, "gan.discriminator_steps = 0.*whole number"),
        ({"discriminator_steps": 1.5}, "gan.discriminator_steps = 1.5.*whole number"),
        ({"generator_learning_rate": -1e-4}, "gan.generator_learning_rate = -0.0001"),
        ({"discriminator_learning_rate": "1e-4"}, "gan.discriminator_learning_rate"),
        ({"beta2": 1.5}, "gan.beta2 = 1.5.*from 0 to 0.999999"),
        ({"ema_decay": 99}, "gan.ema_decay = 99"),
        ({"ema_decay": 1.0}, "gan.ema_decay = 1.0: .*from 0 to 0.999999"),
        ({"ema_start_step": 1e3}, "gan.ema_start_step = 1000.0.*whole"),
        ({"discriminator_dropout": 1.0}, "gan.discriminator_dropout = 1.0"),
        ({"augment": ("colour",)}, "'color', 'translation', 'cutout'"),
        ({"augment": "color"}, "take a tuple"),
        ({"augment_target": 0.8}, r"gan.augment_target = 0.8 with gan.augment = \(\)"),
        (
            {"freeze_generator": True, "freeze_discriminator": True},
            "leave one out",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(bindings, message):
    with pytest.raises(BadInput, match=message):
        GanOptions(**bindings)


# --- float16 --------------------------------------------------------------------------


def scaled_gan(precision: str, *more: Regulariser, **options: Any) -> Gan:
    keras.utils.set_random_seed(1)
    both = dict.fromkeys(("generator_precision", "discriminator_precision"), precision)
    g, d = specs(**both)
    options = GanOptions(**{"discriminator_steps": 1, **options})
    g, d = networks.build(g), networks.build(d)
    return Gan(g, d, options, BATCH, regularisers=[LeCam(weight=1e-3), *more])


def scaled_state(gan: Gan) -> list[tf.Variable]:
    return [v for v in state(gan) if v is not gan.step]


def test_float16_follows_float32():
    half, full = (
        tick(scaled_gan(precision), [1] * 20)
        for precision in ("mixed_float16", "float32")
    )
    for name in ("loss/discriminator", "loss/generator"):
        ours, right = (np.array([step[name] for step in run]) for run in (half, full))
        np.testing.assert_allclose(ours, right, atol=0.05 * np.abs(right).max())
    assert half[-1]["skipped_updates/generator"] == 0
    assert not [name for name in full[-1] if "loss_scale" in name]


@pytest.mark.parametrize(
    ("network", "replicas"), [("generator", 1), ("discriminator", 2)]
)
def test_an_overflow_halves_the_scale_and_moves_nothing(network, replicas, tmp_path):
    tf.distribute.MirroredStrategy._collective_key_base += 100_000
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    with strategy.scope():
        gan = scaled_gan("mixed_float16", Sigma0(clamp=True, ratio=0.5))
    scale = gan.loss_scales[network]
    scale.value.assign(2.0**100)
    before = values(scaled_state(gan))
    update = getattr(gan, f"update_{network}")
    batches = iter(strategy.experimental_distribute_dataset(stream()))
    real = batches.get_next if network == "discriminator" else tuple
    run = tf.function(lambda: update(real, SEED), autograph=False)
    scalars = run()
    assert scale.value.numpy() == 2.0**99
    assert scale.skipped.numpy() == 1
    assert not any(changed(scaled_state(gan), before))
    assert all(np.isfinite(value) for value in scalars.values())
    scale.value.assign(2.0**10)
    run()
    assert any(changed(scaled_state(gan), before))
    assert (scale.value.numpy(), scale.good_updates.numpy()) == (2.0**10, 1)

    Checkpoints(tmp_path, gan).save(0)
    weight = getattr(gan, network).trainable_variables[0]
    weight.assign(tf.fill(weight.shape, np.inf))
    norms = []
    for value in (2.0, 1.0):  # the scale cannot fall any more
        scale.value.assign(value)
        norms.append(run()[f"gradient_norm/{network}"])
    assert norms[0] == 0
    assert not np.isfinite(norms[1])
    scale.value.assign(7.0)
    Checkpoints(tmp_path, gan).restore_latest()
    assert scale.value.numpy() == 2.0**10


def test_the_scale_doubles_in_the_end():
    scale = update_module.LossScale()
    for _ in range(scale.DOUBLED_AFTER):
        scale.move(tf.constant(True))
    assert (scale.value.numpy(), scale.good_updates.numpy()) == (2 * scale.FIRST, 0)
