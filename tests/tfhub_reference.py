"""Modules in the TF1 Hub format, named and shaped as DeepMind's, of small width.

The computation is written here once more, in plain ops, and independently of ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
SETS = 51  # of batch-norm statistics in the deep modules, for truncation 0 to 1
CHANNELS = {
    128: (16, 16, 8, 4, 2, 1),
}


class Module:
    """A module, of random weights, and batch-norm statistics that fit them somewhat.

    Args:
        deep: BigGAN-deep.
        resolution: of the images, pixels.
        attention: the side at which it stands.
    """

    width, classes, embedding = 8, 5, 6

    def __init__(self, deep: bool, resolution: int, attention: int):
        self.deep, self.resolution, self.attention = deep, resolution, attention
        self.ema = "/ema_0.9999" if deep else "/ema_b999900"
        self.random = np.random.default_rng(0)
        self.arrays: dict[str, np.ndarray] = {}
        self.norms: list[str] = []
        self.tables: dict[str, list[np.ndarray]] = {}
        doublings = len(CHANNELS[resolution]) - 1
        self.latent_size = 8 if deep else 2 * (doublings + 1)
        self.z = self._normal(3, self.latent_size)
        self.y = np.eye(self.classes, dtype=np.float32)[[1, 1, 0]]
        self.y[2, 2] = self.y[2, 0] = 0.5
        self._statistics = self._calibrate  # the first pass makes arrays and tables
        self._images(tf.constant(self.z), tf.constant(self.y))
        self._statistics = self._stored

    def write(self, folder: Path, scope: str = "") -> str:
        """Saves it; the deep modules' constants have names in a scope, such as "a/"."""
        with tf.Graph().as_default(), v1.Session() as session:
            z = v1.placeholder(tf.float32, [None, self.latent_size], "z")
            y = v1.placeholder(tf.float32, [None, self.classes], "y")
            self.truncation = v1.placeholder(tf.float32, [], "truncation")
            self._make_variables()
            self._make_tables(scope)
            images = self._images(z, y)
            session.run(v1.global_variables_initializer())
            inputs = {"z": z, "y": y, "truncation": self.truncation}
            signature = v1.saved_model.predict_signature_def(
                inputs, {"default": images}
            )
            builder = v1.saved_model.Builder(str(folder))
            builder.add_meta_graph_and_variables(session, [], {"default": signature})
            builder.save()
        (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")  # format 3
        return str(folder)

    def images(self, folder: str, *truncations: float) -> list[np.ndarray]:
        """What the saved module computes of `z` and `y`."""
        with tf.Graph().as_default(), v1.Session() as session:
            meta = v1.saved_model.load(session, [], folder)
            signature = meta.signature_def["default"]
            names = [signature.inputs[k].name for k in ("z", "y", "truncation")]
            return [
                session.run(
                    signature.outputs["default"].name,
                    dict(zip(names, (self.z, self.y, truncation))),
                )
                for truncation in truncations
            ]

    def _normal(self, *shape: int) -> np.ndarray:
        return self.random.normal(size=shape).astype(np.float32)

    def _make_variables(self) -> None:
        self.variables = {}
        for name, array in self.arrays.items():
            if name.endswith(("/w", "/b", "/gamma", "/beta", "/scale", "/offset")):
                v1.get_variable(name, initializer=self._normal(*array.shape))
                name += self.ema
            self.variables[name] = v1.get_variable(
                name, initializer=array, use_resource=False
            )
        v1.get_variable("global_step", initializer=np.int64(7), trainable=False)
        if not self.deep:
            for norm in self.norms:
                v1.get_variable(f"{norm}/accumulation_counter", initializer=1.0)

    def _make_tables(self, scope: str) -> None:
        if self.deep:
            for index, norm in enumerate(self.norms):
                for array, number in zip(self.tables[norm], ((1, 6), (3, 8))):
                    name = f"{scope}stack_{10 * (index // 2) + number[index % 2]}"
                    stack = tf.stack([tf.constant(row) for row in array], name=name)
                    self.variables[f"{norm}/{number[0]}"] = stack

    def _array(self, name: str, *shape: int, mean: float = 0.0) -> tf.Tensor:
        if tf.executing_eagerly():
            self.arrays[name] = np.float32(mean + 0.3 * self._normal(*shape))
            return tf.constant(self.arrays[name])
        return self.variables.get(name + self.ema, self.variables.get(name))

    def _kernel(self, name: str, *shape: int) -> tf.Tensor:
        """W / sigma, by a power iteration from u0."""
        w, u = self._array(f"{name}/w", *shape), self._array(f"{name}/u0", 1, shape[-1])
        self._array(f"{name}/u1", 1, int(np.prod(shape[:-1])))
        matrix = tf.reshape(w, [-1, shape[-1]])
        v = tf.nn.l2_normalize(tf.matmul(u, matrix, transpose_b=True))
        u = tf.nn.l2_normalize(tf.matmul(v, matrix))
        return w / tf.reduce_sum(tf.matmul(v, matrix) * u)

    def _conv(self, x: tf.Tensor, name: str, units: int, side: int) -> tf.Tensor:
        kernel = self._kernel(name, side, side, x.shape[-1], units)
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        return x if "attention" in name else x + self._array(f"{name}/b", units)

    def _calibrate(self, norm: str, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        sets = SETS if self.deep else 1
        noise = self._normal(2, sets, x.shape[-1])
        means = mean + 0.3 * tf.sqrt(variance) * noise[0]
        variances = variance * tf.exp(0.3 * noise[1])
        self.norms.append(norm)
        self.tables[norm] = [means.numpy(), variances.numpy()]
        if not self.deep:
            self.arrays[f"{norm}/accumulated_mean"] = means[0].numpy()
            self.arrays[f"{norm}/accumulated_var"] = variances[0].numpy()
        return means[0], variances[0]

    def _stored(self, norm: str, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not self.deep:
            leaves = ("accumulated_mean", "accumulated_var")
            return tuple(self.variables[f"{norm}/{leaf}"] for leaf in leaves)
        place = self.truncation * (SETS - 1)
        low = tf.minimum(tf.cast(tf.floor(place), tf.int32), SETS - 2)
        weight = place - tf.cast(low, tf.float32)
        tables = (self.variables[f"{norm}/{leaf}"] for leaf in (1, 3))
        return tuple((1 - weight) * t[low] + weight * t[low + 1] for t in tables)

    def _norm(self, x, norm, gain, offset) -> tf.Tensor:
        mean, variance = self._statistics(norm, x)
        return (x - mean) / tf.sqrt(variance + 1e-4) * gain + offset

    def _hyper(self, x, condition, norm, gain, offset) -> tf.Tensor:
        """ReLU of conditional batch norm."""
        shape = condition.shape[1], x.shape[-1]
        g, b = (tf.matmul(condition, self._kernel(n, *shape)) for n in (gain, offset))
        return tf.nn.relu(self._norm(x, norm, 1 + g[:, None, None], b[:, None, None]))

    def _block(self, x, condition, number: int, units: int) -> tf.Tensor:
        block = "Generator/GBlock" + (f"_{number}" if number else "")
        h, last = x, ""
        for last, conv in (("", "conv0"), ("_1", "conv1")):
            hyper = f"{block}/HyperBN{last}"
            norm = f"{block}/CrossReplicaBN{last}"
            h = self._hyper(h, condition, norm, f"{hyper}/gamma", f"{hyper}/beta")
            h = self._conv(h if last else up(h), f"{block}/{conv}", units, 3)
        return h + self._conv(up(x), f"{block}/conv_sc", units, 1)

    def _deep_block(self, x, condition, number: int, units: int) -> tf.Tensor:
        block = "Generator/GBlock" + (f"_{number}" if number else "")
        h, inner, grows = x, x.shape[-1] // 4, number % 2 == 1
        for index, side in enumerate((1, 3, 3, 1)):
            norm = f"{block}/BatchNorm" + (f"_{index}" if index else "")
            h = self._hyper(h, condition, norm, f"{norm}/scale", f"{norm}/offset")
            h = up(h) if grows and index == 1 else h
            h = self._conv(
                h, f"{block}/conv{index}", units if index == 3 else inner, side
            )
        x = x[..., :units]
        return h + (up(x) if grows else x)

    def _attention(self, x: tf.Tensor) -> tf.Tensor:
        side, channels = x.shape[1], x.shape[-1]

        def part(name: str, units: int, pool: bool) -> tf.Tensor:
            h = self._conv(x, f"Generator/attention/{name}", units, 1)
            h = tf.nn.max_pool2d(h, 2, 2, "SAME") if pool else h
            return tf.reshape(h, [-1, h.shape[1] * h.shape[2], units])

        theta, phi = (
            part("theta", channels // 8, False),
            part("phi", channels // 8, True),
        )
        weights = tf.nn.softmax(tf.matmul(theta, phi, transpose_b=True))
        h = tf.matmul(weights, part("g", channels // 2, True))
        h = tf.reshape(h, [-1, side, side, channels // 2])
        h = self._conv(h, "Generator/attention/o_conv", channels, 1)
        return x + self._array("Generator/attention/gamma", mean=0.7) * h

    def _images(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        seed, *channels = (self.width * factor for factor in CHANNELS[self.resolution])
        y = tf.matmul(y, self._array("linear/w", self.classes, self.embedding))
        if self.deep:
            first, name = tf.concat([z, y], 1), "Generator/GenZ/G_linear"
            conditions = [first] * len(channels)
        else:
            first, *rest = tf.split(z, len(channels) + 1, axis=1)
            name = "Generator/G_Z/G_linear"
            conditions = [tf.concat([chunk, y], 1) for chunk in rest]
        h = tf.matmul(first, self._kernel(name, first.shape[1], 16 * seed))
        h = tf.reshape(h + self._array(f"{name}/b", 16 * seed), [-1, 4, 4, seed])
        for index, (units, condition) in enumerate(zip(channels, conditions)):
            if self.deep:
                h = self._deep_block(h, condition, 2 * index, h.shape[-1])
                h = self._deep_block(h, condition, 2 * index + 1, units)
            else:
                h = self._block(h, condition, index, units)
            h = self._attention(h) if h.shape[1] == self.attention else h
        if self.deep:
            norm, gain, offset = "Generator/BatchNorm", "scale", "offset"
            rgb, statistics, outputs = "conv_to_rgb", norm, self.width
        else:
            norm, gain, offset = "Generator/ScaledCrossReplicaBN", "gamma", "beta"
            rgb, statistics, outputs = "conv_2d", f"{norm}bn", 3
        gain = self._array(f"{norm}/{gain}", 1, 1, 1, h.shape[-1], mean=2.0)
        offset = self._array(f"{norm}/{offset}", 1, 1, 1, h.shape[-1])
        h = tf.nn.relu(self._norm(h, statistics, gain, offset))
        h = self._conv(h, f"Generator/{rgb}", outputs, 3)
        return tf.tanh(h[..., :3])


def up(x: tf.Tensor) -> tf.Tensor:
    """Twice the side, by nearest neighbours."""
    return tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2)
