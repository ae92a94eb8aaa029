"""The processes that run a workload in turn, and whether they computed the same."""

import statistics
import subprocess
import time

import numpy

# Threads of a peer may spin for a while after its run; the next one waits until they sleep.
PAUSE = 0.25
# Short work is run again until this much of it is done, and its median counts as one run.
ENOUGH = 100.0
# Work that takes longer is measured fewer times: its first runs count, and three or one are all.
LONG, VERY_LONG = 8e3, 60e3
# A method that has taken this many times as long as Thalweg is stopped: the target is 3.
PATIENCE = 3.1


class Side:
    """A process that runs once for each line."""

    def __init__(self, command, log):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )

    def wait(self):
        """Whether it came as far as to be ready."""
        return self.process.stdout.readline().strip() == "ready"

    def round(self, limit=None):
        """Milliseconds of a run, the median of several if they are short. Work that can be stopped
        is, once it has taken as many milliseconds as the limit."""
        time.sleep(PAUSE)
        times = [self.run(limit)]
        while sum(times) < ENOUGH and len(times) < 50:
            times.append(self.run(limit))
        return statistics.median(times)

    def run(self, limit=None):
        """Milliseconds of one run."""
        self.process.stdin.write("\n" if limit is None else f"{limit}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def finish(self):
        """Ends it; the peak of its memory, MiB."""
        self.process.stdin.close()
        peak = self.process.stdout.readline()
        self.process.wait()
        return int(peak)


def in_turn(sides, rounds, warm_up=2):
    """Milliseconds of each side's rounds, which alternate. Thalweg's is the first, and its time is
    what the patience with the others is a multiple of."""
    times = {variant: [] for variant in sides}

    def enough(taken):
        if not taken or taken[0] < LONG:
            return rounds
        return min(rounds, 3 if taken[0] < VERY_LONG else 1)

    for number in range(-warm_up, rounds):
        for variant, side in sides.items():
            if len(times[variant]) >= enough(times[variant]):
                continue
            own = times["thalweg"]
            patience = PATIENCE * own[-1] if own and variant != "thalweg" else None
            elapsed = side.round(patience)
            if number >= 0 or elapsed > LONG:
                times[variant].append(elapsed)
    return times


def ratios(own, other):
    """How many times longer the other side took: round by round, if both have as many."""
    if len(own) == len(other):
        return sorted(theirs / ours for ours, theirs in zip(own, other))
    return sorted(theirs / statistics.median(own) for theirs in other)


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
    PyTorch takes part, and every peer is near enough to have computed the same. Comparisons are
    such that what is not a number fails too.

    Units that rounding puts on the other side of their kink make errors of a thousandth in
    gradients of ReLU networks, in any framework; PyTorch's error is that of its worse layout.
    """
    if not variants:
        raise SystemExit("no peer is left to agree with")
    own = errors(folder, "thalweg")
    theirs = {variant: errors(folder, variant) for variant in variants}
    judges = [v for v in variants if v.startswith("torch")] or variants
    for name, error in own.items():
        # Below this, both are at the rounding of the last operation.
        allowed = 3 * max(2e-7, *(theirs[variant][name] for variant in judges))
        if not error <= allowed:
            raise SystemExit(f"{name}: error {error:.1e} of Thalweg, allowed are {allowed:.1e}")
        for variant, peer in theirs.items():
            if not peer[name] <= 0.05:
                raise SystemExit(f"{name}: error {peer[name]:.1e} of {variant}: other work?")
    worst = max(max(peer.values()) for peer in theirs.values())
    return {"thalweg": max(own.values()), "worst_peer": worst}


# Of the largest number: the residual that eigenpairs are asked for. Ritz values to such residuals may
# pass over one of two eigenvalues that are nearer to each other.
RESIDUAL = 1e-3
# Of the largest number: how far a peer that states no error may be off.
LOOSE = {"curvature-eigenpairs": 0.01, "curvature-trace": 0.15}


def agree_on_curvature(name, folder, variants):
    """Fails unless what peers found lies within the errors that both sides state: residuals of
    eigenpairs and the one asked for, four standard errors of traces and of densities' first moments. Returns the products
    that each side took."""
    name = name.removesuffix("-short")
    found = {}
    for variant in ["thalweg", *variants]:
        with numpy.load(folder / f"{variant}.npz") as file:
            found[variant] = {key: file[key] for key in file.files}
    own = found["thalweg"]
    scale = abs(own["value"]).max()
    if name == "curvature-eigenpairs" and not own["error"].max() <= RESIDUAL * scale:
        raise SystemExit(f"{name}: a residual of {own['error'].max():.1e} beside {scale:.1e}")
    if name == "curvature-trace" and not own["error"].max() <= 0.05 * scale:
        raise SystemExit(f"{name}: a standard error of {own['error'].max():.1e} of {scale:.1e}")
    for variant in variants:
        other = found[variant]
        if not other.get("complete", numpy.ones(1)).all():
            continue
        off = abs(other["value"] - own["value"])
        if "error" in other and name == "curvature-eigenpairs":
            allowed = own["error"] + other["error"] + RESIDUAL * scale
        elif "error" in other:
            allowed = 4 * numpy.hypot(own["error"], other["error"])
        else:
            allowed = numpy.full(1, LOOSE[name] * scale)
        if not (off <= allowed).all():
            raise SystemExit(f"{name}: {variant} is off by {off.max():.2e} of {scale:.2e}")
    whole = {v: bool(f.get("complete", numpy.ones(1)).all()) for v, f in found.items()}
    return {variant: int(f["products"][0]) for variant, f in found.items()}, whole
