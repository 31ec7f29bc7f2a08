"""Measures whether samples of the embedded data show the right class, and vary.

    python tools/measure_samples.py --module=runs/demo/export

Trains a small classifier on the real embedded images, then draws 100 samples a class
and prints two figures:

- label accuracy: the fraction of samples, drawn at --truncation, to which the
  classifier gives the class that was asked for; beside it, its accuracy on real test
  images;
- diversity: the mean pairwise pixel distance between untruncated samples of one class,
  divided by that between as many real images.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from absl import flags

from biggan_tf import config, data, images, latents, monitor, saved_model
from biggan_tf.errors import BadInput
from biggan_tf.keras import keras

_MODULE = flags.DEFINE_string("module", None, "An exported module.", required=True)
_TRUNCATION = flags.DEFINE_float("truncation", 0.5, "For label accuracy.")
_SAMPLES = flags.DEFINE_integer(
    "samples_per_class", 100, "Of each; there are 800 real images of one.", 2, 800
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Of latents and of the classifier.", 0, 2**31 - 1
)


def _arrays(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    batches = [(images.to_uint8(x), y.numpy()) for x, y in dataset]
    return tuple(np.concatenate(parts) for parts in zip(*batches))


def _classifier(
    pixels: np.ndarray, labels: np.ndarray, num_classes: int
) -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=pixels.shape[1:]),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPool2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(num_classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(pixels, labels, batch_size=64, epochs=8, verbose=0)
    return model


def _accuracy(model: keras.Model, pixels: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(model.predict(pixels, verbose=0).argmax(1) == labels))


def main() -> None:
    module = saved_model.load(_MODULE.value)
    latents.check_truncation(module.convention, _TRUNCATION.value, "--truncation")
    untruncated = f"--module={_MODULE.value}: diversity needs truncation"
    latents.check_truncation(module.convention, math.inf, untruncated)
    source = data.load(image_size=module.image_size, source="embedded")
    if module.class_names != source.spec.class_names:
        raise BadInput(
            f"--module={_MODULE.value}: take a module of the embedded data's classes, "
            f"{', '.join(source.spec.class_names)}; this one has others."
        )
    keras.utils.set_random_seed(_SEED.value)
    real, real_labels = _arrays(source.batches("train", 500))
    test, test_labels = _arrays(source.batches("held_out", 500))
    model = _classifier(real, real_labels, source.spec.num_classes)

    labels = np.repeat(np.arange(source.spec.num_classes), _SAMPLES.value)

    def samples(truncation: float) -> np.ndarray:
        generated = module.generate(labels, truncation, _SEED.value)
        return images.to_uint8(generated)

    accuracy = _accuracy(model, samples(_TRUNCATION.value), labels)
    rows = [np.flatnonzero(real_labels == c)[: _SAMPLES.value] for c in set(labels)]
    rows = np.concatenate(rows)
    drawn, columns = np.float32(samples(math.inf)), _SAMPLES.value
    diversity = monitor.diversity(drawn, columns)
    diversity /= monitor.diversity(np.float32(real[rows]), columns)
    print(f"classifier: {_accuracy(model, test, test_labels):.3f} of real test images")
    print(f"label accuracy: {accuracy:.3f} at truncation {_TRUNCATION.value}")
    print(f"diversity: {diversity:.3f} of real images, untruncated")


if __name__ == "__main__":
    config.run(main)
