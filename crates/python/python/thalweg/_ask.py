"""Surfaces and populations as requests: what is asked, its units of work, and how they are done.

A request can be sent to another process: `thalweg.ray` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _thalweg
from ._errors import ConfigError, ShapeError
from ._estimate import evaluation
from ._inputs import as_inputs, as_targets, whole
from ._model import Model, _attributes, _open, grid, members
from ._parameters import Parameters
from ._population import Population
from ._surface import Surface

KINDS = ("random", "eigenvectors", "trajectory")


class SurfaceRequest:
    """A surface that is asked for."""

    def __init__(
        self,
        model: Model,
        x: Any,
        y: Any,
        *,
        directions: Any,
        x_range: Any,
        y_range: Any,
        line: bool,
        normalize: str | None,
        ignore: str | Iterable[str],
        pairs: int,
        checkpoints: Sequence[Any] | None,
        tolerance: float | None,
        exact: bool,
        options: dict[str, Any],
    ) -> None:
        self.model = model
        self.inputs, self.targets = model._data(x, y)
        self.options, self.progress = model._options(options, self.targets)
        self.kind, self.given = _directions(model, directions, checkpoints)
        two = not line
        if self.kind in ("given", "checkpoints") and len(self.given) == 1:
            two = False
        if self.kind == "trajectory":
            if line:
                raise ConfigError("line: a trajectory spans a plane")
            if normalize not in (None, "none") or ignore:
                raise ConfigError("normalize and ignore: a trajectory's plane cannot be scaled")
        pairs = whole(pairs, "pairs", 1)
        if pairs > 1 and self.kind != "random":
            raise ConfigError(f"pairs: expected 1 unless directions are random, got {pairs}")
        if normalize is None:
            normalize = "filter" if self.kind == "random" else "none"
        ignored = [ignore] if isinstance(ignore, str) else list(ignore)
        self.wanted: dict[str, Any] = {
            "kind": "given" if self.kind == "checkpoints" else self.kind,
            "two": two,
            "pairs": pairs,
            "normalize": normalize,
            "ignore": [str(role) for role in ignored],
        }
        default = "-0.5:1.5:41" if self.kind == "checkpoints" else "-1:1:31"
        if x_range is None and self.kind == "trajectory":
            self.x = self.y = None
        else:
            self.x = grid(default if x_range is None else x_range, "x_range")
        if not two:
            if y_range is not None:
                raise ConfigError("y_range: a line has none")
            self.y = np.zeros(1)
        elif y_range is not None:
            self.y = grid(y_range, "y_range")
        else:
            self.y = self.x
        if tolerance is not None:
            tolerance = float(tolerance)
        if tolerance is not None and exact:
            raise ConfigError("exact: expected it without a tolerance")
        self.tolerance, self.exact = tolerance, bool(exact)
        self.planes: list[list[np.ndarray]] = []
        self.trajectory: dict[str, Any] | None = None

    def open(self, run: Any) -> Any:
        """The run directory while it is worked in."""
        study = {
            "surface": {
                **self.wanted,
                "kind": self.kind,
                "x": "auto" if self.x is None else self.x,
                "y": "auto" if self.y is None else self.y,
                "tolerance": "exact" if self.exact else str(self.tolerance),
            },
            "options": self.options,
        }
        arrays = [*self.inputs, self.targets, *self.given]
        return _open("surface", run, self.model, study, arrays)

    def find_planes(self, run: Any, report: Any) -> None:
        """Draws, computes or scales the directions."""
        found = _thalweg.planes(
            self.model._core, self.wanted, self.given, self.inputs, self.targets, self.options,
            run, report,
        )  # fmt: skip
        self.planes = found["planes"]
        if "residual" in found:
            self.trajectory = {
                name: found[name] for name in ("x", "y", "residual", "explained_variance")
            }
        if self.x is None:
            self.x = _around(found["x"])
        if self.y is None:
            self.y = _around(found["y"])

    @property
    def shape(self) -> tuple[int, int]:
        """Points along `y` and along `x`, once the directions are known."""
        assert self.x is not None and self.y is not None
        return len(self.y), len(self.x)

    def grid(self) -> dict[str, Any]:
        """Points and how they are taken, for the native module."""
        path = self.trajectory
        assert self.x is not None and self.y is not None
        return {
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "tolerance": self.tolerance,
            "exact": self.exact,
            "directions": {"given": "file", "trajectory": "pca"}.get(self.kind, self.kind),
            "normalize": self.wanted["normalize"],
            "ignore": self.wanted["ignore"],
            "explained_variance": [] if path is None else path["explained_variance"],
            "trajectory": None
            if path is None
            else tuple(path[name].tolist() for name in ("x", "y", "residual")),
        }

    def evaluate(self, run: Any, report: Any) -> Surface:
        """Evaluates every point, or takes it from the run directory."""
        model = self.model
        found = _thalweg.surface(
            model._core, self.inputs, self.targets, self.planes, self.grid(), self.options, run,
            report,
        )  # fmt: skip
        errors = ("sampling_error", "interpolation_error", "samples")
        return Surface(
            x=found["x"],
            y=found["y"],
            loss=found["loss"],
            accuracy=found["accuracy"],
            loss_standard_error=found["loss_standard_error"],
            finite=found["status"] == 1,
            centre=evaluation(found["centre"]),
            directions=[
                tuple(Parameters(model._structure, vector) for vector in plane)
                for plane in self.planes
            ],
            attributes={
                **_attributes(self.options),
                "loss_name": found["loss_name"],
                "directions": self.kind,
                "normalize": self.wanted["normalize"],
                "ignore": ", ".join(self.wanted["ignore"]),
                "tolerance": found["tolerance"],
            },
            trajectory=self.trajectory,
            errors={name: found[name] for name in errors if name in found},
        )


def _directions(
    model: Model, directions: Any, checkpoints: Sequence[Any] | None
) -> tuple[str, list[np.ndarray]]:
    """Their kind, and the vectors that they are made from."""
    structure = model._structure

    def vector(value: Any, what: str) -> np.ndarray:
        if isinstance(value, Model):
            if value._structure.places != structure.places:
                raise ShapeError(f"{what}: its parameters are not those of this model")
            return value.parameters.flatten()
        return np.asarray(structure.flatten(value, what), dtype=np.float64)

    if (checkpoints is not None) != (isinstance(directions, str) and directions == "trajectory"):
        raise ConfigError('checkpoints: expected with directions="trajectory", and with it alone')
    if checkpoints is not None:
        if len(checkpoints) < 3:
            raise ConfigError(f"checkpoints: expected at least 3, got {len(checkpoints)}")
        return "trajectory", [vector(one, f"checkpoints[{i}]") for i, one in enumerate(checkpoints)]
    if isinstance(directions, (str, os.PathLike)):
        text = os.fspath(directions)
        if text in KINDS:
            return text, []
        if text.endswith(".safetensors"):
            return "given", _from_file(text, vector)
        raise ConfigError(
            f"directions: expected {', '.join(KINDS)}, a .safetensors file, models or arrays, "
            f"got {text!r}"
        )
    if isinstance(directions, (Model, Mapping)) or getattr(directions, "ndim", 0) == 1:
        directions = [directions]
    listed = list(directions)
    if len(listed) not in (1, 2):
        raise ConfigError(f"directions: expected one or two, got {len(listed)}")
    of_models = [isinstance(one, Model) for one in listed]
    vectors = [vector(one, f"directions[{i}]") for i, one in enumerate(listed)]
    if all(of_models):
        here = model.parameters.flatten()
        return "checkpoints", [there - here for there in vectors]
    if any(of_models):
        raise ConfigError("directions: expected models or arrays, not both")
    return "given", vectors


def _from_file(path: str, vector: Any) -> list[np.ndarray]:
    tensors = dict(_thalweg.read_safetensors(path))
    stray = [name for name in tensors if not name.startswith(("x.", "y."))]
    if stray:
        raise ConfigError(f"{path}: {stray[0]}: expected names as x.PARAMETER and y.PARAMETER")
    found = []
    for axis in ("x", "y"):
        named = {name[2:]: a for name, a in tensors.items() if name.startswith(f"{axis}.")}
        if named or axis == "x":
            found.append(vector(named, f"{path}, direction {axis}"))
    return found


def _around(values: np.ndarray) -> np.ndarray:
    """Coordinates that hold all checkpoints and the end, with a fifth on either side."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    margin = 0.2 * max(high - low, np.finfo(float).tiny)
    return _thalweg.axis(low - margin, high + margin, 31)


class TrainRequest:
    """A population that is asked for."""

    #: Members that are one piece of work.
    UNIT = 8

    def __init__(
        self,
        model: Model,
        x: Any,
        y: Any,
        *,
        epochs: int | None,
        steps: int | None,
        lr: Any,
        seeds: Any,
        batch: int,
        optimizer: str,
        schedule: str,
        start: str,
        validation: tuple[Any, Any] | None,
        checkpoints: int,
        options: dict[str, Any],
    ) -> None:
        self.model = model
        self.inputs, self.targets = model._data(x, y)
        for name in ("batch_norm", "samples"):
            if name in options:
                raise TypeError(f"option {name!r} has no place in training")
        self.options, self.progress = model._options(options, self.targets)
        if epochs is not None and steps is not None:
            raise ConfigError("epochs and steps exclude each other")
        if epochs is None and steps is None:
            epochs = 20
        if start not in ("weights", "seeds"):
            raise ConfigError(f'start: expected "weights" or "seeds", got {start!r}')
        if start == "seeds" and model.architecture is None:
            raise ConfigError(
                'start: expected "weights" for a model that is none of Thalweg\'s architectures'
            )
        if lr is None:
            lr = 1e-3 if str(optimizer).startswith("adam") else 0.1
        rates = [float(rate) for rate in np.atleast_1d(np.asarray(lr, dtype=np.float64))]
        drawn = seeds if isinstance(seeds, Iterable) else [seeds]
        drawn = [whole(seed, "seeds", 0, 2**64 - 1) for seed in drawn]
        self.members = [(seed, rate) for rate in rates for seed in drawn]
        if not self.members:
            raise ConfigError("seeds and lr: expected at least one of each")
        if len(set(self.members)) < len(self.members):
            raise ConfigError("seeds and lr: expected each member once")
        self.settings = {
            "optimizer": str(optimizer),
            "schedule": str(schedule),
            "epochs": 0 if epochs is None else whole(epochs, "epochs", 1),
            "steps": 0 if steps is None else whole(steps, "steps", 1),
            "batch": whole(batch, "batch", 1),
            "fresh": start == "seeds",
            "checkpoints": whole(checkpoints, "checkpoints"),
        }
        self.validation = None
        if validation is not None:
            inputs = as_inputs(model._about["inputs"], validation[0])
            self.validation = (inputs, as_targets(validation[1]))

    def open(self, run: Any) -> Any:
        """The run directory while it is worked in."""
        study = {
            "train": {**self.settings, "members": [list(member) for member in self.members]},
            "options": self.options,
        }
        arrays = [*self.inputs, self.targets]
        if self.validation is not None:
            arrays += [*self.validation[0], self.validation[1]]
        return _open("train", run, self.model, study, arrays)

    def train(self, run: Any, report: Any) -> Population:
        """Trains all members, or takes those that are finished from the run directory."""
        if run is None:
            return Population(members(self.some(self.members, report)))
        found = {}
        for member in self.members:
            stored = run.get(self.key(member))
            if stored is not None:
                found[member] = unpack(self, member, stored)
        left = [member for member in self.members if member not in found]
        for first in range(0, len(left), self.UNIT):
            block = left[first : first + self.UNIT]
            for member, one in zip(block, self.some(block, report)):
                run.put(self.key(member), pack(one))
                found[member] = one
        return Population(members([found[member] for member in self.members]))

    def some(self, of: list[tuple[int, float]], report: Any) -> list[dict[str, Any]]:
        """Trains some of the members."""
        settings = {**self.settings, "members": of}
        return _thalweg.train(
            self.model._core, self.inputs, self.targets, self.validation, settings, self.options,
            report,
        )  # fmt: skip

    @staticmethod
    def key(member: tuple[int, float]) -> str:
        """Under which a member's result is kept."""
        return f"train/seed-{member[0]}-lr-{member[1]!r}"


ARRAYS = ("loss", "gradient_norm", "accuracy", "validation_loss", "validation_accuracy")


def pack(one: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    """A trained member as named arrays."""
    arrays = [(name, one[name]) for name in ARRAYS if one[name] is not None]
    diverged = -1 if one["diverged"] is None else one["diverged"]
    arrays.append(("numbers", np.array([diverged, one["epoch_steps"]], dtype=np.int64)))
    arrays.append(("validation_step", np.asarray(one["validation_step"], dtype=np.int64)))
    arrays.append(("kept", np.array([step for step, _ in one["trajectory"]], dtype=np.int64)))
    for i, (_, core) in enumerate(one["trajectory"]):
        arrays += [(f"at.{i}.{name}", array) for name, array in core.arrays().items()]
    arrays += [(f"model.{name}", array) for name, array in one["model"].arrays().items()]
    return arrays


def unpack(
    request: TrainRequest, member: tuple[int, float], stored: list[tuple[str, np.ndarray]]
) -> dict[str, Any]:
    """What :func:`pack` was given."""
    arrays = dict(stored)
    diverged, epoch_steps = (int(value) for value in arrays["numbers"])
    loss = request.options["loss"]
    seed, lr = member
    name = f"seed-{seed}-lr-{lr}" if len(request.members) > 1 else "trained"

    def core(prefix: str, name: str) -> Any:
        named = [(n[len(prefix) :], a) for n, a in stored if n.startswith(prefix)]
        return request.model._core.with_arrays(name, named).with_loss(loss)

    return {
        "seed": seed,
        "lr": lr,
        "diverged": None if diverged < 0 else diverged,
        "model": core("model.", name),
        "trajectory": [
            (int(step), core(f"at.{i}.", f"{name}-step-{step}"))
            for i, step in enumerate(arrays["kept"])
        ],
        "epoch_steps": epoch_steps,
        "validation_step": arrays["validation_step"],
        **{key: arrays.get(key) for key in ARRAYS},
    }
