"""A network with its weights: what it is, and what can be made of it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _thalweg
from ._html import table
from ._inputs import ArrayLike, as_float
from ._parameters import ModelParameters, Parameter, Parameters, Structure

if TYPE_CHECKING:
    from typing_extensions import Self


class Network:
    """A network with its weights, before anything is measured of it."""

    def __init__(self, core: _thalweg.Model) -> None:
        self._set(core)

    def _set(self, core: _thalweg.Model) -> None:
        self._core = core
        about = core.describe()
        self._about = about
        described = [Parameter(n, tuple(s), r, tuple(a)) for n, s, r, a in about["parameters"]]
        self._structure = Structure(described)

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

    def at(self, parameters: Any) -> Self:
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

    def __copy__(self) -> Self:
        return type(self)(self._core)

    def __deepcopy__(self, _: Any) -> Self:
        # The native model is never changed.
        return type(self)(self._core)

    def __reduce__(self) -> Any:
        return _revive, (type(self), *_thalweg.to_parts(self._core))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in self.inputs.items())
        results = ", ".join(f"{name} {list(shape)}" for name, shape in self.outputs.items())
        what = self.architecture or self.name
        return (
            f"Model({what!r}, {self._structure.size:,} parameters, {shapes or 'no input'} -> "
            f"{results})"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("name", self.name),
            *([("architecture", self.architecture)] if self.architecture else []),
            ("inputs", ", ".join(f"{n} {list(s)}" for n, s in self.inputs.items())),
            ("outputs", ", ".join(f"{n} {list(s)}" for n, s in self.outputs.items())),
            ("parameters", f"{self._structure.size:,} in {len(self._structure.places)} arrays"),
            ("kept in", self.dtype),
        ]
        return table((), rows)


def _revive(kind: type[Network], *parts: Any) -> Network:
    return kind(_thalweg.from_parts(*parts))
