"""Full disks and damaged files, real ones, at each place that writes or reads back."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from doors import ROOT, Door, last_step, log_lines

from biggan_tf import evaluation, files, monitor, saved_model
from biggan_tf.checkpoints import (
    Checkpoints,
    read_average,
    read_best,
    read_latest,
    read_weights,
)
from biggan_tf.errors import BadInput


@contextlib.contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Weights(tf.Module):
    """Stands for a training: its state after n steps is full of n."""

    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64)
        self.values = [tf.Variable(tf.zeros([200])) for _ in range(20)]

    def advance(self, step: int) -> None:
        self.step.assign(step)
        for value in self.values:
            value.assign(tf.fill([200], float(step)))

    def is_at(self, step: int) -> bool:
        return int(self.step) == step and all(
            np.array_equal(value, np.full(200, step, np.float32))
            for value in self.values
        )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of steps 2, 4 and 6, the first also kept for good."""
    folder = tmp_path_factory.mktemp("saved")
    weights = Weights()
    checkpoints = Checkpoints(folder, weights, keep_last=3, keep_every_steps=2)
    for step in range(7):
        weights.advance(step)
        if step % 2 == 0:
            checkpoints.save(step)
    for step in (4, 6):
        for file in (folder / "kept").glob(f"ckpt-{step}.*"):
            file.unlink()
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.index")}


def test_the_newest_few_stay_and_some_for_good(folder):
    assert names(folder) == {f"ckpt-{step}.index" for step in (2, 4, 6)}
    assert names(folder / "kept") == {"ckpt-2.index"}
    assert tf.train.latest_checkpoint(str(folder)) == str(folder / "ckpt-6")
    weights = Weights()
    assert Checkpoints(folder, weights).restore_latest() == str(folder / "ckpt-6")
    assert weights.is_at(6)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_damage_anywhere_is_noticed_and_the_one_before_is_taken(folder, suffix, capsys):
    """Cut off at, or one bit turned over in, any place."""
    path = folder / f"ckpt-6{suffix}"
    whole = path.read_bytes()
    draw = random.Random(0)
    damages = [whole[: draw.randrange(len(whole))] for _ in range(20)]
    for _ in range(60):
        place = draw.randrange(len(whole))
        flipped = whole[place] ^ 1 << draw.randrange(8)
        damages.append(whole[:place] + bytes([flipped]) + whole[place + 1 :])
    noticed = 0
    for content in damages:
        path.write_bytes(content)
        weights = Weights()
        restored = Checkpoints(folder, weights).restore_latest()
        told = capsys.readouterr().out
        if restored == str(folder / "ckpt-4"):
            noticed += 1
            assert weights.is_at(4)
            assert f"{folder / 'ckpt-6'} is damaged" in told
        else:  # a bit that means nothing
            assert weights.is_at(6)
    assert noticed > 0.8 * len(damages)


def test_a_checkpoint_under_the_name_of_another_step_is_refused(folder):
    for file in folder.glob("ckpt-6.*"):
        file.rename(folder / file.name.replace("6", "9", 1))
    told = f"{folder / 'ckpt-9'} was renamed, for it holds step 6: .* ckpt-6 again"
    with pytest.raises(BadInput, match=told):
        Checkpoints(folder, Weights()).restore_latest()
    with pytest.raises(BadInput, match=told):
        read_weights(folder / "ckpt-9", "generator")


def test_after_a_damaged_one_saving_goes_on_and_cleans_up(folder):
    (folder / "ckpt-6.index").write_bytes(b"")
    weights = Weights()
    checkpoints = Checkpoints(folder, weights, keep_last=2)
    checkpoints.restore_latest()
    checkpoints.save(4)  # as it is
    (folder / "ckpt-6_temp").mkdir()  # left by a process that was killed
    (folder / "ckpt-6_temp" / "part").write_bytes(b"half of it")
    weights.advance(5)
    checkpoints.save(5)
    assert names(folder) == {"ckpt-4.index", "ckpt-5.index"}
    assert not list(folder.glob("ckpt-6*"))
    weights = Weights()
    Checkpoints(folder, weights).restore_latest()
    assert weights.is_at(5)


def test_interruptions_do_not_push_out_the_checkpoints_of_a_period(tmp_path):
    weights = Weights()
    checkpoints = Checkpoints(tmp_path, weights, keep_last=2, every_steps=10)

    def saved(step):
        weights.advance(step)
        checkpoints.save(step)
        found = sorted(tmp_path.glob("ckpt-*.index"))
        return [int(path.stem.removeprefix("ckpt-")) for path in found]

    assert [saved(step) for step in (3, 7, 10, 12)] == [[3], [3, 7], [10, 7], [10, 12]]
    assert saved(20) == [10, 20]
    assert [saved(step) for step in (21, 23, 29)] == [
        [10, 20, 21],
        [10, 20, 23],
        [10, 20, 29],
    ]
    assert saved(30) == [20, 30]
    checkpoints.rewind(29)
    assert sorted(tmp_path.glob("ckpt-*.index")) == [tmp_path / "ckpt-20.index"]


def test_a_file_that_only_looks_like_a_checkpoint_is_none(folder):
    for name in ("ckpt-²", "ckpt-٣", "ckpt-x", "ckpt-"):
        (folder / f"{name}.index").touch()
    assert Checkpoints(folder, Weights()).restore_latest() == str(folder / "ckpt-6")


NO_OBJECTS = "5", "null", "[]", '"text"', "[" * 5000, "{", ""


NO_PROTOCOL = '{"step": 2, "value": 1, "score": "fid", "protocol": "x"}'


@pytest.mark.parametrize(
    "content", [*NO_OBJECTS, "{}", '{"step": [], "value": 1}', NO_PROTOCOL]
)
def test_a_damaged_best_json_is_one_sentence(folder, content):
    (folder / "best").mkdir()
    (folder / "best" / "best.json").write_text(content)
    for use in (
        lambda: read_best(folder, print),
        lambda: Checkpoints(folder, Weights()).keep_best(8, "fid", 1.0, True, {}),
    ):
        with pytest.raises(BadInput, match=r"best\.json is damaged \(.*\): put a"):
            use()


def test_damaged_lines_of_logs_are_passed_over(tmp_path):
    whole = {"step": 2, "a": 1.5, "b": math.inf}
    good = json.dumps({**whole, "b": "inf"})
    lines = [
        *NO_OBJECTS,
        "\x00",
        f'{{"step": 1{"0" * 400}}}',
        '{"a": 1}',
        '{"step": {}}',
        good,
        '{"step": 9}',
    ]
    path = tmp_path / "scalars.jsonl"
    path.write_bytes("\n".join(lines).encode() + b"\n\xff")
    log = monitor.ScalarLog(path)
    assert log.rewind(4) == [whole]
    assert path.read_text() == f"{good}\n"

    protocol = {"seed": 1}
    path.write_text("\n".join([*lines, '{"protocol": {"seed": 1}, "fid": 2}']))

    def known(*names: str) -> dict[str, float] | None:
        return evaluation.known_scores(evaluation.read_records(path), protocol, names)

    assert known("fid") == {"fid": 2}
    evaluation.write_record(path, {"protocol": protocol, "is": 3})
    assert known("fid", "is") == {"fid": 2, "is": 3}


def test_all_damaged_is_one_sentence(folder):
    for path in folder.glob("**/*.index"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInput, match="all 4 checkpoints in it are damaged") as error:
        Checkpoints(folder, Weights()).restore_latest()
    assert "\n" not in str(error.value)


def test_one_that_is_out_of_reach_is_not_damaged(folder):
    [data] = folder.glob("ckpt-6.data-*")
    data.unlink()
    data.symlink_to(data.name)  # root can read what nobody may
    told = r"ckpt-6\.data-.* is there but cannot be read \(Too many levels of symbolic"
    for read in (Checkpoints(folder, Weights())._restore, read_average):
        with pytest.raises(BadInput, match=told):
            read_latest(folder, read)

    def out_of_memory(path):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    with pytest.raises(tf.errors.ResourceExhaustedError):
        read_latest(folder, out_of_memory)


def test_one_kept_for_good_is_the_last_resort(folder):
    for path in folder.glob("*.index"):
        path.unlink()
    weights = Weights()
    assert Checkpoints(folder, weights).restore_latest().endswith("kept/ckpt-2")
    assert weights.is_at(2)


def test_what_the_chief_read_and_a_worker_cannot_is_one_sentence(folder):
    weights = Weights()
    Checkpoints(folder, weights, write=False).restore(4)
    assert weights.is_at(4)
    with pytest.raises(BadInput, match="one folder that all workers share"):
        Checkpoints(folder, weights, write=False).restore(5)


@pytest.mark.parametrize("most_bytes", [0, 100, 500, 5000, 16_000])
def test_a_full_disk_leaves_the_checkpoints_before(folder, most_bytes):
    weights = Weights()
    checkpoints = Checkpoints(folder, weights)
    checkpoints.restore_latest()
    weights.advance(8)
    with full_disk(most_bytes), pytest.raises(BadInput, match="cannot be wri") as error:
        checkpoints.save(8)
    assert "\n" not in str(error.value)
    assert {f"ckpt-{step}.index" for step in (2, 4, 6)} <= names(folder)
    weights = Weights()
    Checkpoints(folder, weights).restore_latest()
    assert weights.is_at(6)


def test_a_full_disk_is_noticed_by_both_logs(tmp_path):
    board = monitor.TensorBoard(tmp_path)
    log = monitor.ScalarLog(tmp_path / "scalars.jsonl")
    board.scalars(1, {"loss": 0.5})
    log(1, {"loss": 0.5})
    [events] = tmp_path.glob("events.*")
    with full_disk((tmp_path / "scalars.jsonl").stat().st_size + 9):
        with pytest.raises(OSError, match="too large"):
            log(2, {"loss": 0.5})
        with pytest.raises(OSError, match="events.*File too large"):
            board.scalars(2, {"loss": 0.5})
    log.rewind(2)
    assert [line["step"] for line in log_lines(tmp_path)] == [1]
    assert events.exists()


def test_a_full_disk_leaves_the_export_before(tmp_path):
    module = (
        tf.train.Checkpoint(),
        {"serving_default": tf.function(lambda: {"value": 1.0}, input_signature=[])},
    )
    target = tmp_path / "export"
    saved_model.write(*module, target, {"README.md": b"first"})
    for most_bytes in (0, 50, 2000):
        with full_disk(most_bytes), pytest.raises(BadInput, match="is as it was"):
            saved_model.write(
                *module, target, {"README.md": b"second" * 1000}, replace=True
            )
        assert (target / "README.md").read_text() == "first"
        assert [path.name for path in tmp_path.iterdir()] == ["export"]


def training(model_dir: Path, steps: int) -> Door:
    return Door(
        "train",
        "--gin_file=test.gin",
        f"--model_dir={model_dir}",
        params=(
            f"train.total_steps = {steps}",
            "monitor.samples_every_steps = 0",
            "gan.discriminator_steps = 1",
            "generator.attention = ()",
            "discriminator.attention = ()",
        ),
        folder=model_dir.parent,
    )


def test_a_run_on_a_disk_that_fills_up_stops_and_goes_on(tmp_path):
    """The limit meets scalars.jsonl first, or a checkpoint: they are on one disk."""
    model_dir = tmp_path / "run"
    process = training(model_dir, 4000)
    process.until(lambda: last_step(model_dir) >= 6)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4000, 4000))
    assert process.wait(30) == 2, process.output()
    *_, last = process.output().strip().splitlines()
    assert last.startswith("error: ")
    assert "cannot be written" in last
    assert "run the same command to go on" in last
    assert "Traceback" not in process.output()
    reached = last_step(model_dir)
    process = training(model_dir, reached + 4)
    assert process.wait() == 0, process.output()
    assert "going on from" in process.output()
    steps = [line["step"] for line in log_lines(model_dir)]
    assert steps == list(range(2, reached + 5, 2))
    assert json.loads((model_dir / "data.json").read_text())["num_classes"] == 10


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "file"
    with files.replacing(path) as first:
        first.write_text("first")
        with files.replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["file"]


def test_a_second_run_in_the_directory_is_refused_and_the_first_goes_on(tmp_path):
    model_dir = tmp_path / "run"
    first = training(model_dir, 4000)
    first.until(lambda: last_step(model_dir) >= 2)
    second = training(model_dir, 4000)
    assert second.wait() == 2, second.output()
    *_, last = second.output().strip().splitlines()
    here = f"process {first.pid} on {socket.gethostname()} since {time.strftime('%Y-')}"
    assert last.startswith(f"error: --model_dir={model_dir}: {here}")
    assert last.endswith("trains there; wait until it ends, or name another folder.")
    assert "going on from" not in second.output()
    reached = last_step(model_dir)
    first.until(lambda: last_step(model_dir) > reached)
    first.signal(signal.SIGTERM)
    assert first.wait(30) == 128 + signal.SIGTERM, first.output()
    steps = [line["step"] for line in log_lines(model_dir)]
    assert steps == list(range(2, last_step(model_dir) + 1, 2))
    assert len(list(model_dir.glob("events.*"))) == 1


# Locks a file, and has a child process that outlives it.
HOLDER = """
import os, sys, time
from biggan_tf import files
lock = files.lock(sys.argv[1])
if not os.fork():
    print("locked", flush=True)  # the child says it: by now its copy is closed
time.sleep(60)
"""


def test_a_killed_process_leaves_no_lock_even_with_a_child_alive(tmp_path):
    path = tmp_path / "run.lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True, cwd=ROOT
    ) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError) as refused:
            files.lock(path)
        assert refused.value.strerror.startswith(f"process {holder.pid} on ")
        holder.kill()
        holder.wait()
        try:
            with files.lock(path):
                assert path.read_text().startswith(f"process {os.getpid()} on ")
                with pytest.raises(BlockingIOError, match=str(os.getpid())):
                    files.lock(path)  # as another thread of this process would
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    files.lock(path).close()


def test_where_files_cannot_be_locked_a_line_says_so(tmp_path, monkeypatch, capsys):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    for _ in range(2):
        with files.lock(tmp_path / "run.lock"):
            told = f"{tmp_path / 'run.lock'} cannot be locked (No locks available)"
            assert told in capsys.readouterr().out
