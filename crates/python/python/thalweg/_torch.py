"""Models of PyTorch's."""

from __future__ import annotations

import io
import warnings
from typing import Any

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
    need("onnx", "from_torch")
    need("onnxscript", "from_torch")
    raise NotImplementedError
