"""`data.json` of a model directory: the data that its run was trained on."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import tensorflow as tf

from biggan_tf import checkpoints, files
from biggan_tf.data import DataSpec
from biggan_tf.errors import BadInput


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """The data of a run, and what else its `data.json` tells."""

    spec: DataSpec
    content_sha256: str = ""  # `Data.fingerprint` of the images to train on, if known
    others_before: bool = False  # whether it was trained on other images before
    tensorflow: str = tf.__version__  # the version that it was trained with


def write(
    folder: Path,
    spec: DataSpec,
    content_sha256: str = "",
    continue_from: str | os.PathLike[str] | None = None,
) -> None:
    """Writes what a run is trained on from now on.

    Prints a line if the run was trained on images of another hash, or if the run it
    continues may have been trained on those held out now.
    """
    begun, others = (folder / "data.json").is_file(), False
    if there := before(folder, continue_from):
        unknown = begun and not there.content_sha256  # of earlier runs
        changed = not unknown and there.content_sha256 != content_sha256
        others = changed or there.others_before
        seen = ", and may have seen those held out now" * bool(spec.held_out_images)
        if changed and (begun or seen):
            print(
                f"{folder if begun else continue_from} was trained on other images or "
                f"labels{seen}; it goes on with the {spec.train_images:,} that are in "
                f"{spec.name} now"
            )
    values = dataclasses.asdict(TrainedOn(spec, content_sha256, others))
    files.write_json(folder / "data.json", {**values.pop("spec"), **values})


def read(folder: Path) -> TrainedOn:
    """Raises BadInput if `data.json` is missing or damaged."""
    try:
        values = files.read_json(folder / "data.json")
        more = {"tensorflow": str(values.pop("tensorflow", "2.15"))}  # of earlier runs
        values.pop("images_sha256", None)  # of earlier runs
        more["content_sha256"] = str(values.pop("content_sha256", ""))
        more["others_before"] = bool(values.pop("others_before", False))
        for name in ("image_size", "num_classes", "train_images", "held_out_images"):
            if type(values[name]) is not int:
                raise ValueError(f"{name} is no whole number")
        names, counts = values["class_names"], values.get("class_counts", ())
        lists = {"class_names": tuple(names), "class_counts": tuple(counts)}
        spec = DataSpec(**{**values, **lists})
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise ValueError("class_names are no list of texts")
        if len({*names}) < len(names):
            raise ValueError("class_names has a name twice")
        if spec.num_classes != len(names):
            raise ValueError("num_classes is not the number of class_names")
        whole = all(type(count) is int and count >= 0 for count in counts)
        if counts and (len(counts) != len(names) or not whole or not sum(counts)):
            raise ValueError("class_counts are no counts of the classes")
    except (OSError, ValueError, TypeError, KeyError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else error
        told = f"--model_dir={folder}: its data.json cannot be read ({lacks})."
        raise BadInput(told) from error
    return TrainedOn(spec, **more)


def before(
    folder: str | os.PathLike[str] | None,
    continue_from: str | os.PathLike[str] | None,
) -> TrainedOn | None:
    """Returns the data of the run that goes on, in `folder` or from another one."""
    if folder is None or not (Path(folder) / "data.json").is_file():
        if continue_from is None:
            return None
        folder, _ = checkpoints.locate(continue_from)
    return read(Path(folder))


def check_goes_on(folder: Path, spec: DataSpec) -> None:
    """Raises BadInput if the run was trained on other classes.

    Prints a line if it was trained with another TensorFlow.
    """
    if not (folder / "data.json").is_file():
        return
    found = read(folder)
    there, version = found.spec, found.tensorflow
    if there.class_names != spec.class_names:
        raise BadInput(
            f"--model_dir={folder}: give the {there.num_classes} classes of "
            f"{there.name}, on which it was trained, with its data.labels if it had "
            "any, or another --model_dir; "
            f"{spec.name} has other classes ({spec.num_classes})."
        )
    if not tf.__version__.startswith(version):  # early runs have its start alone
        print(
            f"{folder} was trained with TensorFlow {version}; with {tf.__version__} it "
            "goes on with the same numbers to rounding, not to the bit"
        )
