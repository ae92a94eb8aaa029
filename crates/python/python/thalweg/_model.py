"""The model: what everything else is asked of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _thalweg
from ._estimate import Evaluation, evaluation
from ._inputs import ArrayLike, as_inputs, as_vectors
from ._measurement import measurement
from ._network import Network
from ._objective import Objective
from ._options import complete
from ._parameters import Parameters
from ._progress import reporter
from ._spectrum_request import SpectrumRequest
from ._surface_request import SurfaceRequest
from ._train_request import TrainRequest


class Model(Network):
    """A network with its weights, and everything that can be measured around it.

    Made by :func:`thalweg.load`, :func:`thalweg.from_torch` or :func:`thalweg.build`. Inputs `x`
    and targets `y` are arrays of any library (see `thalweg.inputs`); a model with several inputs
    takes a list or a dictionary of them. They are taken as they are, in the layout that the model
    was written for (`model.inputs`); a model that Thalweg trained remembers how its inputs were
    normalised, and normalises what it is given in the same manner.

    Targets of an integer type are labels; real numbers are values.

    Every measurement takes the keywords of :class:`thalweg.Options`.
    """

    def predict(self, x: Any, **options: Any) -> Any:
        """The outputs for all examples, with running statistics and without dropout.

        Returns
        -------
        ndarray, or dict of str to ndarray for a model of several outputs
        """
        inputs = as_inputs(self._about["inputs"], x)
        filled, progress = complete(options, self._about["loss"])
        with reporter(progress) as report:
            found = _thalweg.predict(self._core, inputs, filled, report)
        names = list(self.outputs)
        return found[0] if len(names) == 1 else dict(zip(names, found))

    __call__ = predict

    def evaluate(self, x: Any, y: ArrayLike, **options: Any) -> Evaluation:
        """Loss and accuracy over the examples.

        Raises
        ------
        ShapeError, DataError, ConfigError
            Data that do not fit the model or the loss; options that cannot be used.
        """
        objective = Objective(self, x, y, options)
        with objective.reporting() as report:
            return evaluation(objective.native.evaluate(report))

    def loss(self, x: Any, y: ArrayLike, **options: Any) -> float:
        """The mean loss over the examples (cross-entropy: in nats)."""
        return self.evaluate(x, y, **options).loss

    def accuracy(self, x: Any, y: ArrayLike, **options: Any) -> float:
        """The share of examples that are classified rightly; NaN where targets are values."""
        found = self.evaluate(x, y, **options).accuracy
        return float("nan") if found is None else found

    def value_and_gradient(self, x: Any, y: ArrayLike, **options: Any) -> tuple[float, Parameters]:
        """The mean loss and its gradient."""
        objective = Objective(self, x, y, options)
        with objective.reporting() as report:
            found, vector = objective.native.gradient(report)
        return found["loss"], Parameters(self._structure, vector)

    def gradient(self, x: Any, y: ArrayLike, **options: Any) -> Parameters:
        """The gradient of the mean loss, by parameter; `.flatten()` gives one vector.

        It is added up in `float64` over all batches; `precision` says what each is computed in.
        """
        return self.value_and_gradient(x, y, **options)[1]

    def hvp(self, x: Any, y: ArrayLike, v: Any, **options: Any) -> Any:
        """Products of the Hessian of the mean loss.

        Parameters
        ----------
        v : Parameters, mapping, or array of [n] or [k, n]
            One direction, or `k` that are taken together, which costs less than one by one.

        Returns
        -------
        Parameters for named arrays, an ndarray of the shape of `v` otherwise
        """
        named = isinstance(v, Mapping)
        given = self._structure.flatten(v, "v") if named else v
        vectors, single = as_vectors(given, self._structure.size, "v")
        objective = Objective(self, x, y, options)
        with objective.reporting() as report:
            products = objective.native.products(vectors, report)
        if named:
            return Parameters(self._structure, products[0])
        return products[0] if single else products

    surface = measurement("surface", SurfaceRequest)
    spectrum = measurement("spectrum", SpectrumRequest)
    train = measurement("train", TrainRequest)
