"""The closed form of the directions is that of numpy, from the kernels alone."""

import numpy as np
import pytest
from tiny import specs

from biggan_tf import networks
from biggan_tf.directions import directions
from biggan_tf.layers import path_of
from biggan_tf.sampling import for_inference


@pytest.mark.parametrize("order", ["yz", "zy"])
@pytest.mark.parametrize("family", ["biggan", "biggan_deep"])
def test_directions_are_eigenvectors_of_the_weights_of_z(family, order):
    spec = for_inference(specs(family, condition_order=order)[0])
    generator = networks.build(spec)
    kernels = {path_of(v): v.numpy() for v in generator.trainable_variables}
    z_last = slice(-2, None) if family == "biggan" else slice(-8, None)
    z_first = slice(2) if family == "biggan" else slice(8)
    rows = z_last if order == "yz" else z_first
    weights = np.zeros([8, 0])
    for name, kernel in kernels.items():
        entrance = name.split("/")[-2]
        if kernel.ndim != 2:
            continue
        if family == "biggan_deep":  # all of z enters everywhere
            if entrance in ("seed", "gain", "offset"):
                weights = np.concatenate([weights, kernel[rows]], axis=1)
        elif name == "seed/kernel":
            own = np.zeros([8, kernel.shape[1]])
            own[:2] = kernel  # the first of four chunks
            weights = np.concatenate([weights, own], axis=1)
        elif entrance in ("gain", "offset") and name.startswith("block"):
            own = np.zeros([8, kernel.shape[1]])
            first = 2 * (1 + int(name[5]))
            own[first : first + 2] = kernel[rows]
            weights = np.concatenate([weights, own], axis=1)
    values, vectors = np.linalg.eigh(weights @ weights.T)
    found = directions(generator)
    assert found.dtype == np.float32
    for ours, right in zip(found, vectors.T[::-1]):
        assert abs(ours @ right) == pytest.approx(1, abs=1e-4)
        assert ours[np.abs(ours).argmax()] > 0
    reach = np.linalg.norm(found @ weights, axis=1)
    np.testing.assert_allclose(reach, np.sqrt(values[::-1]), rtol=1e-4)
