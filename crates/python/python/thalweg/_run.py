"""Run directories: what identifies the work in one, and that it is let go of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _thalweg

if TYPE_CHECKING:
    from ._network import Network


@contextmanager
def open_run(
    command: str, run: Any, model: Network, study: dict, arrays: Iterable[np.ndarray]
) -> Iterator[Any]:
    """The run directory while it is worked in, or nothing."""
    if run is None:
        yield None
        return
    opened = _thalweg.Run(command, os.fspath(run), _study(command, model, study, arrays))
    try:
        yield opened
    finally:
        opened.close()


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _study(command: str, model: Network, study: dict, arrays: Iterable[np.ndarray]) -> str:
    """`study.toml` as JSON: what was asked, without what never changes a bit of a result."""
    budget = ("threads", "memory")
    options = {
        key: value
        for key, value in study.get("options", {}).items()
        if key not in budget and value is not None
    }
    about = {
        "command": command,
        "interface": "python",
        "version": _thalweg.__version__,
        "model": model.architecture or model.name,
        "weights_fingerprint": fingerprint(model.state_dict().values()),
        "data_fingerprint": fingerprint(arrays),
    }
    return json.dumps({**about, **study, "options": options}, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else str(value)
