"""Makes the data set inside the package from Debian's package of Fashion-MNIST.

    apt-get update && apt-get download dataset-fashion-mnist
    python tools/make_embedded_dataset.py dataset-fashion-mnist_*.deb

It keeps the first 800 images of each class from the training split, and the first 200
from the test split. Both splits are already in random order.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import lzma
import pathlib
import subprocess
import tarfile

import numpy as np

from biggan_tf import files
from biggan_tf.data import embedded

SHA256 = "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
FOLDER = "./usr/share/datasets/fashion-mnist"
TEST_PER_CLASS = 200


def main() -> None:
    """Reads the command line and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("deb", type=pathlib.Path, help="the package, as downloaded")
    parser.add_argument("--output", type=pathlib.Path, default=embedded.FILE)
    arguments = parser.parse_args()
    if not arguments.deb.is_file():
        parser.error(f"{arguments.deb}: there is no such file")
    found = hashlib.sha256(arguments.deb.read_bytes()).hexdigest()
    if found != SHA256:
        parser.error(f"{arguments.deb} has sha256 {found}, expected {SHA256}")
    content = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", arguments.deb])
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        train = first_of_each_class(package, "train", embedded.TRAIN_PER_CLASS)
        test = first_of_each_class(package, "t10k", TEST_PER_CLASS)
    array = io.BytesIO()
    np.save(array, np.concatenate([train, test], axis=1))
    packed = lzma.compress(array.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    with files.replacing(arguments.output) as temporary:
        temporary.write_bytes(packed)
    print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")


def first_of_each_class(package: tarfile.TarFile, split: str, count: int) -> np.ndarray:
    """Returns the first images of a split: uint8 [10, count, 28, 28]."""
    images = read_idx(package, f"{split}-images-idx3-ubyte.gz")
    labels = read_idx(package, f"{split}-labels-idx1-ubyte.gz")
    return np.stack([images[labels == label][:count] for label in range(10)])


def read_idx(package: tarfile.TarFile, name: str) -> np.ndarray:
    """Returns the array in one of the MNIST files: header, sizes, then bytes."""
    content = gzip.decompress(package.extractfile(f"{FOLDER}/{name}").read())
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


if __name__ == "__main__":
    main()
