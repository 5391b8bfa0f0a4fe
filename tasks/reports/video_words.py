"""What a video shows, in words.

In: manifests. Out: sentences for a page or a terminal, of names that may come from strangers: without control
characters, and not escaped. Does not know where they are read.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from tasks.contracts.labels import LabelScore, LabelSegment, LabelsManifest
from tasks.contracts.objects import ObjectsManifest, ObjectTrack
from tasks.reports.video_text import shown
from tasks.reports.video_time import length_s, moment, span

NAMED_RUNS = 6  # more changes of label than these are counted, not named
NAMED_CLASSES = 6
NAMED_TOP = 3
MOSTLY_FROM = 0.5  # share of the time from which a label is what the video mostly shows
SHOWN_AT_ALL = 0.01  # scores below are noise

# Plurals of COCO's class names that no rule gives.
ODD_PLURALS = {"person": "people", "mouse": "mice", "sheep": "sheep", "skis": "skis", "scissors": "scissors"}
ODD_PLURALS |= {"knife": "knives", "broccoli": "heads of broccoli"}


def labels_in_words(manifest: LabelsManifest) -> str:
    """Return what the video shows over time, e.g. "espresso (0-2 s), then hotdog (2-4 s)" with en dashes."""
    whole_s = length_s(manifest, None)
    is_picture = manifest.video.media.kind == "picture"
    runs = [] if is_picture else leading_runs(manifest.segments)
    if not runs:
        return _as_a_whole(manifest.top, certain=is_picture)
    named = [f"{shown(name)} ({span(start_s, end_s, whole_s)})" for name, start_s, end_s in runs[:NAMED_RUNS]]
    rest = len(runs) - len(named)
    more = f", and {rest} more {'change' if rest == 1 else 'changes'}" if rest else ""
    return f"{_mostly(runs, whole_s)}{', then '.join(named)}{more}."


def leading_runs(segments: Iterable[LabelSegment]) -> list[tuple[str, float, float]]:
    """Return (name, start_s, end_s) of the label that leads, as long as it leads: segments may overlap.

    Of the labels that hold at one time, the one with the best score leads.
    """
    held = sorted(segments, key=lambda segment: segment.start_s)
    edges = sorted({edge for segment in held for edge in (segment.start_s, segment.end_s)})
    leaders: list[tuple[str, float, float]] = []
    active: list[LabelSegment] = []
    coming = iter([*held, None])
    following = next(coming)
    for start_s, end_s in pairwise(edges):
        while following and following.start_s <= start_s:
            active.append(following)
            following = next(coming)
        active = [segment for segment in active if segment.end_s > start_s]
        if active:
            leader = max(active, key=lambda segment: (segment.score, -segment.label_id))
            leaders.append((leader.name, start_s, end_s))
    return _joined(leaders)


def objects_in_words(manifest: ObjectsManifest) -> str:
    """Return what there is and when, e.g. "3 bottles, from 2.0 s to 9.5 s; 1 cup, from 0.0 s to 2.0 s."."""
    if not manifest.tracks:
        return "No objects were found."
    by_class: dict[str, list[ObjectTrack]] = {}
    for track in manifest.tracks:
        by_class.setdefault(track.class_name, []).append(track)
    ordered = sorted(by_class.items(), key=lambda item: (-len(item[1]), item[1][0].start_s))
    whole_s = None if manifest.video.media.kind == "picture" else length_s(None, manifest)
    named = [_present(name, tracks, whole_s) for name, tracks in ordered[:NAMED_CLASSES]]
    rest = len(ordered) - len(named)
    return "; ".join(named) + (f"; and {rest} more {'kind' if rest == 1 else 'kinds'}" if rest else "") + "."


def counted(count: int, name: str) -> str:
    """Return e.g. "1 bottle", "3 bottles", "2 people"."""
    return f"{count:,} {shown(name if count == 1 else plural(name))}"


def plural(name: str) -> str:
    """Return the plural of a class's name."""
    if name in ODD_PLURALS:
        return ODD_PLURALS[name]
    return f"{name}es" if name.endswith(("s", "ch", "sh", "x")) else f"{name}s"


def _as_a_whole(top: Sequence[LabelScore], *, certain: bool) -> str:
    named = [f"{shown(label.name)} ({label.score:.2f})" for label in top[:NAMED_TOP] if label.score >= SHOWN_AT_ALL]
    if not named:
        return "No label fits."
    guesses = ", or ".join(named)
    return f"{guesses}." if certain else f"No label holds for long enough; as a whole, at best {guesses}."


def _mostly(runs: list[tuple[str, float, float]], whole_s: float) -> str:
    """Return "Mostly ", and which unless it is the first, where one label of several leads for most of the time."""
    held_s: dict[str, float] = {}
    for name, start_s, end_s in runs:
        held_s[name] = held_s.get(name, 0.0) + end_s - start_s
    longest = max(held_s, key=lambda name: held_s[name])
    if len(held_s) == 1 or held_s[longest] <= MOSTLY_FROM * whole_s:
        return ""
    return "Mostly " if runs[0][0] == longest else f"Mostly {shown(longest)}: "


def _joined(leaders: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Join what follows without a gap under one name."""
    runs: list[tuple[str, float, float]] = []
    for name, start_s, end_s in leaders:
        if runs and runs[-1][0] == name and runs[-1][2] == start_s:
            runs[-1] = (name, runs[-1][1], end_s)
        else:
            runs.append((name, start_s, end_s))
    return runs


def _present(name: str, tracks: Sequence[ObjectTrack], whole_s: float | None) -> str:
    if whole_s is None:
        return counted(len(tracks), name)
    start_s, end_s = min(track.start_s for track in tracks), max(track.end_s for track in tracks)
    if end_s == start_s:
        return f"{counted(len(tracks), name)}, at {moment(start_s, whole_s)}"
    return f"{counted(len(tracks), name)}, from {moment(start_s, whole_s)} to {moment(end_s, whole_s)}"
