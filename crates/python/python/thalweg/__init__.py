"""Thalweg: a laboratory for neural-network loss landscapes.

>>> import thalweg
>>> x, y, x_test, y_test = thalweg.dataset("digits")
>>> model = thalweg.build("mlp hidden=32", x.shape[1:], 10).train(x, y, epochs=5)[0].model
>>> surface = model.surface(x_test, y_test, x_range=(-1, 1, 21))
>>> surface.plot()
"""

from typing import TYPE_CHECKING, Any

from ._errors import (
    ConfigError,
    DataError,
    FileError,
    FormatError,
    Interrupted,
    MissingPackageError,
    NumericsError,
    OutOfMemoryError,
    ShapeError,
    ThalwegError,
)
from ._estimate import Estimate, Evaluation
from ._model import Model
from ._open import architectures, build, dataset, load, load_all
from ._options import Options
from ._parameters import Parameter, Parameters
from ._population import Member, Population
from ._spectrum import Density, Outliers, Spectrum
from ._surface import Surface
from ._thalweg import __version__
from ._torch import from_torch

if TYPE_CHECKING:
    from ._operator import HessianOperator

__all__ = [
    "ConfigError",
    "DataError",
    "Density",
    "Estimate",
    "Evaluation",
    "FileError",
    "FormatError",
    "HessianOperator",
    "Interrupted",
    "Member",
    "MissingPackageError",
    "Model",
    "NumericsError",
    "Options",
    "OutOfMemoryError",
    "Outliers",
    "Parameter",
    "Parameters",
    "Population",
    "ShapeError",
    "Spectrum",
    "Surface",
    "ThalwegError",
    "__version__",
    "architectures",
    "build",
    "dataset",
    "from_torch",
    "load",
    "load_all",
]


def __getattr__(name: str) -> Any:
    # Needs SciPy, which nothing else does.
    if name == "HessianOperator":
        from ._operator import HessianOperator

        return HessianOperator
    if name == "ray":
        import importlib

        return importlib.import_module("thalweg.ray")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "HessianOperator", "ray"})
