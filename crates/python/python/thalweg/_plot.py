"""Figures by matplotlib: axes in, axes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._optional import need

if TYPE_CHECKING:
    from ._population import Population
    from ._spectrum import Spectrum
    from ._surface import Surface


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    return need("matplotlib.pyplot", "a plot", "matplotlib").subplots()[1]


def plot_surface(surface: Surface, ax: Any, pair: int, log: bool, style: dict[str, Any]) -> Any:
    ax = _axes(ax)
    name = surface.attributes["loss_name"]
    loss = surface.loss[pair] if surface.loss.ndim == 3 else surface.loss
    if surface.is_line:
        errors = surface.loss_standard_error
        line = ax.plot(surface.x, loss[0], **style)[0]
        if errors is not None:
            error = (errors[pair] if errors.ndim == 3 else errors)[0]
            low, high = loss[0] - 2 * error, loss[0] + 2 * error
            ax.fill_between(surface.x, low, high, color=line.get_color(), alpha=0.2, lw=0)
        ax.set_xlabel("x")
        ax.set_ylabel(name)
        return ax
    shown = np.ma.masked_invalid(loss)
    levels: Any = style.pop("levels", None)
    norm: Any = style.pop("norm", None)
    low, high = float(shown.min()), float(shown.max())
    if log and low > 0 and high > low and norm is None:
        colors = need("matplotlib.colors", "a plot", "matplotlib")
        norm = colors.LogNorm(low, high)
        levels = np.geomspace(low, high, 25) if levels is None else levels
    filled = ax.contourf(surface.x, surface.y, shown, levels=levels, norm=norm, **style)
    bar = ax.figure.colorbar(filled, ax=ax, label=name)
    if norm is not None:
        ticks = np.geomspace(low, high, 5)
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks], minor=False)
        bar.minorticks_off()
    if surface.trajectory is not None:
        ax.plot(surface.trajectory["x"], surface.trajectory["y"], "o-", color="white", ms=3, lw=1)
    ax.plot(0.0, 0.0, "+", color="white", ms=10)
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return ax


def plot_spectrum(spectrum: Spectrum, ax: Any, style: dict[str, Any]) -> Any:
    ax = _axes(ax)
    density = spectrum.density
    if density is not None:
        ax.plot(density.centres, np.maximum(density.values, 1e-12), **style)
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(1e-8, float(density.values.max()) * 1e-8))
        ax.set_ylabel("density")
    values = np.concatenate([spectrum.top, spectrum.bottom])
    for value in values:
        ax.axvline(value, color="C3", lw=0.8, alpha=0.7)
    if density is None and len(values):
        ax.set_yticks([])
    ax.set_xlabel("eigenvalue")
    return ax


def plot_population(population: Population, ax: Any, style: dict[str, Any]) -> Any:
    ax = _axes(ax)
    for member in population:
        every = max(1, member.epoch_steps)
        whole = len(member.loss) // every * every
        epochs = member.loss[:whole].reshape(-1, every).mean(axis=1) if whole else member.loss
        label = f"seed {member.seed}, lr {member.lr:g}"
        ax.plot(np.arange(1, len(epochs) + 1), epochs, **{"label": label, **style})
    ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    if 1 < len(population) <= 10:
        ax.legend()
    return ax
