"""Training a run, and exporting its generator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from biggan_tf import (
    checkpoints,
    config,
    evaluation,
    loop,
    model_card,
    run,
    saved_model,
)
from biggan_tf.api.arguments import (
    Bindings,
    Files,
    PathLike,
    as_folder,
    as_path,
    bind,
    check_checkpoint,
    file_names,
)
from biggan_tf.architecture import DiscriminatorSpec, Network
from biggan_tf.checks import as_bool
from biggan_tf.data import memory
from biggan_tf.errors import BadInput
from biggan_tf.plan import make_plan
from biggan_tf.sampling import ExportOptions, fold, unfilled


def train(
    gin_files: Files = (),
    model_dir: PathLike | None = None,
    bindings: Bindings = (),
    continue_from: PathLike | None = None,
) -> Path:
    """Trains to `train.total_steps`, from the run's newest checkpoint if it has one.

    In the main thread, Ctrl-C and SIGTERM save a checkpoint first, then SystemExit ends
    the call.

    Args:
        gin_files: recipes, such as "demo.gin"; later ones win.
        model_dir: of the run; `runs/RECIPE` by default.
        bindings: {"train.batch_size": 64}, or lines as `--gin_param` takes them.
        continue_from: the run, or checkpoint in a run, to start from; see `loop.train`.

    Returns the model directory. Raises BadInput before any work if something is wrong.
    """
    gin_files = file_names(gin_files)
    with _configured(gin_files, bindings, continue_from, model_dir) as start:
        folder = _run_folder(gin_files, model_dir)
        loop.train(folder, start)
    return folder


def dry_run(
    gin_files: Files = (),
    model_dir: PathLike | None = None,
    bindings: Bindings = (),
    continue_from: PathLike | None = None,
) -> None:
    """Prints what `train` would do: configuration, networks, devices and data.

    Raises BadInput as `train` does, also if data is missing; nothing is trained.
    """
    gin_files = file_names(gin_files)
    with _configured(gin_files, bindings, continue_from, model_dir) as start:
        folder = _run_folder(gin_files, model_dir)
        with memory.room_or(loop.SMALLER):
            plan = make_plan(folder, start)
            print(plan.describe())
            plan.data.check_ready()
            print(*plan.data.remarks(), sep="\n")
            plan.evaluator(folder)


def export(
    model_dir: PathLike,
    export_dir: PathLike | None = None,
    bindings: Bindings = (),
    checkpoint: str = "latest",
    with_discriminator: bool = False,
    gin_files: Files = (),
) -> Path:
    """Writes a run's averaged generator as a module that `hub.load` opens.

    Args:
        model_dir: of a run of `train`.
        export_dir: a new folder; by default `export` in the model directory, where it
            replaces an earlier one, unless there are other or edited files in it.
        bindings: of the room `export` alone, as in `train`.
        checkpoint: "latest", or "best" by its score.
        with_discriminator: adds D, as `module.discriminator`.
        gin_files: with further bindings.

    Returns the folder. Raises BadInput, and writes nothing, if it cannot be done.
    """
    check_checkpoint(checkpoint)
    with_discriminator = as_bool("with_discriminator", with_discriminator)
    model_dir = as_folder(model_dir, "--model_dir")
    replace = export_dir is None
    path = as_folder(model_dir / "export" if replace else export_dir, "--export_dir")
    with config.apart(), memory.room_or("take a smaller export.batch_size"):
        config.read_back(model_dir)
        bind(gin_files, bindings, ["export"])
        options = ExportOptions()
        config.refuse_dead_bindings(["export"])
        saved_model.check_free(path, replace)
        records = evaluation.read_records(model_dir / "metrics.jsonl")
        trained = run.restore(model_dir, checkpoint == "best", with_discriminator)
        discriminator = _discriminator(trained) if with_discriminator else None
        generator, sampler = run.inference_generator(trained, options)
    module, signatures = saved_model.make_module(generator, sampler, discriminator)
    text = model_card.readme(
        sampler,
        options,
        with_discriminator,
        records,
        name=path.name,
        family=trained.spec.family,
        data=trained.data.name,
        config=(model_dir / "config.gin").read_text(encoding="utf-8"),
        imported_from=trained.imported.get("source", ""),
    )
    beside = {
        "README.md": text.encode(),
        "samples.png": model_card.picture(sampler, signatures["generate"]),
    }
    saved_model.write(module, signatures, path, beside, replace)
    print(
        f"step {trained.step} is in {path}; its batch-norm statistics are "
        f"{sampler.statistics}. hub.load({str(path)!r}) opens it, and its README.md "
        "says how to call it"
    )
    return path


@contextlib.contextmanager
def _configured(
    gin_files: Sequence[str],
    bindings: Bindings,
    continue_from: PathLike | None,
    model_dir: PathLike | None,
) -> Iterator[Path | None]:
    """Inside, the configuration of a training is bound, and nothing else.

    Yields the path of `continue_from`.
    """
    with config.apart():
        start = None
        if continue_from is not None:
            start = as_folder(continue_from, "--continue_from")
            own = model_dir and as_path(model_dir, "--model_dir")
            if not own or own.resolve() in (start.resolve(), *_around(start)):
                given = f"={model_dir}" if model_dir else " is missing"
                told = "name a new one with --continue_from."
                raise BadInput(f"--model_dir{given}: {told}")
            # A run that has begun does without the one that it began with.
            if checkpoints.every(own / "checkpoints"):
                run.check_names(own)
                config.read_back(own)
            else:
                config.read_back(checkpoints.locate(start)[0])
        elif not gin_files:
            raise BadInput("--gin_file is missing: name a recipe, such as demo.gin.")
        bind(gin_files, bindings)
        yield start


def _around(checkpoint: Path) -> list[Path]:
    """Returns the run of a checkpoint, which is in `checkpoints` or a folder there."""
    parents = checkpoint.resolve(), *checkpoint.resolve().parents
    return [each.parent for each in parents if each.name == "checkpoints"]


def _run_folder(gin_files: Sequence[str], model_dir: PathLike | None) -> Path:
    if model_dir is None:
        model_dir = f"runs/{Path(gin_files[-1]).stem}"
    return as_folder(model_dir, "--model_dir")


def _discriminator(trained: run.Trained) -> Network:
    """Makes D of the same checkpoint, for inference."""
    its_own = trained.imported.get("discriminator", "published")
    if its_own == "unknown":
        raise BadInput(
            f"--with_discriminator: without its {run.IMPORTED} nothing tells whether D "
            f"in {trained.folder} is a stub; import again, or leave the flag out."
        )
    if its_own != "published":
        raise BadInput(
            f"--with_discriminator: the weights in {trained.folder} came without D, "
            "and the D there is not trained; leave the flag out."
        )
    spec = DiscriminatorSpec(trained.data.image_size, trained.data.num_classes)
    run.check_fit(trained.checkpoint, trained.discriminator, spec)
    discriminator = unfilled(spec)
    fold(trained.discriminator, discriminator, spec.sn_epsilon)
    return discriminator
