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
    """A model's name, its metrics, and either its gain in GAP over the champion or why there is none."""

    title: str
    gap: float
    map: float
    gain: float | None = None
    interval: tuple[float, float] | None = None
    no_gain: str = ""


def comparison_figure(models: Sequence[ComparedModel], subtitle: str) -> Figure:
    """Draw GAP and MAP of each model, the first on top, and beside them the gain over the champion."""
    figure = new_figure(9.6, 1.6 + 0.46 * len(models))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    rows = range(len(models))
    dress(left, "Models on the same videos", subtitle)
    for values, colour, name in (([m.gap for m in models], BLUE, "GAP"), ([m.map for m in models], ORANGE, "MAP")):
        left.scatter(values, rows, s=46, color=colour, label=name, zorder=3)
        for row, value in enumerate(values):
            left.annotate(f"{value:.3f}", (value, row), (0, 6), textcoords="offset points", fontsize=7, ha="center")
    left.set(xlim=(0, 1.02), ylim=(len(models) - 0.4, -0.6))
    left.set_yticks(rows, [model.title for model in models], color=INK)
    left.legend(loc="lower left", frameon=False, fontsize=8, ncols=2, labelcolor=INK)
    dress(right, "Gain in GAP over the champion", "with its interval; right of the line is better")
    right.axvline(0, color=MUTED, linewidth=1.2)
    for row, model in enumerate(models):
        _draw_gain(right, row, model)
    right.tick_params(labelleft=False)
    return figure


def _draw_gain(axes: Axes, row: int, model: ComparedModel) -> None:
    if model.gain is None or model.interval is None:
        axes.annotate(model.no_gain, (0, row), (6, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8)
        return
    axes.plot(model.interval, (row, row), color=INK, linewidth=2.2, solid_capstyle="round")
    axes.plot([model.gain], [row], marker="o", color=INK, markersize=5.5)
