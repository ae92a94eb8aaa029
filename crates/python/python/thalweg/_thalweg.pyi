"""The native module: arrays and plain values in, arrays and plain values out."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

__version__: str

_Floats = NDArray[np.float64]
_Named = list[tuple[str, NDArray[Any]]]
_Source = tuple[str, tuple[bytes, list[list[int]], list[str]] | None]

class Model:
    def describe(self) -> dict[str, Any]: ...
    def arrays(self) -> dict[str, NDArray[Any]]: ...
    def with_arrays(self, name: str, arrays: Sequence[tuple[str, NDArray[Any]]]) -> Model: ...
    def with_loss(self, loss: str | None) -> Model: ...
    def to_parts(
        self,
    ) -> tuple[
        _Source, str, str | None, tuple[list[float], list[float]] | None, dict[str, NDArray[Any]]
    ]: ...
    def to_onnx(self, layout: str, precision: str, normalise: bool) -> bytes: ...
    def flat(self) -> _Floats: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def evaluate(
        self, x: Sequence[NDArray[Any]], y: NDArray[Any], options: dict[str, Any], reporter: Any
    ) -> dict[str, Any]: ...
    def gradient(
        self, x: Sequence[NDArray[Any]], y: NDArray[Any], options: dict[str, Any], reporter: Any
    ) -> tuple[dict[str, Any], _Floats]: ...
    def products(
        self,
        x: Sequence[NDArray[Any]],
        y: NDArray[Any],
        vectors: NDArray[Any],
        options: dict[str, Any],
        reporter: Any,
    ) -> _Floats: ...
    def predict(
        self, x: Sequence[NDArray[Any]], options: dict[str, Any], reporter: Any
    ) -> list[NDArray[Any]]: ...

class Operator:
    def __new__(
        cls, model: Model, x: Sequence[NDArray[Any]], y: NDArray[Any], options: dict[str, Any]
    ) -> Operator: ...
    def products(self, vectors: NDArray[Any]) -> _Floats: ...

class Run:
    def __new__(cls, command: str, path: str | PathLike[str], study: str) -> Run: ...
    @staticmethod
    def in_memory(units: Mapping[str, _Named]) -> Run: ...
    def get(self, key: str) -> _Named | None: ...
    def put(self, key: str, arrays: Sequence[tuple[str, NDArray[Any]]]) -> None: ...
    def close(self) -> None: ...

def build(
    architecture: str, input: list[int] | None, outputs: int | None, seed: int, precision: str
) -> Model: ...
def load(
    path: str, architecture: str | None, input: list[int] | None, outputs: int | None
) -> list[Model]: ...
def from_parts(
    source: _Source,
    name: str,
    loss: str | None,
    normalization: tuple[list[float], list[float]] | None,
    arrays: Mapping[str, NDArray[Any]],
) -> Model: ...
def inspect_onnx(path: str) -> dict[str, Any]: ...
def load_onnx(path: str, name: str, examples: list[list[int]], outputs: list[str]) -> Model: ...
def evaluate_onnx(
    bytes: bytes, inputs: Sequence[tuple[str, NDArray[Any]]], precision: str
) -> _Named: ...
def architectures() -> list[str]: ...
def dataset(
    name: str, test_fraction: float | None, subsample: int | None, seed: int
) -> dict[str, Any]: ...
def read_safetensors(path: str) -> _Named: ...
def write_file(path: str, bytes: bytes) -> None: ...
def axis(start: float, end: float, points: int) -> _Floats: ...
def planes(
    model: Model,
    wanted: dict[str, Any],
    given: Sequence[NDArray[Any]],
    x: Sequence[NDArray[Any]],
    y: NDArray[Any],
    options: dict[str, Any],
    run: Run | None,
    reporter: Any,
) -> dict[str, Any]: ...
def surface(
    model: Model,
    x: Sequence[NDArray[Any]],
    y: NDArray[Any],
    planes: Sequence[Sequence[NDArray[Any]]],
    grid: dict[str, Any],
    options: dict[str, Any],
    run: Run | None,
    reporter: Any,
) -> dict[str, Any]: ...
def surface_units(
    model: Model, planes: Sequence[Sequence[NDArray[Any]]], grid: dict[str, Any]
) -> int: ...
def surface_unit(
    model: Model,
    x: Sequence[NDArray[Any]],
    y: NDArray[Any],
    planes: Sequence[Sequence[NDArray[Any]]],
    grid: dict[str, Any],
    options: dict[str, Any],
    unit: int,
) -> tuple[str, _Named]: ...
def surface_svg(
    x: list[float],
    y: list[float],
    loss: list[float],
    pairs: int | None,
    loss_name: str,
    trajectory: tuple[list[float], list[float], list[float]] | None,
) -> str | None: ...
def spectrum(
    model: Model,
    x: Sequence[NDArray[Any]],
    y: NDArray[Any],
    wanted: dict[str, Any],
    options: dict[str, Any],
    run: Run | None,
    reporter: Any,
) -> dict[str, Any]: ...
def density_svg(
    top: list[float],
    bottom: list[float],
    centres: list[float],
    values: list[float],
    standard_errors: list[float],
    dimension: int,
) -> str | None: ...
def train(
    model: Model,
    x: Sequence[NDArray[Any]],
    y: NDArray[Any],
    validation: tuple[Sequence[NDArray[Any]], NDArray[Any]] | None,
    settings: dict[str, Any],
    options: dict[str, Any],
    reporter: Any,
) -> list[dict[str, Any]]: ...
