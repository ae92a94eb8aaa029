"""What training leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._html import table
from ._optional import need
from ._table import Table

if TYPE_CHECKING:
    from ._model import Model


@dataclass(repr=False)
class Member:
    """A network of a population at the end of its training.

    Attributes
    ----------
    seed : int
    lr : float
        The learning rate before the schedule.
    model : Model
        The trained network.
    diverged : int or None
        The step at which its loss was not finite, if it was so.
    loss, gradient_norm : ndarray, [step]
        Of each step's batch, before the step.
    accuracy : ndarray or None, [step]
    perturbed_loss : ndarray or None, [step]
        Of each step's batch at the end of SAM's ascent, where the optimizer is SAM.
    validation_step, validation_loss, validation_accuracy : ndarray
        At the end of each epoch, where validation data were given.
    trajectory : list of (int, Model)
        Kept weights and the steps after which they were kept, with `checkpoints`.
    """

    seed: int
    lr: float
    model: Model
    diverged: int | None
    loss: np.ndarray
    gradient_norm: np.ndarray
    accuracy: np.ndarray | None
    perturbed_loss: np.ndarray | None
    validation_step: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray
    trajectory: list[tuple[int, Model]]
    epoch_steps: int

    @property
    def final_loss(self) -> float:
        """The mean loss over the batches of the last epoch."""
        return float(self.loss[-self.epoch_steps :].mean()) if len(self.loss) else float("nan")

    def __repr__(self) -> str:
        state = f"diverged at step {self.diverged}" if self.diverged is not None else "finished"
        return (
            f"Member(seed={self.seed}, lr={self.lr:g}, {state}, {len(self.loss)} steps, "
            f"final loss {self.final_loss:.4g})"
        )


class Population(Table, Sequence[Member]):
    """Networks that were trained together: for each learning rate every seed, in this order."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    def __getitem__(self, index: Any) -> Any:
        found = self.members[index]
        return Population(found) if isinstance(index, slice) else found

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    @property
    def models(self) -> list[Model]:
        """The trained networks."""
        return [member.model for member in self.members]

    @property
    def best(self) -> Member:
        """The member of lowest validation loss, or of lowest final loss without validation."""

        def score(member: Member) -> float:
            loss = member.final_loss
            if len(member.validation_loss):
                loss = float(member.validation_loss[-1])
            return loss if np.isfinite(loss) and member.diverged is None else np.inf

        return min(self.members, key=score)

    def _columns(self) -> dict[str, np.ndarray]:
        steps = [np.arange(1, len(m.loss) + 1) for m in self.members]
        columns = {
            "member": np.concatenate([np.full(len(s), i) for i, s in enumerate(steps)]),
            "seed": np.concatenate([np.full(len(s), m.seed) for m, s in zip(self.members, steps)]),
            "lr": np.concatenate([np.full(len(s), m.lr) for m, s in zip(self.members, steps)]),
            "step": np.concatenate(steps),
            "loss": np.concatenate([m.loss for m in self.members]),
            "gradient_norm": np.concatenate([m.gradient_norm for m in self.members]),
        }
        for name in ("accuracy", "perturbed_loss"):
            if all(getattr(m, name) is not None for m in self.members):
                columns[name] = np.concatenate([getattr(m, name) for m in self.members])
        if all(len(m.validation_step) for m in self.members):
            for name in ("loss", "accuracy"):
                column = np.full(len(columns["step"]), np.nan)
                first = 0
                for m in self.members:
                    at = first + np.asarray(m.validation_step, dtype=int) - 1
                    column[at] = getattr(m, f"validation_{name}")
                    first += len(m.loss)
                columns[f"validation_{name}"] = column
        return columns

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` over `member` and `step`, with `seed` and `lr` of each member."""
        xarray = need("xarray", "Population.to_xarray")
        data = {
            name: (("member", "step"), np.stack([getattr(m, name) for m in self.members]))
            for name in ("loss", "gradient_norm")
        }
        for name in ("accuracy", "perturbed_loss"):
            if all(getattr(m, name) is not None for m in self.members):
                values = np.stack([getattr(m, name) for m in self.members])
                data[name] = (("member", "step"), values)
        if len(self.members[0].validation_step):
            for name in ("loss", "accuracy"):
                values = np.stack([getattr(m, f"validation_{name}") for m in self.members])
                data[f"validation_{name}"] = (("member", "validation_step"), values)
        coords: dict[str, Any] = {
            "step": np.arange(1, len(self.members[0].loss) + 1),
            "seed": (("member",), [m.seed for m in self.members]),
            "lr": (("member",), [m.lr for m in self.members]),
        }
        if len(self.members[0].validation_step):
            coords["validation_step"] = self.members[0].validation_step
        return xarray.Dataset(data, coords)

    def plot(self, ax: Any = None, **style: Any) -> Any:
        """Draws the loss of each member, averaged over epochs, on a log scale.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to; new ones without it.
        **style
            Goes to `ax.plot`.

        Returns
        -------
        matplotlib axes
        """
        from ._plot import plot_population

        return plot_population(self, ax, style)

    def _rows(self) -> list[tuple[str, ...]]:
        def last(values: np.ndarray) -> str:
            return f"{values[-1]:.4g}" if len(values) else ""

        return [
            (
                str(m.seed),
                f"{m.lr:g}",
                "finished" if m.diverged is None else f"diverged at step {m.diverged}",
                f"{m.final_loss:.4g}",
                last(m.validation_loss),
                last(m.validation_accuracy),
            )
            for m in self.members
        ]

    def __repr__(self) -> str:
        lines = "\n".join(f"  {member!r}" for member in self.members[:20])
        more = f"\n  … and {len(self) - 20} more" if len(self) > 20 else ""
        return f"Population of {len(self)}\n{lines}{more}"

    def _repr_html_(self) -> str:
        head = ("seed", "lr", "status", "loss", "validation loss", "validation accuracy")
        return table(head, self._rows(), f"{len(self)} networks")
