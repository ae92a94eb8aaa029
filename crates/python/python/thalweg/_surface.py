"""Surfaces as results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ._estimate import Evaluation
from ._html import beside, table
from ._optional import need
from ._parameters import Parameters
from ._table import Table


@dataclass(repr=False)
class Surface(Table):
    """The loss on a line or a plane through weight space.

    Attributes
    ----------
    x, y : ndarray
        Coordinates along the directions; `y` is a single zero on a line.
    loss : ndarray, [y, x] or [pair, y, x]
        The loss at each point.
    accuracy : ndarray or None
        The share of examples classified rightly, where targets are labels.
    loss_standard_error : ndarray or None
        Where the loss is an estimate: from a sample of the data, or to a tolerance.
    finite : ndarray of bool
        Whether each loss is a finite number.
    centre : Evaluation
        The value at the centre.
    directions : list of tuple of Parameters
        What the coordinates run along, one tuple a pair.
    attributes : dict
        How it was taken: `loss_name`, `normalize`, `ignore`, `batch_norm`, `directions`,
        `samples`, `batch`, `seed`, `precision`, `tolerance`.
    trajectory : dict or None
        Positions `x`, `y` and distances `residual` of checkpoints, and the share of the
        variance `explained_variance` that each direction has.
    """

    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray | None
    loss_standard_error: np.ndarray | None
    finite: np.ndarray
    centre: Evaluation
    directions: list[tuple[Parameters, ...]]
    attributes: dict[str, Any]
    trajectory: dict[str, Any] | None = None
    errors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def is_line(self) -> bool:
        """Whether there is one direction only."""
        return self.directions[0][1:] == ()

    @property
    def shape(self) -> tuple[int, ...]:
        """That of `loss`."""
        return self.loss.shape

    def _extreme(self, pick: Any) -> dict[str, float]:
        if not self.finite.any():
            return {"x": np.nan, "y": np.nan, "loss": np.nan}
        at = np.unravel_index(pick(self.loss), self.loss.shape)
        place = {"x": float(self.x[at[-1]]), "y": float(self.y[at[-2]])}
        if len(at) == 3:
            place["pair"] = int(at[0])
        return {**place, "loss": float(self.loss[at])}

    @property
    def minimum(self) -> dict[str, float]:
        """The lowest point: `x`, `y`, `loss`."""
        return self._extreme(lambda loss: np.nanargmin(np.where(self.finite, loss, np.nan)))

    @property
    def maximum(self) -> dict[str, float]:
        """The highest point whose loss is finite: `x`, `y`, `loss`."""
        return self._extreme(lambda loss: np.nanargmax(np.where(self.finite, loss, np.nan)))

    def _dims(self) -> tuple[str, ...]:
        return ("pair", "y", "x")[-self.loss.ndim :]

    def _variables(self) -> dict[str, np.ndarray]:
        found = {"loss": self.loss}
        if self.accuracy is not None:
            found["accuracy"] = self.accuracy
        if self.loss_standard_error is not None:
            found["loss_standard_error"] = self.loss_standard_error
        found["finite"] = self.finite
        return {**found, **self.errors}

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with dimensions `(pair,) y, x` over the same memory.

        `attrs` say how it was taken.
        """
        xarray = need("xarray", "Surface.to_xarray")
        dims = self._dims()
        data = {name: (dims, values) for name, values in self._variables().items()}
        coords: dict[str, Any] = {"x": self.x, "y": self.y}
        if self.trajectory is not None:
            for name in ("x", "y", "residual"):
                data[f"trajectory_{name}"] = (("checkpoint",), self.trajectory[name])
        attrs = {key: value for key, value in self.attributes.items() if value is not None}
        dataset = xarray.Dataset(data, coords, {**attrs, "centre_loss": self.centre.loss})
        dataset["loss"].attrs["long_name"] = self.attributes["loss_name"]
        return dataset

    def _columns(self) -> dict[str, np.ndarray]:
        grids = np.meshgrid(
            *([np.arange(self.loss.shape[0])] if self.loss.ndim == 3 else []),
            self.y,
            self.x,
            indexing="ij",
        )
        columns = {name: grid.ravel() for name, grid in zip(self._dims(), grids)}
        return {**columns, **{name: v.ravel() for name, v in self._variables().items()}}

    def plot(self, ax: Any = None, *, pair: int = 0, log: bool = True, **style: Any) -> Any:
        """Draws a line, or filled contours with the centre and the trajectory.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to; new ones without it.
        pair : int
            Which pair of directions.
        log : bool
            Contours at equal steps of the loss's logarithm, where it is positive.
        **style
            Goes to `ax.plot` or `ax.contourf`.

        Returns
        -------
        matplotlib axes
        """
        from ._plot import plot_surface

        return plot_surface(self, ax, pair, log, style)

    def _path(self) -> tuple[list[float], list[float], list[float]] | None:
        if self.trajectory is None:
            return None
        x, y, residual = (self.trajectory[name].tolist() for name in ("x", "y", "residual"))
        return x, y, residual

    def _svg(self) -> str | None:
        from . import _thalweg

        if self.is_line or self.loss.shape[-1] < 2 or self.loss.shape[-2] < 2:
            return None
        return _thalweg.surface_svg(
            self.x.tolist(),
            self.y.tolist(),
            np.ascontiguousarray(self.loss).ravel().tolist(),
            self.loss.shape[0] if self.loss.ndim == 3 else None,
            str(self.attributes["loss_name"]),
            self._path(),
        )

    def _facts(self) -> list[tuple[str, str]]:
        a, low = self.attributes, self.minimum
        place = f"x = {low['x']:.3g}" + ("" if self.is_line else f", y = {low['y']:.3g}")
        facts = [
            ("loss", f"{a['loss_name']} over {self.centre.examples:,} examples"),
            ("at the centre", f"{self.centre.loss:.6g}"),
            ("lowest", f"{low['loss']:.6g} at {place}"),
            ("highest", f"{self.maximum['loss']:.6g}"),
            ("points", " × ".join(map(str, self.shape))),
            ("directions", f"{a['directions']}, normalised: {a['normalize']}"),
            ("batch norm", a["batch_norm"]),
        ]
        if not self.finite.all():
            facts.append(("not finite", f"{int((~self.finite).sum())} points"))
        if a.get("tolerance") is not None:
            facts.append(("tolerance", str(a["tolerance"])))
        return facts

    def __repr__(self) -> str:
        kind = "line" if self.is_line else "plane"
        facts = "\n".join(f"  {name}: {value}" for name, value in self._facts())
        return f"Surface on a {kind}\n{facts}"

    def _repr_html_(self) -> str:
        facts = table((), self._facts())
        svg = self._svg()
        return beside(svg, facts) if svg else facts
