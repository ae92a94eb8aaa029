"""The model: what everything else is asked of."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import _thalweg
from ._errors import ConfigError, ShapeError
from ._estimate import Evaluation, evaluation, quantity
from ._inputs import ArrayLike, as_float, as_inputs, as_targets, as_vectors, whole
from ._options import complete
from ._parameters import ModelParameters, Parameter, Parameters, Structure
from ._population import Member, Population
from ._progress import reporter
from ._spectrum import Density, Spectrum
from ._surface import Surface

Path = "str | os.PathLike[str]"


class Model:
    """A network with its weights, and everything that can be measured around it.

    Made by :func:`thalweg.load`, :func:`thalweg.from_torch` or :func:`thalweg.build`. Inputs `x`
    and targets `y` are arrays of any library (see `thalweg.inputs`); a model with several inputs
    takes a list or a dictionary of them. They are taken as they are, in the layout that the model
    was written for (`model.inputs`); a model that Thalweg trained remembers how its inputs were
    normalised, and normalises what it is given in the same manner.

    Targets of an integer type are labels; real numbers are values.

    Every measurement takes the keywords of :class:`thalweg.Options`.
    """

    def __init__(self, core: _thalweg.Model) -> None:
        self._set(core)

    def _set(self, core: _thalweg.Model) -> None:
        self._core = core
        about = core.describe()
        self._about = about
        described = [Parameter(n, tuple(s), r, tuple(a)) for n, s, r, a in about["parameters"]]
        self._structure = Structure(described)

    # What it is.

    @property
    def name(self) -> str:
        """A short name."""
        return self._about["name"]

    @property
    def architecture(self) -> str | None:
        """The architecture with every option, if it is one of Thalweg's."""
        return self._about["architecture"]

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of one example of each input."""
        return {name: tuple(shape) for name, shape, _ in self._about["inputs"]}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """The shape of one example of each output; the loss is that of the first."""
        return {name: tuple(shape) for name, shape, _ in self._about["outputs"]}

    @property
    def dtype(self) -> str:
        """`"f32"` or `"f64"`: what the weights are kept in."""
        return self._about["dtype"]

    @property
    def normalization(self) -> tuple[list[float], list[float]] | None:
        """What inputs are shifted by and divided by, if the model was trained so."""
        return self._about["normalization"]

    @property
    def parameters(self) -> ModelParameters:
        """The parameters by name: `model.parameters["fc.weight"]`, to be read and set."""
        return ModelParameters(self)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Parameters and running statistics under PyTorch's names and in its layout; copies."""
        return self._core.arrays()

    def load_state_dict(self, arrays: Mapping[str, ArrayLike], strict: bool = True) -> None:
        """Takes parameters and running statistics over.

        Parameters
        ----------
        arrays : mapping of str to array
            As PyTorch's `state_dict` gives them; they are copied.
        strict : bool
            Whether all have to be there; otherwise those that are not stay.

        Raises
        ------
        ShapeError
            With every name that is missing, not expected, or of another shape.
        """
        given = {
            str(name): as_float(array, f"the array {name}")
            for name, array in arrays.items()
            if not str(name).endswith("num_batches_tracked")
        }
        if not strict:
            given = {**self.state_dict(), **given}
        self._set(self._core.with_arrays(self.name, list(given.items())))

    def at(self, parameters: Any) -> Model:
        """The same network at another point of weight space.

        Parameters
        ----------
        parameters : Parameters, mapping or array
            Named arrays or one vector; running statistics stay. Weights are kept in `float64` if
            they are given so.
        """
        vector = self._structure.flatten(parameters, "parameters")
        other = copy.copy(self)
        other.load_state_dict(Parameters(self._structure, vector), strict=False)
        return other

    def save(self, path: Any) -> None:
        """Writes a safetensors file that :func:`thalweg.load` and PyTorch read.

        It is written beside and renamed, so that there is never half a file.
        """
        self._core.save(os.fspath(path))

    def to_onnx(
        self,
        path: Any,
        *,
        layout: str = "channels-first",
        precision: str = "f32",
        normalize: bool = True,
    ) -> None:
        """Writes an ONNX file that computes the same, with a free batch axis.

        A model that came from a file is written as that file with the weights as they are now.

        Parameters
        ----------
        layout : str
            Where images of one of Thalweg's architectures have their channels in the file:
            `"channels-first"`, as PyTorch has them, or `"channels-last"`.
        precision : str
            `"f32"` or `"f64"`.
        normalize : bool
            Whether the normalisation that a model was trained with becomes part of the file, which
            then takes raw data.
        """
        data = self._core.to_onnx(layout, precision, bool(normalize))
        _thalweg.write_file(os.fspath(path), data)

    def __copy__(self) -> Model:
        return Model(self._core)

    def __deepcopy__(self, _: Any) -> Model:
        # The native model is never changed.
        return Model(self._core)

    def __reduce__(self) -> Any:
        return _revive, self._core.to_parts()

    # What is measured.

    def _data(self, x: Any, y: Any) -> tuple[list[np.ndarray], np.ndarray]:
        return as_inputs(self._about["inputs"], x), as_targets(y)

    def _options(self, options: dict[str, Any], y: np.ndarray | None) -> tuple[dict, Any]:
        loss = self._about["loss"]
        if loss is None and y is not None:
            loss = "cross-entropy" if y.dtype == np.int32 else "mse"
        return complete(options, loss)

    def predict(self, x: Any, **options: Any) -> Any:
        """The outputs for all examples, with running statistics and without dropout.

        Returns
        -------
        ndarray, or dict of str to ndarray for a model of several outputs
        """
        inputs = as_inputs(self._about["inputs"], x)
        filled, progress = self._options(options, None)
        with reporter(progress) as report:
            found = self._core.predict(inputs, filled, report)
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
        inputs, targets = self._data(x, y)
        filled, progress = self._options(options, targets)
        with reporter(progress) as report:
            return evaluation(self._core.evaluate(inputs, targets, filled, report))

    def loss(self, x: Any, y: ArrayLike, **options: Any) -> float:
        """The mean loss over the examples (cross-entropy: in nats)."""
        return self.evaluate(x, y, **options).loss

    def accuracy(self, x: Any, y: ArrayLike, **options: Any) -> float:
        """The share of examples that are classified rightly; NaN where targets are values."""
        found = self.evaluate(x, y, **options).accuracy
        return float("nan") if found is None else found

    def value_and_gradient(self, x: Any, y: ArrayLike, **options: Any) -> tuple[float, Parameters]:
        """The mean loss and its gradient."""
        inputs, targets = self._data(x, y)
        filled, progress = self._options(options, targets)
        with reporter(progress) as report:
            found, vector = self._core.gradient(inputs, targets, filled, report)
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
        inputs, targets = self._data(x, y)
        filled, progress = self._options(options, targets)
        with reporter(progress) as report:
            products = self._core.products(inputs, targets, vectors, filled, report)
        if named:
            return Parameters(self._structure, products[0])
        return products[0] if single else products

    def surface(
        self,
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
    ) -> Surface:
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
            Scales directions to the weights: by `"filter"`, by `"layer"`, or `"none"`. Random
            directions are scaled by filter, others stay as they are, without it.
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
        asked = self._ask_surface(
            x, y, directions=directions, x_range=x_range, y_range=y_range, line=line,
            normalize=normalize, ignore=ignore, pairs=pairs, checkpoints=checkpoints,
            tolerance=tolerance, exact=exact, options=options,
        )  # fmt: skip
        with reporter(asked.progress) as report, asked.open(run) as opened:
            asked.find_planes(opened, report)
            return asked.evaluate(opened, report)

    def _ask_surface(self, x: Any, y: Any, **settings: Any) -> Any:
        from ._ask import SurfaceRequest

        return SurfaceRequest(self, x, y, **settings)

    def spectrum(
        self,
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
    ) -> Spectrum:
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
        inputs, targets = self._data(x, y)
        filled, progress = self._options(options, targets)
        bottom = whole(bottom, "bottom")
        if top is None:
            top = max(0, min(5, self._structure.size - bottom))
        wanted = {
            "top": whole(top, "top"),
            "bottom": bottom,
            "tolerance": float(tolerance),
            **_trace(trace),
            "density_probes": 8 if density is True else whole(density or 0, "density"),
        }
        if not 0 < wanted["tolerance"] < 1:
            raise ConfigError(f"tolerance: expected a share between 0 and 1, got {tolerance!r}")
        if wanted["density_probes"] == 1:
            raise ConfigError("density: expected at least 2 probes, for standard errors, got 1")
        study = {"spectrum": wanted, "options": filled}
        arrays = [*inputs, targets]
        with reporter(progress) as report, _open("spectrum", run, self, study, arrays) as opened:
            found = _thalweg.spectrum(self._core, inputs, targets, wanted, filled, opened, report)
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
            vectors=[Parameters(self._structure, vector) for vector in found["vectors"]],
            trace=values["trace"],
            frobenius_squared=values["frobenius_squared"],
            density=Density(*found["density"]) if "density" in found else None,
            dimension=found["dimension"],
            at=evaluation(found["at"]),
            gradient_norm=found["gradient_norm"],
            products=dict(zip(parts, found["products"])),
            attributes=_attributes(filled),
        )

    def train(
        self,
        x: Any,
        y: ArrayLike,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        lr: float | Iterable[float] | None = None,
        seeds: int | Iterable[int] = 0,
        batch: int = 64,
        optimizer: str = "sgd:momentum=0.9,nesterov=true,weight_decay=0.0005",
        schedule: str = "one-cycle",
        start: str = "weights",
        validation: tuple[Any, ArrayLike] | None = None,
        checkpoints: int = 0,
        run: Any = None,
        **options: Any,
    ) -> Population:
        """Trains a population: seeds and learning rates multiply, and all go as one program.

        This model stays as it is. A member's bits depend on its own seed and rate alone.

        Parameters
        ----------
        epochs, steps : int, optional
            How long; 20 epochs without either.
        lr : float or iterable of float, optional
            Learning rates before the schedule; 0.1, or 0.001 for Adam and AdamW, without it.
        seeds : int or iterable of int
            Each draws the order of the data, and the initial weights with `start="seeds"`.
        batch : int
            Examples in a batch.
        optimizer, schedule : str
            As on the command line: `"sgd"`, `"momentum"`, `"adamw:weight_decay=0.01"`, `"sam"`;
            `"one-cycle"`, `"constant"`, `"cosine"`.
        start : str
            `"weights"`: each member begins with this model's weights. `"seeds"`: with initial
            weights that its seed draws, which architectures of Thalweg's have.
        validation : (x, y), optional
            Measured at the end of each epoch; nothing is chosen by it.
        checkpoints : int
            Weights are kept every so many epochs; 0: at the end only.
        run : path, optional
            A directory that keeps members that are finished, eight to a piece of work.
        **options
            See :class:`thalweg.Options`; `batch_norm` and `samples` have no place here.

        Returns
        -------
        Population
        """
        from ._ask import TrainRequest

        asked = TrainRequest(
            self, x, y, epochs=epochs, steps=steps, lr=lr, seeds=seeds, batch=batch,
            optimizer=optimizer, schedule=schedule, start=start, validation=validation,
            checkpoints=checkpoints, options=options,
        )  # fmt: skip
        with reporter(asked.progress) as report, asked.open(run) as opened:
            return asked.train(opened, report)

    # How it shows.

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.inputs.items())
        results = ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())
        what = self.architecture or self.name
        return (
            f"Model({what!r}, {self._structure.size:,} parameters, {shapes or 'no input'} -> "
            f"{results})"
        )

    def _repr_html_(self) -> str:
        from ._html import table

        rows = [
            ("name", self.name),
            *([("architecture", self.architecture)] if self.architecture else []),
            ("inputs", ", ".join(f"{n} {list(s)}" for n, s in self.inputs.items())),
            ("outputs", ", ".join(f"{n} {list(s)}" for n, s in self.outputs.items())),
            ("parameters", f"{self._structure.size:,} in {len(self._structure.places)} arrays"),
            ("kept in", self.dtype),
        ]
        return table((), rows)


def _revive(*parts: Any) -> Model:
    return Model(_thalweg.from_parts(*parts))


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


def _attributes(filled: dict[str, Any]) -> dict[str, Any]:
    kept = ("loss", "batch_norm", "batch", "precision", "samples", "seed")
    return {name: filled[name] for name in kept}


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _study(command: str, model: Model, study: dict, arrays: Iterable[np.ndarray]) -> str:
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


@contextmanager
def _open(command: str, run: Any, model: Model, study: dict, arrays: Iterable[np.ndarray]) -> Any:
    """The run directory while it is worked in, or nothing."""
    if run is None:
        yield None
        return
    opened = _thalweg.Run(command, os.fspath(run), _study(command, model, study, arrays))
    try:
        yield opened
    finally:
        opened.close()


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


def members(found: list[dict[str, Any]]) -> list[Member]:
    """Members as results."""
    return [
        Member(
            seed=one["seed"],
            lr=one["lr"],
            model=Model(one["model"]),
            diverged=one["diverged"],
            loss=one["loss"],
            gradient_norm=one["gradient_norm"],
            accuracy=one["accuracy"],
            validation_step=np.asarray(one["validation_step"], dtype=np.int64),
            validation_loss=one["validation_loss"],
            validation_accuracy=one["validation_accuracy"],
            trajectory=[(step, Model(core)) for step, core in one["trajectory"]],
            epoch_steps=one["epoch_steps"],
        )
        for one in found
    ]
