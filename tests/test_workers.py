"""Several processes on this machine are one training, which one of them can end."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from doors import FORKS, Door, last_step, log_lines, tf_configs

from biggan_tf import distribution, images

WORKERS = 2


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("workers") / "run"


def trained(tf_config: str | None, start: Path | None, result: Path) -> None:
    """Seven steps of gradient descent, as one of several processes or alone."""
    import test_gan

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if tf_config:
        os.environ["TF_CONFIG"] = tf_config
    kind = "multi_worker" if tf_config else "one_device"
    strategy = distribution.make_strategy(kind=kind)
    before, after = test_gan.descended(strategy, start and arrays(start))
    np.savez(result, *after)
    np.savez(result.with_suffix(".before.npz"), *before)


def arrays(path: Path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]


def test_any_number_of_workers_trains_the_same(tmp_path):
    start = None
    for workers in (1, 4):
        processes = [
            FORKS.Process(
                target=trained,
                args=(tf_config, start, tmp_path / f"{workers}-{index}.npz"),
                daemon=True,
            )
            for index, tf_config in enumerate(
                tf_configs(workers) if workers > 1 else [None]
            )
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(1500)
            assert process.exitcode == 0
        start = tmp_path / "1-0.before.npz"
        for index in range(workers):
            several = arrays(tmp_path / f"{workers}-{index}.npz")
            one = arrays(tmp_path / "1-0.npz")
            assert len(several) == len(one)
            for value, right in zip(several, one):
                np.testing.assert_allclose(value, right, rtol=1e-5, atol=1e-5)


def started(
    model_dir: Path, *params: str, each: Sequence[Sequence[str]] = ((),) * WORKERS
) -> list[Door]:
    return [
        Door(
            "train",
            "--gin_file=test.gin",
            f"--model_dir={model_dir}",
            folder=model_dir.parent,
            params=(
                "distribution.kind = 'multi_worker'",
                "train.total_steps = 4000",
                "monitor.samples_every_steps = 0",
                "gan.discriminator_steps = 1",
                "generator.attention = ()",
                "discriminator.attention = ()",
                *params,
                *own,
            ),
            TF_CONFIG=tf_config,
        )
        for tf_config, own in zip(tf_configs(WORKERS), each)
    ]


@pytest.mark.parametrize("what", ["images", "options"])
def test_workers_that_differ_are_one_sentence(tmp_path, what):
    """Before anything is written; the paths alone may differ between machines."""
    own = []
    for worker in range(WORKERS):
        folder = tmp_path / str(worker) / "dots"
        folder.mkdir(parents=True)
        for number in range(30):
            grey = number + 99 * worker * (what == "images")
            images.write(folder / f"{number}.png", np.full([32, 32, 3], grey, np.uint8))
        own.append([f"data.path = {str(folder.parent)!r}"])
        if what == "options":
            own[-1] += [f"monitor.spectra_every_steps = {2 * worker}"]
    workers = started(tmp_path / "run", "data.source = 'folder'", each=own)
    for worker in workers:
        assert worker.wait(120) == 2, worker.output()
        *_, last = worker.output().strip().splitlines()
        assert f"'multi_worker': the workers have different {what}: give" in last
    assert not (tmp_path / "run" / "config.gin").exists()


@pytest.mark.parametrize("lost", [1, 0])  # 0 is the chief, which goes on from 1's loss
def test_a_lost_worker_stops_the_others_with_one_sentence(model_dir, lost):
    before = last_step(model_dir)
    workers = started(model_dir)
    workers[0].until(lambda: last_step(model_dir) >= before + 4)
    workers.pop(lost).signal(signal.SIGKILL)
    [left] = workers
    begin = time.monotonic()
    assert left.wait(60) == 2
    assert time.monotonic() - begin < 60
    *_, last = left.output().strip().splitlines()
    assert last.startswith("error: another worker is lost")
    assert "Traceback" not in left.output()
    assert ("going on from" in left.output()) == (before > 0)


def test_all_go_on_and_one_that_is_told_to_stop_stops_all(model_dir):
    """After those before; the chief alone writes, what it writes holds for all."""
    if not model_dir.exists():  # those before were left out
        for lost in (1, 0):
            test_a_lost_worker_stops_the_others_with_one_sentence(model_dir, lost)
    before = last_step(model_dir)
    workers = started(model_dir)
    workers[0].until(lambda: last_step(model_dir) > before)
    begin = time.monotonic()
    workers[1].signal(signal.SIGTERM)
    for worker in workers:
        assert worker.wait(30) == 128 + signal.SIGTERM, worker.output()
    assert time.monotonic() - begin < 30
    step = last_step(model_dir)
    newest = tf.train.latest_checkpoint(str(model_dir / "checkpoints"))
    assert newest.endswith(f"ckpt-{step}")
    for worker in workers:
        assert "going on from" in worker.output()
        assert f"stopped by SIGTERM at step {step}, which is saved" in worker.output()
    assert [line["step"] for line in log_lines(model_dir)] == list(
        range(2, step + 1, 2)
    )
    assert len(list(model_dir.glob("events.*"))) == 3  # one for each start


def test_an_alarm_rewinds_all_of_them_and_then_stops_all(tmp_path):
    """Only the chief hears it ring."""
    model_dir = tmp_path / "run"
    workers = started(
        model_dir,
        "alarms.real_loss_band = (1e6, 2e6)",
        "alarms.reaction = 'rewind'",
        "alarms.rewind_steps = 2",
    )
    for worker in workers:
        assert worker.wait() == 2, worker.output()
        *_, last = worker.output().strip().splitlines()
        assert "keeps the last checkpoint up to step 2" in last, worker.output()
        assert worker.output().count("going on from") == 1
    rewind = json.loads((model_dir / "rewind.json").read_text())
    assert (rewind["at_step"], rewind["to_step"]) == (2, 0)
