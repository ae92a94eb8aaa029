"""Arrays of any library as NumPy's.

Anything with `__dlpack__` (PyTorch, JAX, CuPy on the host, ...) or with NumPy's array protocol is
taken. Nothing is copied when it is C-contiguous, on the host, and of `float32` or `float64` for
inputs that are real numbers, of `int32` for tokens and labels; anything else is converted, which is
a copy. Arrays that were not copied are read in place: do not write to them while they are in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._errors import ConfigError, DataError, ShapeError

ArrayLike = Any


def as_array(value: ArrayLike, what: str) -> np.ndarray:
    """A NumPy array over the same memory where that is possible."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        # PyTorch does not hand out what a gradient may be asked of.
        if getattr(value, "requires_grad", False):
            value = value.detach()
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            device = getattr(value, "device", None)
            if device is not None and "cpu" not in str(device).lower():
                raise ShapeError(
                    f"{what} is on the device {device}: expected one on the host, as from .cpu()"
                ) from error
            # Types that NumPy does not know, as bfloat16, and layouts that DLPack does not.
            if hasattr(value, "float"):
                return np.asarray(value.float())
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{what}: {error}") from error
    if array.dtype == object:
        raise ShapeError(f"{what} is no array of numbers, but {type(value).__name__}")
    return array


def as_float(value: ArrayLike, what: str) -> np.ndarray:
    """A C-contiguous array of `float32` or `float64`."""
    array = as_array(value, what)
    if array.dtype.kind not in "fiub":
        raise ShapeError(f"{what} is of {array.dtype}: expected real numbers")
    if array.dtype.newbyteorder("=") not in (np.float32, np.float64):
        # What float32 holds exactly stays small.
        small = array.dtype.kind in "fb" and array.dtype.itemsize < 4
        small = small or (array.dtype.kind in "iub" and array.dtype.itemsize <= 2)
        array = array.astype(np.float32 if small else np.float64)
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def as_integers(value: ArrayLike, what: str) -> np.ndarray:
    """A C-contiguous array of `int32`."""
    array = as_array(value, what)
    if array.dtype.kind not in "iub":
        raise DataError(f"{what} is of {array.dtype}: expected an integer type")
    if array.size and array.dtype.kind in "iu" and array.dtype.itemsize >= 4:
        low, high = int(array.min()), int(array.max())
        if low < -(2**31) or high >= 2**31:
            raise DataError(f"{what} runs from {low} to {high}: expected numbers of 32 bits")
    return np.asarray(array, dtype=np.int32, order="C")


def as_inputs(ports: Sequence[tuple[str, list[int], bool]], x: Any) -> list[np.ndarray]:
    """One array for each input of a model."""
    if isinstance(x, Mapping):
        names = [name for name, _, _ in ports]
        if sorted(map(str, x)) != sorted(names):
            listed = ", ".join(map(str, x))
            raise ShapeError(f"x holds {listed}: expected the inputs {', '.join(names)}")
        values = [x[name] for name in names]
    elif len(ports) > 1 and isinstance(x, (list, tuple)):
        values = list(x)
    else:
        values = [x]
    if len(values) != len(ports):
        expected = ", ".join(name for name, _, _ in ports)
        raise ShapeError(
            f"{len(values)} arrays of inputs: expected {len(ports)}, one for each of {expected}"
        )
    arrays = []
    for (name, _, index), value in zip(ports, values):
        what = "x" if len(ports) == 1 else f"x[{name!r}]"
        array = as_array(value, what)
        if array.ndim == 0:
            raise ShapeError(f"{what} is a single number: expected an axis of examples")
        arrays.append(as_integers(array, what) if index else as_float(array, what))
    return arrays


def as_targets(y: ArrayLike) -> np.ndarray:
    """Labels as `int32`, values as floats: the type says which they are."""
    array = as_array(y, "y")
    if array.ndim == 0:
        raise ShapeError("y is a single number: expected an axis of examples")
    if array.dtype.kind in "iub":
        labels = as_integers(array, "y")
        return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    values = as_float(array, "y")
    # One value an example is a vector of one.
    return values[:, None] if values.ndim == 1 else values


def as_vectors(value: ArrayLike, n: int, what: str) -> tuple[np.ndarray, bool]:
    """Vectors `[k, n]`, and whether a single one was given."""
    array = as_float(value, what)
    if array.ndim == 1 and array.shape[0] == n:
        return array[None, :], True
    if array.ndim == 2 and array.shape[1] == n:
        return array, False
    raise ShapeError(
        f"{what} has shape {list(array.shape)}: expected [{n}] or [k, {n}], one element for each "
        "parameter"
    )


def whole(value: Any, what: str, least: int = 0, most: int = 2**63 - 1) -> int:
    """A whole number in a range."""
    try:
        number = int(value)
        exact = not isinstance(value, (float, np.floating)) or float(value) == number
    except (TypeError, ValueError, OverflowError):
        number, exact = least, False
    if not exact or not least <= number <= most or isinstance(value, (str, bytes)):
        raise ConfigError(f"{what}: expected a whole number of at least {least}, got {value!r}")
    return number
