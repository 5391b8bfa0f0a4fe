"""Figures of datasets, classifiers and comparisons, in one style."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tasks.contracts.datasets import DatasetManifest
from tasks.contracts.files import appearing
from tasks.contracts.text import shown as text_shown

# Okabe and Ito's colours, told apart with any colour vision: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
INK, MUTED, FAINT = "#1f2430", "#6b7280", "#e5e7eb"
DPI = 144


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained", facecolor="white")


def dress(axes: Axes, title: str, subtitle: str = "", *, x: str = "", y: str = "") -> Axes:
    """Give the axes a title, a smaller line below it, their labels and the common look."""
    axes.set_title(title, loc="left", color=INK, fontsize=11, fontweight="bold", pad=22 if subtitle else 8)
    if subtitle:
        above = {"xytext": (0, 8), "textcoords": "offset points", "va": "bottom"}
        axes.annotate(subtitle, (0, 1), xycoords="axes fraction", color=MUTED, fontsize=8.5, **above)
    axes.set_xlabel(x, color=MUTED, fontsize=9)
    axes.set_ylabel(y, color=MUTED, fontsize=9)
    axes.tick_params(colors=MUTED, labelsize=8, length=0)
    axes.grid(visible=True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    return axes


def shortened(name: str, length: int = 22) -> str:
    """Return a name that fits beside an axis, with its dollars safe from matplotlib, to which two make a formula."""
    fitting = name if len(name) <= length else f"{name[: length - 1].rstrip()}…"
    return text_shown(fitting).replace("$", r"\$")


def laid_out(figure: Figure) -> Figure:
    """Return the figure with everything in its place: else all of it is drawn twice, the first time for that alone."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    return figure


def save_png(figure: Figure, path: Path) -> Path:
    """Write the figure atomically, and return where."""
    with appearing(path) as temporary:
        laid_out(figure).savefig(temporary, format="png", dpi=DPI)
    return path


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


COMMONEST = 25  # labels shown; more could not be read
NAME_LENGTH = 26  # characters of a label's name
SUBTITLE_LENGTH = 100
WRITTEN_FROM = 0.1  # shares below are coloured, but not written: they would fill the figure with noughts
DARK_FROM = 0.55  # shares above have a dark field, on which numbers are white


def label_counts_figure(manifest: DatasetManifest) -> Figure:
    """Return bars of the matching videos that the commonest labels occur in, split by split."""
    shown = manifest.label_counts[:COMMONEST]
    figure = new_figure(9, 1.6 + 0.25 * len(shown))
    title = f"The {len(shown)} commonest of {len(manifest.label_counts):,} labels"
    axes = dress(figure.subplots(), title, _subtitle(manifest), x="matching videos")
    places, ends = np.arange(len(shown)), np.zeros(len(shown), np.int64)
    for number, split in enumerate(manifest.splits):
        counts = np.array([label.by_split.get(split, 0) for label in shown])
        axes.barh(places, counts, left=ends, color=PALETTE[number % len(PALETTE)], label=split, height=0.72)
        ends = ends + counts
    for place, end in zip(places, ends, strict=True):
        axes.annotate(f"{end:,}", (end, place), (4, 0), textcoords="offset points", va="center", color=INK, fontsize=8)
    axes.set_yticks(places, [shortened(label.name, NAME_LENGTH) for label in shown], color=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.08 * max(ends))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="y")
    if len(manifest.splits) > 1:
        axes.legend(frameon=False, loc="lower right", fontsize=9, labelcolor=INK)
    return figure


def cooccurrence_figure(manifest: DatasetManifest) -> Figure:
    """Return a map of how often a video with the row's label has the column's label as well.

    A label that all matching videos have says nothing there, so it is left out.
    """
    names, shares = _shares(manifest)
    figure = _map_figure(len(names))
    title = f"Which of the {len(names)} commonest labels come together"
    axes = dress(figure.subplots(), title, _subtitle(manifest))
    axes.grid(visible=False)
    axes.set_facecolor(FAINT)
    if len(names) < 2:
        axes.text(0.5, 0.5, "There are no two labels to compare.", ha="center", color=MUTED, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return figure
    percents = [[f"{100 * share:.0f}" for share in row] for row in np.nan_to_num(shares)]
    _draw_map(axes, shares, percents, names, "of the row's videos have the column's label too")
    return figure


def confusion_figure(confusion: NDArray[np.int64], names: Sequence[str], subtitle: str) -> Figure:
    """Draw which label (columns) was predicted for the videos of each label (rows); the commonest, where many."""
    chosen = np.sort(np.argsort(-confusion.sum(axis=1), kind="stable")[:COMMONEST])
    counts = confusion[np.ix_(chosen, chosen)]
    videos = confusion.sum(axis=1)[chosen, np.newaxis]
    shares = np.divide(counts, videos, out=np.full(counts.shape, np.nan), where=videos > 0)
    figure = _map_figure(len(chosen))
    axes = dress(figure.subplots(), "What is taken for what", subtitle, x="predicted", y="label")
    axes.grid(visible=False)
    axes.set_facecolor(FAINT)
    shown = [shortened(names[int(place)], NAME_LENGTH) for place in chosen]
    _draw_map(axes, shares, counts.tolist(), shown, "of the row's videos", written_from=0.0)
    return figure


def _draw_map(
    axes: Axes,
    shares: NDArray[np.float64],
    texts: Sequence[Sequence[object]],
    names: Sequence[str],
    meaning: str,
    *,
    written_from: float = WRITTEN_FROM,
) -> None:
    """Draw shares (k, k), NaN left blank, with a text in each field that is above `written_from` or equal to it."""
    image = axes.imshow(shares, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero((shares >= written_from) & (shares > 0)), strict=True):
        colour = "white" if shares[row, column] > DARK_FROM else INK
        axes.text(column, row, str(texts[row][column]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_xticks(range(len(names)), names, color=INK, rotation=55, ha="right", rotation_mode="anchor")
    bar = axes.figure.colorbar(image, ax=axes, format="{x:.0%}", fraction=0.03, pad=0.015)
    bar.set_label(meaning, color=MUTED, fontsize=9)
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    bar.outline.set_visible(False)


def _map_figure(labels: int) -> Figure:
    """Return a figure for a map of labels by labels; of few, as wide as its titles need."""
    return new_figure(max(8.0, 3.6 + 0.34 * labels), max(4.0, 2.6 + 0.31 * labels))


def _shares(manifest: DatasetManifest) -> tuple[list[str], NDArray[np.float64]]:
    """Return names (k,) and shares (k, k) of the commonest labels that not every video has; the diagonal is NaN."""
    crossed = manifest.cooccurrence
    counts = np.array(crossed.counts, np.float64)
    own = np.diagonal(counts)
    chosen = np.flatnonzero(own < manifest.matches)[:COMMONEST]
    shares = counts[np.ix_(chosen, chosen)] / own[chosen, np.newaxis]
    np.fill_diagonal(shares, np.nan)
    named = {label.index: label.name for label in manifest.label_counts}
    return [shortened(named[crossed.label_ids[place]], NAME_LENGTH) for place in chosen], shares


def _subtitle(manifest: DatasetManifest) -> str:
    videos = f"{manifest.matches:,} matching videos · {manifest.slug}/{manifest.id}"
    names = ["All labels"] if manifest.is_whole_vocabulary else manifest.label_names
    return f"{shortened(', '.join(names), SUBTITLE_LENGTH - len(videos))} · {videos}"
