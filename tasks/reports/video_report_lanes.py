"""The objects of a video → lanes of a chart, grouped by class.

In: a manifest of objects. Out: groups of lanes, commonest class first, with places in percent of the time. Does not
know HTML.
"""

from dataclasses import dataclass

import numpy as np

from tasks.contracts.objects import ObjectsManifest, ObjectTrack
from tasks.reports.video_time import moment, percent
from tasks.reports.video_words import counted

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
    when = "" if is_picture else f"{moment(track.start_s, whole_s)} to {moment(track.end_s, whole_s)}"
    named = f"{track.class_name} {track.track_id}"
    says = f"{named}, score {track.score:.2f}" if is_picture else f"{named}, {when}, score {track.score:.2f}"
    return Lane(track, left=min(start, 100 - width), width=width, when=when, says=says)
