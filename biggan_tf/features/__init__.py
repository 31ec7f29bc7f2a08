"""Feature networks that images are scored with, and a linear head over their features.

A score carries the name of its network; `FeatureNetwork.protocol` is what two scores
must share to be comparable.
"""

from __future__ import annotations

import re

from biggan_tf.errors import BadInput
from biggan_tf.features.efficientnet_lite import lite0
from biggan_tf.features.inception_graph import inception
from biggan_tf.features.linear import LinearHead, fit_linear_head
from biggan_tf.features.network import FeatureNetwork

__all__ = [
    "FeatureNetwork",
    "LinearHead",
    "fit_linear_head",
    "inception",
    "lite0",
    "load",
]


def load(name: str) -> FeatureNetwork:
    """The feature network of a name.

    Args:
        name: "lite0_128" (or another resolution that 32 divides); "inception", which
            TF-Hub downloads or has in its cache; or "inception=" and a TF-Hub handle
            or the path of a frozen graph (.pb) or a SavedModel folder.

    Raises:
        BadInput: there is no such network, or it cannot be had here.
    """
    kind, _, source = name.partition("=")
    if kind == "inception":
        return inception(source) if source else inception()
    if match := re.fullmatch(r"lite0_(\d+)", name):
        return lite0(int(match[1]))
    raise BadInput(
        f"feature network {name!r}: take inception, inception=<path or TF-Hub handle> "
        "or lite0_<resolution>, lite0_128 say."
    )
