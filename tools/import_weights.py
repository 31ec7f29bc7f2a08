"""Makes a model directory of published weights, to export, sample, evaluate or tune.

    # BigGAN-PyTorch; any of the files may be left out but one of the generators
    python tools/import_weights.py --source=biggan_pytorch --model_dir=runs/aj \
        --generator=G.pth --generator_ema=G_ema.pth --discriminator=D.pth \
        --optimizers=G_optim.pth,D_optim.pth
    # pytorch-pretrained-biggan: config.json and pytorch_model.bin
    python tools/import_weights.py --source=huggingface --model_dir=runs/hf \
        --path=biggan-deep-128
    # DeepMind's modules: saved_model.pb and variables/
    python tools/import_weights.py --source=tfhub --model_dir=runs/hub \
        --path=biggan-512_2

    python -m biggan_tf.export --model_dir=runs/hub

Names and shapes of the tensors say what the networks are. To train them further, give
the recipe too: its data, rates and lengths are taken, its networks are not. Then

    python tools/import_weights.py ... --model_dir=runs/tuned \
        --gin_file=gin/folder.gin --gin_param="data.path = '/my/images'" \
        --gin_param="data.image_size = 128"
    python -m biggan_tf.train --gin_file=runs/tuned/config.gin --model_dir=runs/tuned

Where the data has another number of classes, class embeddings start afresh.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

from absl import flags

from biggan_tf import config, loop, networks, weights
from biggan_tf.architecture import NetworkSpec
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan, Recipe
from biggan_tf.saved_model import Settings

config.define_flags()
_SOURCE = flags.DEFINE_enum(
    "source", None, ["biggan_pytorch", "huggingface", "tfhub"], "Who made the files."
)
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "To make; must not be there yet.")
_FILES = {
    name: flags.DEFINE_string(name, None, f"biggan_pytorch: {what}, .pth or .npz.")
    for name, what in {
        "generator": "G",
        "generator_ema": "the moving average of G",
        "discriminator": "D",
    }.items()
}
_OPTIMIZERS = flags.DEFINE_list(
    "optimizers", [], "biggan_pytorch: states of the Adam of G, or of G and of D, .pth."
)
_PATH = flags.DEFINE_string("path", None, "huggingface, tfhub: the folder.")


def main() -> None:
    if not _SOURCE.value or not _MODEL_DIR.value:
        raise BadInput("--source and --model_dir are needed: who made what, and where.")
    model_dir = Path(_MODEL_DIR.value)
    if model_dir.exists():
        raise BadInput(
            f"--model_dir={model_dir} is there already; name a folder that is not."
        )
    published = _read()
    plan = _bind(published)
    gan = _build(published, plan)
    values = weights.fit(published, gan.generator, gan.discriminator)
    values.load(gan)
    _write(model_dir, gan, plan.data, values.statistics)
    print(_summary(published, gan, values, model_dir))


def _read() -> weights.Published:
    files = {name: flag.value for name, flag in _FILES.items() if flag.value}
    if _SOURCE.value == "biggan_pytorch":
        if _PATH.value:
            raise BadInput("--path is for the other sources; name the files.")
        return weights.biggan_pytorch.read(**files, optimizers=_OPTIMIZERS.value)
    if files or _OPTIMIZERS.value:
        raise BadInput(
            f"--source={_SOURCE.value} takes --path, a folder, and no "
            f"--{next(iter(files), 'optimizers')}."
        )
    if not _PATH.value:
        raise BadInput(f"--source={_SOURCE.value} needs --path, the folder.")
    return getattr(weights, _SOURCE.value).read(_PATH.value)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What weights and recipe decide."""

    data: DataSpec
    family: str
    generator: NetworkSpec
    discriminator: NetworkSpec
    recipe: Recipe
    schedule: loop.Schedule


def _bind(published: weights.Published) -> _Plan:
    """Configures by the recipe, then by what the weights say."""
    gin_files, gin_params = flags.FLAGS.gin_file, flags.FLAGS.gin_param
    arguments = published.arguments()
    resolution, classes = arguments.pop("resolution"), arguments.pop("num_classes")
    bindings = {f"networks.{name}": value for name, value in arguments.items()}
    bindings["export.truncation_convention"] = published.convention
    bindings["gan.ema_start_step"] = 0  # the averages go on; before it they are copies
    for param in gin_params:
        if param.partition("=")[0].strip() in bindings:
            raise BadInput(f'--gin_param="{param}": that is for the weights to say.')
    if not gin_files and published.discriminator is None:
        # A D that is never used, of a shape that fits any resolution.
        bindings["networks.discriminator_width"] = arguments["generator_width"]
        bindings["networks.discriminator_attention"] = ()
    weights_say = [f"{name} = {value!r}" for name, value in bindings.items()]
    config.parse(gin_files or ["base.gin"], [*gin_params, *weights_say])
    if gin_files:
        plan = loop.make_plan()
        if plan.data.spec.image_size != resolution:
            raise BadInput(
                f"data.image_size = {plan.data.spec.image_size}, but the weights are "
                f"of networks for {resolution} px."
            )
        return _Plan(
            plan.data.spec,
            plan.family,
            plan.generator,
            plan.discriminator,
            plan.recipe,
            plan.schedule,
        )
    names = tuple(map(str, range(classes)))
    spec = DataSpec("", "published weights", resolution, classes, names, 0, 0, "", "")
    plan = _Plan(spec, *networks.specs(resolution, classes), Recipe(), loop.Schedule())
    Settings()  # kept in config.gin for the export
    return plan


def _build(published: weights.Published, plan: _Plan) -> Gan:
    """The networks, from the seed; quickly made where weights take their place."""
    import tensorflow as tf  # after `config`, which silences it

    def spec(spec: NetworkSpec, given: Any) -> NetworkSpec:
        if given is None or given.arguments["num_classes"] != spec.num_classes:
            return spec
        return dataclasses.replace(spec, initializer="normal")

    tf.keras.utils.set_random_seed(plan.schedule.seed)
    generator = published.generator or published.generator_ema
    return Gan(
        networks.build_generator(plan.family, spec(plan.generator, generator)),
        networks.build_discriminator(
            plan.family, spec(plan.discriminator, published.discriminator)
        ),
        plan.recipe,
        plan.schedule.batch_size,
        plan.schedule.seed,
    )


def _write(
    model_dir: Path, gan: Gan, spec: DataSpec, statistics: weights.Statistics | None
) -> None:
    """The model directory, complete or not at all."""
    temporary = model_dir.with_name(f".{model_dir.name}.{os.getpid()}")
    try:
        config.claim(temporary)
        loop.write_data_spec(temporary, spec)
        Checkpoints(temporary / "checkpoints", gan).save(0)
        if statistics is not None:
            weights.save_statistics(statistics, temporary, step=0)
        temporary.rename(model_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _summary(
    published: weights.Published, gan: Gan, values: weights.Values, model_dir: Path
) -> str:
    weights_of = published.generator or published.generator_ema
    lines = [f"{weights_of.describe()}: all tensors fit."]
    lines += [published.note] if published.note else []
    if not values.discriminator:
        lines.append("D was not published: it starts afresh.")
    classes = gan.generator.spec.num_classes
    if classes != weights_of.arguments["num_classes"]:
        lines.append(
            f"The data has {classes} classes: class embeddings start afresh, and "
            "batch-norm statistics must be measured."
        )
    for name, (steps, *_) in values.adam.items():
        lines.append(f"Adam of the {name} goes on after {steps:,} updates.")
    lines.append(f"python -m biggan_tf.export --model_dir={model_dir}")
    if flags.FLAGS.gin_file:
        lines.append(
            f"python -m biggan_tf.train --gin_file={model_dir}/config.gin "
            f"--model_dir={model_dir}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    config.run(main)
