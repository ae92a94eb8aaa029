"""Measurements as methods of a model, whose arguments are stated once: where they are checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    from ._objective import Objective

P = ParamSpec("P")
R = TypeVar("R", covariant=True)


class Request(Protocol[R]):
    """What is asked for, checked: its arguments are those of the measurement."""

    @property
    def objective(self) -> Objective:
        """What the measurement is of."""

    def open(self) -> Any:
        """The run directory while it is worked in."""

    def answer(self, run: Any, report: Any) -> R:
        """Does the work, or takes what is finished from the run directory."""


def measurement(
    name: str, request: Callable[Concatenate[Any, P], Request[R]]
) -> Callable[Concatenate[Any, P], R]:
    """The method that makes a request of a model and answers it.

    Its signature and its documentation are those of the request's `__init__`.
    """

    def measure(model: Any, *args: P.args, **settings: P.kwargs) -> R:
        asked = request(model, *args, **settings)
        with asked.objective.reporting() as report, asked.open() as run:
            return asked.answer(run, report)

    kind: Any = request
    stated = inspect.signature(kind.__init__)
    itself, _, *arguments = stated.parameters.values()
    made: Any = measure
    made.__name__, made.__qualname__ = name, f"Model.{name}"
    made.__doc__ = kind.__init__.__doc__
    made.__signature__ = stated.replace(
        parameters=[itself, *arguments],
        return_annotation=kind.answer.__annotations__["return"],
    )
    return measure
