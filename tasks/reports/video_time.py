"""Time as a report writes and draws it.

In: seconds, manifests. Out: "9.5 s" or "1:02", places on an axis in percent, ticks. Does not know pages.
"""

import math
from collections.abc import Iterator

from tasks.contracts.labels import LabelsManifest
from tasks.contracts.objects import ObjectsManifest

MINUTE_S, HOUR_S = 60, 3600
MOST_TICKS = 7  # more would touch each other on a phone
# Steps that a person counts in.
TICK_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
SHORTEST_S = 0.1  # an axis of no length could not be drawn


def length_s(labels: LabelsManifest | None, objects: ObjectsManifest | None) -> float:
    """Return how long the axis of time is: what the file says, or the last thing that was found."""
    found = [manifest.video.media.duration_s or 0.0 for manifest in (labels, objects) if manifest]
    if labels:
        found += [segment.end_s for segment in labels.segments]
    if objects:
        found += [max(track.end_s, track.best_time_s) for track in objects.tracks]
    return max([SHORTEST_S, *(time_s for time_s in found if math.isfinite(time_s))])


def moment(time_s: float, whole_s: float) -> str:
    """Return a time within a video of `whole_s` seconds: "9.5 s" where it is short, else "1:02" or "1:01:02"."""
    if whole_s < MINUTE_S:
        return f"{time_s:.1f} s"
    return _clock(time_s, whole_s)


def span(start_s: float, end_s: float, whole_s: float) -> str:
    """Return a stretch of time, e.g. "0-2 s", "1.5-2 s" or "1:02-1:10", with an en dash."""
    if whole_s < MINUTE_S:
        return f"{_short(start_s)}–{_short(end_s)} s"  # noqa: RUF001 - an en dash stands between numbers
    return f"{_clock(start_s, whole_s)}–{_clock(end_s, whole_s)}"  # noqa: RUF001


def percent(time_s: float, whole_s: float) -> float:
    """Return where a time lies on the axis, in percent of its length, two digits behind the point."""
    return round(min(max(100 * time_s / whole_s, 0.0), 100.0), 2)


def ticks(whole_s: float) -> Iterator[tuple[float, str]]:
    """Return places in percent with their text, at steps that a person counts in; never more than `MOST_TICKS`."""
    step_s = next((step for step in TICK_STEPS_S if whole_s / step < MOST_TICKS), whole_s / (MOST_TICKS - 1))
    for number in range(math.floor(whole_s / step_s) + 1):
        time_s = number * step_s
        yield percent(time_s, whole_s), _short(time_s) + " s" if whole_s < MINUTE_S else _clock(time_s, whole_s)


def _short(time_s: float) -> str:
    return f"{time_s:.1f}".removesuffix(".0")


def _clock(time_s: float, whole_s: float) -> str:
    minutes, seconds = divmod(int(time_s), MINUTE_S)
    hours, rest = divmod(minutes, MINUTE_S)
    return f"{hours}:{rest:02d}:{seconds:02d}" if whole_s >= HOUR_S else f"{minutes}:{seconds:02d}"
