"""Where the training runs: one strategy of `tf.distribute`, chosen by one gin function.

Batch sizes are global everywhere; `per_replica_batch` divides them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable

import gin
import tensorflow as tf

from biggan_tf.errors import BadInput

# How TensorFlow says that one of several processes does not answer any more.
LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_TPU_TIMEOUT_SECONDS = 10


@gin.configurable("distribution")
def make_strategy(
    kind: str = "one_device",
    virtual_cpus: int = 2,
    tpu_address: str | None = None,
) -> tf.distribute.Strategy:
    """Returns the strategy; to be called before anything else starts TensorFlow.

    Args:
      kind: one of
        "one_device": the first GPU, or the CPU where there is none;
        "mirrored": every GPU of this machine;
        "multi_worker": every machine that the environment variable TF_CONFIG lists;
        "tpu": the TPU system at `tpu_address`;
        "virtual_cpus": `virtual_cpus` virtual devices on this machine's CPU, to try
        out what several replicas do; not faster than one.
      virtual_cpus: number of replicas for that kind; the others ignore it.
      tpu_address: "host:port", or "local" on a TPU machine; the others ignore it.

    Raises:
      BadInput: unknown kind, or this machine or its settings do not allow it.
    """
    kinds = {
        "one_device": _one_device,
        "mirrored": _mirrored,
        "multi_worker": _multi_worker,
        "tpu": lambda: _tpu(tpu_address),
        "virtual_cpus": lambda: _virtual_cpus(virtual_cpus),
    }
    if kind not in kinds:
        raise BadInput(
            f"`distribution.kind` is {kind!r}; it must be one of {', '.join(kinds)}"
        )
    return kinds[kind]()


def per_replica_batch(
    strategy: tf.distribute.Strategy, batch_size: int, binding: str
) -> int:
    """Returns how many of `batch_size` examples each replica takes.

    Args:
      strategy: gives the number of replicas.
      batch_size: the global batch size.
      binding: the gin name of `batch_size`, for the error.

    Raises:
      BadInput: not a positive whole number, or no multiple of the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if type(batch_size) is not int or batch_size < 1:
        raise BadInput(f"`{binding}` is {batch_size!r}; it must be a whole number >= 1")
    if batch_size % replicas:
        below = batch_size // replicas * replicas
        near = f"{below} or {below + replicas}" if below else str(replicas)
        raise BadInput(
            f"`{binding}` is {batch_size}, which does not divide among {replicas} "
            f"replicas; take a multiple of {replicas}, such as {near}"
        )
    return batch_size // replicas


def joins_replicas_on_the_host(strategy: tf.distribute.Strategy) -> bool:
    """Whether a step of several replicas is more than one program of the devices."""
    on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return strategy.num_replicas_in_sync > 1 and not on_tpu


def of_this_process(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy:
    """A strategy for what one process does alone: its own, unless others share it."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return tf.distribute.get_strategy()
    return strategy


class Workers:
    """The processes that train together: mostly one, which is the chief.

    Args:
        strategy: of the training.

    Attributes:
        here_is_chief: whether this one writes the shared files of the run.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.here_is_chief = _is_chief(strategy)
        self._gathered = None
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            self._gathered = _gather(strategy)

    def largest(self, number: int) -> int:
        """The largest of the workers' numbers; all call this at the same points."""
        if self._gathered is None:
            return number
        return int(max(self._gathered(tf.constant(number)).numpy()))

    def part(self) -> None:
        """Returns when all know what they have agreed upon last: that they leave.

        Who leaves takes along what others have not fetched yet. One that does not
        answer any more came here before, and so knows.
        """
        with contextlib.suppress(*LOST):
            self.largest(0)


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    if resolver.task_type == "worker" and "chief" not in resolver.cluster_spec().jobs:
        return resolver.task_id == 0
    return resolver.task_type == "chief"


def _gather(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function that returns every worker's number, to each of them."""

    @tf.function(autograph=False)
    def gathered(number: tf.Tensor) -> tf.Tensor:
        def replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_gather(number[tf.newaxis], axis=0)

        return strategy.experimental_local_results(strategy.run(replica))[0]

    return gathered


def _one_device() -> tf.distribute.Strategy:
    # Its variables are plain ones, and it prefetches batches to a GPU, which the
    # default strategy does not.
    gpus = tf.config.list_physical_devices("GPU")
    return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")


def _mirrored() -> tf.distribute.Strategy:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise BadInput(
            "`distribution.kind` is 'mirrored', but TensorFlow sees no GPU; take "
            "'one_device', or 'virtual_cpus' to try several replicas out"
        )
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))])


def _multi_worker() -> tf.distribute.Strategy:
    _check_tf_config(os.environ.get("TF_CONFIG", ""))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise BadInput(
            f"TF_CONFIG={os.environ['TF_CONFIG']}: this worker cannot start its "
            f"server: {_first_line(error)}"
        ) from error


def _check_tf_config(text: str) -> None:
    example = (
        'it must read like {"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise BadInput(
            "`distribution.kind` is 'multi_worker', but the environment variable "
            f"TF_CONFIG is not set; {example}"
        )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        addresses = cluster[task["type"]]
        fits = (
            task["type"] in ("chief", "worker")
            and type(task["index"]) is int
            and 0 <= task["index"] < len(addresses)
            and all(
                isinstance(address, str) and address.rpartition(":")[2].isdigit()
                for address in addresses
            )
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput(f"TF_CONFIG={text}: {example}") from error
    if not fits:
        raise BadInput(f"TF_CONFIG={text}: {example}")


def _tpu(address: str | None) -> tf.distribute.Strategy:
    if address != "local":
        address = _reachable(address)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise BadInput(
            f"`distribution.tpu_address` is {address!r}, but no TPU answers there: "
            f"{_first_line(error)}"
        ) from error


def _reachable(address: str | None) -> str:
    """Tries the address, since TensorFlow waits for minutes for one that is wrong."""
    host, _, port = str(address or "").removeprefix("grpc://").rpartition(":")
    if not host or not port.isdigit():
        raise BadInput(
            f"`distribution.tpu_address` is {address!r}; it must be 'host:port', or "
            "'local' on a TPU machine"
        )
    try:
        with socket.create_connection(
            (host, int(port)), _TPU_TIMEOUT_SECONDS
        ) as connection:
            # A gRPC server answers HTTP/2's greeting with its settings, frame type 4.
            connection.sendall(
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0] * 3 + [4] + [0] * 5)
            )
            greeting = connection.makefile("rb").read(9)
        if greeting[3:4] != b"\4":
            raise OSError("what listens there does not speak gRPC")
    except (OSError, OverflowError) as error:
        raise BadInput(
            f"`distribution.tpu_address` is {address!r}, which cannot be reached: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error
    return f"grpc://{host}:{port}"


def _virtual_cpus(count: int) -> tf.distribute.Strategy:
    if type(count) is not int or count < 1:
        raise BadInput(
            f"`distribution.virtual_cpus` is {count!r}; it must be a whole number >= 1"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(devices) < count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError as error:
            raise BadInput(
                f"`distribution.virtual_cpus` is {count}, but TensorFlow has already "
                f"started with {len(devices)}; make the strategy first"
            ) from error
    # The default, collective ops, allows only one number of replicas in a process.
    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(count)],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
