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
from ._spectrum import Density, Outliers, Spectrum


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
        of: str = "hessian",
        examples: Any = None,
        relative_to: str | None = None,
        damping: float = 0.1,
        run: Any = None,
        **options: Any,
    ) -> None:
        """Eigenvalues with their vectors, trace and density of a curvature matrix of the mean loss.

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
        of : str
            Of which matrix: `"hessian"`, `"gauss-newton"`, `"fisher"`, `"monte-carlo-fisher"`,
            `"empirical-fisher"` or `"gradient-covariance"`; or an approximation of one, with
            `-diagonal` or `-kfac` behind its name.
        examples : sequence of int, optional
            Of these examples alone, by their places in `x`.
        relative_to : str, optional
            A matrix B, named as for `of` but not `"hessian"`: the eigenvalues are those l with
            `A v = l (B + damping) v`, by LOBPCG preconditioned by B's inverse or that of its K-FAC or
            diagonal; `vectors` have length one in B's product. Neither trace nor density then.
        damping : float
            What is added to the diagonal of B.
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
            "of": of,
            "relative_to": relative_to or "",
            "damping": float(damping),
            "examples": _places(examples),
        }
        if relative_to is not None:
            if trace or density:
                raise ConfigError(
                    "trace and density: expected them without relative_to, with which eigenvalues "
                    "alone are found"
                )
            if not 0 < self.wanted["damping"] < float("inf"):
                raise ConfigError(f"damping: expected a positive number, got {damping!r}")
            if top == bottom == 0:
                raise ConfigError("top: expected some eigenvalues with relative_to, got 0")
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
        top_values, top_residuals, top_errors = found["top"]
        low_values, low_residuals, low_errors = found["bottom"]
        parts = ("eigenvalues", "trace", "density")
        outliers = None
        if "outliers" in found:
            below, above, count, of_found = found["outliers"]
            outliers = Outliers(below, above, quantity(*count), of_found)
        values = {
            name: None if found[name] is None else quantity(*found[name])
            for name in ("trace", "frobenius_squared")
        }
        return Spectrum(
            top=top_values,
            bottom=low_values,
            top_residuals=top_residuals,
            bottom_residuals=low_residuals,
            top_sampling_errors=top_errors,
            bottom_sampling_errors=low_errors,
            vectors=[Parameters(structure, vector) for vector in found["vectors"]],
            trace=values["trace"],
            frobenius_squared=values["frobenius_squared"],
            density=Density(*found["density"]) if "density" in found else None,
            outliers=outliers,
            dimension=found["dimension"],
            at=evaluation(found["at"]),
            gradient_norm=found["gradient_norm"],
            products=dict(zip(parts, found["products"])),
            attributes={
                **self.objective.attributes,
                "of": self.wanted["of"],
                "relative_to": self.wanted["relative_to"] or None,
                "damping": self.wanted["damping"] if self.wanted["relative_to"] else None,
            },
        )


def _places(examples: Any) -> list[int]:
    """Each place once; none for all."""
    if examples is None:
        return []
    places = [whole(place, "examples") for place in examples]
    if not places or len(set(places)) < len(places):
        raise ConfigError("examples: expected places of examples, each once")
    return places


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
