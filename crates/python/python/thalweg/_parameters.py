"""Named arrays that are one vector: weights, gradients, directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._errors import ShapeError
from ._inputs import ArrayLike, as_float


@dataclass(frozen=True)
class Parameter:
    """What a model says of one trainable array.

    Attributes
    ----------
    name : str
        PyTorch's name, or that of the file.
    shape : tuple of int
        Extents in PyTorch's layout, or the file's.
    role : str
        `"weight"`, `"bias"`, `"norm-scale"`, `"norm-shift"` or `"embedding"`.
    axes : tuple of str
        What each axis runs over: `"input"`, `"output"`, `"spatial"` or `"other"`.
    """

    name: str
    shape: tuple[int, ...]
    role: str
    axes: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


class Structure:
    """Names and shapes of a model's parameters in their order."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.size = sum(p.size for p in parameters)
        self.places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        first = 0
        for parameter in parameters:
            end = first + parameter.size
            self.places[parameter.name] = (slice(first, end), parameter.shape)
            first = end

    def flatten(self, value: Any, what: str) -> np.ndarray:
        """A vector from a vector or from named arrays: all of them, and no others."""
        if isinstance(value, Parameters):
            value = value.flatten()
        if not isinstance(value, Mapping):
            vector = as_float(value, what)
            if vector.shape != (self.size,):
                raise ShapeError(
                    f"{what} has shape {list(vector.shape)}: expected [{self.size}], one element "
                    "for each parameter"
                )
            return vector
        missing = [name for name in self.places if name not in value]
        extra = [str(name) for name in value if name not in self.places]
        if missing or extra:
            faults = [f"{name} is missing" for name in missing[:8]]
            faults += [f"{name} is not expected" for name in extra[:8]]
            raise ShapeError(f"{what}: {'; '.join(faults)}")
        vector = np.empty(self.size)
        for name, (place, shape) in self.places.items():
            array = as_float(value[name], f"{what}[{name!r}]")
            if array.shape != shape:
                raise ShapeError(
                    f"{what}[{name!r}] has shape {list(array.shape)}: expected {list(shape)}"
                )
            vector[place] = array.reshape(-1)
        return vector


class Parameters(Mapping[str, np.ndarray]):
    """Named arrays over one vector, as a gradient or a direction is.

    Every array is a view of the vector: nothing is copied. `+`, `-`, `*` and `/` work element by
    element with numbers and with others of the same model.
    """

    def __init__(self, structure: Structure, vector: np.ndarray) -> None:
        self._structure = structure
        self._vector = vector

    def __getitem__(self, name: str) -> np.ndarray:
        place, shape = self._structure.places[name]
        return self._vector[place].reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._structure.places)

    def __len__(self) -> int:
        return len(self._structure.places)

    def flatten(self) -> np.ndarray:
        """The vector itself: `float64`, the parameters in the model's order, each row-major."""
        return self._vector

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._vector, dtype=dtype, copy=copy if copy else None)

    def norm(self) -> float:
        """The Euclidean norm."""
        return float(np.linalg.norm(self._vector))

    def dot(self, other: Any) -> float:
        """The inner product with another."""
        return float(self._vector @ self._structure.flatten(other, "other"))

    def _with(self, vector: np.ndarray) -> Parameters:
        return Parameters(self._structure, vector)

    def _other(self, other: Any) -> Any:
        if np.isscalar(other):
            return other
        if isinstance(other, (Parameters, np.ndarray, Mapping)):
            return self._structure.flatten(other, "other")
        return NotImplemented

    def _apply(self, other: Any, operation: Any) -> Any:
        other = self._other(other)
        return other if other is NotImplemented else self._with(operation(self._vector, other))

    def __add__(self, other: Any) -> Parameters:
        return self._apply(other, np.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Parameters:
        return self._apply(other, np.subtract)

    def __mul__(self, other: Any) -> Parameters:
        return self._apply(other, np.multiply)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Parameters:
        return self._apply(other, np.divide)

    def __neg__(self) -> Parameters:
        return self._with(-self._vector)

    def __reduce__(self) -> Any:
        return Parameters, (Structure(list(self._structure.parameters)), self._vector)

    def __repr__(self) -> str:
        return (
            f"Parameters({len(self)} arrays, {self._structure.size:,} elements, "
            f"norm {self.norm():.6g})"
        )

    def _repr_html_(self) -> str:
        from ._html import table

        rows = [
            (name, " × ".join(map(str, array.shape)) or "scalar", f"{np.linalg.norm(array):.4g}")
            for name, array in list(self.items())[:24]
        ]
        if len(self) > 24:
            rows.append((f"… and {len(self) - 24} more", "", ""))
        return table(("parameter", "shape", "norm"), rows)


class ModelParameters(Mapping[str, np.ndarray]):
    """The parameters of a model: read and set by name, in PyTorch's layout.

    Reading gives a copy; `model.parameters["fc.weight"] = array` sets it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def info(self) -> tuple[Parameter, ...]:
        """Name, shape, role and axes of each."""
        return self._model._structure.parameters

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._model._structure.places:
            raise KeyError(name)
        return self._model.state_dict()[name]

    def __setitem__(self, name: str, array: ArrayLike) -> None:
        self.update({name: array})

    def update(self, arrays: Mapping[str, ArrayLike]) -> None:
        """Sets several at once; those that are not named stay."""
        for name in arrays:
            if name not in self._model._structure.places:
                raise KeyError(name)
        self._model.load_state_dict(arrays, strict=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._model._structure.places)

    def __len__(self) -> int:
        return len(self._model._structure.places)

    @property
    def size(self) -> int:
        """Number of elements of all of them."""
        return self._model._structure.size

    def flatten(self) -> np.ndarray:
        """All of them as one vector, `float64`; a copy."""
        return self._model._core.flat()

    def to_parameters(self) -> Parameters:
        """A copy as one vector with names."""
        return Parameters(self._model._structure, self.flatten())

    def __repr__(self) -> str:
        lines = [f"  {p.name} {list(p.shape)} {p.role} ({', '.join(p.axes)})" for p in self.info]
        return f"{len(self)} parameters, {self.size:,} elements\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        from ._html import table

        rows = [
            (p.name, " × ".join(map(str, p.shape)) or "scalar", p.role, ", ".join(p.axes))
            for p in self.info
        ]
        return table(("parameter", "shape", "role", "axes"), rows)
