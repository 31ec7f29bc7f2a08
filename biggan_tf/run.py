"""A model directory: what a run writes there, and how it is read back.

`config.gin` (see `config`), `data.json` (see `data_json`), `checkpoints/` (see
`checkpoints`), `statistics.npz` and `imported.json` of published weights, and
`run.lock`. `alarms` writes `rewind.json`, `monitor` the logs, `evaluation` the scores.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from biggan_tf import (
    alarms,
    checkpoints,
    config,
    data_json,
    files,
    networks,
    process,
    standing,
)
from biggan_tf.architecture import DiscriminatorSpec, GeneratorSpec
from biggan_tf.config import option, options
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput
from biggan_tf.gan import Gan, GanOptions
from biggan_tf.latents import LatentOptions
from biggan_tf.regularisers import turned_on
from biggan_tf.sampling import ExportOptions, InferenceGenerator, Sampler
from biggan_tf.standing import (
    GRIDS,
    PublishedStatistics,
    load_published,
)


@options("train")
class TrainOptions:
    """How long a run trains, on what batches, and which checkpoints it keeps."""

    batch_size: int = option(
        2048, "images per update, over all replicas", low=1, high=10**6
    )
    micro_batches: int = option(1, "micro-batches that an update computes", low=1)
    jit_compile: bool = option(False, "whether XLA compiles the updates", free=True)
    total_steps: int = option(150_000, "steps of the whole training", low=1, free=True)
    tick_steps: int = option(100, "steps until the host wakes", low=1, free=True)
    checkpoint_every_steps: int = option(1000, "multiple of the tick", low=1, free=True)
    keep_checkpoints: int = option(
        3, "how many of the newest stay; one more after a stop", low=1, free=True
    )
    keep_every_steps: int = option(10_000, "steps apart; 0: keeps none", free=True)
    keep_moments: bool = option(True, "of Adam, with --continue_from")
    seed: int = option(0, "of weights, latents, labels and the order of the data")
    deterministic: bool = option(False, "the same bits in every run on these devices")

    def check(self) -> None:
        """Raises BadInput if a period or batch is not the multiple it has to be."""
        self.check_period("train.checkpoint_every_steps", self.checkpoint_every_steps)
        periods = ("keep_every_steps", "checkpoint_every_steps")
        for multiple, of in (("batch_size", "micro_batches"), periods):
            if getattr(self, multiple) % getattr(self, of):
                raise BadInput(
                    f"train.{multiple} = {getattr(self, multiple)}: take a multiple of "
                    f"train.{of} = {getattr(self, of)}."
                )

    @property
    def kept_for(self) -> int:
        """How many steps back the newest checkpoints reach, at least."""
        return (self.keep_checkpoints - 1) * self.checkpoint_every_steps

    def check_period(self, binding: str, steps: int) -> None:
        """Raises BadInput unless `steps` is a multiple of the tick."""
        if steps % self.tick_steps:
            raise BadInput(
                f"{binding} = {steps}: take a multiple of train.tick_steps = "
                f"{self.tick_steps}, for the host wakes at the end of a tick only."
            )


def build_gan(
    generator: GeneratorSpec,
    discriminator: DiscriminatorSpec,
    train: TrainOptions,
    latent_options: LatentOptions,
) -> Gan:
    """Makes a GAN, initialised from the seed; gin gives its rates and regularisers."""
    options = GanOptions()
    with process.seeded(train.seed):
        return Gan(
            networks.build(generator),
            networks.build(discriminator),
            options,
            train.batch_size,
            seed=train.seed,
            micro_batches=train.micro_batches,
            jit_compile=train.jit_compile,
            latent_options=latent_options,
            regularisers=turned_on(options.frozen),
        )


# --- a model directory ---------------------------------------------------------------


def lock(folder: Path) -> BinaryIO:
    """Keeps other runs out of a model directory until the returned file is closed.

    Raises BadInput, which names the other process, if one trains there.
    """
    return files.keep_out(folder / "run.lock", f"--model_dir={folder}", "trains")


def check_names(folder: Path) -> None:
    """BadInput if files and folders are in each other's place, or some are missing."""
    for above in (folder, *folder.parents):
        if os.path.lexists(above) and not above.is_dir():
            raise BadInput(f"--model_dir={folder}: {above} is there and is no folder.")
    for name in ("checkpoints", "samples"):
        if (folder / name).exists() and not (folder / name).is_dir():
            raise BadInput(f"--model_dir={folder}: move {name} away; it is no folder.")
    for name in ("data.json", "scalars.jsonl", "spectra.jsonl", "metrics.jsonl"):
        if (folder / name).exists() and not (folder / name).is_file():
            what = "a folder" if (folder / name).is_dir() else "no file"
            raise BadInput(f"--model_dir={folder}: move {name} away; it is {what}.")
    has_checkpoints = bool(checkpoints.every(folder / "checkpoints"))
    for name in ("config.gin", "data.json"):
        if has_checkpoints and not (folder / name).is_file():
            raise BadInput(
                f"--model_dir={folder}: it has checkpoints, but the {name} that they "
                "were made with is missing; put it back, or take another directory."
            )
    log = folder / "scalars.jsonl"
    if not has_checkpoints:
        steps = [line.get("step") for _, line in files.json_lines(log)]
        if last := max([0, *(step for step in steps if isinstance(step, int))]):
            raise BadInput(
                f"--model_dir={folder}: it has no checkpoint, but its scalars.jsonl "
                f"goes to step {last}; put its checkpoints back, or take another "
                "directory; to begin anew, delete scalars.jsonl and checkpoints/."
            )


# --- a trained model ------------------------------------------------------------------

# In a model directory of imported weights: their `source`, and which `discriminator` is
# with them: "published", "afresh" or a "stub".
IMPORTED = "imported.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """The averaged generator in a checkpoint of a model directory."""

    folder: Path
    checkpoint: Path
    step: int
    data: DataSpec
    spec: GeneratorSpec
    latents: LatentOptions
    weights: dict[str, np.ndarray]  # G's variables by path, its weights averaged
    discriminator: dict[str, np.ndarray]  # D's variables by path; {}: it is not read
    published: PublishedStatistics | None  # those that came with published weights
    imported: Mapping[str, Any]  # of weights that were not trained since: `IMPORTED`


def restore(
    model_dir: str | os.PathLike[str],
    best: bool = False,
    with_discriminator: bool = False,
) -> Trained:
    """Reads the newest checkpoint of a model directory, or the one with the best score.

    D is read only if it is asked for. Reading needs the bindings of the training (call
    `config.read_back` first), but neither its data nor its devices. Raises BadInput if
    there is no checkpoint that fits.
    """
    folder = Path(model_dir)
    data = data_json.read(folder).spec
    spec = GeneratorSpec(data.image_size, data.num_classes)
    latents = LatentOptions(counts=data.class_counts)

    names = ["average", *(["discriminator"] if with_discriminator else [])]
    find = checkpoints.read_best if best else checkpoints.read_latest
    found = find(
        folder / "checkpoints",
        lambda path: {name: checkpoints.read_weights(path, name) for name in names},
    )
    if found is None:
        raise BadInput(f"--model_dir={model_dir}: there is no checkpoint in it yet.")
    path, read = found
    weights, of_d = read["average"], read.get("discriminator", {})
    check_fit(path, weights, spec)
    step = checkpoints.step_of(path)
    published, imported = load_published(folder, step, weights), _imported(folder, step)
    about = data, spec, latents
    return Trained(folder, path, step, *about, weights, of_d, published, imported)


def _imported(folder: Path, step: int) -> dict[str, Any]:
    """Returns what `IMPORTED` tells of a checkpoint; {} once it was trained.

    Its `discriminator` is "unknown" where weights came without a recipe and the file is
    missing: earlier versions wrote none.
    """
    path = folder / IMPORTED
    if not step and not path.exists() and not data_json.read(folder).spec.source:
        return {"discriminator": "unknown"}
    if step or not path.exists():
        return {}
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        told = f"--model_dir={folder}: its {IMPORTED} cannot be read ({error})."
        raise BadInput(told) from error


def check_fit(
    path: Path, weights: dict[str, np.ndarray], spec: GeneratorSpec | DiscriminatorSpec
) -> None:
    """Raises BadInput unless the weights in the checkpoint fit the spec."""
    shapes = {name: shape for name, (shape, _) in networks.variables(spec).items()}
    there = {name: value.shape for name, value in weights.items()}
    if wrong := sorted(name for name, _ in shapes.items() ^ there.items()):
        raise BadInput(
            f"{path} does not fit the networks of the configuration ({wrong[0]}); take "
            "the configuration it was made with."
        )


def inference_generator(
    trained: Trained, export: ExportOptions, truncations: Sequence[float] = ()
) -> tuple[InferenceGenerator, Sampler]:
    """Makes the generator of an export, and its sampler.

    Published statistics of the same convention are used, unless `export.accumulate`.
    Otherwise they are measured at these truncations, or else at the convention's grid.
    """
    convention = trained.latents.convention(export.truncation_convention)
    published = trained.published
    measured = export.accumulate or not published or published.convention != convention
    if measured:
        truncations = sorted(truncations) or GRIDS[convention]
        classes, batch = trained.spec.num_classes, export.batch_size
        passes = export.passes or standing.enough_passes(50, classes, batch)
        origin = standing.told(passes, batch, export.seed)
    else:
        truncations = published.truncations
        origin = "those of the published weights"
    frequencies = trained.latents.frequencies(trained.spec.num_classes)
    generator = InferenceGenerator(
        trained.spec, convention, truncations, export.batch_size, frequencies
    )
    try:
        generator.set_weights(trained.weights, published.sigmas if published else None)
        if not measured:
            generator.statistics.set_tables(published.means, published.variances)
    except (KeyError, ValueError) as error:
        told = f"{trained.folder / 'statistics.npz'} is of other networks ({error})"
        raise BadInput(f"{told}; import again.") from error
    if measured:
        generator.measure(passes, export.seed)
    about = trained.data.class_names, origin, checkpoints.sha256(trained.weights)
    return generator, generator.sampler(trained.step, *about)


# --- going on from another run --------------------------------------------------------


def check_takes_over(
    source: str | os.PathLike[str],
    spec: DataSpec,
    g: GeneratorSpec,
    d: DiscriminatorSpec,
    gan: GanOptions,
) -> None:
    """Raises BadInput unless networks fit the checkpoint that --continue_from names.

    Also if a class has another number here than there, for embeddings go by number.
    Prints which options have other values, and if other classes have taken the places
    of those there.
    """
    folder, path = checkpoints.locate(source)
    there, here = data_json.read(folder).spec.class_names, spec.class_names
    for number, name in enumerate(here):
        if name in there and there.index(name) != number:
            raise BadInput(
                f"--continue_from={source}: class {name!r} is number "
                f"{there.index(name)} there and {number} in {spec.name}; give data "
                "with its classes in the order of that run's data.json."
            )
    told = {
        "stub": "it has a stub for D, since none was published",
        "unknown": f"without its {IMPORTED} nothing tells whether its D is a stub",
    }
    its_own = _imported(folder, checkpoints.step_of(path)).get("discriminator")
    if its_own in told:
        raise BadInput(
            f"--continue_from={source}: {told[its_own]}; import the weights again, "
            "with the recipe as --gin_file."
        )
    specs = {"generator": g, "discriminator": d}
    try:
        checkpoints.check_whole(path)
        updates = checkpoints.read_updates(path)
        weights = {name: checkpoints.read_weights(path, name) for name in specs}
    except checkpoints.DAMAGE as error:
        raise BadInput(f"--continue_from={path}: it is damaged.") from error
    _check_computes_alike(source, folder, updates, g, gan)
    for name, network_spec in specs.items():
        check_fit(path, weights[name], network_spec)
    if there != here:
        old, new = next(pair for pair in zip(there, here) if pair[0] != pair[1])
        print(
            f"{source} was trained on other classes: the embedding of {old!r} goes on "
            f"as that of {new!r}, and so on, number by number"
        )


def _check_computes_alike(
    source: str | os.PathLike[str],
    folder: Path,
    updates: int,
    g: GeneratorSpec,
    gan: GanOptions,
) -> None:
    """Raises BadInput if weights fit here, but mean something else than there.

    `updates` is how many of G its optimiser counts. Prints what else differs.
    """
    with config.apart():
        config.read_back(folder)
        old_g = GeneratorSpec(g.resolution, g.num_classes)
        begun = GanOptions().ema_start_step <= updates
    if old_g.condition_order != g.condition_order:
        raise BadInput(
            f"--continue_from={source}: bind generator.condition_order = "
            f"{old_g.condition_order!r}, as there; it is {g.condition_order!r} here."
        )
    if begun and gan.ema_start_step > updates and not gan.freeze_generator:
        raise BadInput(
            f"gan.ema_start_step = {gan.ema_start_step}: take {updates} or less, the "
            f"updates of G that --continue_from={source} counts. Its average has "
            "begun, and until then it would be a copy of G."
        )
    for name, (old, new) in config.differences(folder).items():
        if "absent" not in (old, new):  # of an imported run, or an earlier version
            print(f"{name} = {new}; in {source} it was {old}")
    if alarms.was_rewound(folder):
        print(
            f"{source} was rewound, and its learning rates were changed then; here "
            "they are those of gan.*"
        )


def take_over(path: Path, gan: Gan, keep_moments: bool) -> None:
    """Restores networks, G's average, optimisers and step from another run.

    Averages of regularisers, loss scales and the share of augmented images start anew.
    Without `keep_moments` both optimisers start as at step 0. BadInput if the
    checkpoint at `path` does not fit.
    """
    kept = tf.train.Checkpoint(
        generator=gan.generator,
        discriminator=gan.discriminator,
        generator_optimizer=gan.generator_optimizer,
        discriminator_optimizer=gan.discriminator_optimizer,
        step=gan.step,
    )
    try:
        status = tf.train.Checkpoint(gan=kept).read(str(path))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInput(
            f"--continue_from={path}: it does not fit ({reason}); leave data.*, "
            "generator.* and discriminator.* as they were there."
        ) from error
    if not keep_moments:
        print(f"{path}: train.keep_moments = False, so Adam's moments begin at zero")
        averages = {id(average) for average in gan.averaged_weights()}
        for optimizer in (gan.generator_optimizer, gan.discriminator_optimizer):
            inner = getattr(optimizer, "_optimizer", optimizer)
            for variable in [*optimizer.variables(), *inner.variables()]:
                if id(variable) not in averages:
                    variable.assign(tf.zeros_like(variable))
