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

Files of PyTorch are read without PyTorch, and no code of theirs is run. Names and
shapes of the tensors say what the networks are. To train them further, give the recipe
too: its data, rates and lengths are taken, its networks are not. Then

    python tools/import_weights.py ... --model_dir=runs/tuned \
        --gin_file=gin/folder.gin --gin_param="data.path = '/my/images'" \
        --gin_param="data.image_size = 128"
    python -m biggan_tf.train --gin_file=runs/tuned/config.gin --model_dir=runs/tuned

Where the data has another number of classes, class embeddings start afresh.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from absl import flags

from biggan_tf import config, loop, weights
from biggan_tf.checkpoints import Checkpoints
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan
from biggan_tf.plan import ROOMS
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
    data = _configure(published)
    gan = _build(published, data)
    values = weights.fit(published, gan.generator, gan.discriminator)
    values.load(gan)
    _write(model_dir, gan, data, values.statistics)
    _report(published, values, gan, model_dir)


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


def _configure(published: weights.Published) -> DataSpec:
    """Binds what the weights say on top of the recipe; the data of either."""
    arguments = published.arguments()
    resolution, classes = arguments.pop("resolution"), arguments.pop("num_classes")
    recipe = flags.FLAGS.gin_file
    if not recipe and not published.discriminator:  # a D that is never used
        arguments |= {"discriminator_width": 1, "discriminator_attention": ()}
    bindings = {f"networks.{name}": value for name, value in arguments.items()}
    bindings["export.truncation_convention"] = published.convention
    bindings["gan.ema_start_step"] = 0  # the averages go on; before it they are copies
    for param in flags.FLAGS.gin_param:
        if param.partition("=")[0].strip() in bindings:
            raise BadInput(f'--gin_param="{param}": that is for the weights to say.')
    said = [f"{name} = {value!r}" for name, value in bindings.items()]
    config.parse(recipe, [*flags.FLAGS.gin_param, *said])
    if not recipe:
        names = tuple(map(str, range(classes)))
        return DataSpec(
            "", "imported weights", resolution, classes, names, 0, 0, "", ""
        )
    data = loop.make_plan().data.spec
    if data.image_size != resolution:
        raise BadInput(
            f"data.image_size = {data.image_size}, but the weights are of networks for "
            f"{resolution} px."
        )
    return data


def _build(published: weights.Published, data: DataSpec) -> Gan:
    """The model, quickly where nothing keeps its initial values."""
    complete = published.discriminator or not flags.FLAGS.gin_file
    if complete and published.num_classes == data.num_classes:
        gan = loop.untrained(data, initializer="normal")[1]
    else:
        gan = loop.untrained(data)[1]
    Settings()  # kept in config.gin for the export
    config.refuse_dead_bindings(ROOMS)
    return gan


def _write(
    model_dir: Path, gan: Gan, data: DataSpec, statistics: weights.Statistics | None
) -> None:
    """The model directory, complete or not at all."""
    temporary = model_dir.with_name(f".{model_dir.name}.{os.getpid()}")
    try:
        config.claim(temporary)
        loop.write_data_spec(temporary, data)
        Checkpoints(temporary / "checkpoints", gan).save(0)
        if statistics is not None:
            weights.save_statistics(statistics, temporary, step=0)
        temporary.rename(model_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _report(
    published: weights.Published, values: weights.Values, gan: Gan, model_dir: Path
) -> None:
    recipe, classes = flags.FLAGS.gin_file, gan.generator.spec.num_classes
    print(f"{published.describe()}: all tensors fit.{published.note}")
    if not published.discriminator:
        print("There was no D:", "it starts afresh." if recipe else "a stub stands in.")
    if classes != published.num_classes:
        print(
            f"The data has {classes} classes: class embeddings start afresh, and "
            "batch-norm statistics must be measured."
        )
    for name, (steps, *_) in values.adam.items():
        print(f"Adam of the {name} goes on after {steps:,} updates.")
    print(f"python -m biggan_tf.export --model_dir={model_dir}")
    if recipe:
        print(
            f"python -m biggan_tf.train --gin_file={model_dir}/config.gin "
            f"--model_dir={model_dir}"
        )


if __name__ == "__main__":
    config.run(main)
