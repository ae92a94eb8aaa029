"""A spectrum that is asked for."""

from __future__ import annotations

from typing import Any

from . import _thalweg
from ._errors import ConfigError
from ._estimate import evaluation, quantity
from ._inputs import ArrayLike, whole
from ._network import Network
from ._objective import Objective
from ._parameters import Parameters
from ._spectrum import Density, Spectrum


class SpectrumRequest:
    """A spectrum that is asked for."""

    def __init__(
        self,
        model: Network,
        x: Any,
        y: ArrayLike,
        *,
        top: int | None = None,
        bottom: int = 0,
        trace: bool | int | float | str = False,
        density: bool | int = False,
        tolerance: float = 1e-3,
        run: Any = None,
        **options: Any,
    ) -> None:
        """Eigenvalues with their vectors, trace and density of the Hessian of the mean loss.

        Parameters
        ----------
        top, bottom : int
            How many of the largest (5 without it) and of the smallest eigenvalues.
        trace : bool, int, float or str
            `True`: from 32 random vectors of signs; a whole number: from so many; a share as 0.05:
            from as many as its standard error needs to be that small; `"exact"`: by one product for
            each parameter.
        density : bool or int
            By stochastic Lanczos quadrature from so many probes (`True`: 8).
        tolerance : float
            Largest residual, as a share of the largest eigenvalue. The error of an isolated
            eigenvalue is of the order of its square.
        run : path, optional
            As for :meth:`surface`.
        **options
            See :class:`thalweg.Options`.

        Returns
        -------
        Spectrum
        """
        self.model, self.run = model, run
        self.objective = Objective(model, x, y, options)
        bottom = whole(bottom, "bottom")
        if top is None:
            top = max(0, min(5, model._structure.size - bottom))
        self.wanted = {
            "top": whole(top, "top"),
            "bottom": bottom,
            "tolerance": float(tolerance),
            **_trace(trace),
            "density_probes": 8 if density is True else whole(density or 0, "density"),
        }
        if not 0 < self.wanted["tolerance"] < 1:
            raise ConfigError(f"tolerance: expected a share between 0 and 1, got {tolerance!r}")
        if self.wanted["density_probes"] == 1:
            raise ConfigError("density: expected at least 2 probes, for standard errors, got 1")

    def open(self) -> Any:
        """The run directory while it is worked in."""
        return self.objective.open("spectrum", self.run, {"spectrum": self.wanted})

    def answer(self, run: Any, report: Any) -> Spectrum:
        """Computes what is wanted, or takes it from the run directory."""
        structure = self.model._structure
        found = _thalweg.spectrum(self.objective.native, self.wanted, run, report)
        (top_values, top_residuals), (low_values, low_residuals) = found["top"], found["bottom"]
        parts = ("eigenvalues", "trace", "density")
        values = {
            name: None if found[name] is None else quantity(*found[name])
            for name in ("trace", "frobenius_squared")
        }
        return Spectrum(
            top=top_values,
            bottom=low_values,
            top_residuals=top_residuals,
            bottom_residuals=low_residuals,
            vectors=[Parameters(structure, vector) for vector in found["vectors"]],
            trace=values["trace"],
            frobenius_squared=values["frobenius_squared"],
            density=Density(*found["density"]) if "density" in found else None,
            dimension=found["dimension"],
            at=evaluation(found["at"]),
            gradient_norm=found["gradient_norm"],
            products=dict(zip(parts, found["products"])),
            attributes=self.objective.attributes,
        )


def _trace(trace: bool | int | float | str) -> dict[str, Any]:
    """`trace` as the native module takes it."""
    most = 1024
    none = {"trace_probes": 0, "trace_tolerance": 0.0, "trace_exact": False}
    if trace is False or trace is None:
        return none
    if trace is True:
        return {**none, "trace_probes": 32}
    if isinstance(trace, str):
        if trace != "exact":
            raise ConfigError(f'trace: expected "exact", a number or a bool, got {trace!r}')
        return {**none, "trace_exact": True}
    if isinstance(trace, float) and 0 < trace < 1:
        return {**none, "trace_probes": most, "trace_tolerance": trace}
    probes = whole(trace, "trace")
    if probes == 1:
        raise ConfigError("trace: expected at least 2 probes, for a standard error, got 1")
    return {**none, "trace_probes": probes}
