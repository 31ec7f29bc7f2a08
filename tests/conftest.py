"""Set-up that every test shares; it has to come before TensorFlow starts."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf
from gin import config as gin_config

# Four pretended CPUs, so that tests of several replicas run in this process. Ops go to
# the first one by default, as they would with a single CPU.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 4,
)


@pytest.fixture(autouse=True)
def _clean_gin():
    """Bindings and consumed values of one test are unknown to the next."""
    gin_config.clear_config()
    yield
    gin_config.clear_config()
