"""A surface to a tolerance beside the exact one and a loop in PyTorch: each once.

`bench/run surface-adaptive` trains ResNet-20 of width 8 on Fashion-MNIST for three epochs, takes
51 x 51 points of the loss of 2,000 images exactly and to a tolerance of 0.01, and times a PyTorch
loop over 64 points of a network of this size, whose losses Thalweg's are held against. Error bars
are held against the exact surface.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

from sides import agree

HERE = Path(__file__).parent
NAME = "surface-adaptive"
TOLERANCE = 0.01
POINTS = 51
LOOP = "surface-exact-8"
LOOP_POINTS = 64
# Two standard errors, as a 95 % interval.
QUANTILE = 1.96
# The directions of Li et al.: biases and normalisation stay where they are.
SURFACE = ["--samples", "2000", f"--x=-1:1:{POINTS}", "--ignore", "bias,norm"]


def command(folder, words, log):
    """The object that Thalweg prints."""
    done = subprocess.run([*words, "--json"], cwd=folder, check=True, stdout=subprocess.PIPE, stderr=log)
    return json.loads(done.stdout)


def arrays(folder, program, run, log):
    command(folder, [program, "export", run, "--npz"], log)
    with numpy.load(folder / run / "export" / "results.npz") as file:
        return {name.split("/")[-1]: file[name] for name in file.files}


def compare(exact, near, centre, tolerance):
    """How the errors of a surface to a tolerance compare with what they were said to be."""
    evaluated = near["samples"] > 0
    both = numpy.isfinite(exact["loss"]) & numpy.isfinite(near["loss"])
    error = numpy.abs(near["loss"] - exact["loss"])
    allowed = tolerance * (numpy.abs(exact["loss"] - centre) + abs(centre))
    bar = QUANTILE * near["sampling_error"]
    sampled = both & evaluated & (bar > 0)
    between = both & ~evaluated

    def mean(values):
        return float(numpy.mean(values)) if values.size else None

    return {
        "within_tolerance": mean((error <= allowed)[both]),
        "mean_error": mean((error / allowed)[both]),
        "max_error": float((error / allowed)[both].max()),
        "sampling_covers": mean((error <= bar)[sampled]),
        "all_cover": mean((error <= bar + near["interpolation_error"])[between | sampled]),
        "same_status": bool((exact["status"] == near["status"]).all()),
        "median_samples": float(numpy.median(near["samples"][evaluated])),
    }


def loop(worker, threads, side, log):
    """Milliseconds of PyTorch's loop over 64 points, after a run that warms up."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = [worker, "prepare", LOOP, str(threads), folder]
        subprocess.run(prepared, check=True, stderr=log)
        peer = HERE / "peers" / "surface_peer.py"
        commands = {
            "thalweg": [worker, "run", LOOP, str(threads), folder],
            "surface-loop": [sys.executable, str(peer), "surface-loop", LOOP, str(threads), folder],
        }
        for variant, words in commands.items():
            ran = side(words, log)
            if not ran.wait():
                raise SystemExit(f"{NAME}: {variant} ended")
            elapsed = ran.run()
            ran.finish()
        agree(Path(folder), ["surface-loop"])
        return elapsed


def measure(worker, threads, side, log):
    program = str(Path(worker).with_name("thalweg").resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        train = ["train", "--data", "fashion-mnist", "--arch", "resnet depth=20 width=8"]
        command(folder, [program, *train, "--epochs", "3", "--batch", "128", "--out", "net"], log)
        surface = [program, "surface", "net", *SURFACE, "--threads", str(threads)]
        near = command(folder, [*surface, "--tolerance", str(TOLERANCE), "--out", "near"], log)
        exact = command(folder, [*surface, "--exact", "--out", "exact"], log)
        found = compare(
            arrays(folder, program, "exact", log),
            arrays(folder, program, "near", log),
            exact["loss"]["value"],
            TOLERANCE,
        )
    points = POINTS**2
    looped = loop(worker, threads, side, log) * 1e-3 * points / LOOP_POINTS
    evaluations = near["adaptive"]["evaluations"]
    row = {
        "workload": NAME,
        "exact_seconds": exact["seconds"],
        "near_seconds": near["seconds"],
        "loop_seconds": looped,
        "times_the_loop": looped / near["seconds"],
        "times_exact": exact["seconds"] / near["seconds"],
        "evaluated": near["adaptive"]["evaluated"],
        "evaluations": evaluations,
        "evaluations_ratio": points * near["samples"] / evaluations,
    }
    row |= found
    shares = [found[name] for name in ("within_tolerance", "sampling_covers", "all_cover")]
    if not (min(shares) >= 0.9 and found["same_status"]):
        raise SystemExit(f"{NAME}: the error bars do not hold: {found}")
    return row


def shown(row):
    return (
        "\n51 x 51 points of ResNet-20 of width 8 on 2,000 images to a tolerance of 0.01: "
        "{near_seconds:.0f} s, {times_the_loop:.1f} times faster than PyTorch's loop "
        "({loop_seconds:.0f} s, scaled from 64 points; target 30 x) and {times_exact:.1f} times "
        "than exact ({exact_seconds:.0f} s); {evaluated} points evaluated on {median_samples:.0f} "
        "images in the median, {evaluations_ratio:.1f} times fewer losses; "
        "{within_tolerance:.1%} of points within the tolerance, mean error {mean_error:.2f} and "
        "largest {max_error:.2f} tolerances; sampling bars cover {sampling_covers:.1%} of "
        "evaluated, both together {all_cover:.1%} of all points\n"
    ).format(**row)
