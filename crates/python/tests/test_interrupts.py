"""Progress is told, Ctrl-C is heard, and other threads go on."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

LONG = """
import os, signal, sys, threading, time
import numpy as np
import thalweg
x = np.random.default_rng(0).normal(size=(8_000, 16, 16, 3)).astype(np.float32)
y = np.arange(8_000) % 10
model = thalweg.build("resnet depth=8", (16, 16, 3), 10)
n = model.parameters.size
call = {call}
print("begun", flush=True)
try:
    call()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    # The interpreter is whole: it goes on computing.
    print(model.loss(x[:10], y[:10]) > 0, flush=True)
    # At once: what was left behind ends by itself.
    os._exit(7)
print("finished", flush=True)
"""

CALLS = {
    "surface": "lambda: model.surface(x, y, exact=True)",
    "spectrum": "lambda: model.spectrum(x, y, top=5)",
    "train": "lambda: model.train(x, y, epochs=1000)",
    "operator": "lambda: thalweg.HessianOperator(model, x, y) @ np.ones((n, 64))",
}


@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_is_heard(name):
    if name == "operator":
        pytest.importorskip("scipy")
    script = textwrap.dedent(LONG).replace("{call}", CALLS[name])
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(1.5)
        assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        # Far more than the second that it takes, and far less than the work would.
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out.splitlines()[0] == "interrupted", out + error
    assert out.splitlines()[1] == "True"
    assert process.returncode == 7, error


class Bars:
    """What tqdm is to those who call it."""

    made: list = []

    def __init__(self, total, desc, unit):
        self.total, self.desc, self.n, self.closed = total, desc, 0, False
        Bars.made.append(self)

    def update(self, n):
        self.n += n

    def close(self):
        self.closed = True


def test_progress_is_told_to_anything_like_tqdm(trained, digits):
    Bars.made = []
    trained.surface(*digits, x_range=(-1, 1, 9), progress=Bars)
    surface = next(bar for bar in Bars.made if bar.desc == "surface")
    assert surface.n == surface.total == 81
    Bars.made = []
    trained.train(*digits, epochs=2, batch=20, progress=Bars)
    (training,) = Bars.made
    assert training.n == training.total == 12
    assert all(bar.closed for bar in Bars.made)


def test_progress_true_shows_bars(trained, digits, capsys):
    trained.surface(*digits, x_range=(-1, 1, 3), progress=True)
    shown = capsys.readouterr()
    assert "surface" in shown.err and shown.out == ""


def test_what_a_callback_raises_stops_the_work(trained, digits):
    class Fails(Bars):
        def update(self, n):
            raise LookupError("mine")

    begun = time.monotonic()
    with pytest.raises(LookupError, match="mine"):
        trained.train(*digits, steps=10**6, batch=20, progress=Fails)
    assert time.monotonic() - begun < 60


def test_other_threads_go_on(trained, digits):
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        trained.train(*digits, steps=3000, batch=20)
    finally:
        stop.set()
        thread.join()
    assert counted[0] > 5


def test_threads_may_measure_at_once(trained, digits):
    expected = trained.loss(*digits)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(trained.loss(*digits))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_computes(trained, digits):
    expected = trained.loss(*digits)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, repr(trained.loss(*digits)).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert float(os.read(read, 100)) == expected
