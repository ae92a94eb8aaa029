"""`thalweg map` as it comes, beside the same training and surfaces in PyTorch: whole processes."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
NAME = "map-digits"
DIGITS = HERE.parent / "crates/data/embedded/digits.bin"
# Both sides train by the same recipe from other draws, and without skips the draws tell; accuracies
# farther apart than this are other work.
APART = 0.15


def timed(command, log):
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=log)
    return time.perf_counter() - begun, json.loads(done.stdout.splitlines()[-1])


def measure(worker, threads, rounds, log):
    program = str(Path(worker).with_name("thalweg").resolve())
    peer = [sys.executable, str(HERE / "peers" / "map_peer.py"), str(DIGITS), str(threads)]
    own, other, parts = [], [], []
    for _ in range(min(rounds, 3)):
        with tempfile.TemporaryDirectory() as folder:
            command = [program, "map", "--json", "--threads", str(threads)]
            seconds, said = timed([*command, "--out", str(Path(folder) / "map")], log)
            own.append(seconds)
        seconds, theirs = timed(peer, log)
        other.append(seconds)
        parts.append(theirs)
        accuracy = [model["test_accuracy"] for model in said["models"]]
        if any(abs(a - b) > APART for a, b in zip(accuracy, theirs["accuracy"])):
            raise SystemExit(f"{NAME}: accuracies {accuracy} and {theirs['accuracy']}: other work?")
    found = sorted(b / a for a, b in zip(own, other))
    return {
        "workload": NAME,
        "thalweg_seconds": statistics.median(own),
        "torch_seconds": statistics.median(other),
        "torch_train": statistics.median(part["train"] for part in parts),
        "torch_surface": statistics.median(part["surface"] for part in parts),
        "ratio": statistics.median(found),
        "least": found[0],
        "most": found[-1],
    }


def shown(row):
    return (
        "\n`thalweg map` on the embedded digits: {thalweg_seconds:.0f} s with curvature, sharpness, "
        "roughness and report; PyTorch's training ({torch_train:.0f} s) and surfaces "
        "({torch_surface:.0f} s) of the same two networks {torch_seconds:.0f} s with its start: "
        "{ratio:.1f} ({least:.1f}, {most:.1f}) times as long (target 4)\n"
    ).format(**row)
