"""What every score asks of its input."""

from __future__ import annotations

import numpy as np

from biggan_tf.errors import BadInput


def check_enough_images(count: int, feature_size: int) -> None:
    """BadInput if `count` images cannot give `feature_size` features a covariance.

    With fewer than feature_size + 1 images it is singular, and FID depends on the
    number of images more than on what is in them. Ask before images are made.
    """
    if count <= feature_size:
        raise BadInput(
            f"{count} images are too few for FID with features of size {feature_size}: "
            f"take {feature_size + 1} or more (num_images, or the reference's split)."
        )


def finite_rows(features: np.ndarray) -> np.ndarray:
    """The features or logits as float64 [n, d]; BadInput if they are not that."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not len(features):
        raise BadInput(f"features of shape {features.shape}: [images, size] is needed.")
    if not np.isfinite(features).all():
        raise BadInput(
            "features or logits hold NaN or infinity: so do the images they were made "
            "from, or the feature network is broken."
        )
    return features
