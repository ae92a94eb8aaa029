"""The ONNX project's own tests of single operations.

`onnx_nodes_left_out.txt` lists exactly those that do not pass, with the reason: one that is listed
and passes fails the suite, and so does one that is not listed and fails.
`python test_onnx_nodes.py` writes it anew.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from thalweg import ThalwegError, _thalweg  # noqa: E402

LEFT_OUT = Path(__file__).with_name("onnx_nodes_left_out.txt")
#: What the engine has no type for goes in as a wider one, which holds every value.
WIDER = {
    "float16": np.float32,
    "int8": np.int32,
    "int16": np.int32,
    "uint8": np.int32,
    "uint16": np.int32,
    "int32": np.int32,
    "uint32": np.uint32,
    "uint64": np.int64,
    "int64": np.int64,
    "bool": np.bool_,
    "float32": np.float32,
    "float64": np.float64,
}


class Unsuitable(Exception):
    """A value that is no tensor of numbers of these types."""


def cases():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def tensor(value):
    if isinstance(value, onnx.TensorProto):
        value = onnx.numpy_helper.to_array(value)
    if not isinstance(value, np.ndarray) and not np.isscalar(value):
        raise Unsuitable("values that are sequences or optional")
    array = np.asarray(value)
    if array.dtype.name not in WIDER:
        raise Unsuitable(f"elements of {array.dtype.name}")
    return np.asarray(array, dtype=WIDER[array.dtype.name], order="C")


def constant(model, names, values):
    """The same model with some inputs as initialisers, as exporters write shapes and axes."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for name, value in zip(names, values):
        known = isinstance(value, onnx.TensorProto)
        proto = value if known else onnx.numpy_helper.from_array(np.asarray(value), name)
        changed.graph.initializer.append(proto)
        changed.graph.initializer[-1].name = name
    kept = [port for port in changed.graph.input if port.name not in names]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    return changed


def compare(case, model, inputs, outputs):
    """Nothing if one set of data passes."""
    given = [(name, tensor(value)) for name, value in inputs]
    wanted = [tensor(value) for value in outputs]
    double = any(a.dtype == np.float64 for a in [*(a for _, a in given), *wanted])
    float_type = np.float64 if double else np.float32
    given = [(name, a.astype(float_type) if a.dtype.kind == "f" else a) for name, a in given]
    precision = "f64" if double else "f32"
    found = _thalweg.evaluate_onnx(model.SerializeToString(), given, precision)
    if len(found) != len(wanted):
        return f"{len(found)} outputs instead of {len(wanted)}"
    for (_, got), expected in zip(found, wanted):
        if got.shape != expected.shape:
            return f"an output of shape {list(got.shape)} instead of {list(expected.shape)}"
        if (got.dtype.kind == "f") != (expected.dtype.kind == "f"):
            return f"an output of {got.dtype} instead of {expected.dtype}"
        close = np.isclose(
            got.astype(np.float64),
            expected.astype(np.float64),
            rtol=case.rtol,
            atol=case.atol,
            equal_nan=True,
        )
        if not close.all():
            return "other values"
    return None


def run(case):
    """Nothing if the case passes, else why it does not.

    Inputs go in as data; where the file must say a shape or axes, integers, or all but the first,
    are constants of the file.
    """
    try:
        for inputs, outputs in case.data_sets:
            named = [
                (port.name, value)
                for port, value in zip(case.model.graph.input, inputs)
                if port.name and value is not None
            ]
            integers = [
                (n, v) for n, v in named if getattr(v, "dtype", np.dtype("f4")).kind in "iub"
            ]
            for fixed in ([], integers, named[1:], named):
                model = constant(case.model, [n for n, _ in fixed], [v for _, v in fixed])
                names = {n for n, _ in fixed}
                try:
                    left = [(n, v) for n, v in named if n not in names]
                    reason = compare(case, model, left, outputs)
                    break
                except ThalwegError as error:
                    reason = str(error)
                    if "must be known before" not in reason:
                        break
            if reason:
                return reason
    except Unsuitable as reason:
        return str(reason)
    return None


def left_out():
    lines = (line.split("#", 1) for line in LEFT_OUT.read_text().splitlines() if line.strip())
    return {name.strip(): reason.strip() for name, reason in lines if name.strip()}


def test_every_operation_passes_but_those_that_are_listed(capsys):
    known, wrong = left_out(), []
    all_cases = cases()
    failed = {name: reason for name, case in all_cases.items() if (reason := run(case))}
    with capsys.disabled():
        passed, whole = len(all_cases) - len(failed), len(all_cases)
        print(f"\nONNX node tests: {passed} of {whole} pass, {passed / whole:.1%}")
    wrong += [f"{name} fails: {why}" for name, why in failed.items() if name not in known]
    wrong += [
        f"{name} passes and is listed" for name in known if name in all_cases and name not in failed
    ]
    wrong += [f"{name} is listed and is none" for name in known if name not in all_cases]
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    all_cases = cases()
    failed = {name: reason for name, case in all_cases.items() if (reason := run(case))}
    with LEFT_OUT.open("w") as file:
        file.write(
            f"# Of {len(all_cases)} node tests of onnx {onnx.__version__}, these are left out.\n"
        )
        for name in sorted(failed):
            file.write(f"{name}  # {failed[name]}\n")
    sys.exit(print(len(all_cases) - len(failed), "of", len(all_cases)))
