r"""Makes a model directory of published weights, to export, sample, evaluate or tune.

    # BigGAN-PyTorch; one of the generators is needed, the other files are optional
    python -m biggan_tf.import_weights --source=biggan_pytorch --model_dir=runs/aj \
        --generator=G.pth --generator_ema=G_ema.pth --discriminator=D.pth \
        --optimizers=G_optim.pth,D_optim.pth
    # pytorch-pretrained-biggan: config.json and pytorch_model.bin, by these names or
    # as downloaded (biggan-deep-128-config.json ...)
    python -m biggan_tf.import_weights --source=huggingface --model_dir=runs/hf \
        --path=biggan-deep-128
    # DeepMind's modules: saved_model.pb and variables/, or the .tar.gz of them
    python -m biggan_tf.import_weights --source=tfhub --model_dir=runs/hub \
        --path=biggan-512_2

    python -m biggan_tf.export --model_dir=runs/hub

Files of PyTorch are read without PyTorch, and no code of theirs is run. Names and
shapes of the tensors say what the networks are. To train them further, give a recipe
too: its data, rates and lengths count, and of its networks only what the weights leave
open, such as the precision. Then

    python -m biggan_tf.import_weights ... --model_dir=runs/tuned \
        --gin_file=gin/folder.gin --gin_param="data.path = '/my/images'" \
        --gin_param="data.image_size = 128"
    python -m biggan_tf.train --gin_file=runs/tuned/config.gin --model_dir=runs/tuned

Where the data has another number of classes, class embeddings start afresh.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
from pathlib import Path

from absl import flags

from biggan_tf import config, data_json, files, run, standing, weights
from biggan_tf.api.arguments import as_folder
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.checkpoints import Checkpoints, read_average
from biggan_tf.data import DataSpec
from biggan_tf.data.pipeline import DataOptions
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan
from biggan_tf.latents import LatentOptions
from biggan_tf.plan import make_plan
from biggan_tf.sampling import ExportOptions

config.define_flags()
_SOURCE = flags.DEFINE_enum(
    "source", None, ["biggan_pytorch", "huggingface", "tfhub"], "Who made the files."
)
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "To make; must not be there yet.")
_FILES = {
    name: flags.DEFINE_string(
        name, None, f"biggan_pytorch: {what}, .pth, .safetensors, .npz."
    )
    for name, what in {
        "generator": "G",
        "generator_ema": "the moving average of G",
        "discriminator": "D",
    }.items()
}
_OPTIMIZERS = flags.DEFINE_list(
    "optimizers", [], "biggan_pytorch: states of the Adam of G, or of G and of D, .pth."
)
_PATH = flags.DEFINE_string(
    "path",
    None,
    "huggingface, tfhub: the folder, a .tar.gz or .zip of it, or its main file.",
)


def main() -> None:
    if not _SOURCE.value or not _MODEL_DIR.value:
        raise BadInput(
            "--source and --model_dir: give both, who made the files and a new folder."
        )
    model_dir = as_folder(_MODEL_DIR.value, "--model_dir")
    if model_dir.exists():
        raise BadInput(f"--model_dir={model_dir}: is there already; name a new folder.")
    published = _read()
    data = _configure(published)
    gan = _build(published, data)
    published.assign_to(gan)
    _write(model_dir, gan, data, published)
    _report(published, data, model_dir)


def _read() -> weights.Published:
    source, path = _SOURCE.value, _PATH.value
    files = {name: flag.value for name, flag in _FILES.items() if flag.value}
    if source == "biggan_pytorch":
        if path:
            raise BadInput(f"--path={path}: leave it out; this source takes files.")
        optimizers = [*map(os.path.expanduser, _OPTIMIZERS.value)]
        return weights.biggan_pytorch.read(**files, optimizers=optimizers)
    if files or _OPTIMIZERS.value:
        raise BadInput(
            f"--{next(iter(files), 'optimizers')}: leave it out; --source={source} "
            "takes --path."
        )
    if not path:
        raise BadInput(f"--source={source}: give --path, where it is.")
    return getattr(weights, source).read(path)


def _configure(published: weights.Published) -> DataSpec:
    """Binds what the weights say on top of the gin files; returns the data."""
    gin_files = flags.FLAGS.gin_file
    generator = published.generator_arguments
    resolution, classes = generator["resolution"], generator["num_classes"]
    discriminator = published.discriminator_arguments
    if not discriminator:  # it is that of the gin files, or a stub that is never used
        discriminator = {} if gin_files else {"width": 1, "attention": ()}
        discriminator["family"] = generator["family"]
    bindings = {
        "export.truncation_convention": published.convention,
        "gan.ema_start_step": 0,  # the averages go on; before it they are copies
    }
    for room, arguments in (("generator", generator), ("discriminator", discriminator)):
        for name, value in arguments.items():
            if name not in ("resolution", "num_classes"):
                bindings[f"{room}.{name}"] = value
    config.parse(gin_files, flags.FLAGS.gin_param)
    for name in bindings:
        if config.place_of(name).startswith("--gin_param"):
            raise BadInput(f"--gin_param: {name}: leave it for the weights to say.")
    config.parse([], bindings)
    if not gin_files:
        names = tuple(map(str, range(classes)))
        about = "", "imported weights", resolution, classes, names
        return DataSpec(*about, 0, 0, "", "", rounded=True)
    if (size := DataOptions().image_size) != resolution:
        raise BadInput(
            f"data.image_size = {size}: take {resolution}, for the weights are of "
            f"networks for {resolution} px."
        )
    return make_plan().data.spec


def _build(published: weights.Published, data: DataSpec) -> Gan:
    """Makes the model, quickly where nothing keeps its initial values."""
    specs = [
        kind(data.image_size, data.num_classes)
        for kind in (GeneratorSpec, DiscriminatorSpec)
    ]
    complete = published.discriminator or not flags.FLAGS.gin_file
    if complete and published.num_classes == data.num_classes:
        specs = [dataclasses.replace(spec, initializer="normal") for spec in specs]
    latents = LatentOptions(counts=data.class_counts)
    gan = run.build_gan(*specs, run.TrainOptions(), latents)
    ExportOptions()  # kept in config.gin for the export
    config.refuse_dead_bindings(config.ROOMS)
    return gan


def _write(
    model_dir: Path, gan: Gan, data: DataSpec, published: weights.Published
) -> None:
    """Writes the model directory, complete or not at all."""
    temporary = files.temporary_name(model_dir)
    try:
        config.claim(temporary)
        data_json.write(temporary, data)
        told = {"source": _SOURCE.value, "discriminator": _its_discriminator(published)}
        files.write_json(temporary / run.IMPORTED, told)
        Checkpoints(temporary / "checkpoints", gan).save(0)
        if data.num_classes == published.num_classes:
            average = read_average(temporary / "checkpoints" / "ckpt-0")
            standing.save_published(temporary, published.statistics(), 0, average)
        temporary.rename(model_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _its_discriminator(published: weights.Published) -> str:
    """Returns which D stands beside the weights."""
    if published.discriminator:
        return "published"
    return "afresh" if flags.FLAGS.gin_file else "stub"


def _report(published: weights.Published, data: DataSpec, model_dir: Path) -> None:
    networks = {
        "G": published.generator_arguments,
        "D": published.discriminator_arguments,
    }
    for name, arguments in networks.items():
        if arguments:
            print(f"{name}: {weights.describe(arguments)}: all tensors fit.")
    if published.note:
        print(published.note)
    if not published.discriminator:
        stub = "a stub stands in, which is neither exported nor trained"
        told = {"afresh": "it starts afresh", "stub": stub}
        print(f"No D was given: {told[_its_discriminator(published)]}.")
    if data.num_classes != published.num_classes:
        print(
            f"The data has {data.num_classes} classes: class embeddings and Adam start "
            "afresh, and batch-norm statistics must be measured."
        )
    else:
        for name, (updates, *_) in published.adam.items():
            print(f"Adam of the {name} goes on after {updates:,} updates.")
        if flags.FLAGS.gin_file and data.num_classes > 1:
            first, *_, last = data.class_names
            print(
                f"The weights' classes go on number by number, from {first!r} to "
                f"{last!r}; what they were is not in the files."
            )
    there, recipe = map(shlex.quote, (str(model_dir), f"{model_dir}/config.gin"))
    print(f"python -m biggan_tf.export --model_dir={there}")
    if flags.FLAGS.gin_file:
        print(f"python -m biggan_tf.train --gin_file={recipe} --model_dir={there}")


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
