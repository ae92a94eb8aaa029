"""A population that is asked for, and its members as they are kept and sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import _thalweg
from ._errors import ConfigError
from ._inputs import ArrayLike, as_inputs, as_targets, whole
from ._network import Network
from ._objective import Objective
from ._population import Member, Population


class TrainRequest:
    """A population that is asked for."""

    #: Members that are one piece of work.
    UNIT = 8

    def __init__(
        self,
        model: Network,
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
    ) -> None:
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
        self.model, self.run = model, run
        for name in ("batch_norm", "samples"):
            if name in options:
                raise TypeError(f"option {name!r} has no place in training")
        self.objective = Objective(model, x, y, options)
        if epochs is not None and steps is not None:
            raise ConfigError("epochs and steps exclude each other")
        if epochs is None and steps is None:
            epochs = 20
        if start not in ("weights", "seeds"):
            raise ConfigError(f'start: expected "weights" or "seeds", got {start!r}')
        if start == "seeds" and model.architecture is None:
            raise ConfigError(
                'start: expected "weights" for a model that is none of Thalweg\'s architectures'
            )
        if lr is None:
            lr = 1e-3 if str(optimizer).startswith("adam") else 0.1
        rates = [float(rate) for rate in np.atleast_1d(np.asarray(lr, dtype=np.float64))]
        drawn = seeds if isinstance(seeds, Iterable) else [seeds]
        drawn = [whole(seed, "seeds", 0, 2**64 - 1) for seed in drawn]
        self.members = [(seed, rate) for rate in rates for seed in drawn]
        if not self.members:
            raise ConfigError("seeds and lr: expected at least one of each")
        if len(set(self.members)) < len(self.members):
            raise ConfigError("seeds and lr: expected each member once")
        self.settings = {
            "optimizer": str(optimizer),
            "schedule": str(schedule),
            "epochs": 0 if epochs is None else whole(epochs, "epochs", 1),
            "steps": 0 if steps is None else whole(steps, "steps", 1),
            "batch": whole(batch, "batch", 1),
            "fresh": start == "seeds",
            "checkpoints": whole(checkpoints, "checkpoints"),
        }
        self.validation = None
        if validation is not None:
            inputs = as_inputs(model._about["inputs"], validation[0])
            self.validation = (inputs, as_targets(validation[1]))

    def open(self) -> Any:
        """The run directory while it is worked in."""
        members = [list(member) for member in self.members]
        study = {"train": {**self.settings, "members": members}}
        arrays = [] if self.validation is None else [*self.validation[0], self.validation[1]]
        return self.objective.open("train", self.run, study, arrays)

    def answer(self, run: Any, report: Any) -> Population:
        """Trains all members, or takes those that are finished from the run directory."""
        if run is None:
            return self.population(self.some(self.members, report))
        found = {}
        for member in self.members:
            stored = run.get(self.key(member))
            if stored is not None:
                found[member] = unpack(self, member, stored)
        left = [member for member in self.members if member not in found]
        for first in range(0, len(left), self.UNIT):
            block = left[first : first + self.UNIT]
            for member, one in zip(block, self.some(block, report)):
                run.put(self.key(member), pack(one))
                found[member] = one
        return self.population([found[member] for member in self.members])

    def some(self, of: list[tuple[int, float]], report: Any) -> list[dict[str, Any]]:
        """Trains some of the members."""
        settings = {**self.settings, "members": of}
        return _thalweg.train(self.objective.native, self.validation, settings, report)

    def population(self, found: list[dict[str, Any]]) -> Population:
        """Members as results."""
        kind = type(self.model)
        return Population([_member(kind, one) for one in found])

    @staticmethod
    def key(member: tuple[int, float]) -> str:
        """Under which a member's result is kept."""
        return f"train/seed-{member[0]}-lr-{member[1]!r}"


ARRAYS = (
    "loss",
    "gradient_norm",
    "accuracy",
    "perturbed_loss",
    "validation_loss",
    "validation_accuracy",
)


def pack(one: dict[str, Any]) -> list[tuple[str, np.ndarray]]:
    """A trained member as named arrays."""
    arrays = [(name, one[name]) for name in ARRAYS if one[name] is not None]
    diverged = -1 if one["diverged"] is None else one["diverged"]
    arrays.append(("numbers", np.array([diverged, one["epoch_steps"]], dtype=np.int64)))
    arrays.append(("validation_step", np.asarray(one["validation_step"], dtype=np.int64)))
    arrays.append(("kept", np.array([step for step, _ in one["trajectory"]], dtype=np.int64)))
    for i, (_, core) in enumerate(one["trajectory"]):
        arrays += [(f"at.{i}.{name}", array) for name, array in core.arrays().items()]
    arrays += [(f"model.{name}", array) for name, array in one["model"].arrays().items()]
    return arrays


def unpack(
    request: TrainRequest, member: tuple[int, float], stored: list[tuple[str, np.ndarray]]
) -> dict[str, Any]:
    """What :func:`pack` was given."""
    arrays = dict(stored)
    diverged, epoch_steps = (int(value) for value in arrays["numbers"])
    loss = request.objective.options["loss"]
    seed, lr = member
    name = f"seed-{seed}-lr-{lr}" if len(request.members) > 1 else "trained"

    def core(prefix: str, name: str) -> Any:
        named = [(n[len(prefix) :], a) for n, a in stored if n.startswith(prefix)]
        return request.model._core.with_arrays(name, named).with_loss(loss)

    return {
        "seed": seed,
        "lr": lr,
        "diverged": None if diverged < 0 else diverged,
        "model": core("model.", name),
        "trajectory": [
            (int(step), core(f"at.{i}.", f"{name}-step-{step}"))
            for i, step in enumerate(arrays["kept"])
        ],
        "epoch_steps": epoch_steps,
        "validation_step": arrays["validation_step"],
        **{key: arrays.get(key) for key in ARRAYS},
    }


def _member(kind: type[Any], one: dict[str, Any]) -> Member:
    return Member(
        seed=one["seed"],
        lr=one["lr"],
        model=kind(one["model"]),
        diverged=one["diverged"],
        loss=one["loss"],
        gradient_norm=one["gradient_norm"],
        accuracy=one["accuracy"],
        perturbed_loss=one["perturbed_loss"],
        validation_step=np.asarray(one["validation_step"], dtype=np.int64),
        validation_loss=one["validation_loss"],
        validation_accuracy=one["validation_accuracy"],
        trajectory=[(step, kind(core)) for step, core in one["trajectory"]],
        epoch_steps=one["epoch_steps"],
    )
