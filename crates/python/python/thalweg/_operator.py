"""The Hessian as a linear operator of SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _thalweg
from ._inputs import ArrayLike
from ._model import Model
from ._objective import Objective
from ._optional import need

linalg: Any = need("scipy.sparse.linalg", "HessianOperator", "scipy")


class HessianOperator(linalg.LinearOperator):  # type: ignore[misc]
    """The Hessian of a model's mean loss over examples, as SciPy's solvers take it.

    `scipy.sparse.linalg.eigsh(HessianOperator(model, x, y), k=5)` and any other solver that asks
    for products work on it. Its programs are planned once. It is symmetric: `rmatvec` is `matvec`.
    `matmat` takes up to eight directions together, which costs less than one by one.

    Parameters
    ----------
    model : Model
    x, y : arrays
        All examples that the loss is the mean over. They are read in place where they need no
        conversion: do not write to them.
    damping : float
        Added times the identity.
    **options
        See :class:`thalweg.Options`. `precision` is the operator's `dtype`.

    Attributes
    ----------
    shape : (int, int)
        As the model has parameters, in the order of `model.parameters`.
    dtype : numpy.dtype
        `float32` or `float64`.

    Examples
    --------
    >>> from scipy.sparse.linalg import eigsh
    >>> H = thalweg.HessianOperator(model, x, y, precision="f64")
    >>> values, vectors = eigsh(H, k=3, which="LA")
    """

    def __init__(
        self, model: Model, x: Any, y: ArrayLike, *, damping: float = 0.0, **options: Any
    ) -> None:
        objective = Objective(model, x, y, options)
        self._parts = (model, objective.inputs, objective.targets, damping, objective.options)
        self._native = _thalweg.Operator(objective.native)
        self._damping = float(damping)
        self._structure = model._structure
        n = model._structure.size
        super().__init__(
            np.float64 if objective.options["precision"] == "f64" else np.float32, (n, n)
        )

    def _products(self, rows: np.ndarray) -> np.ndarray:
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        products = self._native.products(rows)
        if self._damping:
            products += self._damping * rows
        return products.astype(self.dtype, copy=False)

    def _matvec(self, v: np.ndarray) -> np.ndarray:
        return self._products(np.reshape(v, (1, -1)))[0]

    def _matmat(self, vectors: np.ndarray) -> np.ndarray:
        return self._products(np.asarray(vectors).T).T

    _rmatvec = _matvec
    _rmatmat = _matmat

    def _adjoint(self) -> HessianOperator:
        return self

    _transpose = _adjoint

    def named(self, vector: ArrayLike) -> Any:
        """A vector of the operator's as :class:`thalweg.Parameters`."""
        from ._parameters import Parameters

        flat = np.asarray(self._structure.flatten(np.ravel(vector), "vector"), dtype=np.float64)
        return Parameters(self._structure, flat)

    def __reduce__(self) -> Any:
        return _revive, self._parts


def _revive(model: Model, inputs: Any, targets: Any, damping: float, filled: dict) -> Any:
    options = {key: value for key, value in filled.items() if value is not None}
    x = inputs[0] if len(inputs) == 1 else inputs
    return HessianOperator(model, x, targets, damping=damping, **options)
