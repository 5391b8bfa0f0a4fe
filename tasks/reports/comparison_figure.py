"""The figure that sets models beside one another.

In: a line a model. Out: a matplotlib figure. Does not know how they were judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.reports.figure_style import BLUE, INK, MUTED, ORANGE, dress, new_figure


@dataclass(frozen=True)
class ComparedModel:
    """A model's name, its metrics, and its gain in GAP over the champion with the interval; None for the champion."""

    title: str
    gap: float
    map: float
    gain: float | None = None
    interval: tuple[float, float] | None = None


def comparison_figure(models: Sequence[ComparedModel], subtitle: str) -> Figure:
    """Draw GAP and MAP of each model, the first on top, and beside them the gains, where there is a champion."""
    figure = new_figure(9.6, 1.6 + 0.46 * len(models))
    if any(model.gain is not None for model in models):
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _draw_gains(right, models)
    else:
        left = figure.subplots()
    _draw_metrics(left, models, subtitle)
    return figure


def _draw_metrics(axes: Axes, models: Sequence[ComparedModel], subtitle: str) -> None:
    rows = range(len(models))
    dress(axes, "Models on the same videos", subtitle)
    for values, colour, name in (([m.gap for m in models], BLUE, "GAP"), ([m.map for m in models], ORANGE, "MAP")):
        axes.scatter(values, rows, s=46, color=colour, label=name, zorder=3)
        for row, value in enumerate(values):
            axes.annotate(f"{value:.3f}", (value, row), (0, 6), textcoords="offset points", fontsize=7, ha="center")
    axes.set(xlim=(0, 1.02), ylim=(len(models) - 0.4, -0.6))
    axes.set_yticks(rows, [model.title for model in models], color=INK)
    axes.legend(loc="lower left", frameon=False, fontsize=8, ncols=2, labelcolor=INK)


def _draw_gains(axes: Axes, models: Sequence[ComparedModel]) -> None:
    dress(axes, "Gain in GAP over the champion", "with its interval; right of the line is better")
    axes.axvline(0, color=MUTED, linewidth=1.2)
    axes.tick_params(labelleft=False)
    for row, model in enumerate(models):
        if model.gain is None or model.interval is None:
            at = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate("the champion", (0, row), color=MUTED, fontsize=8, **at)
        else:
            axes.plot(model.interval, (row, row), color=INK, linewidth=2.2, solid_capstyle="round")
            axes.plot([model.gain], [row], marker="o", color=INK, markersize=5.5)
