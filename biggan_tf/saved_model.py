"""The exported module, which `hub.load` opens without any Python of ours.

Its root is a `tf.train.Checkpoint`, which keeps its attributes when it is loaded; a
`tf.Module` does not. Numbers and names are `tf.Variable`s, for a SavedModel drops all
else.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from biggan_tf import files, latents
from biggan_tf.directions import directions
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras
from biggan_tf.sampling import InferenceGenerator, Sampler

# What an export writes, at the top of its folder.
_WRITTEN = {"README.md", "samples.png", "saved_model.pb", "fingerprint.pb"}
_WRITTEN |= {"variables", "assets"}
CHECKSUMS = "SHA256SUMS"
ATTRIBUTES = ("num_classes", "latent_size", "image_size", "class_names")
ATTRIBUTES += ("truncation_convention", "standing_truncations", "step")


def make_module(
    generator: InferenceGenerator,
    sampler: Sampler,
    discriminator: keras.Model | None = None,
) -> tuple[tf.train.Checkpoint, dict[str, Callable]]:
    """Returns the object that is saved, and its signatures, see `write`.

    Takes a generator, a sampler made by it, and a D for inference or None.
    """
    size, classes, side = sampler.latent_size, sampler.num_classes, sampler.image_size
    draw_latents = latents.TRUNCATIONS[sampler.convention]

    def check(truncation: tf.Tensor) -> None:
        fits, right = latents.allowed(sampler.convention, truncation)
        tf.debugging.Assert(fits, [f"truncation is {right}:", truncation])

    def images(z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        check(truncation)
        count = tf.shape(z)[0]
        return generator.images(*_one_or_more(z=z, y=y), truncation)[:count]

    def sample_latents(
        batch: tf.Tensor, truncation: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        check(truncation)
        return draw_latents([batch, size], latents.root_seed(seed), truncation)

    def generate(
        labels: tf.Tensor, truncation: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        known = tf.reduce_all((labels >= 0) & (labels < classes))
        tf.debugging.Assert(known, ["labels are 0 to", classes - 1, labels])
        z = sample_latents(tf.size(labels), truncation, seed)
        return images(z, tf.one_hot(labels, classes), truncation)

    z = _specs("z", [None, size], tf.float32, tf.float64, tf.float16)
    y = _specs("y", [None, classes], tf.float32, tf.float64, tf.int32, tf.int64)
    truncation = _specs("truncation", [], tf.float32, tf.float64, tf.int32)
    labels = _specs("labels", [None], tf.int64, tf.int32)
    batch = _specs("batch", [], tf.int64, tf.int32)
    seed = _specs("seed", [], tf.int64, tf.int32)
    inputs = [
        {"z": one, "y": two, "truncation": three}
        for one, two, three in itertools.product(z, y, truncation)
    ]

    def attribute(value: Any, dtype: tf.DType) -> tf.Variable:
        return tf.Variable(value, dtype=dtype, trainable=False)

    call = _accepting(lambda inputs: images(**inputs), inputs=inputs)
    module = _callable(call, generator.network, generator.statistics.variables)
    module.sample_latents = _accepting(
        sample_latents, batch=batch, truncation=truncation, seed=seed
    )
    module.generate = _accepting(
        generate, labels=labels, truncation=truncation, seed=seed
    )
    module.num_classes = attribute(classes, tf.int32)
    module.latent_size = attribute(size, tf.int32)
    module.image_size = attribute(side, tf.int32)
    module.class_names = attribute(list(sampler.class_names), tf.string)
    module.class_frequencies = attribute(sampler.class_frequencies, tf.float32)
    module.truncation_convention = attribute(sampler.convention, tf.string)
    module.standing_truncations = generator.statistics.truncations
    module.step = attribute(sampler.step, tf.int64)
    module.generator_sha256 = attribute(sampler.weights_sha256, tf.string)
    module.statistics = attribute(sampler.statistics, tf.string)
    module.directions = attribute(directions(generator.network), tf.float32)

    if discriminator is not None:
        x = _specs("x", [None, side, side, 3], tf.float32)
        module.discriminator = _judging(discriminator, x, y)
    signatures = {
        "serving_default": _signature(images, "images", z, y, truncation),
        "generate": _signature(generate, "images", labels, truncation, seed),
        "sample_latents": _signature(sample_latents, "z", batch, truncation, seed),
    }
    return module, signatures


def _judging(
    discriminator: keras.Model, x: Sequence[tf.TensorSpec], y: Sequence[tf.TensorSpec]
) -> tf.train.Checkpoint:
    """Returns D as a module has it: of {"x": images, "y": labels}."""

    def logits(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        count = tf.shape(inputs["x"])[0]
        return discriminator(*_one_or_more(**inputs))[:count]

    pairs = [{"x": x[0], "y": one} for one in y]
    return _callable(_accepting(logits, inputs=pairs), discriminator)


def _specs(name: str, shape: list, *dtypes: tf.DType) -> list[tf.TensorSpec]:
    """Returns what an argument may be; the first is what it is cast to."""
    return [tf.TensorSpec(shape, dtype, name) for dtype in dtypes]


def _accepting(function: Callable, **arguments: Sequence) -> Callable:
    """Returns a function that takes each argument in several dtypes, and casts it.

    A function with one signature refuses other dtypes, and where TensorFlow 2.15 loads
    it, a refused call keeps a lock: every other thread then waits for ever. So this
    one refuses nothing before it has looked through its signatures. Arguments that are
    missing or too many match none of them.

    Args:
        arguments: by name, the specs (or dicts of specs) that it may be; the first is
            what `function` takes.
    """
    wanted = tuple(specs[0] for specs in arguments.values())
    exact = tf.function(function, input_signature=wanted, autograph=False)

    def accepting(*given: Any) -> tf.Tensor:
        cast = tf.nest.map_structure(lambda x, to: tf.cast(x, to.dtype), given, wanted)
        return exact(*cast)

    kinds = inspect.Parameter
    accepting.__signature__ = inspect.Signature(
        [
            *(
                kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=None)
                for name in arguments
            ),
            kinds("more", kinds.VAR_POSITIONAL),
            kinds("others", kinds.VAR_KEYWORD),
        ]
    )
    made = tf.function(accepting, autograph=False)
    for specs in itertools.product(*arguments.values()):
        made.get_concrete_function(*specs)
    return made


def _one_or_more(**both: tf.Tensor) -> list[tf.Tensor]:
    """Returns two inputs, equally many, of an image or more: kernels fail on none."""
    count, other = (tf.shape(value)[0] for value in both.values())
    told = [f"{' and '.join(both)} are equally many:", count, other]
    more = [0, tf.maximum(0, 1 - count)]
    with tf.control_dependencies([tf.debugging.Assert(count == other, told)]):
        return [
            tf.pad(value, [more, *[[0, 0]] * (value.shape.rank - 1)])
            for value in both.values()
        ]


def _signature(function: Callable, output: str, *arguments: Sequence) -> Callable:
    """Returns a function for TensorFlow Serving: tensors by name, one dtype each."""
    named = tf.function(lambda **inputs: {output: function(**inputs)}, autograph=False)
    return named.get_concrete_function(
        **{specs[0].name: specs[0] for specs in arguments}
    )


def _callable(
    function: Callable, network: keras.Model, constants: Sequence[tf.Variable] = ()
) -> tf.train.Checkpoint:
    """Returns what `hub.KerasLayer` takes: a function and the variables it uses."""
    trained = list(network.trainable_variables)
    return tf.train.Checkpoint(
        __call__=function,
        trainable_variables=trained,
        variables=[*trained, *constants],
        regularization_losses=[],
    )


def check_free(path: Path, replace: bool) -> None:
    """Raises BadInput unless `write` may write to `path`."""
    if path.exists() and not replace:
        raise BadInput(f"--export_dir={path}: name a new folder, for this one exists.")
    if path.exists() and not (path / "saved_model.pb").is_file():
        raise BadInput(f"--export_dir={path}: move it, for it is no exported module.")
    if path.exists():
        if not (written := _written_files(path)):
            raise BadInput(
                f"--export_dir={path}: move it, for without its {CHECKSUMS} nothing "
                "tells which files in it an export wrote."
            )
        held = filter(_would_be_lost, path.rglob("*"))
        names = {file.relative_to(path).as_posix() for file in held} - {CHECKSUMS}
        ours = {n for n in names & written.keys() if n.partition("/")[0] in _WRITTEN}
        edited = {name for name in ours if files.sha256(path / name) != written[name]}
        if others := sorted(edited | (names - ours)):
            raise BadInput(
                f"--export_dir={path}: move {others[0]} out of it, for all in it is "
                "replaced, and no export wrote that."
            )
        folders = [path, *(each for each in path.rglob("*") if each.is_dir())]
        as_now = {"effective_ids": os.access in os.supports_effective_ids}
        if closed := [f for f in folders if not os.access(f, os.W_OK, **as_now)]:
            raise BadInput(
                f"--export_dir={path}: make {closed[0]} writable, or move it, for it "
                "is replaced."
            )
    try:
        files.check_writable(files.temporary_name(files.true_path(path)))
    except OSError as error:
        told = f"--export_dir={path}: it cannot be written to ({error.strerror})."
        raise BadInput(told) from error


def _would_be_lost(path: Path) -> bool:
    """Returns whether deleting the folder around it would delete something.

    That is a file, a link, or an empty folder but `assets`, which TensorFlow makes.
    """
    if path.is_symlink() or not path.is_dir():
        return True
    return path.name != "assets" and not any(path.iterdir())


def write(
    module: tf.train.Checkpoint,
    signatures: dict[str, Callable],
    path: Path,
    beside: Mapping[str, bytes],
    replace: bool = False,
) -> None:
    """Saves a module, files `beside` it, and SHA256SUMS, complete or not at all.

    `signatures` are functions by name, which servers call; `beside` is the content of
    further files by name. With `replace` it replaces an earlier export. Raises BadInput
    if the folder `path` is taken otherwise, holds other files, or cannot be written.
    """
    check_free(path, replace)
    path = files.true_path(path)  # a link stays
    working, told = _working_folder(path), f"--export_dir={path}"
    made, earlier = working / "module", working / "earlier"
    with files.keep_out(working / "run.lock", told, "writes a module"):
        try:
            _undo(path)  # what an export that was killed has left
            made.mkdir()
            tf.saved_model.save(module, str(made), signatures)
            for name, content in beside.items():
                (made / name).write_bytes(content)
            _write_checksums(made)
            if replace and path.exists():
                path.rename(earlier)
            made.rename(path)
            shutil.rmtree(earlier, ignore_errors=True)
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).partition("\n")[0]
            raise BadInput(
                f"{told}: cannot be written ({reason}); it is as it was."
            ) from error
        finally:
            _undo(path)
            shutil.rmtree(working, ignore_errors=True)


def _working_folder(path: Path) -> Path:
    """Returns where a module is written before it gets its name."""
    return path.with_name(f".{path.name[-50:]}.incomplete")


def _undo(path: Path) -> None:
    """Brings back the export that another one was to replace; drops what is half."""
    working = _working_folder(path)
    if (working / "earlier").exists() and not path.exists():
        (working / "earlier").rename(path)
    for name in ("module", "earlier"):
        shutil.rmtree(working / name, ignore_errors=True)


def _write_checksums(folder: Path) -> None:
    """Writes SHA256SUMS of all files in a folder, for `sha256sum --check`."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    held = [name for name in names if (folder / name).is_file()]
    lines = [f"{files.sha256(folder / name)}  {name.as_posix()}\n" for name in held]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def _written_files(folder: Path) -> dict[str, str]:
    """Returns a module's files and their checksums; {} of an earlier version."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        text = (folder / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        parts = (line.partition("  ") for line in text.splitlines())
        return {name: checksum for checksum, _, name in parts if name}
    return {}


def missing_files(folder: Path) -> list[str]:
    """Returns the files that a module's checksums name and that are not there."""
    return [name for name in _written_files(folder) if not (folder / name).is_file()]


def changed_files(folder: Path) -> list[str]:
    """Returns the files of a module that are there, but not as its checksums tell."""
    written = _written_files(folder)
    there = [name for name in sorted(written) if (folder / name).is_file()]
    return [name for name in there if files.sha256(folder / name) != written[name]]


def _sha256(folder: Path) -> str:
    """Returns the hash of what a module computes: its graph, variables and assets.

    BadInput if they are not all of one export.
    """
    written, whole = _written_files(folder), hashlib.sha256()
    summed = (folder / CHECKSUMS).is_file()  # not of an earlier version
    parts = (sorted((folder / name).rglob("*")) for name in ("variables", "assets"))
    for file in (folder / "saved_model.pb", *itertools.chain(*parts)):
        name, checksum = file.relative_to(folder).as_posix(), files.sha256(file)
        if summed and written.get(name) != checksum:
            raise BadInput(
                f"--module={folder}: {name} is not the file that was exported, as "
                f"{CHECKSUMS} shows; export again, or take a whole copy."
            )
        whole.update(f"{checksum}  {name}\n".encode())
    return whole.hexdigest()


def load(handle: str | os.PathLike[str]) -> Sampler:
    """Opens an exported module; BadInput if it is none.

    Args:
        handle: its folder, or any other handle that `hub.load` takes.
    """
    # A slow import that training does without.
    import tensorflow_hub as hub

    handle = os.fspath(handle)
    if not files.is_address(handle) and not (Path(handle) / "saved_model.pb").is_file():
        raise BadInput(
            f"--module={handle}: give the folder that biggan_tf.export wrote; there is "
            "no saved_model.pb in this one."
        )
    weights = "" if files.is_address(handle) else _sha256(Path(handle))
    try:
        module = hub.load(handle)
    except Exception as error:  # of many kinds: the network, archives, TensorFlow
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(f"--module={handle}: cannot be loaded ({reason}).") from error
    missing = [name for name in ATTRIBUTES if not hasattr(module, name)]
    if missing:
        raise BadInput(
            f"--module={handle}: give a module of biggan_tf.export; this one has no "
            f"{', '.join(missing)}."
        )

    def value(name: str, otherwise: Any = None) -> Any:  # earlier modules lack some
        return getattr(module, name).numpy() if hasattr(module, name) else otherwise

    def draw(z: tf.Tensor, y: tf.Tensor, truncation: tf.Tensor) -> tf.Tensor:
        return module({"z": z, "y": y, "truncation": truncation})

    num_classes = int(value("num_classes"))
    frequencies = value("class_frequencies", latents.uniform(num_classes))
    return Sampler(
        draw=draw,
        num_classes=num_classes,
        latent_size=int(value("latent_size")),
        image_size=int(value("image_size")),
        class_names=tuple(name.decode() for name in value("class_names")),
        convention=value("truncation_convention").decode(),
        truncations=tuple(value("standing_truncations").tolist()),
        step=int(value("step")),
        statistics=value("statistics", b"standing, of the module").decode(),
        class_frequencies=tuple(np.asarray(frequencies).tolist()),
        weights_sha256=weights,
        directions=value("directions"),
        generator_sha256=value("generator_sha256", b"").decode(),
    )
