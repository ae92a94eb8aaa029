"""Models of PyTorch's."""

from __future__ import annotations

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from . import _thalweg
from ._errors import ConfigError
from ._model import Model
from ._optional import need


def from_torch(module: Any, example: Any, *, name: str | None = None, **export: Any) -> Model:
    """The model that a module of PyTorch's is, through its exporter to ONNX.

    Names of parameters are those of `module.state_dict()`. The module is exported as it is in
    evaluation, with batch normalisation by its running statistics; it is put back afterwards.

    Parameters
    ----------
    module : torch.nn.Module
    example : tensor, or tuple of tensors
        An example of a batch; its first axis is that of the examples, of any number later.
    name : str, optional
        A short name; that of the module's class without it.
    **export
        Goes to `torch.onnx.export`, over what is chosen here.

    Raises
    ------
    MissingPackageError
        Without PyTorch, onnx or onnxscript.
    FormatError
        With the name of an operation that cannot be imported, and where it is.
    """
    torch = need("torch", "from_torch")
    for package in ("onnx", "onnxscript"):
        need(package, "from_torch")
    from ._open import load

    arguments = example if isinstance(example, tuple) else (example,)
    if not all(isinstance(one, torch.Tensor) and one.dim() > 0 for one in arguments):
        raise ConfigError("example: expected tensors of a batch, one for each input of the module")
    # A batch of one would be taken for a constant.
    arguments = tuple(torch.cat([one, one])[:2] if len(one) == 1 else one for one in arguments)
    batch = torch.export.Dim("batch")
    settings = {
        "dynamo": True,
        "dynamic_shapes": tuple({0: batch} for _ in arguments),
        "opset_version": 20,
        # What an optimizer would fold away are parameters of the module's.
        "optimize": False,
        "verbose": False,
        **export,
    }
    was_training = module.training
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = os.path.join(folder, f"{name or type(module).__name__}.onnx")
        try:
            module.eval()
            with _quietly():
                torch.onnx.export(module, arguments, path, **settings)
        finally:
            module.train(was_training)
        shapes = {}
        inputs = _thalweg.inspect_onnx(path)["inputs"]
        for (port, _, _), one in zip(inputs, arguments):
            shapes[port] = tuple(one.shape[1:])
        return load(path, input_shape=shapes)


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells each of its steps."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
