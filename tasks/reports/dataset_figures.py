"""What a dataset version looks like, as figures.

In: a manifest. Out: matplotlib figures of its commonest labels and of which come together
(`figure_style.save_png` writes them). Does not read the parts.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tasks.contracts.artifacts import DatasetManifest
from tasks.reports.figure_style import FAINT, INK, MUTED, PALETTE, dress, new_figure, shortened

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
    figure = new_figure(3.6 + 0.34 * len(names), 2.6 + 0.31 * len(names))
    title = f"Which of the {len(names)} commonest labels come together"
    axes = dress(figure.subplots(), title, _subtitle(manifest))
    axes.grid(visible=False)
    axes.set_facecolor(FAINT)
    if len(names) < 2:
        axes.text(0.5, 0.5, "There are no two labels to compare.", ha="center", color=MUTED, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return figure
    image = axes.imshow(shares, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    for row, column in zip(*np.nonzero(np.nan_to_num(shares) >= WRITTEN_FROM), strict=True):
        colour = "white" if shares[row, column] > DARK_FROM else INK
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(names)), names, color=INK)
    axes.set_xticks(range(len(names)), names, color=INK, rotation=55, ha="right", rotation_mode="anchor")
    bar = figure.colorbar(image, ax=axes, format="{x:.0%}", fraction=0.03, pad=0.015)
    bar.set_label("of the row's videos have the column's label too", color=MUTED, fontsize=9)
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
    bar.outline.set_visible(False)
    return figure


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
    return f"{shortened(', '.join(manifest.label_names), SUBTITLE_LENGTH - len(videos))} · {videos}"
