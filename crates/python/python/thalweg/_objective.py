"""The loss of a model on data: what every measurement is of."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _thalweg
from ._inputs import as_inputs, as_targets
from ._options import complete
from ._progress import reporter
from ._run import open_run

if TYPE_CHECKING:
    from ._network import Network

HERE = os.path.dirname(__file__)


class Objective:
    """The loss of a model on data, taken as the options say."""

    def __init__(self, model: Network, x: Any, y: Any, options: dict[str, Any]) -> None:
        self.model = model
        self.inputs = as_inputs(model._about["inputs"], x)
        self.targets = as_targets(y)
        loss = model._about["loss"]
        if loss is None:
            loss = "cross-entropy" if self.targets.dtype == np.int32 else "mse"
        self.options, self.progress = complete(options, loss)
        self.native = native(model, self.inputs, self.targets, self.options)
        said = self.native.said()
        if said is not None:
            warn(said)

    @property
    def arrays(self) -> list[np.ndarray]:
        """All data."""
        return [*self.inputs, self.targets]

    @property
    def attributes(self) -> dict[str, Any]:
        """What results say of how the loss was taken."""
        kept = ("loss", "batch_norm", "batch", "precision", "samples", "seed")
        return {name: self.options[name] for name in kept}

    def reporting(self) -> Any:
        """A context that gives what the native module reports progress to."""
        return reporter(self.progress)

    def open(self, command: str, run: Any, study: dict[str, Any], arrays: Any = ()) -> Any:
        """The run directory while it is worked in; `arrays` are data beside the objective's."""
        study = {**study, "options": self.options}
        return open_run(command, run, self.model, study, [*self.arrays, *arrays])


def native(model: Network, inputs: list[np.ndarray], targets: np.ndarray, options: dict) -> Any:
    """As the native module has it, of arrays and options that are complete."""
    return _thalweg.Objective(model._core, inputs, targets, options)


def warn(text: str) -> None:
    """Warns at the line that called the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == HERE:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)
