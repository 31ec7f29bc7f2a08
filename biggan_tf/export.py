"""Exports a trained model as a module that `hub.load` opens.

    python -m biggan_tf.export --model_dir=runs/demo
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/demo \
        --with_discriminator --gin_param="export.passes = 500"
    python -m biggan_tf.export --model_dir=runs/demo --export_dir=/tmp/scaled \
        --gin_param="export.truncation_convention = 'scaled'"

The module holds the moving average of G's weights from the newest checkpoint, divided
by sigma, and standing statistics of batch norm, measured for a grid of truncations.
Statistics that came with imported weights are used as they are, unless
`export.accumulate = True`. The module's README.md says how to call it. Without
`--export_dir` it goes to `export` in the model directory, and replaces an earlier one.
"""

from pathlib import Path

from absl import flags

from biggan_tf import checkpoints, config, networks, run, saved_model
from biggan_tf.architecture import DiscriminatorSpec, Network
from biggan_tf.errors import BadInput
from biggan_tf.sampling import ExportOptions, fold, for_inference

config.define_flags()
_MODEL_DIR = flags.DEFINE_string("model_dir", None, "Of a run of biggan_tf.train.")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "A folder that is not there yet; <model_dir>/export by default."
)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "latest", ["latest", "best"], "The newest, or best by its score."
)
_WITH_DISCRIMINATOR = flags.DEFINE_bool(
    "with_discriminator", False, "Add D, as module.discriminator."
)


def main() -> None:
    if not _MODEL_DIR.value:
        raise BadInput("--model_dir is missing: name the folder of a training run.")
    config.read_back(_MODEL_DIR.value)
    config.parse(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    options = ExportOptions()
    config.refuse_dead_bindings(["export"])
    path = Path(_EXPORT_DIR.value or Path(_MODEL_DIR.value) / "export")
    replace = _EXPORT_DIR.value is None
    saved_model.check_free(path, replace)
    trained = run.restore(_MODEL_DIR.value, _CHECKPOINT.value == "best")
    discriminator = _discriminator(trained) if _WITH_DISCRIMINATOR.value else None
    generator, sampler = run.inference_generator(trained, options)
    module, signatures = saved_model.make_module(generator, sampler, discriminator)
    text = saved_model.readme(
        sampler,
        options,
        with_discriminator=discriminator is not None,
        name=path.name,
        family=trained.spec.family,
        data=trained.data.name,
        config=(trained.folder / "config.gin").read_text(),
    )
    saved_model.write(module, signatures, path, text, replace)
    print(
        f'step {trained.step} is in {path}: hub.load("{path}") opens it, and its '
        "README.md says how to call it"
    )


def _discriminator(trained: run.Trained) -> Network:
    """Makes D of the same checkpoint, for inference."""
    spec = DiscriminatorSpec(trained.data.image_size, trained.data.num_classes)
    weights = checkpoints.read_weights(trained.checkpoint, "discriminator")
    run.check_fit(trained.checkpoint, weights, spec)
    discriminator = networks.build(for_inference(spec))
    fold(weights, discriminator, spec.sn_epsilon)
    return discriminator


if __name__ == "__main__":
    config.run(main)
