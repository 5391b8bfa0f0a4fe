"""Which clips of a table make up a dataset: each once, its group on one side alone, every class on both."""

import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from tasks.contracts.datasets import ClipRecord, DropReason, ShardTally
from tasks.imports.table import TRAIN, VALIDATE, ClipTable, LabelledClip
from tasks.video.sources import means_elsewhere

PARTITIONS = {TRAIN: "import/train", VALIDATE: "import/validate"}
HELD_OUT = 0.2  # share of the groups to judge on, where the table does not say which
LONGEST_STEM = 60  # characters of the file's name, within a video's id
DIGITS = 8  # of the content's digest: enough to tell files of one name apart
SHOWN = 5


@dataclass(frozen=True)
class ImportedClip:
    """A clip of a dataset, or one that was dropped and why."""

    clip: LabelledClip
    side: str  # `train` or `validate`
    content: str | None  # SHA-256 of the file; None where there is none
    drop: DropReason | None = None
    copy: int = 0  # how many times the same clip stands before it

    @cached_property
    def name(self) -> str:
        """The id of the video: as its version has it, or the file's name, the beginning of its digest, and when."""
        if self.clip.video_id:
            return self.clip.video_id
        last = self.clip.named.rpartition("/")[2]
        last = unquote(last) if means_elsewhere(self.clip.named) else last
        plain = unicodedata.normalize("NFKD", last.rpartition(".")[0] or last).encode("ascii", "ignore").decode()
        word = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:LONGEST_STEM].strip("-")
        part = (
            ""
            if self.clip.part == (None, None)
            else "-".join(["", *map(_seconds, (self.clip.start_s or 0, self.clip.end_s))])
        )
        again = f"-again-{self.copy}" if self.copy else ""
        return f"{word or 'video'}-{(self.content or _digest(self.clip.named))[:DIGITS]}{part}{again}"

    @property
    def tally(self) -> ShardTally:
        """The clip as a shard of one record, with a digest of all that its row depends on."""
        start_s, end_s = self.clip.part
        about = [self.name, self.content, start_s, end_s, self.clip.labels, self.drop]
        return ShardTally(
            name=self.name,
            partition=PARTITIONS[self.side],
            md5=hashlib.md5(json.dumps(about).encode(), usedforsecurity=False).hexdigest(),
            records=1,
            matches=0 if self.drop else 1,
            background=0,
            drops={self.drop: 1} if self.drop else {},
            clip=ClipRecord(sha256=self.content, start_s=start_s, end_s=end_s),
        )


@dataclass(frozen=True)
class ImportPlan:
    """The clips of a table with their sides; those that cannot be used among them."""

    table: ClipTable
    clips: tuple[ImportedClip, ...]
    label_names: tuple[str, ...]  # by index: sorted
    failures: Mapping[str, str]  # source -> why it cannot be used

    @cached_property
    def used(self) -> tuple[ImportedClip, ...]:
        """Those that no reason speaks against, so far."""
        return tuple(each for each in self.clips if each.drop is None)

    @property
    def is_single_label(self) -> bool:
        """Whether each video has exactly one label, and not by chance: those of YouTube-8M have any number."""
        return self.table.origin is None and all(len(each.clip.labels) == 1 for each in self.clips)

    @property
    def dropped(self) -> list[dict[str, str]]:
        """What was dropped: the source as the table names it, the reason, and why in words, where there are any."""
        return [
            {
                "source": each.clip.named,
                "reason": each.drop,
                "why": self.failures.get(each.clip.source, each.clip.place),
            }
            for each in self.clips
            if each.drop
        ]

    @property
    def notes(self) -> list[str]:
        """What a person should know of the lines that no video's fault left out."""
        words = {
            DropReason.DUPLICATE: "name a clip that stands there before; it counts once",
            DropReason.NOTHING_SHOWN: "begin after the end of their video, and are left out",
            DropReason.RATE_LIMITED: "are left out, as their host gives no more for now; run the same again in an hour "
            "(what has come is kept)",
        }
        what = "videos" if self.table.origin else "lines"
        found = list[str]()
        for reason, said in words.items():
            places = [each.clip.place for each in self.clips if each.drop is reason]
            if places:
                found.append(f"{len(places):,} of its {what} {said}: {_first(places)}.")
        return found + self._shared_files

    @property
    def _shared_files(self) -> list[str]:
        """Say where ids of a version lead to one file from both sides: a model is judged on what it has learnt from."""
        sides = defaultdict[str | None, set[str]](set)
        for each in self.used:
            sides[each.content].add(each.side)
        shared = [each.name for each in self.used if len(sides[each.content]) > 1 and each.side == VALIDATE]
        return (
            [f"{len(shared):,} videos to judge on are a file to learn from, too: {_first(shared)}."] if shared else []
        )

    def without(self, drops: Mapping[int, DropReason], failures: Mapping[str, str]) -> "ImportPlan":
        """Return the plan in which the clips at these places are dropped, and every class is still on both sides.

        Where the sides were chosen they are chosen again: a broken video may have been all that its class had on one.

        Raises:
            DatasetError: one is not.
        """
        clips = tuple(replace(each, drop=drops.get(place, each.drop)) for place, each in enumerate(self.clips))
        if drops and not any(clip.side for clip in self.table.clips):
            groups = _groups(self.table, {each.clip.source: each.content for each in clips})
            dropped = {place: each.drop for place, each in enumerate(clips) if each.drop}
            sides = _chosen_sides(self.table.clips, groups, dropped)
            clips = tuple(replace(each, side=side) for each, side in zip(clips, sides, strict=True))
        plan = ImportPlan(self.table, clips, self.label_names, {**self.failures, **failures})
        if drops:
            _check_sides(plan)
        return plan


def plan_import(
    table: ClipTable,
    found: Mapping[str, str | None] | None = None,
    failures: Mapping[str, str] | None = None,
    causes: Mapping[str, DropReason] | None = None,
) -> ImportPlan:
    """Say which clips make up a dataset, and on which side each is.

    Args:
        table: what is labelled.
        found: the SHA-256 of each source's file, None where there is none. As long as no file is known the sources
            stand in for them, so that what is wrong with the table alone is raised before any video is fetched.
        failures: why a source has no file.
        causes: the reason by which such a source is counted.

    Raises:
        DatasetError: the same clip has different labels, a group would be on both sides, or a class would not; one
            line says which.
    """
    names = tuple(sorted({label for clip in table.clips for label in clip.labels}))
    if len(names) < 2:
        table.refuse(
            f"all {len(table.clips):,} videos have the label {next(iter(names))!r}. A classifier needs two or more."
        )
    contents = dict(zip(table.sources, table.sources, strict=True)) if found is None else found
    copies = _copies(table, contents)
    drops = {place: DropReason.DUPLICATE for place, copy in enumerate(copies) if copy} | {
        place: (causes or {}).get(clip.source, DropReason.NOT_FETCHED)
        for place, clip in enumerate(table.clips)
        if contents[clip.source] is None
    }
    given = [clip for clip in table.clips if clip.side]
    if given and len(given) < len(table.clips):
        place = next(clip.place for clip in table.clips if not clip.side)
        table.refuse(f"{place} has no split, and {given[0].place} has one. Give every line one, or none.")
    groups = _groups(table, contents)
    sides = _given_sides(table, groups) if given else _chosen_sides(table.clips, groups, drops)
    clips = tuple(
        ImportedClip(clip, sides[place], contents[clip.source], drops.get(place), copies[place])
        for place, clip in enumerate(table.clips)
    )
    plan = ImportPlan(table, clips, names, failures or {})
    if given or found is not None or _has_small_class(table, groups):
        _check_sides(plan)
    return plan


def _has_small_class(table: ClipTable, groups: Sequence[str]) -> bool:
    """Say whether all videos of a label are of one group, however the sides will be chosen."""
    of_label = defaultdict[str, set[str]](set)
    for clip, group in zip(table.clips, groups, strict=True):
        for label in clip.labels:
            of_label[label].add(group)
    return any(len(each) == 1 for each in of_label.values())


def _copies(table: ClipTable, contents: Mapping[str, str | None]) -> list[int]:
    """Return how many times each clip stands there before.

    Raises:
        DatasetError: one that stands there before had other labels.
    """
    seen = defaultdict[object, list[LabelledClip]](list)
    copies = list[int]()
    for clip in table.clips:
        same = seen[_identity(clip, contents) or clip.source, clip.part]
        first = next(iter(same), clip)
        if first.labels != clip.labels:
            other = "" if first.source == clip.source else f" (the same file as {first.named} on {first.place})"
            table.refuse(
                f"{clip.place}: {clip.named}{other} is labelled {_named(clip.labels)}, and {_named(first.labels)} on "
                f"{first.place}. Leave one, or give both labels in a column 'labels', with | between."
            )
        copies.append(len(same))
        same.append(clip)
    return copies


def _identity(clip: LabelledClip, contents: Mapping[str, str | None]) -> str | None:
    """Return by what a video is the same as another: its id in a version, or the content of its file."""
    return clip.video_id or contents[clip.source]


def _named(labels: Sequence[str]) -> str:
    return " and ".join(map(repr, labels))


def _groups(table: ClipTable, contents: Mapping[str, str | None]) -> list[str]:
    """Return the group of each clip: what the table calls it, or the file; what shares a file is one group."""
    known = dict[str, str]()

    def root(name: str) -> str:
        while known.setdefault(name, name) != name:
            name = known[name]
        return name

    files = [f"file {_identity(clip, contents) or clip.named}" for clip in table.clips]
    names = [f"group {clip.group}" if clip.group else file for clip, file in zip(table.clips, files, strict=True)]
    for name, file in zip(names, files, strict=True):
        first, second = sorted((root(name), root(file)), reverse=True)  # a group's name goes before a file's
        known[second] = first
    return [root(name) for name in names]


def _given_sides(table: ClipTable, groups: Sequence[str]) -> list[str]:
    """Return the sides that the table gives.

    Raises:
        DatasetError: a group, or a file, is on both.
    """
    first = dict[str, LabelledClip]()
    for clip, group in zip(table.clips, groups, strict=True):
        other = first.setdefault(group, clip)
        if other.side != clip.side:
            what = f"group {clip.group!r}" if clip.group and clip.group == other.group else f"video {clip.named}"
            table.refuse(
                f"the {what} is on both sides: {other.side} on {other.place}, {clip.side} on {clip.place}. A model "
                "that has seen one would be judged on the other: give all of it one split."
            )
    return [clip.side or TRAIN for clip in table.clips]


def _chosen_sides(clips: Sequence[LabelledClip], groups: Sequence[str], drops: Mapping[int, DropReason]) -> list[str]:
    """Choose a side for each group by a hash of its name, so that a video that is added moves none.

    A class so small that none of its groups falls to a side gets the group there whose hash is nearest to it. That one
    may move when another video of its class is added: whatever is fixed for each group by itself leaves some class out.
    """
    hashes = {group: int(_digest(group)[:16], 16) / 2**64 for group in groups}
    classes = defaultdict[str, set[str]](set)
    for place, (clip, group) in enumerate(zip(clips, groups, strict=True)):
        if place not in drops:
            for label in clip.labels:
                classes[label].add(group)
    held_out = {group for group, value in hashes.items() if value < HELD_OUT}
    for _, found in sorted(classes.items()):
        if not found & held_out:
            held_out.add(min(found, key=hashes.__getitem__))
    for _, found in sorted(classes.items()):
        if found <= held_out and len(found) > 1:
            held_out.remove(max(found, key=hashes.__getitem__))
    return [VALIDATE if group in held_out else TRAIN for group in groups]


def _check_sides(plan: ImportPlan) -> None:
    """See that every class is on both sides; of videos with several labels, that there are videos on both.

    Raises:
        DatasetError: one is not.
    """
    if not plan.used:
        plan.table.refuse(f"none of its {len(plan.clips):,} videos can be used: {_reasons(plan, plan.clips)}.")
    where = defaultdict[str, set[str]](set)
    for each in plan.used:
        for label in each.clip.labels if plan.is_single_label else ("",):
            where[label].add(each.side)
    for label in plan.label_names if plan.is_single_label else ("",):
        if missing := {TRAIN, VALIDATE} - where[label]:
            of = [each for each in plan.clips if label in each.clip.labels or not label]
            lost = [each for each in of if each.drop]
            told = f" ({len(lost):,} of its {len(of):,} cannot be used: {_reasons(plan, lost)})" if lost else ""
            what = f"the class {label!r} has" if label else "it has"
            purpose = "learn from" if TRAIN in missing else "judge on"
            waits = any(each.drop is DropReason.RATE_LIMITED for each in lost)
            hint = "Run the same again in an hour: what has come is kept" if waits else plan.table.hint
            plan.table.refuse(
                f"{what} no video to {purpose}{told}, as it needs videos of two files or groups at least. {hint}."
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *["..."] * (len(names) > SHOWN)])


def _reasons(plan: ImportPlan, clips: Iterable[ImportedClip]) -> str:
    """Return how many were dropped for each reason, and why the first was."""
    lost = [each for each in clips if each.drop]
    counts = Counter(str(each.drop) for each in lost)
    why = next((plan.failures[each.clip.source] for each in lost if each.clip.source in plan.failures), "")
    told = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
    return f"{told}; the first: {why.rstrip('.')}" if why else told


def _seconds(time_s: float | None) -> str:
    """Write a time as the name of a shard may have it: `12.5`; the beginning is 0, the end has no number."""
    return "end" if time_s is None else f"{time_s:.6f}".rstrip("0").rstrip(".")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(path: Path) -> str:
    """Return what a dataset is called where nobody says it: as its folder, or its file without the suffix."""
    return path.name if path.is_dir() else path.stem
