"""Set-up that every test shares; it has to come before TensorFlow starts."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf
from gin import config as gin_config

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
        *("stability", "weights", "weights_huggingface", "weights_tfhub"),
        *("saved_model", "features", "export", "survival", "parity", "sample"),
    )
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first; pytest.ini has them taken in this order."""
    order = {name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(autouse=True)
def _clean_gin():
    """Bindings and consumed values of one test are unknown to the next."""
    gin_config.clear_config()
    yield
    gin_config.clear_config()
