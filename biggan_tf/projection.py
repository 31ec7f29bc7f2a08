"""What a generator needs to draw a given picture: gradient descent on z and the label.

The starts are the likest of some drawn images. Adam moves z on the sphere that it was
drawn on, where the normal distribution has nearly all its mass; and the label, which is
a mix of classes. G itself stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from biggan_tf.data.resizing import to_network
from biggan_tf.errors import BadInput
from biggan_tf.features import FeatureNetwork
from biggan_tf.keras import keras
from biggan_tf.sampling import Sampler
from biggan_tf.sheets import Row

DRAWN = 64  # images that the starts are the likest of
LEARNING_RATE = 0.2  # at first; it falls to 0 on a cosine
DRAWN_SHARE = 0.9  # of the label at a start, for the class that was drawn


class State(NamedTuple):
    """Where the searches are, each from its own start."""

    z: np.ndarray  # float32 [starts, latent_size]
    y: np.ndarray  # float32 [starts, num_classes], soft
    loss: np.ndarray  # float32 [starts]


def search(
    sampler: Sampler,
    picture: np.ndarray,
    labels: Sequence[int],
    truncation: float,
    *,
    steps: int,
    starts: int,
    seed: int,
    network: FeatureNetwork | None = None,
) -> Iterator[State]:
    """Yields where the searches for a picture are after 0, 1, ... `steps` steps.

    The loss is the mean squared difference of pixels in [-1, 1]; plus, with a feature
    network, the squared distance of the features, divided by their squared norm.

    Args:
        picture: uint8 [image_size, image_size, 3].
        labels: of the classes that the label mixes.
        truncation: of the drawn latents, and of the batch-norm statistics.
        steps: of each search.
        starts: searches side by side, `DRAWN` at most.
        seed: of the drawn images.

    Raises BadInput if the module does not tell gradients.
    """
    picture = to_network(picture).numpy()
    classes = tf.one_hot(labels, sampler.num_classes)
    # The logit of a start's own class; those of the others are 0.
    own = math.log(DRAWN_SHARE / (1 - DRAWN_SHARE) * max(1, len(labels) - 1))
    drawn = np.random.default_rng(seed).integers(len(labels), size=DRAWN)
    z = sampler.latents(DRAWN, truncation, seed)
    logits = own * tf.one_hot(drawn, len(labels))
    found = sampler.images(z, tf.nn.softmax(logits) @ classes, truncation)
    likest = np.square(found - picture).mean((1, 2, 3)).argsort(kind="stable")[:starts]
    z, logits = (tf.Variable(tf.gather(x, likest)) for x in (z, logits))
    radii = tf.norm(z, axis=1, keepdims=True)
    distance = _distance(picture, network)
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    optimizer = keras.optimizers.legacy.Adam(schedule)
    for _ in range(steps + 1):
        try:  # operations without a gradient raise when they are computed
            with tf.GradientTape() as tape:
                y = tf.nn.softmax(logits) @ classes
                loss = distance(sampler.draw(z, y, tf.constant(truncation, tf.float32)))
            slopes = tape.gradient(loss, [z, logits])  # of the sum
        except LookupError:
            slopes = [None]
        if slopes[0] is None:
            raise BadInput(
                "--module: take one that biggan_tf.export wrote, for this one does not "
                "tell the gradient of its images in z."
            )
        yield State(z.numpy(), y.numpy(), loss.numpy())
        optimizer.apply_gradients(zip(slopes, [z, logits]))
        norms = tf.norm(z, axis=1, keepdims=True)
        z.assign(z * tf.math.divide_no_nan(radii, norms))


def best(states: Sequence[State], truncation: float) -> list[Row]:
    """Returns the way of the search that ended best, a row of one image a step."""
    at = states[-1].loss.argmin()
    each = np.s_[at : at + 1]
    return [Row("", state.z[each], state.y[each], truncation) for state in states]


def _distance(
    picture: np.ndarray, network: FeatureNetwork | None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the loss, float32 [n], of images, float32 [n, side, side, 3]."""

    def features(x: tf.Tensor) -> tf.Tensor:
        return network.apply((x + 1) * 127.5)["features"]  # not in whole levels

    wanted = features(tf.constant(picture[None])) if network else None

    def distance(x: tf.Tensor) -> tf.Tensor:
        pixels = tf.reduce_mean(tf.square(x - picture), axis=[1, 2, 3])
        if network is None:
            return pixels
        apart = tf.reduce_sum(tf.square(features(x) - wanted), axis=1)
        return pixels + apart / tf.reduce_sum(tf.square(wanted))

    return distance
