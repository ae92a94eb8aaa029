"""Where models and data come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import _thalweg
from ._errors import ConfigError, FileError
from ._inputs import whole
from ._model import Model


def load(
    path: Any,
    arch: str | None = None,
    *,
    input_shape: Any = None,
    n_outputs: int | None = None,
    outputs: str | Sequence[str] = (),
) -> Model:
    """The model of a file, or of a run directory.

    Parameters
    ----------
    path : path
        An `.onnx` file; weights in `.safetensors`, `.pt` or `.npz`; or the directory of a finished
        run of `thalweg train` or `thalweg map`.
    arch : str, optional
        The architecture of weights that do not say it, as `"resnet depth=8"`.
    input_shape : tuple of int, or mapping of str to these, optional
        Extents of one example, without the batch axis, where the file leaves them open: of the
        input, or by the names of several inputs.
    n_outputs : int, optional
        Units of the output, if neither the file nor `arch` says them.
    outputs : str or sequence of str
        Of an ONNX file: the outputs wanted, the first being what a loss sees; all without it.

    Raises
    ------
    FileError, FormatError
        A file that is not there, or not what it should be.
    ShapeError
        Weights that are not those of the architecture, each by its name.
    """
    if os.fspath(path).lower().endswith(".onnx"):
        if arch is not None or n_outputs is not None:
            raise ConfigError("arch and n_outputs: an ONNX file says what it is")
        return _load_onnx(os.fspath(path), input_shape, outputs)
    if outputs:
        raise ConfigError("outputs: expected with an ONNX file, and with it alone")
    models = load_all(path, arch, input_shape=input_shape, n_outputs=n_outputs)
    if len(models) > 1:
        names = ", ".join(model.name for model in models[:8])
        raise ConfigError(
            f"{os.fspath(path)} holds {len(models)} models ({names}): name one of the files in its "
            "folder weights, or take them by load_all"
        )
    return models[0]


def load_all(
    path: Any,
    arch: str | None = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    n_outputs: int | None = None,
) -> list[Model]:
    """All models of a run directory; see :func:`load`."""
    place = _existing(path)
    shape = None if input_shape is None else [whole(n, "input_shape", 1) for n in input_shape]
    outputs = None if n_outputs is None else whole(n_outputs, "n_outputs", 1)
    return [Model(core) for core in _thalweg.load(place, arch, shape, outputs)]


def _existing(path: Any) -> str:
    place = os.fspath(path)
    if not os.path.exists(place):
        raise FileError(
            f"{place}: there is no such file or directory: expected a run directory, or a file of "
            "a model"
        )
    return place


def _load_onnx(path: str, input_shape: Any, outputs: str | Sequence[str]) -> Model:
    about = _thalweg.inspect_onnx(_existing(path))
    wanted = [outputs] if isinstance(outputs, str) else [str(name) for name in outputs]
    given = input_shape
    if given is not None and not isinstance(given, Mapping):
        if len(about["inputs"]) != 1:
            names = ", ".join(name for name, _, _ in about["inputs"])
            raise ConfigError(f"input_shape: expected a shape for each of {names}, by name")
        given = {about["inputs"][0][0]: given}
    examples = []
    for name, _, shape in about["inputs"]:
        if given is not None and name in given:
            examples.append([whole(n, f"input_shape of {name}", 1) for n in given[name]])
            continue
        free = [extent for extent in (shape or ["?"])[1:] if not extent.isdigit()]
        if shape is None or free:
            raise ConfigError(
                f"{path}: the input {name} has the shape {shape}: give input_shape, the extents of "
                "one example"
            )
        examples.append([int(extent) for extent in shape[1:]])
    name = os.path.splitext(os.path.basename(path))[0]
    return Model(_thalweg.load_onnx(path, name, examples, wanted))


def build(
    arch: str,
    input_shape: tuple[int, ...] | None = None,
    n_outputs: int | None = None,
    *,
    seed: int = 0,
    precision: str = "f32",
) -> Model:
    """A new model of one of Thalweg's architectures, with the initial weights of a seed.

    Parameters
    ----------
    arch : str
        A name with options, as `"mlp hidden=64"`, `"resnet depth=20 width=16"`, `"vit"`; see
        :func:`architectures`.
    input_shape : tuple of int
        Extents of one example: `(features,)`, `(height, width, channels)`, `(positions,)`.
    n_outputs : int
        Classes or values.
    """
    shape = None if input_shape is None else [whole(n, "input_shape", 1) for n in input_shape]
    outputs = None if n_outputs is None else whole(n_outputs, "n_outputs", 1)
    root = whole(seed, "seed", 0, 2**64 - 1)
    return Model(_thalweg.build(arch, shape, outputs, root, precision))


def architectures() -> list[str]:
    """The names of Thalweg's architectures."""
    return list(_thalweg.architectures())


def dataset(
    name: str = "digits",
    *,
    test_fraction: float | None = None,
    subsample: int | None = None,
    seed: int = 0,
    normalize: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Data by name, or from a file, split as the command line does.

    Parameters
    ----------
    name : str
        `"digits"` comes with Thalweg; others are looked for where the command line looks; a path
        is read.
    test_fraction : float, optional
        Share of the test part, if the data bring none of their own.
    subsample : int, optional
        So many training examples at most, stratified by class.
    normalize : bool
        Inputs shifted and scaled to mean 0 and standard deviation 1 over the training part.

    Returns
    -------
    x_train, y_train, x_test, y_test : ndarray
    """
    count = None if subsample is None else whole(subsample, "subsample", 1)
    found = _thalweg.dataset(name, test_fraction, count, whole(seed, "seed", 0, 2**64 - 1))
    (x_train, y_train), (x_test, y_test) = found["train"], found["test"]
    mean, divisor = (np.asarray(part) for part in found["normalization"])
    if normalize and mean.size:
        x_train, x_test = (
            ((x.astype(np.float64) - mean) / divisor).astype(np.float32) for x in (x_train, x_test)
        )
    return x_train, y_train, x_test, y_test
