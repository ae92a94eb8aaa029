"""A surface that is asked for: its directions, its points, and how they are done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _thalweg
from ._errors import ConfigError, ShapeError
from ._estimate import evaluation
from ._inputs import ArrayLike, as_float, whole
from ._network import Network
from ._objective import Objective
from ._parameters import Parameters
from ._surface import Surface

KINDS = ("random", "eigenvectors", "trajectory")


class SurfaceRequest:
    """A surface that is asked for."""

    def __init__(
        self,
        model: Network,
        x: Any,
        y: ArrayLike,
        *,
        directions: Any = "random",
        x_range: Any = None,
        y_range: Any = None,
        line: bool = False,
        normalize: str | None = None,
        ignore: str | Iterable[str] = (),
        pairs: int = 1,
        checkpoints: Sequence[Any] | None = None,
        tolerance: float | None = None,
        exact: bool = False,
        run: Any = None,
        **options: Any,
    ) -> None:
        """The loss on a line or a plane through weight space.

        `L(W + a D + b E)` at every point `(a, b)` of a grid, many points as one program.

        Parameters
        ----------
        directions : str, Model, Parameters, array, or one or two of these in a list
            `"random"`: Gaussian. `"eigenvectors"`: those of the Hessian's largest eigenvalues.
            `"trajectory"`: the principal components of `checkpoints`. A model or two: from this one
            to those, which lie at coordinate one. Parameters, named arrays or vectors: these. The
            path of a safetensors file: its arrays `x.<parameter>` and `y.<parameter>`.
        x_range, y_range : (float, float, int), str or array, optional
            Coordinates: first, last and number, both ends included; the same as a text
            `"-1:1:31"`; or themselves. `y_range` is `x_range` without it. Without either: -1 to 1
            in 31 points, -0.5 to 1.5 in 41 between models, what holds the checkpoints of a
            trajectory with a fifth on either side.
        line : bool
            The first direction alone.
        normalize : str, optional
            Scales directions: each `"filter"` or `"layer"` to the norm of the weights', each element
            by its `"weight"`; to norm one each filter (`"dfilter"`), each layer (`"dlayer"`) or the
            whole (`"sphere"`); or `"none"`. Random directions are scaled by filter, others stay as
            they are, without it.
        ignore : str or iterable of str
            Roles that stay at the centre: `"bias"`, `"norm"`.
        pairs : int
            Pairs of random directions, for the spread between them.
        checkpoints : sequence of Model, Parameters or arrays, optional
            Those of a trajectory, the first first.
        tolerance : float, optional
            An error may be this share of the height over the centre; only some of the points are
            evaluated then, on as many examples as they need.
        exact : bool
            Every point on all examples, however long it takes. Without `tolerance` and `exact`
            surfaces of more than 10 TFLOP are taken to a tolerance of 0.01.
        run : path, optional
            A directory that keeps finished work: if it is there, the work goes on from what is
            done, and ends with the same bits. Holds `results.zarr` in the end.
        **options
            See :class:`thalweg.Options`.

        Returns
        -------
        Surface

        Raises
        ------
        ShapeError, DataError, ConfigError
            Data or directions that do not fit the model; settings that cannot be used.
        """
        self.model, self.run = model, run
        self.objective = Objective(model, x, y, options)
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

    def open(self) -> Any:
        """The run directory while it is worked in."""
        study = {
            "surface": {
                **self.wanted,
                "kind": self.kind,
                "x": "auto" if self.x is None else self.x,
                "y": "auto" if self.y is None else self.y,
                "tolerance": "exact" if self.exact else str(self.tolerance),
            },
        }
        return self.objective.open("surface", self.run, study, self.given)

    def answer(self, run: Any, report: Any) -> Surface:
        """Finds the directions, and evaluates every point."""
        self.find_planes(run, report)
        return self.evaluate(run, report)

    def find_planes(self, run: Any, report: Any) -> None:
        """Draws, computes or scales the directions."""
        objective = self.objective.native
        found = _thalweg.planes(objective, self.wanted, self.given, run, report)
        self.planes = found["planes"]
        if "residual" in found:
            self.trajectory = {
                name: found[name] for name in ("x", "y", "residual", "explained_variance")
            }
        if self.x is None:
            self.x = _around(found["x"])
        if self.y is None:
            self.y = _around(found["y"])

    def grid(self) -> dict[str, Any]:
        """Points and how they are taken, for the native module."""
        path = self.trajectory
        assert self.x is not None and self.y is not None, "directions are found first"
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
        objective = self.objective.native
        found = _thalweg.surface(objective, self.planes, self.grid(), run, report)
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
                tuple(Parameters(self.model._structure, vector) for vector in plane)
                for plane in self.planes
            ],
            attributes={
                **self.objective.attributes,
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
    model: Network, directions: Any, checkpoints: Sequence[Any] | None
) -> tuple[str, list[np.ndarray]]:
    """Their kind, and the vectors that they are made from."""
    structure = model._structure

    def vector(value: Any, what: str) -> np.ndarray:
        if isinstance(value, Network):
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
    if isinstance(directions, (Network, Mapping)) or getattr(directions, "ndim", 0) == 1:
        directions = [directions]
    listed = list(directions)
    if len(listed) not in (1, 2):
        raise ConfigError(f"directions: expected one or two, got {len(listed)}")
    of_models = [isinstance(one, Network) for one in listed]
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


def grid(value: Any, what: str) -> np.ndarray:
    """Coordinates from `(first, last, number)`, a text of it, or an array."""
    if isinstance(value, str):
        parts = value.split(":")
        if len(parts) != 3:
            raise ConfigError(f'{what}: expected A:B:N, as "-1:1:51", got {value!r}')
        value = tuple(parts)
    if isinstance(value, (tuple, list)) and len(value) == 3:
        try:
            first, last = float(value[0]), float(value[1])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{what}: expected numbers, got {value!r}") from error
        count = value[2]
        if isinstance(count, str) and count.strip().isdigit():
            count = int(count)
        # Three coordinates are three numbers of which the last is no count.
        if isinstance(value, tuple) or not isinstance(count, float):
            return _thalweg.axis(first, last, whole(count, f"the points of {what}", 1, 1 << 24))
    array = as_float(value, what).astype(np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ShapeError(f"{what} has shape {list(array.shape)}: expected a list of coordinates")
    return array
