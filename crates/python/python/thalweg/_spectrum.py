"""Spectra as results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._estimate import Estimate, Evaluation
from ._html import beside, table
from ._optional import need
from ._parameters import Parameters
from ._table import Table


@dataclass(frozen=True)
class Density:
    """The density of eigenvalues by stochastic Lanczos quadrature; its integral is one.

    Attributes
    ----------
    centres, values, standard_errors : ndarray
        Where it is given, the density there, and its standard error over the probes.
    """

    centres: np.ndarray
    values: np.ndarray
    standard_errors: np.ndarray


@dataclass(frozen=True)
class Outliers:
    """What stands out of the bulk of the eigenvalues, by their density.

    Attributes
    ----------
    below, above : float
        Eigenvalues below the one or above the other stand out.
    count : Estimate
        How many of all there are, with a standard error over the probes.
    found : int
        How many of `top` and `bottom` do.
    """

    below: float
    above: float
    count: Estimate
    found: int


@dataclass(repr=False)
class Spectrum(Table):
    """What is known of the eigenvalues of a curvature matrix.

    Attributes
    ----------
    top, bottom : ndarray
        The largest eigenvalues, descending; the smallest, ascending.
    top_residuals, bottom_residuals : ndarray
        `|H v - value v|` of each: an eigenvalue lies within this distance. Relative to another matrix
        `|A v - value B v| / |B v|`.
    top_sampling_errors, bottom_sampling_errors : ndarray or None
        Of the Hessian on a sample of the examples: the standard deviation of each over the choice
        of the sample, to first order. Largest eigenvalues also tend to be too large on a sample.
    vectors : list of Parameters
        Unit eigenvectors of `top`, then of `bottom`; relative to another matrix of length one in its
        product.
    trace, frobenius_squared : Estimate, float or None
        A plain number where it is exact. On a sample of the examples both are those of the Hessian
        on all of them, with the sample's error.
    density : Density or None
    outliers : Outliers or None
        With a density.
    dimension : int
        Number of parameters.
    at : Evaluation
        The loss at the point.
    gradient_norm : float
    products : dict
        Products with a vector that each part took.
    attributes : dict
        How it was taken.
    """

    top: np.ndarray
    bottom: np.ndarray
    top_residuals: np.ndarray
    bottom_residuals: np.ndarray
    top_sampling_errors: np.ndarray | None
    bottom_sampling_errors: np.ndarray | None
    vectors: list[Parameters]
    trace: Estimate | float | None
    frobenius_squared: Estimate | float | None
    density: Density | None
    outliers: Outliers | None
    dimension: int
    at: Evaluation
    gradient_norm: float
    products: dict[str, int]
    attributes: dict[str, Any]

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`: eigenvalues over `top` and `bottom`, the density over `centre`."""
        xarray = need("xarray", "Spectrum.to_xarray")
        data: dict[str, Any] = {}
        for name in ("top", "bottom"):
            if len(getattr(self, name)):
                data[f"{name}_eigenvalue"] = ((name,), getattr(self, name))
                data[f"{name}_residual"] = ((name,), getattr(self, f"{name}_residuals"))
                errors = getattr(self, f"{name}_sampling_errors")
                if errors is not None:
                    data[f"{name}_sampling_error"] = ((name,), errors)
        coords = {}
        if self.density is not None:
            coords["centre"] = self.density.centres
            data["density"] = (("centre",), self.density.values)
            data["density_standard_error"] = (("centre",), self.density.standard_errors)
        attrs = {key: value for key, value in self.attributes.items() if value is not None}
        attrs.update(dimension=self.dimension, loss=self.at.loss, gradient_norm=self.gradient_norm)
        for name in ("trace", "frobenius_squared"):
            value = getattr(self, name)
            if value is not None:
                attrs[name] = float(value)
            if isinstance(value, Estimate):
                attrs[f"{name}_standard_error"] = value.standard_error
        return xarray.Dataset(data, coords, attrs)

    def _columns(self) -> dict[str, Any]:
        ends = ["top"] * len(self.top) + ["bottom"] * len(self.bottom)
        return {
            "end": ends,
            "rank": [*range(len(self.top)), *range(len(self.bottom))],
            "eigenvalue": np.concatenate([self.top, self.bottom]),
            "residual": np.concatenate([self.top_residuals, self.bottom_residuals]),
        }

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draws the density, if there is one, on a log scale, and a mark at each eigenvalue.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to; new ones without it.
        **style
            Goes to `ax.plot`.

        Returns
        -------
        matplotlib axes
        """
        from ._plot import plot_spectrum

        return plot_spectrum(self, ax, style)

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("loss", f"{self.at.loss:.6g} over {self.at.examples:,} examples"),
            ("gradient's norm", f"{self.gradient_norm:.6g}"),
            ("parameters", f"{self.dimension:,}"),
        ]
        for name in ("top", "bottom"):
            values = getattr(self, name)
            if len(values):
                facts.append((name, ", ".join(f"{value:.6g}" for value in values[:10])))
        for name, value in (("trace", self.trace), ("|H|²", self.frobenius_squared)):
            if value is not None:
                text = repr(value) if isinstance(value, Estimate) else f"{value:.8g}"
                facts.append((name, text))
        if self.outliers is not None:
            facts.append(("outliers", repr(self.outliers.count)))
        return facts

    def __repr__(self) -> str:
        facts = "\n".join(f"  {name}: {value}" for name, value in self._facts())
        of, to = self.attributes.get("of", "hessian"), self.attributes.get("relative_to")
        words = of.capitalize() if of != "hessian" else "Hessian"
        relative = f" relative to {to}" if to else ""
        return f"Spectrum of the {words}{relative}\n{facts}"

    def _repr_html_(self) -> str:
        from . import _thalweg

        facts = table((), self._facts())
        if self.density is None:
            return facts
        d = self.density
        svg = _thalweg.density_svg(
            self.top.tolist(),
            self.bottom.tolist(),
            d.centres.tolist(),
            d.values.tolist(),
            d.standard_errors.tolist(),
            self.dimension,
        )
        return beside(svg, facts) if svg else facts
