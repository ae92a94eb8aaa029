"""Work on several processes by Ray: the same bits, whatever is lost on the way."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import thalweg

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def slow():
    """A network whose surface takes each of two processes some seconds."""
    x, y, _, _ = thalweg.dataset("digits")
    return thalweg.build("resnet depth=8 width=4", x.shape[1:], 10), x, y


def test_bits_are_those_of_one_process(cluster, trained, digits, tmp_path):
    plain = trained.surface(*digits, x_range=(-1, 1, 13), pairs=2, exact=True)
    for run in (None, tmp_path / "run", tmp_path / "run"):
        far = thalweg.ray.surface(trained, *digits, x_range=(-1, 1, 13), pairs=2, run=run)
        np.testing.assert_array_equal(far.loss, plain.loss)
        np.testing.assert_array_equal(far.accuracy, plain.accuracy)
        assert far.centre == plain.centre
    # The directory is that of one process.
    here = trained.surface(*digits, x_range=(-1, 1, 13), pairs=2, exact=True, run=tmp_path / "run")
    np.testing.assert_array_equal(here.loss, plain.loss)


def test_a_population_is_that_of_one_process(cluster, digits, tmp_path):
    model = thalweg.build("mlp hidden=8", (8, 8, 1), 10)
    settings = {"epochs": 2, "batch": 20, "seeds": range(4), "start": "seeds", "checkpoints": 1}
    plain = model.train(*digits, **settings)
    for run, together in ((None, 1), (tmp_path / "run", 2), (tmp_path / "run", 3)):
        far = thalweg.ray.train_population(model, *digits, run=run, together=together, **settings)
        assert [(m.seed, m.lr) for m in far] == [(m.seed, m.lr) for m in plain]
        for a, b in zip(plain, far):
            np.testing.assert_array_equal(a.loss, b.loss)
            for name, array in a.model.state_dict().items():
                np.testing.assert_array_equal(array, b.model.state_dict()[name])


def test_a_killed_worker_loses_one_unit(cluster, slow, tmp_path):
    model, x, y = slow
    settings = {"x_range": (-1, 1, 24), "y_range": (-1, 1, 16), "batch": 128}
    plain = model.surface(x, y, exact=True, **settings)
    units = tmp_path / "run" / "units" / "surface" / "0"

    def workers():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    name = file.read()
                with open(f"/proc/{pid}/stat") as file:
                    parents = file.read().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            if name.startswith(b"ray::_surface_unit"):
                found.append((int(pid), int(parents)))
        return found

    killed = []

    def kill_one_half_way():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not killed:
            done = len(list(units.glob("*.safetensors"))) if units.is_dir() else 0
            if done >= 3:
                for pid, _ in workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append((pid, done))
            time.sleep(0.005)

    killer = threading.Thread(target=kill_one_half_way)
    killer.start()
    far = thalweg.ray.surface(model, x, y, run=tmp_path / "run", **settings)
    killer.join()
    assert killed, "a worker was killed"
    assert killed[0][1] < 12, "it was killed half-way"
    np.testing.assert_array_equal(far.loss, plain.loss)


def test_what_the_work_raises_is_raised_here(cluster, digits):
    model = thalweg.build("mlp hidden=8", (8, 8, 1), 10)
    with pytest.raises(thalweg.OutOfMemoryError):
        thalweg.ray.train_population(model, *digits, epochs=1, memory="1KiB")
    with pytest.raises(thalweg.ConfigError, match="tolerance"):
        thalweg.ray.surface(model, *digits, tolerance=0.1)
    with pytest.raises(TypeError, match="unknown option"):
        thalweg.ray.surface(model, *digits, seeds=3)
