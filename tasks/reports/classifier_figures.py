"""Figures of one classifier: how sure, how right and how it was learnt.

In: scores and truth of the videos judged on, or numbers by epoch. Out: matplotlib figures. Does not know
the model nor where a figure is kept.

Shapes: n videos, L labels; scores float (n, L) in [0, 1], truth bool (n, L).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tasks.reports.figure_style import BLUE, GREEN, INK, MUTED, ORANGE, PALETTE, dress, new_figure, shortened

Scores = NDArray[np.floating]
Truth = NDArray[np.bool_]

CURVES = len(PALETTE)  # labels with a curve of their own: as many as there are colours to tell apart
BINS = 10  # of the calibration plot


@dataclass(frozen=True)
class Curve:
    """Precision (k,) at each recall (k,), by falling score, and the average precision."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average: float


def precision_recall(scores: Scores, truth: Truth) -> Curve:
    """Return the curve of all pairs of score and truth pooled; both of one shape, at least one true.

    The average is the non-interpolated one: the mean of the precision at each positive. Equal scores are
    taken together, for no threshold can part them.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    sorted_scores, sorted_truth = scores.ravel()[order], truth.ravel()[order]
    last_of_equals = np.append(np.flatnonzero(np.diff(sorted_scores)), len(sorted_scores) - 1)
    hits = np.cumsum(sorted_truth)[last_of_equals]
    precision = hits / (last_of_equals + 1)
    recall = hits / hits[-1]
    return Curve(recall, precision, float(np.sum(np.diff(recall, prepend=0.0) * precision)))


def precision_recall_figure(scores: Scores, truth: Truth, names: Sequence[str]) -> Figure:
    """Draw the curves of the commonest labels and of all labels pooled.

    A label that every video has is not drawn by itself: whatever its scores are, its precision is 1.
    """
    positives = truth.sum(axis=0)
    by_count = map(int, np.argsort(-positives, kind="stable"))
    commonest = [label for label in by_count if 0 < positives[label] < len(truth)][:CURVES]
    figure = new_figure(7.2, 4.6)
    subtitle = f"{len(scores):,} videos, {len(names)} labels; beside each name its positives and average precision"
    axes = dress(figure.subplots(), "Precision against recall", subtitle, x="recall", y="precision")
    for colour, label in zip(PALETTE, commonest, strict=False):
        curve = precision_recall(scores[:, label], truth[:, label])
        text = f"{shortened(names[label])} ({positives[label]:,})  {curve.average:.2f}"
        axes.plot(curve.recall, curve.precision, color=colour, linewidth=1.4, label=text)
    if positives.any():
        pooled = precision_recall(scores, truth)
        text = f"all labels pooled  {pooled.average:.2f}"
        axes.plot(pooled.recall, pooled.precision, color=INK, linewidth=2.4, label=text)
        _legend_beside(axes)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return figure


def calibration_figure(scores: Scores, truth: Truth) -> Figure:
    """Draw how often a label is true against how probable the model called it, and how many such calls there are."""
    edges = np.linspace(0, 1, BINS + 1)
    bins = np.clip(np.digitize(scores.ravel(), edges) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    said = np.bincount(bins, scores.ravel().astype(np.float64), BINS)[filled] / counts[filled]
    happened = np.bincount(bins, truth.ravel(), BINS)[filled] / counts[filled]
    error = float(np.abs(said - happened) @ counts[filled] / counts.sum())
    figure = new_figure(5.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    subtitle = f"{counts.sum():,} pairs of video and label; expected calibration error {error:.3f}"
    dress(upper, "Calibration", subtitle, y="share that was true")
    upper.plot((0, 1), (0, 1), color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    upper.plot(said, happened, color=BLUE, linewidth=1.8, marker="o", markersize=5, label="model", clip_on=False)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left")
    dress(lower, "", x="probability that the model gave", y="pairs")
    lower.bar(edges[:-1], counts, width=1 / BINS, align="edge", color=BLUE, alpha=0.35, edgecolor="white")
    lower.set_yscale("symlog", linthresh=1)
    return figure


def training_figure(losses: Sequence[float], metrics: Mapping[str, Sequence[float]], best_epoch: int) -> Figure:
    """Draw the training loss and the validation metrics by epoch (counted from 1), with the epoch that was kept."""
    epochs = np.arange(1, len(losses) + 1)
    figure = new_figure(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    dress(left, "Training loss", x="epoch")
    left.plot(epochs, losses, color=INK, linewidth=1.8, marker="o", markersize=3)
    dress(right, "On the validate split", x="epoch")
    for colour, (name, values) in zip((BLUE, ORANGE, GREEN, *PALETTE[3:]), metrics.items(), strict=False):
        right.plot(epochs, values, color=colour, linewidth=1.8, marker="o", markersize=3, label=name)
    right.set_ylim(0, 1)
    for axes in (left, right):
        axes.axvline(best_epoch, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=f"kept: epoch {best_epoch}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_beside(right)
    return figure


def _legend_beside(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, labelcolor=INK)
