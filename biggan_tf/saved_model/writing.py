"""Writing the module that `hub.load` opens without any Python of ours.

Its root is a `tf.train.Checkpoint`: what it loads as has the attributes it was given,
which a `tf.Module` has not. Numbers and names are `tf.Variable`s, since a SavedModel
drops everything else.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import gin
import tensorflow as tf
from tqdm import tqdm

from biggan_tf import latents
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.errors import BadInput
from biggan_tf.saved_model.inference import (
    GRIDS,
    Accumulator,
    StandingStatistics,
    fold,
    for_inference,
)

README = """\
# {family} of {data}, {side} px, {classes} classes

A generator after {step:,} training steps: moving averages of its weights, spectral norm
folded in, standing batch-norm statistics. It needs TensorFlow and TensorFlow Hub alone:

```python
import tensorflow as tf
import tensorflow_hub as hub

m = hub.load("{name}")  # the path of this folder
images = m.generate([0, 0, 1], 0.5, 7)  # labels, truncation, seed
z = m.sample_latents(3, 0.5, 7)  # how many, truncation, seed
y = tf.one_hot([0, 0, 1], {classes})  # soft labels interpolate
images = m(dict(z=z, y=y, truncation=0.5))  # the same images
```

Images are float32 [batch, {side}, {side}, 3] in [-1, 1]; z is float32
[batch, {latent_size}], y float32 [batch, {classes}], truncation a float32 scalar.
{discriminator}
The truncation convention is `{convention}`: {meaning}.
In `m(...)` truncation never alters z: it chooses the statistics, of which there is a
set for each of `m.standing_truncations`; between two of them they are interpolated.

`m.num_classes`, `m.latent_size`, `m.image_size`, `m.class_names`, `m.step`,
`m.truncation_convention` and `m.standing_truncations` are variables: `.numpy()` reads
them. `hub.KerasLayer("{name}", trainable=True)`, called with the same dict, fine-tunes.

## How it was made

Exported with `{settings}`; the batch-norm statistics {statistics}. Trained with

```
{config}```
"""
DISCRIMINATOR = """
`m.discriminator(dict(x=images, y=y))` gives D's logits, float32 [batch, 1].
"""
MEANING = {
    "resample": """\
z is N(0, 1), drawn
again where |z| > truncation, which is above 0, inf for none. Above 2 the statistics are
those of inf""",
    "scaled": """\
z is truncation * N,
where N is N(0, 1), drawn again where |N| > 2; truncation is from 0 to 1""",
}


def _meaning(convention: str) -> str:
    if convention in MEANING:
        return MEANING[convention]
    lines = latents.TRUNCATIONS[convention].__doc__
    return (lines or "such latents\nare discrete, and truncation is always inf").rstrip(
        "."
    )


@gin.configurable("export")
@dataclasses.dataclass(frozen=True)
class Settings:
    """How a module is made.

    Attributes:
        truncation_convention: what truncation means: "resample" (the paper's) or
            "scaled" (the released modules'); see `latents.TRUNCATIONS`.
        passes: whose mean moments are the standing statistics, for each truncation.
        batch_size: images a pass.
        seed: of the latents and labels of the passes.
        accumulate: measure standing statistics also of published weights that brought
            theirs along.
    """

    truncation_convention: str = "resample"
    passes: int = 50
    batch_size: int = 64
    seed: int = 0
    accumulate: bool = False

    def __post_init__(self) -> None:
        if self.truncation_convention not in ("resample", "scaled"):
            raise BadInput(
                f"export.truncation_convention = {self.truncation_convention!r}: take "
                "one of resample, scaled."
            )
        for name, least in (("passes", 1), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**31:
                raise BadInput(
                    f"export.{name} = {value!r}: take a whole number from {least} on."
                )


class Trained(Protocol):
    """What `export` needs of a restored model (see `loop.Restored`)."""

    gan: Any
    data_spec: Any
    family: str
    step: int
    config_text: str
    statistics: Any  # `weights.Statistics` that came with the weights, or None


def export(
    trained: Trained,
    settings: Settings,
    path: str | os.PathLike[str],
    build_generator: Callable[[GeneratorSpec], tf.keras.Model],
    build_discriminator: Callable[[DiscriminatorSpec], tf.keras.Model] | None = None,
    replace: bool = False,
) -> None:
    """Makes a module of a trained model and writes it into the folder `path`.

    Args:
        trained: the model; its averaged weights are exported.
        settings: how.
        path: the folder; must not exist, unless `replace`.
        build_generator: makes a generator of the model's family from a spec.
        build_discriminator: likewise; given, D is exported too.
        replace: whether an earlier export there gives way.

    Raises:
        BadInput: `path` is taken, or cannot be written.
    """
    check_free(path, replace)
    gan, data = trained.gan, trained.data_spec
    convention = gan.latents.convention(settings.truncation_convention)
    generator, statistics, origin = for_sampling(trained, settings, build_generator)
    discriminator = None
    if build_discriminator is not None:
        discriminator = for_inference(build_discriminator, gan.discriminator.spec)
        fold(gan.discriminator, None, discriminator)

    module = make_module(
        generator, statistics, convention, data.class_names, trained.step, discriminator
    )
    spec = generator.spec
    readme = README.format(
        family=trained.family,
        data=data.name,
        side=spec.resolution,
        classes=spec.num_classes,
        latent_size=spec.latent_size,
        step=trained.step,
        settings=settings,
        statistics=origin,
        name=Path(path).name,
        convention=convention,
        meaning=_meaning(convention),
        discriminator=DISCRIMINATOR if discriminator is not None else "",
        config=trained.config_text,
    )
    write(module, path, readme, replace)


def for_sampling(
    trained: Trained,
    settings: Settings,
    build_generator: Callable[[GeneratorSpec], tf.keras.Model],
    truncations: Sequence[float] = (),
) -> tuple[tf.keras.Model, StandingStatistics, str]:
    """The averaged G for inference, its statistics, and in words where these are from.

    Args:
        trained, settings, build_generator: see `export`.
        truncations: that get statistics of their own; the convention's grid if empty.
    """
    gan, stored = trained.gan, trained.statistics
    convention = gan.latents.convention(settings.truncation_convention)
    generator = for_inference(build_generator, gan.generator.spec)
    sigmas = stored.sigmas if stored else None
    fold(gan.generator, gan.averaged_weights(), generator, sigmas)
    if stored and stored.convention == convention and not settings.accumulate:
        statistics = StandingStatistics(generator, stored.truncations)
        statistics.set_tables(stored.means, stored.variances)
        return generator, statistics, "came with the published weights"
    grid = sorted(truncations) or GRIDS[convention]
    statistics = StandingStatistics(generator, grid)
    accumulator = Accumulator(generator, convention, settings.batch_size)
    for row in tqdm(range(len(grid)), "standing statistics", disable=None):
        moments = accumulator.moments(grid[row], settings.passes, settings.seed)
        statistics.set_row(row, moments)
    samples = settings.passes * settings.batch_size
    return generator, statistics, f"are moments over {samples:,} samples each"


def make_module(
    generator: tf.keras.Model,
    statistics: StandingStatistics,
    convention: str,
    class_names: Sequence[str],
    step: int,
    discriminator: tf.keras.Model | None = None,
) -> tf.train.Checkpoint:
    """The object that is saved: functions, their variables and what is known of them.

    Args:
        generator: for inference.
        statistics: its standing statistics.
        convention: of truncation, see `latents.TRUNCATIONS`.
        class_names: one a class.
        step: of the training.
        discriminator: for inference; None leaves it out.
    """
    spec = generator.spec
    draw_latents = latents.TRUNCATIONS[convention]
    z_spec = tf.TensorSpec([None, spec.latent_size], tf.float32, "z")
    y_spec = tf.TensorSpec([None, spec.num_classes], tf.float32, "y")
    truncation_spec = tf.TensorSpec([], tf.float32, "truncation")
    batch_spec = tf.TensorSpec([], tf.int32, "batch")
    seed_spec = tf.TensorSpec([], tf.int32, "seed")
    labels_spec = tf.TensorSpec([None], tf.int32, "labels")

    def images(z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        return generator(z, y, statistics=statistics.at(truncation))

    @tf.function(
        input_signature=[{"z": z_spec, "y": y_spec, "truncation": truncation_spec}],
        autograph=False,
    )
    def call(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return images(**inputs)

    @tf.function(
        input_signature=[batch_spec, truncation_spec, seed_spec], autograph=False
    )
    def sample_latents(
        batch: tf.Tensor, truncation: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        shape = [batch, spec.latent_size]
        return draw_latents(shape, tf.stack([seed, 0]), truncation)

    @tf.function(
        input_signature=[labels_spec, truncation_spec, seed_spec], autograph=False
    )
    def generate(
        labels: tf.Tensor, truncation: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        known = tf.reduce_all((labels >= 0) & (labels < spec.num_classes))
        tf.debugging.Assert(known, ["labels are 0 to", spec.num_classes - 1, labels])
        z = sample_latents(tf.size(labels), truncation, seed)
        return images(z, tf.one_hot(labels, spec.num_classes), truncation)

    @tf.function(input_signature=[z_spec, y_spec, truncation_spec], autograph=False)
    def serve(
        z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return {"images": images(z, y, truncation)}

    def attribute(value: Any, dtype: tf.DType) -> tf.Variable:
        return tf.Variable(value, dtype=dtype, trainable=False)

    module = _callable(call, generator, statistics.variables)
    module.sample_latents = sample_latents
    module.generate = generate
    module.serve = serve
    module.num_classes = attribute(spec.num_classes, tf.int32)
    module.latent_size = attribute(spec.latent_size, tf.int32)
    module.image_size = attribute(spec.resolution, tf.int32)
    module.class_names = attribute(list(class_names), tf.string)
    module.truncation_convention = attribute(convention, tf.string)
    module.standing_truncations = statistics.truncations
    module.step = attribute(step, tf.int64)

    if discriminator is not None:
        x_spec = tf.TensorSpec([None, spec.resolution, spec.resolution, 3], tf.float32)

        @tf.function(input_signature=[{"x": x_spec, "y": y_spec}], autograph=False)
        def judge(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
            return discriminator(inputs["x"], inputs["y"])

        module.discriminator = _callable(judge, discriminator)
    return module


def _callable(
    function: Callable,
    network: tf.keras.Model,
    constants: Sequence[tf.Variable] = (),
) -> tf.train.Checkpoint:
    """What `hub.KerasLayer` takes: a function and the variables it uses."""
    trained = list(network.trainable_variables)
    return tf.train.Checkpoint(
        __call__=function,
        trainable_variables=trained,
        variables=[*trained, *constants],
        regularization_losses=[],
    )


def check_free(path: str | os.PathLike[str], replace: bool) -> None:
    """BadInput unless a module may be written to `path`, see `export`."""
    path = Path(path)
    if path.exists() and not replace:
        raise BadInput(
            f"--export_dir={path} is there already; name a folder that is not."
        )
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise BadInput(f"{path} is in the way and is no exported module; move it.")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInput(f"--export_dir={path}: {above} cannot be written to.")


def write(
    module: tf.train.Checkpoint,
    path: str | os.PathLike[str],
    readme: str,
    replace: bool = False,
) -> None:
    """Saves a module into the folder `path`, complete or not at all.

    Args:
        module: see `make_module`.
        path: the folder; must not exist, unless `replace`.
        readme: text of its README.md.
        replace: whether an earlier export there gives way.

    Raises:
        BadInput: `path` is taken, or cannot be written.
    """
    check_free(path, replace)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    earlier = path.with_name(f".{path.name}.{os.getpid()}.earlier")
    try:
        temporary.mkdir(parents=True)
        tf.saved_model.save(module, str(temporary), signatures=module.serve)
        (temporary / "README.md").write_text(readme, encoding="utf-8")
        if path.exists():
            path.rename(earlier)
        temporary.rename(path)
    except (OSError, tf.errors.OpError) as error:
        if earlier.exists():
            earlier.rename(path)
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"--export_dir={path} cannot be written, and is as it was: {reason}."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(earlier, ignore_errors=True)
