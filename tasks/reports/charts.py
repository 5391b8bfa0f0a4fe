"""Chart rows of a video: label scores over time, and lanes of objects grouped by class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.contracts.columns import memory_of
from tasks.contracts.media import LabelSegment, LabelsManifest, ModelLabels, ObjectsManifest, ObjectTrack
from tasks.reports.words import counted, percent, timestamp

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
    """The labels that matter most, best first, and the times that their curves have."""

    times_s: list[float]
    rows: list[ScoreRow]


def score_charts(manifest: LabelsManifest, table: pa.Table, whole_s: float) -> dict[str, ScoreChart]:
    """Return the chart of each model by its name, all over the same times; a label has one colour in all of them."""
    charts = dict[str, ScoreChart]()
    colours = dict[str, int]()
    for name, answer in manifest.by_model.items():
        own = table.filter(pc.field("model") == name) if manifest.others else table
        chart = score_chart(answer, own, whole_s)
        numbers = dict(_colours([row.name for row in chart.rows], colours))
        colours = numbers | colours
        charts[name] = replace(chart, rows=[replace(row, number=numbers[row.name]) for row in chart.rows])
    return charts


def _colours(names: list[str], taken: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield the number of each label's colour: the one that it has in another chart, else one that none has yet."""
    kept = {name: taken[name] for name in names if name in taken}
    every = range(1, MOST_ROWS + 1)
    free = [number for number in every if number not in taken.values()]
    free += [number for number in every if number not in kept.values() and number not in free]
    coming = iter(free)
    for name in names:
        yield name, kept[name] if name in kept else next(coming)


def score_chart(manifest: LabelsManifest | ModelLabels, table: pa.Table, whole_s: float) -> ScoreChart:
    """Return the chart of at most `MOST_ROWS` labels over `whole_s` seconds.

    The table has only the best labels of each timestamp, so a label that is not among them has score 0 there. Where
    there are more than `MOST_COLUMNS` of them, neighbours are drawn as the highest of them.
    """
    times_s, place = np.unique(memory_of(table["time_s"]), return_inverse=True)
    ids = memory_of(table["label_id"])
    scores = np.clip(np.nan_to_num(memory_of(table["smoothed"])), 0, 1)
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


def _most_telling(manifest: LabelsManifest | ModelLabels) -> list[int]:
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
    """Return a closed path of steps: a score holds from its time to the next."""
    if not values.size:
        return ""
    x = np.clip(np.round(CHART_WIDTH * times_s / whole_s, 1), 0, CHART_WIDTH)
    y = np.round(CHART_HEIGHT * (1 - values), 1)
    steps = "".join(f"H{left:g}V{top:g}" for left, top in zip(x, y, strict=True))
    return f"M{x[0]:g} {CHART_HEIGHT}{steps}H{CHART_WIDTH}V{CHART_HEIGHT}Z"


MOST_LANES = 1000  # of all classes; the rest is in the table of objects
OPEN_UP_TO = 8  # groups of more lanes start folded
SHOWN_AT_FIRST = 25  # lanes of an open group; the others after one more click
CROWD_COLUMNS = 200  # stretches of time in the summary of a group
NARROWEST = 0.4  # percent; what lasts no time is still to be seen


@dataclass(frozen=True)
class Lane:
    """One object: its bar, and what is said of it."""

    track: ObjectTrack
    left: float  # percent
    width: float  # percent
    when: str
    says: str  # the lane in words, for those who do not see it


@dataclass(frozen=True)
class LaneGroup:
    """The objects of one class."""

    name: str
    title: str  # e.g. "3 bottles"
    is_open: bool
    first: list[Lane]
    more: list[Lane]
    left_out: int  # lanes that are not on the page
    crowd: str  # path of an SVG of 100 by 1: how many there are at each time, the most of them filling its height

    @property
    def lanes(self) -> list[Lane]:
        """Return all that are on the page."""
        return [*self.first, *self.more]


def lane_groups(manifest: ObjectsManifest, whole_s: float) -> list[LaneGroup]:
    """Return a group for each class, the one with most objects first; of too many, those with most boxes stay."""
    by_boxes = sorted(manifest.tracks, key=lambda track: (-track.boxes, track.start_s, track.track_id))
    kept = {track.track_id for track in by_boxes[:MOST_LANES]}
    by_class: dict[str, list[ObjectTrack]] = {}
    for track in manifest.tracks:
        by_class.setdefault(track.class_name, []).append(track)
    ordered = sorted(by_class.items(), key=lambda item: (-len(item[1]), item[1][0].start_s, item[0]))
    is_picture = manifest.video.media.kind == "picture"
    return [_group(name, tracks, kept, whole_s, is_picture=is_picture) for name, tracks in ordered]


def _group(name: str, tracks: list[ObjectTrack], kept: set[int], whole_s: float, *, is_picture: bool) -> LaneGroup:
    lanes = [_lane(track, whole_s, is_picture=is_picture) for track in tracks if track.track_id in kept]
    return LaneGroup(
        name=name,
        title=counted(len(tracks), name),
        is_open=len(tracks) <= OPEN_UP_TO,
        first=lanes[:SHOWN_AT_FIRST],
        more=lanes[SHOWN_AT_FIRST:],
        left_out=len(tracks) - len(lanes),
        crowd=_crowd(tracks, whole_s),
    )


def _crowd(tracks: list[ObjectTrack], whole_s: float) -> str:
    """Return how many there are in each of `CROWD_COLUMNS` stretches of time, as a closed path of steps."""
    edges = np.linspace(0, whole_s, CROWD_COLUMNS + 1)
    starts = np.sort([track.start_s for track in tracks])
    ends = np.sort([track.end_s for track in tracks])
    # There are those that started before a stretch ends, without those that ended before it starts.
    counts = np.searchsorted(starts, edges[1:], "left") - np.searchsorted(ends, edges[:-1], "left")
    height = np.round(1 - counts / max(int(counts.max()), 1), 2)
    steps = "".join(f"V{top:g}h{100 / CROWD_COLUMNS:g}" for top in height)
    return f"M0 1{steps}V1Z"


def _lane(track: ObjectTrack, whole_s: float, *, is_picture: bool) -> Lane:
    start, end = percent(track.start_s, whole_s), percent(track.end_s, whole_s)
    width = max(round(end - start, 2), NARROWEST)
    when = "" if is_picture else f"{timestamp(track.start_s, whole_s)} to {timestamp(track.end_s, whole_s)}"
    named = f"{track.class_name} {track.track_id}"
    says = f"{named}, score {track.score:.2f}" if is_picture else f"{named}, {when}, score {track.score:.2f}"
    return Lane(track, left=min(start, 100 - width), width=width, when=when, says=says)
