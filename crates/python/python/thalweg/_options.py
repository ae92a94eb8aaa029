"""What every measurement can be told."""

from __future__ import annotations

import difflib
from typing import Any, TypedDict

from ._errors import ConfigError
from ._inputs import whole


class Options(TypedDict, total=False):
    """Keywords that every measurement takes.

    Attributes
    ----------
    loss : str
        `"cross-entropy"` (with `smoothing=0.1` after it, if so), `"mse"`, `"bce"`, ...; without it
        that which the model was trained with, or cross-entropy for labels and `"mse"` for values.
        For classes of unequal frequency, which is counted in the targets that are given, with more
        after it: `balanced=0.999` weighs examples by class (in training with `from=0.8` only after
        that share of the steps), `tau=1` adjusts logits (and `gamma` scales them), `margin=0.5` sets
        margins (and `scale` a factor). A trained model is measured by the plain loss again.
    batch : int
        Examples that are taken at once; part of what is measured under `batch_norm="batch"`. 256.
    batch_norm : str
        What batch normalisation does: `"frozen"` running statistics, those of each `"batch"`, or
        `"recalibrated"` at each point.
    precision : str
        `"f32"` or `"f64"`.
    samples : int
        Examples, drawn stratified by class; without it all.
    seed : int
        The root of every draw. 0.
    threads : int
        0, the default: one for each core. Never changes a bit of a result.
    memory : str
        As `"2GiB"`; without it 60 % of what is free. Never changes a bit of a result.
    progress : bool or callable
        `True` shows bars (of `tqdm.auto`, if it is installed); a callable is used as `tqdm` is.
    """

    loss: str | None
    batch: int
    batch_norm: str
    precision: str
    samples: int | None
    seed: int
    threads: int
    memory: str | int | None
    progress: Any


KNOWN = tuple(Options.__annotations__)


def complete(options: dict[str, Any], loss: str | None = None) -> tuple[dict[str, Any], Any]:
    """All options with defaults filled in, as the native module takes them, and `progress`."""
    unknown = [name for name in options if name not in KNOWN]
    if unknown:
        near = difflib.get_close_matches(unknown[0], KNOWN, 1)
        hint = f" (did you mean {near[0]}?)" if near else f"; there are {', '.join(KNOWN)}"
        raise TypeError(f"unknown option {unknown[0]!r}{hint}")
    samples = options.get("samples")
    memory = options.get("memory")
    filled = {
        "loss": options.get("loss") or loss,
        "batch": whole(options.get("batch", 256), "batch", 1),
        "batch_norm": _text(options.get("batch_norm", "frozen"), "batch_norm"),
        "precision": _text(options.get("precision", "f32"), "precision"),
        "samples": None if samples is None else whole(samples, "samples", 1),
        "seed": whole(options.get("seed", 0), "seed", 0, 2**64 - 1),
        "threads": whole(options.get("threads") or 0, "threads"),
        "memory": None if memory is None else str(memory),
    }
    if filled["loss"] is not None:
        _text(filled["loss"], "loss")
    return filled, options.get("progress", False)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{what}: expected a text, got {value!r}")
    return value
