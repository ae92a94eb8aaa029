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
    if not isinstance(value, np.ndarray) and not np.isscalar(value):
        raise Unsuitable("values that are sequences or optional")
    array = np.asarray(value)
    if array.dtype.name not in WIDER:
        raise Unsuitable(f"elements of {array.dtype.name}")
    return np.ascontiguousarray(array.astype(WIDER[array.dtype.name]))


def run(case):
    """Nothing if the case passes, else why it does not."""
    try:
        model = case.model
        for inputs, outputs in case.data_sets:
            given = [
                (port.name, tensor(value))
                for port, value in zip(model.graph.input, inputs)
                if port.name and value is not None
            ]
            wanted = [tensor(value) for value in outputs]
            double = any(a.dtype == np.float64 for a in [*(a for _, a in given), *wanted])
            float_type = np.float64 if double else np.float32
            given = [
                (name, a.astype(float_type) if a.dtype.kind == "f" else a) for name, a in given
            ]
            precision = "f64" if double else "f32"
            found = _thalweg.evaluate_onnx(model.SerializeToString(), given, precision)
            if len(found) != len(wanted):
                return f"{len(found)} outputs instead of {len(wanted)}"
            for (_, got), expected in zip(found, wanted):
                if got.shape != expected.shape:
                    return "an output of another shape"
                if (got.dtype.kind == "f") != (expected.dtype.kind == "f"):
                    return "an output of another type"
                close = np.isclose(
                    got.astype(np.float64), expected.astype(np.float64),
                    rtol=case.rtol, atol=case.atol, equal_nan=True,
                )  # fmt: skip
                if not close.all():
                    return "other values"
    except Unsuitable as reason:
        return str(reason)
    except ThalwegError as error:
        return str(error)
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
