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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import adaptive_surface
import whole_map
from sides import Side, agree, agree_on_curvature, in_turn, ratios
from workloads import LENGTHS, QUICK, WORKLOADS

HERE = Path(__file__).parent
KNOWN = [*WORKLOADS, adaptive_surface.NAME, whole_map.NAME]
PACKAGES = ["torch", "jax", "numpy", "scipy", "curvlinops-for-pytorch", "PyHessian", "higher"]
HEAD = (
    "| work | Thalweg ms | times faster than (least, most; rounds if fewer) | target "
    "| GFLOP/s (of peak) | resident MiB | error against f64: Thalweg, worst peer |\n"
    "|---|---|---|---|---|---|---|"
)


def measure(name, setting, log):
    """A row of the table."""
    workload = WORKLOADS[name]
    begun = time.monotonic()
    if workload.kind == "start":
        times = start_times(setting)
        row = {"thalweg_ms": statistics.median(times), "least": min(times), "most": max(times)}
        row |= {"thalweg_mib": None, "gflops": None, "errors": None, "peers": {}}
    else:
        row = compared(name, workload, setting, log)
    seconds = time.monotonic() - begun
    about = {"workload": name, "title": workload.title, "target": workload.target}
    return about | row | {"seconds": seconds}


def compared(name, workload, setting, log):
    worker, threads = setting.worker, str(os.cpu_count())
    plain = name.removeprefix("plan-")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepared = [worker, "prepare", plain, threads, str(folder)]
        subprocess.run(prepared, check=True, stderr=log)
        sides, ended = {}, []
        for variant in ["thalweg", *workload.peers]:
            if variant == "thalweg":
                what = "plan" if workload.kind == "plan" else "run"
                command = [worker, what, plain, threads, str(folder)]
            else:
                script = workload.kind if workload.kind == "curvature" else variant.split("-")[0]
                peer = HERE / "peers" / f"{script}_peer.py"
                command = [sys.executable, str(peer), variant, plain, threads, str(folder)]
            side = Side(command, log)
            # One starts after the other, so that none is warmed up while another works.
            if side.wait():
                sides[variant] = side
            elif variant == "thalweg":
                raise SystemExit(f"{name}: Thalweg's side ended")
            else:
                print(f"{name}: {variant} ended; {log.name} says why", file=sys.stderr)
                ended.append(variant)
        variants = [variant for variant in sides if variant != "thalweg"]
        errors = agree(folder, variants) if workload.kind == "graph" else None
        times = in_turn(sides, setting.rounds, setting.warm_up)
        # Many minutes are not lost if the comparison fails.
        print(f"{name}: milliseconds {times}", file=log, flush=True)
        memory = {variant: side.finish() for variant, side in sides.items()}
        products, whole = {"thalweg": 1}, {}
        if workload.kind == "curvature":
            products, whole = agree_on_curvature(name, folder, variants)
    own = statistics.median(times["thalweg"])
    row = {"thalweg_ms": own, "rounds": len(times["thalweg"]), "thalweg_mib": memory["thalweg"]}
    row |= {"gflops": None, "errors": errors, "peers": {}, "ended": ended}
    if workload.kind == "curvature":
        row["products"] = products["thalweg"]
    if workload.kind != "plan":
        counted = subprocess.run([worker, "flops", plain], check=True, capture_output=True)
        row["gflops"] = products["thalweg"] * int(counted.stdout) / own / 1e6
        row["share_of_peak"] = row["gflops"] / setting.peak
    for variant in variants:
        found = ratios(times["thalweg"], times[variant])
        peer = {"ms": statistics.median(times[variant]), "mib": memory[variant]}
        peer |= {"ratio": statistics.median(found), "least": found[0], "most": found[-1]}
        peer |= {"rounds": len(found)}
        if variant in products:
            peer |= {"products": products[variant], "complete": whole[variant]}
        row["peers"][variant] = peer
    return row


def start_times(setting):
    """Milliseconds from the start of `thalweg map` to its first checkpoint, which follows the first
    segment of training steps; then it is killed."""
    program = Path(setting.worker).with_name("thalweg")
    times = []
    for number in range(-setting.warm_up, setting.rounds):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "map"
            command = [program, "map", "--out", str(out)]
            begun = time.perf_counter()
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            while not any(out.glob("training/*/state.safetensors")):
                if process.poll() is not None:
                    raise SystemExit("thalweg map ended before its first checkpoint")
                time.sleep(0.001)
            elapsed = (time.perf_counter() - begun) * 1e3
            process.kill()
            process.wait()
            if number >= 0:
                times.append(elapsed)
    return times


def shown(row, rounds):
    """The row in Markdown."""

    def faster(variant, peer):
        bound = "" if peer.get("complete", True) else "over "
        few = "" if peer["rounds"] == rounds else f"; {peer['rounds']}"
        products = f" {peer['products']} products" if "products" in peer else ""
        spread = f"({peer['least']:.2f}, {peer['most']:.2f}{few}{products and ';' + products})"
        return f"{variant} {bound}{peer['ratio']:.2f} {spread}"

    peers = [faster(variant, peer) for variant, peer in row["peers"].items()]
    peers = "; ".join(peers + [f"{variant} ended" for variant in row.get("ended", [])])
    memory = [f"{variant} {peer['mib']}" for variant, peer in row["peers"].items()]
    memory = "" if row["thalweg_mib"] is None else f"{row['thalweg_mib']}; {', '.join(memory)}"
    speed = "" if row["gflops"] is None else f"{row['gflops']:.0f} ({row['share_of_peak']:.0%})"
    error = "" if row["errors"] is None else "{thalweg:.0e}, {worst_peer:.0e}".format(**row["errors"])
    title, own = row["title"], f"{row['thalweg_ms']:.3g}"
    if "products" in row:
        title += f" ({row['products']} products)"
    if not row["peers"]:
        own += f" ({row['least']:.3g}, {row['most']:.3g})"
    return f"| {title} | {own} | {peers} | {row['target']} | {speed} | {memory} | {error} |"


def growth(rows):
    """Memory of the gradient through many steps, as far as its rows were measured."""
    known = {row["workload"]: row for row in rows}
    lengths = {name: parts for name, parts in LENGTHS.items() if name in known}
    if len(lengths) < 2:
        return ""
    text = "| steps T | branching k | k log_k T states | Thalweg MiB | JAX MiB |\n|---|---|---|---|---|"
    for name, (steps, branching) in lengths.items():
        levels = next(n for n in range(1, 64) if branching**n >= steps)
        peers = known[name]["peers"]
        jax = peers["jax"]["mib"] if "jax" in peers else ""
        text += f"\n| {steps} | {branching} | {branching * levels} "
        text += f"| {known[name]['thalweg_mib']} | {jax} |"
    return text


def gradients(rows):
    """Hessian-vector products in gradients, where both were measured."""
    known = {row["workload"]: row["thalweg_ms"] for row in rows if "thalweg_ms" in row}
    if not {"resnet-gradient", "resnet-hvp", "resnet-8-hvps"} <= set(known):
        return ""
    one, eight = known["resnet-hvp"], known["resnet-8-hvps"] / 8
    gradient = known["resnet-gradient"]
    return (
        f"In gradients of ResNet-20 ({gradient:.0f} ms): one Hessian-vector product "
        f"{one / gradient:.2f}, each of eight {eight / gradient:.2f}."
    )


def machine():
    try:
        text = Path("/proc/cpuinfo").read_text()
        line = next(line for line in text.splitlines() if line.startswith("model name"))
        return line.split(":", 1)[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions():
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(KNOWN))
    parser.add_argument("--quick", action="store_true", help="a few workloads, few rounds")
    parser.add_argument("--doublings", action="store_true", help="only how cost grows with size")
    parser.add_argument("--recomputation", action="store_true", help="only what memory budgets take")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", required=True, help=argparse.SUPPRESS)
    setting = parser.parse_args()
    unknown = [name for name in setting.workloads if name not in KNOWN]
    if unknown:
        parser.error(f"workload {unknown[0]!r}: not one of {', '.join(KNOWN)}")
    chosen = setting.workloads or (QUICK if setting.quick else KNOWN)
    if setting.quick:
        setting.rounds = 3
    setting.warm_up = 1 if setting.quick else 2
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    threads = os.cpu_count()
    for asked, name in [(setting.doublings, "doublings"), (setting.recomputation, "recompute")]:
        if asked:
            program = Path(setting.worker).with_name(name)
            command = [program, str(threads)]
            table = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            (out / f"{name}.md").write_text(table.stdout)
            print(table.stdout, end="")
            return
    measured = subprocess.run(
        [setting.worker, "peak", str(threads)], check=True, capture_output=True, text=True
    )
    setting.peak = float(measured.stdout)
    about = {"machine": machine(), "threads": threads, "peak_gflops": setting.peak}
    about |= {"rounds": setting.rounds, "versions": versions()}
    text = f"{about['machine']}, {threads} threads, measured peak {setting.peak:.0f} GFLOP/s, f32; "
    text += f"{setting.rounds} rounds. "
    text += ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    text += "\n\n" + HEAD
    print(text)
    rows = []
    with open(out / "log.txt", "w") as log:
        for name in chosen:
            if name == adaptive_surface.NAME:
                rows.append(adaptive_surface.measure(setting.worker, threads, Side, log))
                line = adaptive_surface.shown(rows[-1])
            elif name == whole_map.NAME:
                rows.append(whole_map.measure(setting.worker, threads, setting.rounds, log))
                line = whole_map.shown(rows[-1])
            else:
                rows.append(measure(name, setting, log))
                line = shown(rows[-1], setting.rounds)
            text += "\n" + line
            print(line, flush=True)
            notes = [note for note in (gradients(rows), growth(rows)) if note]
            whole = "\n\n".join([text, *notes]) + "\n"
            (out / "results.json").write_text(json.dumps(about | {"rows": rows}, indent=1))
            (out / "results.md").write_text(whole)
    for note in notes:
        print("\n" + note)


if __name__ == "__main__":
    main()
