"""Set-up that every test shares; it has to come before TensorFlow starts."""

import functools
import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two processes of tests share the cores; threads of theirs would wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest
import tensorflow as tf

from biggan_tf import config, distribution, plan, run
from biggan_tf.gan import Gan
from biggan_tf.keras import keras

# Four virtual CPUs, so that tests of several replicas run in this process. Ops go to
# the first one by default, as they would with a single CPU.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 4,
)
# The graph optimiser takes longer than the few steps that tests make.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

# The slow ones, slowest first; if one came last, the other process would wait for it.
SLOW_FILES = [
    f"test_{name}.py"
    for name in (
        *("evaluation", "train", "gan", "loop", "networks", "xla", "workers"),
        *("notebooks", "stability", "weights", "weights_huggingface", "weights_tfhub"),
        *(
            "explore",
            "saved_model",
            "features",
            "inception",
            "export",
            "survival",
            "parity",
            "sample",
        ),
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first; pytest.ini has them taken in this order."""
    order = {name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_collection_finish() -> None:
    """Tracing makes millions of objects, most of which stay: look for garbage less."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Weights that no test seeds are the same in every run, fixtures' too."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder that all users can reach, which they may not be able to tmp_path."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        os.chmod(path, 0o755)
        yield Path(path)


@pytest.fixture(autouse=True)
def _clean_gin():
    """Bindings and consumed values of one test are unknown to the next."""
    config.clear()
    yield
    config.clear()


@pytest.fixture(scope="module")
def traced_once(tmp_path_factory):
    """Runs of one configuration in one process share a GAN, and so its traced step.

    Each run gets it as it was when new. What a new process does, tests of programs see.
    """
    made, fresh = {}, plan.Plan.build

    def build(asked: plan.Plan) -> Gan:
        train = asked.train
        sizes = train.batch_size, train.micro_batches, train.jit_compile, train.seed
        networks = asked.generator, asked.discriminator, asked.gan
        others = asked.latents, run.turned_on()
        key = repr((id(asked.strategy), networks, sizes, others))
        if key not in made:
            saved = tmp_path_factory.mktemp("new") / "gan"
            gan = fresh(asked)
            made[key] = gan, tf.train.Checkpoint(gan=gan).write(str(saved))
        gan, saved = made[key]
        tf.train.Checkpoint(gan=gan).read(saved).assert_consumed()
        return gan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan.Plan, "build", build)
        one_device = functools.cache(distribution.one_device)
        patch.setitem(distribution.KINDS, "one_device", one_device)
        yield
