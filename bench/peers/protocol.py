"""What every peer does: `PEER VARIANT WORKLOAD THREADS FOLDER`.

It reads FOLDER/inputs.npz, writes the results of a first run to FOLDER/VARIANT.npz, says `ready`,
then runs once for each line that comes in and prints the milliseconds, and at the end the peak of
its resident memory in MiB.
"""

import math
import resource
import sys
import time
from pathlib import Path

import numpy


def parts(arrays, prefix):
    """The arrays under a prefix, by the rest of their names."""
    start = prefix + "/"
    return {name[len(start) :]: a for name, a in arrays.items() if name.startswith(start)}


def serve_long(build):
    """As `serve`, for work of minutes: ready without a first run, and the results are those of the
    last one. `build` gives the work and what turns its value into results. A line holds the
    milliseconds after which the work should stop, if any."""
    variant, workload, threads, folder = sys.argv[1:]
    folder = Path(folder)
    with numpy.load(folder / "inputs.npz") as file:
        inputs = {name: file[name] for name in file.files}
    run, results = build(variant, workload, int(threads), inputs)
    print("ready", flush=True)
    for line in sys.stdin:
        limit = float(line) / 1e3 if line.strip() else math.inf
        start = time.perf_counter()
        value = run(limit)
        print(f"{(time.perf_counter() - start) * 1e3:.4f}", flush=True)
        numpy.savez(folder / f"{variant}.npz", **results(value))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)


def serve(build):
    """Runs `build(variant, workload, threads, inputs)`: the work that is timed, what turns its last
    value into results by name, and what is done before each run and is not timed."""
    variant, workload, threads, folder = sys.argv[1:]
    with numpy.load(Path(folder) / "inputs.npz") as file:
        inputs = {name: file[name] for name in file.files}
    run, results, before = build(variant, workload, int(threads), inputs)
    before()
    named = results(run())
    numpy.savez(Path(folder) / f"{variant}.npz", **named)
    print("ready", flush=True)
    for _ in sys.stdin:
        before()
        start = time.perf_counter()
        run()
        print(f"{(time.perf_counter() - start) * 1e3:.4f}", flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, flush=True)
