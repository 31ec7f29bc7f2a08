"""Which real images a model is compared with, and what is known of them."""

from __future__ import annotations

import dataclasses
import os

from biggan_tf import data as datasets
from biggan_tf.api.arguments import PathLike
from biggan_tf.data import listing
from biggan_tf.data_json import TrainedOn
from biggan_tf.errors import BadInput


def images_for(
    model: TrainedOn, named: PathLike | None, split: str, curve: bool
) -> datasets.Data:
    """Returns the data to compare with, its labels those of the model.

    Images of a folder are held out for the split, and for a curve without a reference.

    BadInput if images are to be held out of those that a run was trained on. A printed
    line says so if a run's own data are not as they were, or if the model may have been
    trained on images that are held out of other data.
    """
    spec = model.spec
    if isinstance(named, os.PathLike):
        named = f"folder:{os.fspath(named)}"
    source, _, path = (named or "").partition(":")
    folders = source == "folder" == spec.source
    its_own = named is None or (folders and _are_one(path, spec.name))
    readers = [f"--split={split}"] if split == "held_out" else []
    readers += ["--sweep"] if curve else []
    held_out_for = " and ".join(readers)
    if spec.holds_none_out:
        if split == "held_out":
            _check_unseen(model, named, its_own)
        if its_own:
            held_out_for = ""
    real = _load(spec, named, held_out_for)
    if its_own:
        _check_unchanged(model, real, split)
        return real
    if folders:
        by_rules = real.spec.listing < listing.RULES
        by_run = real.spec.held_out_images and not held_out_for
        if (by_rules or by_run) and not _is_trained_on(model, real):
            # How the run took its own folder says nothing of another one.
            anew = {"held_out_images": 0, "listing": listing.RULES}
            real = _load(dataclasses.replace(spec, **anew), named, held_out_for)
    if source != "embedded" and split == "held_out":
        _say_what_is_unknown(model, real)
    return real


def _are_one(path: str, other: str) -> bool:
    path = os.path.expanduser(path)
    return os.path.realpath(path) == os.path.realpath(other)


def _load(
    of_model: datasets.DataSpec, named: str | None, held_out_for: str
) -> datasets.Data:
    given = {"before": of_model, "held_out_for": held_out_for}
    if named is None:
        return datasets.load(flip=False, **given)
    return datasets.named(named, of_model.image_size, "--data", **given)


def _is_trained_on(model: TrainedOn, real: datasets.Data) -> bool:
    """Returns whether the training images are the model's, wherever they lie."""
    there = real.fingerprint("train")
    return there != "" and there == model.content_sha256


def _check_unseen(model: TrainedOn, named: str | None, its_own: bool) -> None:
    """Raises BadInput if these are the images of a run that was trained on all."""
    told = "" if its_own else f", which are those of --data={named}"
    if its_own or _is_trained_on(model, _load(model.spec, named, "")):
        raise BadInput(
            "--split=held_out: take --split=train, or other images with "
            f"--data=folder:PATH; the run was trained on all of {model.spec.name}"
            f"{told}."
        )


def _say_what_is_unknown(model: TrainedOn, real: datasets.Data) -> None:
    """Prints that the model may have been trained on images that are held out here.

    Not if it was trained on exactly the others, wherever they lay.
    """
    if not _is_trained_on(model, real):
        told = f"the model may have been trained on images held out of {real.spec.name}"
        print(told, flush=True)


def _check_unchanged(model: TrainedOn, real: datasets.Data, split: str) -> None:
    """Prints that a run's images are others now; BadInput if held-out ones are asked.

    They count as unchanged if it is not known which there were, or which there are.
    """
    now = real.fingerprint("train")
    if "" in (model.content_sha256, now) or model.content_sha256 == now:
        if model.others_before and split == "held_out":
            print(
                "the run was trained on other images before, and may have seen some of "
                "those held out now",
                flush=True,
            )
        return
    others = (
        f"was trained on other images than {real.spec.name} has to train on now "
        "(other files, data.labels or data.held_out_fraction)"
    )
    if split == "held_out":
        raise BadInput(
            "--split=held_out: take --split=train, or other images with --data; "
            f"the run {others}, so it may have seen what is held out now."
        )
    print(f"the run {others}", flush=True)
