"""Times Thalweg and its peers in turn, checks that they compute the same, prints the ratios."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import adaptive_surface
import numpy

HERE = Path(__file__).parent

# Workload: what it is, its peers, and how many times faster than them Thalweg is meant to be.
WORKLOADS = {
    "mlp-step": (
        "MLP 784-256-10, batch 128: training step",
        ["torch", "torch-compile", "jax"],
        "1 x the best",
    ),
    "mlp-hvp": ("the same: Hessian-vector product", ["torch", "torch-func", "jax"], "2 x the best"),
    "resnet-loss": (
        "ResNet-20, batch 128: loss",
        ["torch", "torch-nchw", "torch-compile", "jax"],
        "1.5 x the best",
    ),
    "resnet-step": (
        "the same: training step",
        ["torch", "torch-nchw", "torch-compile", "jax"],
        "1.5 x the best",
    ),
    "resnet-hvp": ("the same: one HVP", ["torch", "torch-func", "jax"], "2 x the best"),
    "resnet-8-hvps": ("the same: 8 HVPs", ["torch", "torch-func", "jax"], "3 x the best"),
    "resnet-16-losses": (
        "16 ResNet-20 on one batch: losses",
        ["torch-loop", "torch-func", "jax"],
        "4 x the loop, 10 x both vmaps",
    ),
    "resnet-16-steps": (
        "16 ResNet-20 on own batches: training steps",
        ["torch-loop", "torch-func", "jax"],
        "4 x the loop, 10 x both vmaps",
    ),
    "mlp-64-steps": (
        "64 MLPs on own batches: training steps",
        ["torch-loop", "torch-func", "jax"],
        "2 x the best",
    ),
    "maml-1": (
        "MAML on sinusoids, 25 tasks, 1 inner step: meta-step",
        ["torch", "torch-func", "jax"],
        "20 x PyTorch, 2 x JAX",
    ),
    "maml-5": ("the same, 5 inner steps", ["torch", "torch-func", "jax"], "20 x PyTorch, 2 x JAX"),
    "data-weights-short": (
        "gradient for 4,096 example weights through 100 SGD steps of the MLP",
        ["jax"],
        "1.5 x",
    ),
    "data-weights": ("the same through 2,000 steps", ["jax"], "1.5 x"),
    "gpt-step": (
        "GPT, 4 layers, 128 wide, context 128, batch 16: training step",
        ["torch", "torch-compile", "jax"],
        "1.2 x the best",
    ),
    "gpt-hvp": ("the same: one HVP", ["torch", "torch-func", "jax"], "2 x the best"),
    "surface-exact": (
        "surface of ResNet-20 on 2,000 images, exact: 64 points",
        ["surface-loop"],
        "4 x",
    ),
    "surface-exact-8": ("the same of width 8", ["surface-loop"], ""),
    "surface-exact-short": ("the same on 256 images: 16 points", ["surface-loop"], ""),
    "plan-resnet-step": ("plan of the ResNet-20 training step", ["jax-plan"], "10 x"),
    "plan-resnet-hvp": ("plan of the ResNet-20 HVP", ["jax-plan"], "10 x"),
    "plan-gpt-step": ("plan of the GPT training step", ["jax-plan"], "10 x"),
}
QUICK = ["mlp-step", "mlp-hvp", "resnet-step", "resnet-hvp", "maml-1", "plan-resnet-step"]
# A peer that needs longer for one run is measured fewer times.
LONG = 8e3
# Threads of a peer may spin for a while after its run; the next one waits until they sleep.
PAUSE = 0.25
# Short work is run again until this much of it is done, and its median counts as one run.
ENOUGH = 100.0


class Side:
    """A process that runs once for each line."""

    def __init__(self, command, log):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )

    def wait(self):
        """Whether it came as far as to be ready."""
        return self.process.stdout.readline().strip() == "ready"

    def round(self):
        """Milliseconds of a run, the median of several if they are short."""
        time.sleep(PAUSE)
        times = [self.run()]
        while sum(times) < ENOUGH and len(times) < 50:
            times.append(self.run())
        return statistics.median(times)

    def run(self):
        """Milliseconds of one run."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        """Ends it; the peak of its memory, MiB."""
        self.process.stdin.close()
        peak = self.process.stdout.readline()
        self.process.wait()
        return int(peak)


def errors(folder, variant):
    """The largest norm-wise error of a result against the reference."""
    with numpy.load(folder / "reference.npz") as exact, numpy.load(folder / f"{variant}.npz") as own:
        missing = set(exact.files) - set(own.files)
        if missing:
            raise SystemExit(f"{variant} has no result {sorted(missing)[0]}")
        def error(name):
            truth = exact[name].astype(numpy.float64)
            scale = max(numpy.linalg.norm(truth), 1e-30)
            return numpy.linalg.norm(own[name].astype(numpy.float64) - truth) / scale
        return {name: error(name) for name in exact.files}


def agree(folder, variants):
    """Fails unless Thalweg's f32 error in every result is at most three times PyTorch's, as far as
    PyTorch takes part, and every peer is near enough to have computed the same.

    Units that rounding puts on the other side of their kink make errors of a thousandth in
    gradients of ReLU networks, in any framework; PyTorch's error is that of its worse layout.
    """
    own = errors(folder, "thalweg")
    theirs = {variant: errors(folder, variant) for variant in variants}
    judges = [v for v in variants if v.startswith("torch")] or variants
    for name, error in own.items():
        # Below this, both are at the rounding of the last operation.
        allowed = 3 * max(2e-7, *(theirs[variant][name] for variant in judges))
        if error > allowed:
            raise SystemExit(f"{name}: error {error:.1e} of Thalweg, allowed are {allowed:.1e}")
        for variant, peer in theirs.items():
            if peer[name] > 0.05:
                raise SystemExit(f"{name}: error {peer[name]:.1e} of {variant}: other work?")
    return max(own.values()), max(max(peer.values()) for peer in theirs.values())


def measure(name, worker, threads, rounds, peak, log):
    title, variants, target = WORKLOADS[name]
    plan = name.startswith("plan-")
    workload = name.removeprefix("plan-")
    threads = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepared = [worker, "prepare", workload, threads, str(folder)]
        subprocess.run(prepared, check=True, stderr=log)
        sides = {}
        for variant in ["thalweg", *variants]:
            if variant == "thalweg":
                command = [worker, "plan" if plan else "run", workload, threads, str(folder)]
            else:
                peer = HERE / "peers" / f"{variant.split('-')[0]}_peer.py"
                command = [sys.executable, str(peer), variant, workload, threads, str(folder)]
            side = Side(command, log)
            # One starts after the other, so that none is warmed up while another works.
            if side.wait():
                sides[variant] = side
            elif variant == "thalweg":
                raise SystemExit(f"{name}: Thalweg's side ended")
            else:
                print(f"{name}: {variant} ended", file=sys.stderr)
        variants = [variant for variant in variants if variant in sides]
        accuracy = None if plan else agree(folder, variants)
        times = {variant: [] for variant in sides}
        for round_number in range(-2, rounds):
            for variant, side in sides.items():
                slow = times[variant] and statistics.median(times[variant]) > LONG
                if slow and len(times[variant]) >= 3:
                    continue
                elapsed = side.round()
                if round_number >= 0 or elapsed > LONG:
                    times[variant].append(elapsed)
        memory = {variant: side.finish() for variant, side in sides.items()}
    flops = None
    if not plan:
        counted = subprocess.run([worker, "flops", workload], check=True, capture_output=True)
        flops = int(counted.stdout)
    own = statistics.median(times["thalweg"])
    row = {
        "workload": name,
        "title": title,
        "target": target,
        "thalweg_ms": own,
        "thalweg_mib": memory["thalweg"],
        "gflops": flops and flops / own / 1e6,
        "share_of_peak": flops and flops / own / 1e6 / peak,
        "errors": accuracy and {"thalweg": accuracy[0], "worst_peer": accuracy[1]},
        "peers": {},
    }
    for variant in variants:
        ratios = sorted(other / mine for mine, other in zip(times["thalweg"], times[variant]))
        row["peers"][variant] = {
            "ms": statistics.median(times[variant]),
            "mib": memory[variant],
            "ratio": statistics.median(ratios),
            "least": ratios[0],
            "most": ratios[-1],
            "rounds": len(ratios),
        }
    return row


def shown(row):
    peers = "; ".join(
        f"{variant} {peer['ratio']:.2f} ({peer['least']:.2f}, {peer['most']:.2f})"
        for variant, peer in row["peers"].items()
    )
    memory = ", ".join(f"{variant} {peer['mib']}" for variant, peer in row["peers"].items())
    speed = "" if row["gflops"] is None else f"{row['gflops']:.0f} ({row['share_of_peak']:.0%})"
    error = "" if row["errors"] is None else "{thalweg:.0e}, {worst_peer:.0e}".format(**row["errors"])
    return (
        f"| {row['title']} | {row['thalweg_ms']:.3g} | {peers} | {row['target']} | {speed} "
        f"| {row['thalweg_mib']}; {memory} | {error} |"
    )


def machine():
    try:
        text = Path("/proc/cpuinfo").read_text()
        line = next(line for line in text.splitlines() if line.startswith("model name"))
        return line.split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--quick", action="store_true", help="a few workloads, few rounds")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--worker", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    known = [*WORKLOADS, adaptive_surface.NAME]
    unknown = [name for name in arguments.workloads if name not in known]
    if unknown:
        parser.error(f"workload {unknown[0]!r}: not one of {', '.join(known)}")
    chosen = arguments.workloads or (QUICK if arguments.quick else list(WORKLOADS))
    rounds = 3 if arguments.quick else arguments.rounds
    threads = os.cpu_count()
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    measured = subprocess.run(
        [arguments.worker, "peak", str(threads)], check=True, capture_output=True, text=True
    )
    peak = float(measured.stdout)
    about = {
        "machine": machine(),
        "threads": threads,
        "peak_gflops": peak,
        "rounds": rounds,
        "versions": {name: version(name) for name in ("torch", "jax", "numpy")},
    }
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
    print(f"{about['machine']}, {threads} threads, measured peak {peak:.0f} GFLOP/s, f32\n")
    print(
        "| work | Thalweg ms | times faster than (least, most) | target | GFLOP/s (of peak) "
        "| resident MiB | error against f64: Thalweg, worst peer |"
    )
    print("|---|---|---|---|---|---|---|")
    rows = []
    with open(out / "log.txt", "w") as log:
        for name in chosen:
            if name == adaptive_surface.NAME:
                row = adaptive_surface.measure(arguments.worker, threads, Side, log)
                rows.append(row)
                print(adaptive_surface.shown(row), flush=True)
                (out / "results.json").write_text(json.dumps(about | {"rows": rows}, indent=1))
                continue
            row = measure(name, arguments.worker, threads, rounds, peak, log)
            rows.append(row)
            print(shown(row), flush=True)
            (out / "results.json").write_text(json.dumps(about | {"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
