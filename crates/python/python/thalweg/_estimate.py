"""A number with its standard error."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number from a sample that Thalweg drew; what is exact is a plain `float`.

    Attributes
    ----------
    value : float
        The estimate.
    standard_error : float
        Its standard error.
    samples : int
        How many samples it rests on.
    """

    value: float
    standard_error: float
    samples: int

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"{self.value:.6g} ± {self.standard_error:.2g} ({self.samples} samples)"


def quantity(value: float, standard_error: float | None, samples: int | None) -> Estimate | float:
    """An estimate, or a plain number where it is exact."""
    if standard_error is None or samples is None:
        return value
    return Estimate(value, standard_error, samples)


@dataclass(frozen=True)
class Evaluation:
    """A loss over examples.

    Attributes
    ----------
    loss : float
        The mean over the examples.
    accuracy : float or None
        The share of examples classified rightly, where targets are labels.
    standard_error : float or None
        That of the loss, where the examples are a sample.
    examples : int
        How many examples.
    """

    loss: float
    accuracy: float | None
    standard_error: float | None
    examples: int

    def __float__(self) -> float:
        return self.loss


def evaluation(values: dict) -> Evaluation:
    """What the native module gives."""
    return Evaluation(
        values["loss"], values["accuracy"], values["standard_error"], values["examples"]
    )
