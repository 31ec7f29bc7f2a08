"""Published weights in our networks.

Each source (`biggan_pytorch`, `huggingface`, `tfhub`) reads its files into `Published`:
tensors by their own names, what those say of the architecture, and a rule that names
the tensor for each of our variables. `fit` makes values of our variables of them, or
lists all that does not fit; `Values.load` assigns them. `statistics` keeps the
batch-norm statistics that came along.
"""

from biggan_tf.weights import biggan_pytorch, huggingface, matching, tfhub
from biggan_tf.weights.published import Published, Values, class_paths, fit
from biggan_tf.weights.statistics import (
    Statistics,
    load_statistics,
    save_statistics,
)

__all__ = [
    "Published",
    "Statistics",
    "Values",
    "biggan_pytorch",
    "class_paths",
    "fit",
    "huggingface",
    "load_statistics",
    "matching",
    "save_statistics",
    "tfhub",
]
