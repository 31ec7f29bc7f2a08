"""Every kind of strategy starts and sums over its replicas, or says why it cannot."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tensorflow as tf

from biggan_tf import distribution
from biggan_tf.errors import BadInput


def make(**bindings):
    return distribution.make_strategy(**bindings)


def summed_ids(strategy: tf.distribute.Strategy) -> int:
    """Sums replica_id + 1 over the replicas, on the devices."""

    @tf.function
    def step():
        def replica():
            context = tf.distribute.get_replica_context()
            number = tf.cast(context.replica_id_in_sync_group + 1, tf.float32)
            return context.all_reduce("SUM", number)

        return strategy.run(replica)

    return int(strategy.experimental_local_results(step())[0])


def test_one_device_has_plain_variables_and_compiles():
    strategy = make(kind="one_device")
    with strategy.scope():
        variable = tf.Variable(2.0)
    assert type(variable).__name__ == "ResourceVariable"

    @tf.function(jit_compile=True)
    def replica():
        return variable.assign_add(1.0)

    @tf.function
    def step():
        return strategy.run(replica)

    assert float(step()) == 3.0
    assert strategy.num_replicas_in_sync == 1
    assert distribution.Workers(strategy).here_is_chief


@pytest.mark.parametrize("count", [1, 2, 4])
def test_virtual_cpus_are_that_many_replicas(count):
    strategy = make(kind="virtual_cpus", virtual_cpus=count)
    assert strategy.num_replicas_in_sync == count
    assert summed_ids(strategy) == count * (count + 1) // 2
    assert distribution.Workers(strategy).here_is_chief


@pytest.mark.parametrize(
    ("bindings", "sentence"),
    [
        (
            {"kind": "gpu"},
            r"^distribution.kind = 'gpu': take one of 'one_device', 'mirrored', "
            r"'multi_worker', 'tpu', 'virtual_cpus' ",
        ),
        (
            {"kind": "virtual_cpus", "virtual_cpus": 64},
            r"distribution.virtual_cpus = 64: TensorFlow has already started with 4;",
        ),
        ({"kind": "virtual_cpus", "virtual_cpus": 0}, r"= 0: .* whole number from 1"),
        ({"kind": "virtual_cpus", "virtual_cpus": "2"}, r"= '2': take a whole number"),
        ({"kind": "tpu"}, r"distribution.tpu_address = None: take 'host:port'"),
        ({"virtual_cpus": 3}, "take 2, or distribution.kind = 'virtual_cpus' with it"),
        ({"tpu_address": "local"}, "take distribution.kind = 'tpu' with it, not 'one"),
        ({"kind": "tpu", "tpu_address": "my-tpu"}, r"= 'my-tpu': take 'host:port'"),
        ({"kind": "tpu", "tpu_address": "x:0²"}, r"= 'x:0²': take 'host:port'"),
        ({"kind": "tpu", "tpu_address": "127.0.0.1:99999"}, r"99999': it cannot be r"),
        ({"kind": "tpu", "tpu_address": ".:80"}, r"'\.:80': it cannot be reached"),
        ({"kind": "tpu", "tpu_address": "local"}, r"'local': no TPU answers there"),
    ],
)
def test_what_this_machine_cannot_do_is_one_sentence(bindings, sentence):
    tf.config.list_logical_devices()
    with pytest.raises(BadInput, match=sentence) as error:
        make(**bindings)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")), reason="this machine has a GPU"
)
def test_mirrored_without_a_gpu_says_what_to_take():
    with pytest.raises(BadInput, match="sees no GPU; take 'one_device'"):
        make(kind="mirrored")


def test_a_tpu_that_is_not_there_is_refused_at_once():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, but nobody listens
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        start = time.monotonic()
        with pytest.raises(BadInput, match="it cannot be reached .Connection refused."):
            make(kind="tpu", tpu_address=f"grpc://{address}")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_listener_that_is_no_tpu_is_refused_in_bounded_time(monkeypatch, answer):
    assert 2 * distribution._TPU_TIMEOUT_SECONDS <= 10  # to connect, and for an answer
    monkeypatch.setattr(distribution, "_TPU_TIMEOUT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(answer)
                time.sleep(2)

        threading.Thread(target=serve, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(
            BadInput, match=r"it cannot be reached \((timed out|.* gRPC)\)"
        ):
            make(kind="tpu", tpu_address=address)
    assert time.monotonic() - start < 5


def test_a_server_as_a_tpu_has_one_is_reached():
    server = tf.distribute.Server.create_local_server()
    assert distribution._reachable(server.target, "") == server.target


WORKERS = {"worker": ["127.0.0.1:2222", "127.0.0.1:2223"]}


@pytest.mark.parametrize(
    "tf_config",
    [
        "",
        "worker 0",
        "[]",
        "{}",
        {"cluster": WORKERS},
        "9" * 5000,
        "[" * 100_000,
        {"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["host"]}, "task": {"type": "worker", "index": 0}},
        {
            "cluster": {**WORKERS, "chief": "a:1"},
            "task": {"type": "worker", "index": 0},
        },
        {"cluster": {**WORKERS, "chief": [3]}, "task": {"type": "worker", "index": 0}},
        {"cluster": WORKERS, "task": {"type": "ps", "index": 0}},
        {"cluster": WORKERS, "task": {"type": "worker", "index": 2}},
        {"cluster": WORKERS, "task": {"type": "worker", "index": -1}},
        {"cluster": WORKERS, "task": {"type": "worker", "index": "0"}},
        {"cluster": WORKERS, "task": {"type": "worker", "index": 0.5}},
    ],
)
def test_a_bad_tf_config_is_refused_with_an_example(monkeypatch, tf_config):
    text = tf_config if isinstance(tf_config, str) else json.dumps(tf_config)
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(BadInput, match=r"TF_CONFIG=.*takes a text like \{\"cluster\""):
        make(kind="multi_worker")


def start_worker(addresses: list, index: int, program: str) -> subprocess.Popen:
    folders = [Path(distribution.__file__).parents[1], Path(__file__).parent]
    task = {"type": "worker", "index": index}
    environment = {
        **os.environ,
        "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
    }
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_worker_whose_port_is_taken_says_so():
    program = """
from biggan_tf import config, distribution
config.run(lambda: distribution.make_strategy(kind="multi_worker"))
"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        worker = start_worker([address], 0, program)
        _, stderr = worker.communicate()
    assert worker.returncode == 2
    assert "error: TF_CONFIG=" in stderr
    assert "cannot start its server" in stderr


def test_a_batch_divides_among_the_replicas_or_both_numbers_are_named():
    assert distribution.per_replica_batch(4, 12, "train.batch_size") == 3
    with pytest.raises(
        BadInput,
        match=r"train.batch_size = 10: take a multiple of 4, .* as 8 or 12\.$",
    ):
        distribution.per_replica_batch(4, 10, "train.batch_size")
    for wrong in (3, 0, -4):
        with pytest.raises(BadInput, match=r"multiple of 4, .* such as "):
            distribution.per_replica_batch(4, wrong, "train.batch_size")


def test_xla_compiles_one_replica_or_many_gpus_but_not_many_cpus():
    assert distribution.xla_can_compile(make(kind="one_device"))
    assert not distribution.xla_can_compile(make(kind="virtual_cpus", virtual_cpus=2))
    gpus = tf.distribute.MirroredStrategy(["GPU:0", "GPU:1"])  # which nothing runs on
    assert distribution.xla_can_compile(gpus)
