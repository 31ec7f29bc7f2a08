"""Where the training runs: one strategy of `tf.distribute`, chosen by its options.

Batch sizes are global everywhere; `per_replica_batch` divides them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from biggan_tf.config import option, options
from biggan_tf.errors import BadInput

# What TensorFlow raises when another process has stopped answering.
LOST_WORKER_ERRORS = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)
_TPU_TIMEOUT_SECONDS = 5  # for the connection, and for the first answer
KINDS: dict[str, Callable[[DistributionOptions], tf.distribute.Strategy]] = {}


def _kind(make: Callable) -> Callable:
    """Makes a function the distribution.kind of its name."""
    KINDS[make.__name__] = make
    return make


@_kind
def one_device(_: DistributionOptions) -> tf.distribute.Strategy:
    """The first GPU, or the CPU where there is none."""
    # Unlike the default strategy, it prefetches batches to a GPU.
    gpus = tf.config.list_physical_devices("GPU")
    return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")


@_kind
def mirrored(_: DistributionOptions) -> tf.distribute.Strategy:
    """Every GPU of this machine."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise BadInput(
            "distribution.kind = 'mirrored': TensorFlow sees no GPU; take 'one_device' "
            "or, to try several replicas out, 'virtual_cpus'."
        )
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))])


@_kind
def multi_worker(_: DistributionOptions) -> tf.distribute.Strategy:
    """Every machine that the environment variable TF_CONFIG lists."""
    text = os.environ.get("TF_CONFIG", "")
    count = _workers_in(text)
    if not count:
        raise BadInput(
            f"TF_CONFIG={text}: distribution.kind = 'multi_worker' takes a text like "
            '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
            '"task": {"type": "worker", "index": 0}}.'
        )
    print(f"waiting until all {count} workers of TF_CONFIG have started", flush=True)
    with _refusing(f"TF_CONFIG={text}: this worker cannot start its server"):
        return tf.distribute.MultiWorkerMirroredStrategy()


@_kind
def tpu(options: DistributionOptions) -> tf.distribute.Strategy:
    """The TPU system at `tpu_address`."""
    address = options.tpu_address
    named = f"distribution.tpu_address = {address!r}"
    if address != "local":
        address = _reachable(address, named)
    with _refusing(f"{named}: no TPU answers there"):
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)


@_kind
def virtual_cpus(options: DistributionOptions) -> tf.distribute.Strategy:
    """Virtual devices on this machine's CPU; not faster than one."""
    count = options.virtual_cpus
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(devices) < count:
        try:
            virtual = [tf.config.LogicalDeviceConfiguration()] * count
            tf.config.set_logical_device_configuration(cpu, virtual)
        except RuntimeError as error:
            raise BadInput(
                f"distribution.virtual_cpus = {count}: TensorFlow has already started "
                f"with {len(devices)}; start a new process."
            ) from error
    # The default, collective ops, allows only one number of replicas in a process.
    joined = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)], joined)


@options("distribution", free=True)
class DistributionOptions:
    """On which devices the training runs."""

    kind: str = option("one_device", "the devices", choices=tuple(KINDS))
    virtual_cpus: int = option(2, "replicas of 'virtual_cpus'", low=1, high=1024)
    tpu_address: str | None = option(None, "'host:port' or 'local', for 'tpu'")

    def check(self) -> None:
        """Raises BadInput on an option that another kind of devices takes."""
        if self.tpu_address and self.kind != "tpu":
            raise BadInput(
                f"distribution.tpu_address = {self.tpu_address!r}: take "
                f"distribution.kind = 'tpu' with it, not {self.kind!r}."
            )
        default = type(self).virtual_cpus
        if self.virtual_cpus != default and self.kind != "virtual_cpus":
            raise BadInput(
                f"distribution.virtual_cpus = {self.virtual_cpus}: take {default}, or "
                f"distribution.kind = 'virtual_cpus' with it, not {self.kind!r}."
            )


def make_strategy(**options: Any) -> tf.distribute.Strategy:
    """Returns the strategy of `DistributionOptions`; gin gives those left out.

    Call it before anything else that starts TensorFlow. Raises BadInput if this machine
    or its settings do not allow it.
    """
    made = DistributionOptions(**options)
    return KINDS[made.kind](made)


def remark() -> str:
    """Says that the workers of TF_CONFIG train apart, if they do; "" otherwise."""
    kind, text = DistributionOptions().kind, os.environ.get("TF_CONFIG", "")
    count = _workers_in(text)
    if kind in ("multi_worker", "tpu") or count < 2:
        return ""
    return (
        f"TF_CONFIG names {count} workers; with distribution.kind = {kind!r} each of "
        "them trains a run of its own"
    )


def of_one_process() -> tf.distribute.Strategy:
    """Makes the configured strategy, as `make_strategy`.

    BadInput if it is of several processes, for each of them would see a part alone.
    """
    if DistributionOptions().kind == "multi_worker":
        raise BadInput(
            "distribution.kind = 'multi_worker': take another kind; one process makes "
            "all scores and statistics."
        )
    return make_strategy()


def per_replica_batch(replicas: int, batch_size: int, binding: str) -> int:
    """Returns the examples of a batch for each replica; BadInput names `binding`."""
    each = batch_size // replicas
    if batch_size < 1 or batch_size % replicas:
        near = f"{each * replicas} or {(each + 1) * replicas}" if each > 0 else replicas
        raise BadInput(
            f"{binding} = {batch_size}: take a multiple of {replicas}, the number of "
            f"replicas, such as {near}."
        )
    return each


def xla_can_compile(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether XLA can compile what a replica computes in an update.

    It can for one replica, for TPUs, and for replicas that are all GPUs. On CPUs it has
    no sums over replicas.
    """
    devices = strategy.extended.worker_devices
    return strategy.num_replicas_in_sync == 1 or all("CPU" not in d for d in devices)


def of_this_process(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy:
    """Returns `strategy`, or the default one if other processes share it."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return tf.distribute.get_strategy()
    return strategy


class Workers:
    """The processes that train together: mostly one, which is the chief."""

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        # The chief writes the shared files of the run.
        self.here_is_chief = strategy.extended.should_checkpoint

    def largest(self, number: int) -> int:
        """Returns the largest of the workers' numbers; all of them have to call it."""
        if not isinstance(self._strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return number
        return int(max(self._gathered(tf.constant(number)).numpy()))

    def check_alike(self, **mine: Any) -> None:
        """Raises BadInput, which names it, if a value differs between the workers.

        All of them have to call it.
        """
        for name, value in mine.items():
            number = zlib.crc32(repr(value).encode("utf-8", "backslashreplace")) >> 1
            if self.largest(number) != -self.largest(-number):
                raise BadInput(
                    "distribution.kind = 'multi_worker': the workers have different "
                    f"{name}: give all of them the same."
                )

    def barrier(self) -> None:
        """Blocks until every worker has called it."""
        self.largest(0)

    @tf.function(autograph=False)
    def _gathered(self, number: tf.Tensor) -> tf.Tensor:
        def replica() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_gather(number[tf.newaxis], axis=0)

        return self._strategy.experimental_local_results(self._strategy.run(replica))[0]

    def agree_to_exit(self) -> None:
        """Blocks until every worker has agreed to exit.

        A worker that exited earlier would take along numbers that others still have to
        fetch. An error means that the others have exited already.
        """
        with contextlib.suppress(*LOST_WORKER_ERRORS):
            self.largest(0)


def _workers_in(text: str) -> int:
    """Returns how many workers train together by a TF_CONFIG.

    0 unless it has this worker and an address for each.
    """
    try:
        config = json.loads(text)
        task = config["task"]
        jobs = config["cluster"].values()
        listed = [job.values() if isinstance(job, dict) else job for job in jobs]
        addresses = [address for job in listed for address in job]
        is_cluster = (
            task["type"] in ("chief", "worker")
            and type(task["index"]) is int
            and 0 <= task["index"] < len(config["cluster"][task["type"]])
            and all(address.rpartition(":")[2].isdigit() for address in addresses)
            and not any(isinstance(job, str) for job in jobs)
        )
        trained_by = [config["cluster"].get(job, ()) for job in ("chief", "worker")]
        return sum(map(len, trained_by)) if is_cluster else 0
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return 0


def _reachable(address: str | None, named: str) -> str:
    """Returns the address of a gRPC server, such as a TPU's; BadInput if none answers.

    TensorFlow itself would wait for minutes, or end the process.
    """
    parts = re.fullmatch(r"(?:grpc://)?(.+):(\d{1,5})", address or "")
    if not parts:
        raise BadInput(f"{named}: take 'host:port', or 'local' on a TPU machine.")
    place = parts[1], int(parts[2])
    try:
        with socket.create_connection(place, _TPU_TIMEOUT_SECONDS) as connection:
            # A gRPC server speaks first: HTTP/2's settings, frame type 4.
            if connection.recv(9)[3:4] != b"\4":
                raise OSError("what listens there does not speak gRPC")
    except (OSError, OverflowError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise BadInput(f"{named}: it cannot be reached ({told}).") from error
    return f"grpc://{parts[1]}:{parts[2]}"


@contextlib.contextmanager
def _refusing(problem: str) -> Iterator[None]:
    """Turns what TensorFlow raises into BadInput, its first line in brackets."""
    try:
        yield
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        first, _, _ = str(error).partition("\n")
        raise BadInput(f"{problem} ({first}).") from error
