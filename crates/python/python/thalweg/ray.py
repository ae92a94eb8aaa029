"""Surfaces and populations on many machines, by Ray.

Work is cut into units that do not depend on each other: blocks of a surface's points, members of a
population. A unit gives the same bits wherever it is done, and as often as it is done, so that one
whose worker is lost is simply done again. What comes back is kept in the run directory, if there is
one: a driver that is killed goes on from there. Nothing is shared between machines but what Ray
sends: workers need no common file system.

Needs the package `ray`. A cluster that is already initialised is used; otherwise `ray.init()`
starts a local one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import _thalweg
from ._errors import ConfigError, ThalwegError
from ._inputs import whole
from ._objective import Objective, native
from ._optional import need
from ._population import Population
from ._surface import Surface
from ._surface_request import SurfaceRequest
from ._train_request import TrainRequest, pack, unpack

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["surface", "train_population"]

#: How often a unit is tried before its loss is taken for an error.
TRIES = 10


def surface(
    model: Model,
    x: Any,
    y: Any,
    *,
    run: Any = None,
    cpus: int = 1,
    **settings: Any,
) -> Surface:
    """A surface whose blocks of points are done by Ray's workers.

    Parameters
    ----------
    model, x, y
        As for :meth:`thalweg.Model.surface`.
    run : path, optional
        A directory, of the driver's alone, that keeps finished blocks.
    cpus : int
        Processors of each unit, and its threads.
    **settings
        As for :meth:`thalweg.Model.surface`, but `tolerance`: the surface is exact.

    Returns
    -------
    Surface
        With the bits of `model.surface(..., exact=True)`.
    """
    if settings.pop("tolerance", None) is not None:
        raise ConfigError("tolerance: a surface on several machines is exact; give none")
    request = SurfaceRequest(model, x, y, run=run, **{**settings, "exact": True})
    objective = request.objective
    with objective.reporting() as report, request.open() as opened:
        kept = _Kept(opened)
        request.find_planes(opened, None)
        keys = _thalweg.surface_units(model._core, request.planes, request.grid())
        todo = [unit for unit, key in enumerate(keys) if kept.get(key) is None]
        shared = (_sent(objective, cpus), request.planes, request.grid())
        _map(_surface_unit, shared, todo, cpus, kept.put, report, "surface")
        # Everything is there: what is left is to put it together.
        return request.evaluate(kept.native(), None)


def train_population(
    model: Model,
    x: Any,
    y: Any,
    *,
    run: Any = None,
    cpus: int = 1,
    together: int = 1,
    **settings: Any,
) -> Population:
    """A population whose members are trained by Ray's workers.

    Parameters
    ----------
    model, x, y
        As for :meth:`thalweg.Model.train`.
    run : path, optional
        A directory, of the driver's alone, that keeps finished members.
    cpus : int
        Processors of each unit, and its threads.
    together : int
        Members in a unit: more are faster, and more are lost with a worker.
    **settings
        As for :meth:`thalweg.Model.train`.

    Returns
    -------
    Population
        With the bits of `model.train(...)`.
    """
    request = TrainRequest(model, x, y, run=run, **settings)
    size = whole(together, "together", 1)
    with request.objective.reporting() as report, request.open() as opened:
        kept = _Kept(opened)
        left = [member for member in request.members if kept.get(request.key(member)) is None]
        blocks = [left[first : first + size] for first in range(0, len(left), size)]
        shared = (_sent(request.objective, cpus), request.validation, request.settings)
        _map(_train_unit, shared, blocks, cpus, kept.put, report, "training")
        found = [unpack(request, one, kept.get(request.key(one)) or []) for one in request.members]
        return request.population(found)


def _sent(objective: Objective, cpus: int) -> tuple:
    """What a worker makes the objective of again."""
    options = {**objective.options, "threads": whole(cpus, "cpus", 1)}
    return objective.model, objective.inputs, objective.targets, options


def _surface_unit(shared: tuple, unit: int) -> list[tuple[str, list]]:
    objective, planes, grid = shared
    return [_thalweg.surface_unit(native(*objective), planes, grid, unit)]


def _train_unit(shared: tuple, block: list[tuple[int, float]]) -> list[tuple[str, list]]:
    objective, validation, settings = shared
    found = _thalweg.train(native(*objective), validation, {**settings, "members": block}, None)
    return [(TrainRequest.key(member), pack(one)) for member, one in zip(block, found)]


class _Kept:
    """Finished units: in the run directory, or in memory without one."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._here: dict[str, list] = {}

    def get(self, key: str) -> list | None:
        return self._here.get(key) if self._run is None else self._run.get(key)

    def put(self, key: str, arrays: list) -> None:
        if self._run is None:
            self._here[key] = arrays
        else:
            self._run.put(key, arrays)

    def native(self) -> Any:
        """What the native module looks finished units up in."""
        return self._run if self._run is not None else _thalweg.Run.in_memory(self._here)


def _map(
    work: Callable[[tuple, Any], list],
    shared: tuple,
    units: Iterable[Any],
    cpus: int,
    keep: Callable[[str, list], None],
    report: Any,
    what: str,
) -> None:
    """Does every unit once, and again where a worker was lost."""
    todo = list(units)
    if report is not None:
        report.start(what, len(todo))
    if not todo:
        return
    ray = need("ray", "thalweg.ray")
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    # A lost worker is met here, so that what is lost is one unit and is counted.
    remote = ray.remote(num_cpus=cpus, max_retries=0)(work)
    there = ray.put(shared)
    waiting = {remote.remote(there, unit): (unit, 1) for unit in todo}
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
            for reference in done:
                unit, tried = waiting.pop(reference)
                try:
                    results = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    # What the work itself raised would be raised again.
                    raise error.as_instanceof_cause() from None
                except (
                    ray.exceptions.RaySystemError,
                    ray.exceptions.WorkerCrashedError,
                    ray.exceptions.NodeDiedError,
                    ray.exceptions.ObjectLostError,
                    ray.exceptions.OutOfMemoryError,
                ) as error:
                    if tried == TRIES:
                        raise ThalwegError(
                            f"a unit of the {what} was lost {TRIES} times with its worker: {error}"
                        ) from error
                    waiting[remote.remote(there, unit)] = (unit, tried + 1)
                    continue
                for key, arrays in results:
                    keep(key, arrays)
                if report is not None:
                    report.advance(1)
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)
