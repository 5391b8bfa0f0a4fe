"""The scores of labels over time → rows of a chart.

In: a manifest of labels and its table. Out: a row for each of the labels that matter most, with the path of its curve
and its segments, in units of the chart. Does not know HTML.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.labels import LabelSegment, LabelsManifest
from tasks.reports.video_time import percent

MOST_ROWS = 6
MOST_COLUMNS = 400  # a curve of more points than a screen has pixels only makes the page slow
CHART_WIDTH, CHART_HEIGHT = 1000, 100


@dataclass(frozen=True)
class ScoreRow:
    """One label over time."""

    number: int  # from 1; names its colour
    name: str
    mean: float
    peak: float
    peak_s: float
    path: str  # of an SVG in which time runs from 0 to CHART_WIDTH, and the score from CHART_HEIGHT up to 0
    values: list[float]  # at `ScoreChart.times_s`
    blocks: list[tuple[float, float]]  # left and width of each segment, in percent


@dataclass(frozen=True)
class ScoreChart:
    """The labels that matter most, best first, and the moments that their curves have."""

    times_s: list[float]
    rows: list[ScoreRow]


def score_chart(manifest: LabelsManifest, table: pa.Table, whole_s: float) -> ScoreChart:
    """Return the chart of at most `MOST_ROWS` labels over `whole_s` seconds.

    The table has only the best labels of each moment, so a label that is not among them has score 0 there. Where
    there are more than `MOST_COLUMNS` moments, neighbours are drawn as the highest of them.
    """
    times_s, place = np.unique(table.column("time_s").to_numpy(), return_inverse=True)
    ids = table.column("label_id").to_numpy()
    scores = np.clip(np.nan_to_num(table.column("smoothed").to_numpy()), 0, 1)
    group = -(-max(len(times_s), 1) // MOST_COLUMNS)
    names = {label.label_id: label.name for label in (*manifest.segments, *manifest.top)}
    rows = []
    for label_id in _most_telling(manifest):
        chosen = ids == label_id
        curve = np.zeros(len(times_s))
        np.maximum.at(curve, place[chosen], scores[chosen])
        segments = [segment for segment in manifest.segments if segment.label_id == label_id]
        rows.append(_row(len(rows) + 1, names[label_id], times_s, curve, group, segments, whole_s))
    return ScoreChart(np.round(times_s[::group], 3).tolist(), rows)


def _most_telling(manifest: LabelsManifest) -> list[int]:
    """Return the labels to draw, those first that hold longest and surest, then the best of the whole video."""
    weight: dict[int, float] = {}
    for segment in manifest.segments:
        weight[segment.label_id] = weight.get(segment.label_id, 0.0) + (segment.end_s - segment.start_s) * segment.score
    held = sorted(weight, key=lambda label_id: (-weight[label_id], label_id))
    best = [label.label_id for label in manifest.top if label.label_id not in weight]
    return [*held, *best][:MOST_ROWS]


def _row(
    number: int,
    name: str,
    times_s: NDArray[np.float64],
    curve: NDArray[np.float64],
    group: int,
    segments: list[LabelSegment],
    whole_s: float,
) -> ScoreRow:
    peak = int(curve.argmax()) if curve.size else 0
    starts = np.arange(0, len(curve), group)
    values = np.maximum.reduceat(curve, starts) if curve.size else curve
    lefts = [(percent(segment.start_s, whole_s), percent(segment.end_s, whole_s)) for segment in segments]
    return ScoreRow(
        number=number,
        name=name,
        mean=float(curve.mean()) if curve.size else 0.0,
        peak=float(curve[peak]) if curve.size else 0.0,
        peak_s=float(times_s[peak]) if curve.size else 0.0,
        path=_steps(times_s[::group], values, whole_s),
        values=np.round(values, 3).tolist(),
        blocks=[(left, round(right - left, 2)) for left, right in lefts],
    )


def _steps(times_s: NDArray[np.float64], values: NDArray[np.float64], whole_s: float) -> str:
    """Return a closed path of steps: a score holds from its moment to the next."""
    if not values.size:
        return ""
    x = np.clip(np.round(CHART_WIDTH * times_s / whole_s, 1), 0, CHART_WIDTH)
    y = np.round(CHART_HEIGHT * (1 - values), 1)
    steps = "".join(f"H{left:g}V{top:g}" for left, top in zip(x, y, strict=True))
    return f"M{x[0]:g} {CHART_HEIGHT}{steps}H{CHART_WIDTH}V{CHART_HEIGHT}Z"
