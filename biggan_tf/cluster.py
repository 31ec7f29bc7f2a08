r"""Sorts a folder of images without classes into clusters of those that look alike.

    python -m biggan_tf.cluster --path=/my/images --count=10 --output=clusters.csv
    python -m biggan_tf.train --gin_file=gin/folder.gin \
        --gin_param="data.path = '/my/images'" \
        --gin_param="data.labels = 'clusters.csv'"

A training takes the clusters for classes. Each line of the file has an image and its
cluster: edit it to give the clusters names, to join two, or to leave images out.
clusters.png shows the most typical images of each.
The features are those of an offline network (pip install 'biggan-tf[offline-eval]'),
unless --network names another.
"""

from absl import flags

from biggan_tf import api, config
from biggan_tf.checks import LARGEST_SEED

_PATH = flags.DEFINE_string("path", None, "The folder of images.", required=True)
_COUNT = flags.DEFINE_integer("count", 10, "Of clusters.", 2, 1000)
_OUTPUT = flags.DEFINE_string("output", "clusters.csv", "A new .csv file.")
_NETWORK = flags.DEFINE_string("network", "lite0_128", "See biggan_tf.evaluate.")
_SEED = flags.DEFINE_integer("seed", 0, "Of k-means.", 0, LARGEST_SEED)


def main() -> None:
    asked = _PATH, _COUNT, _OUTPUT, _NETWORK, _SEED
    api.cluster(**{flag.name: flag.value for flag in asked})


def program() -> None:
    config.run(main)


if __name__ == "__main__":
    program()
