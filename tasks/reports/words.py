"""Text and times as a report shows them."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from urllib.parse import quote, urlsplit

from tasks.contracts.media import LabelScore, LabelSegment, LabelsManifest, ModelLabels, ObjectsManifest, ObjectTrack
from tasks.contracts.text import shown as text_shown

LONGEST = 300  # characters of a title or a source
LINKED_SCHEMES = {"http", "https"}
UNITS = ("B", "kB", "MB", "GB", "TB")


def shown(text: str) -> str:
    """Return the text on one line, inert, without secrets, and not longer than `LONGEST` characters."""
    return text_shown(text, LONGEST)


def link(address: str | None) -> str | None:
    """Return the address where it is one of the web, and None where it is anything else, e.g. `javascript:`."""
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme.lower() in LINKED_SCHEMES and parts.hostname else None


def beside(name: str) -> str:
    """Return the relative address of a file beside the page; its name never becomes a scheme, a query or a mark."""
    return quote(name, safe="/")


def size(size_bytes: float) -> str:
    """Return e.g. "12.3 kB"."""
    amount, unit = float(size_bytes), 0
    while amount >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {UNITS[unit]}"


MINUTE_S, HOUR_S = 60, 3600
MOST_TICKS = 7  # more would touch each other on a phone
# Steps that a person counts in.
TICK_STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
SHORTEST_S = 0.1  # an axis of no length could not be drawn


def length_s(labels: LabelsManifest | None, objects: ObjectsManifest | None) -> float:
    """Return how long the axis of time is: what the file says, or the last thing that was found."""
    found = [manifest.video.media.duration_s or 0.0 for manifest in (labels, objects) if manifest]
    if labels:
        found += [segment.end_s for each in labels.by_model.values() for segment in each.segments]
    if objects:
        found += [max(track.end_s, track.best_time_s) for track in objects.tracks]
    return max([SHORTEST_S, *(time_s for time_s in found if math.isfinite(time_s))])


def timestamp(time_s: float, whole_s: float) -> str:
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


NAMED_RUNS = 6  # more changes of label than these are counted, not named
NAMED_CLASSES = 6
NAMED_TOP = 3
MOSTLY_FROM = 0.5  # share of the time from which a label is what the video mostly shows
SHOWN_AT_ALL = 0.01  # scores below are noise

# Plurals of COCO's class names that no rule gives.
ODD_PLURALS = {"person": "people", "mouse": "mice", "sheep": "sheep", "skis": "skis", "scissors": "scissors"}
ODD_PLURALS |= {"knife": "knives", "broccoli": "heads of broccoli"}


def labels_in_words(manifest: LabelsManifest) -> str:
    """Return what the video shows over time, e.g. "espresso (0-2 s), then hotdog (2-4 s)" with en dashes.

    Where several models were asked, each one's name comes before what it says.
    """
    said = each_in_words(manifest)
    return " ".join(said.values() if len(said) == 1 else (f"{name}: {words}" for name, words in said.items()))


def each_in_words(manifest: LabelsManifest) -> dict[str, str]:
    """Return what each model says of the video, by its name."""
    whole_s, is_picture = length_s(manifest, None), manifest.video.media.kind == "picture"
    return {
        shown(name): _answer_in_words(each, whole_s, is_picture=is_picture) for name, each in manifest.by_model.items()
    }


def _answer_in_words(answer: ModelLabels, whole_s: float, *, is_picture: bool) -> str:
    runs = [] if is_picture else leading_runs(answer.segments)
    if not runs:
        return _as_a_whole(answer.top, certain=is_picture)
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
        return f"{counted(len(tracks), name)}, at {timestamp(start_s, whole_s)}"
    return f"{counted(len(tracks), name)}, from {timestamp(start_s, whole_s)} to {timestamp(end_s, whole_s)}"
