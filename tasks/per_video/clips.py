"""Clips of what was found in a video: stretches of a label or a class, cut out, with a sheet of their pictures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, ValidationError

from tasks.contracts.errors import UnknownLabelError, did_you_mean
from tasks.contracts.files import check_no_link, locked
from tasks.contracts.media import (
    LABELS_NAME,
    OBJECTS_NAME,
    FetchedVideo,
    LabelsManifest,
    ObjectsManifest,
    TimeRange,
    VideoRecord,
)
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent
from tasks.contracts.text import clock, file_time, free_name
from tasks.video.config import MediaBounds
from tasks.video.drawing import contact_sheet
from tasks.video.frames import FALLBACK_RATE, picture_at
from tasks.video.sources import DIGITS, slug_of
from tasks.video.writing import cut_out, write_gif

SHEET_NAME = "contact-sheet.jpg"
MOST_THUMBNAILS = 100  # of a sheet: more could not be read
NAMED = 12  # labels in a message
UNMINDED = "-_'\u2019,.()"  # by which names of one thing differ; `C++` is not `C`

Span = tuple[float, float]
AnswerT = TypeVar("AnswerT", LabelsManifest, ObjectsManifest)


class Clip(FrozenModel):
    """A file that was cut out of a video."""

    label: str = Field(description="the label or the class of objects that is shown")
    start_s: float = Field(description="in the time of the video")
    end_s: float
    file: str
    is_copy: bool = Field(description="whether its pictures are the video's own, or were encoded again")
    gif: str | None = None


@dataclass(frozen=True)
class ClipsOfVideo:
    """The clips of one video, and where they lie."""

    source: str
    title: str
    folder: Path
    clips: tuple[Clip, ...]
    sheet: str = SHEET_NAME


@dataclass(frozen=True)
class Answers:
    """The newest of what was found in a video."""

    labels: LabelsManifest | None
    objects: ObjectsManifest | None

    @property
    def video(self) -> VideoRecord | None:
        """What is known of the video."""
        known = self.labels or self.objects
        return known.video if known else None

    def names(self) -> list[str]:
        """Return the labels and classes that were found, each once."""
        answers = self.labels.by_model.values() if self.labels else ()
        segments = [each.name for answer in answers for each in answer.segments]
        tracks = self.objects.tracks if self.objects else ()
        return list(dict.fromkeys([*segments, *(each.class_name for each in tracks)]))

    def spans(self, name: str) -> list[Span]:
        """Return from when to when a label holds, or things of a class are seen; whatever the case of the name."""
        answers = self.labels.by_model.values() if self.labels else ()
        found = [
            (each.start_s, each.end_s)
            for answer in answers
            for each in answer.segments
            if _squeezed(each.name) == _squeezed(name)
        ]
        if self.objects:
            frame_s = 1 / (self.objects.video.media.frame_rate or FALLBACK_RATE)  # for which the last box is seen
            tracks = (each for each in self.objects.tracks if _squeezed(each.class_name) == _squeezed(name))
            found += [(each.start_s, each.end_s + frame_s) for each in tracks]
        return found


def _squeezed(name: str) -> str:
    return "".join(letter for letter in name.casefold() if not letter.isspace() and letter not in UNMINDED)


def newest_answers(root: Path, video: FetchedVideo) -> Answers:
    """Return the newest labels and objects of a video below `root`: of its part, or else of all before those of one."""
    folders = sorted(root.glob(f"*-{video.sha256[:DIGITS]}*")) if root.is_dir() else []
    labels = [(folder / LABELS_NAME, LabelsManifest) for folder in folders]
    objects = [(folder / OBJECTS_NAME, ObjectsManifest) for folder in folders]
    return Answers(_newest(labels, video), _newest(objects, video))


def _newest(places: Iterable[tuple[Path, type[AnswerT]]], video: FetchedVideo) -> AnswerT | None:
    found = list[tuple[bool, int, AnswerT]]()
    for path, kind in places:
        try:
            manifest = kind.model_validate_json(path.read_bytes())
            made_at = path.stat().st_mtime_ns
        except (OSError, ValidationError):
            continue
        if manifest.video.sha256 == video.sha256 and video.part in (None, manifest.video.part):
            found.append((manifest.video.part == video.part, made_at, manifest))
    return max(found, key=lambda each: each[:2])[2] if found else None


def chosen_spans(answers: Answers, labels: Sequence[str], pad_s: float) -> list[tuple[str, Span]]:
    """Return the stretches of each label, longer by `pad_s` at both ends, those that then meet as one, by their start.

    Raises:
        UnknownLabelError: a label was not found in the video.
    """
    names, video = answers.names(), answers.video
    duration_s = (video.media.duration_s if video else None) or float("inf")
    chosen = list[tuple[str, Span]]()
    for label in {_squeezed(each): each for each in labels}.values():
        found = sorted(answers.spans(label))
        padded = ((max(start_s - pad_s, 0.0), min(end_s + pad_s, duration_s)) for start_s, end_s in found)
        spans = [span for span in _joined(padded) if span[0] < span[1]]  # not those of an instant, or behind the end
        if not spans:
            more = " ..." if len(names) > NAMED else ""
            known = f"Found: {', '.join(names[:NAMED])}{more}." if names else "No label holds, and no object is seen."
            raise UnknownLabelError(f"No {label!r} was found in it. {known}{did_you_mean(label, names)}")
        name = next((each for each in names if _squeezed(each) == _squeezed(label)), label)
        chosen += [(name, span) for span in spans]
    return sorted(chosen, key=lambda each: (each[1], each[0]))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    latest: Span | None = None
    for start_s, end_s in spans:
        if latest and start_s <= latest[1]:
            latest = (latest[0], max(latest[1], end_s))
            continue
        if latest:
            yield latest
        latest = (start_s, end_s)
    if latest:
        yield latest


def cut_clips(
    video: FetchedVideo,
    spans: Sequence[tuple[str, Span]],
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
    *,
    has_gif: bool = False,
) -> tuple[Clip, ...]:
    """Cut stretches out of a video, each into a file named by its label and time, and make a sheet of them.

    Raises:
        VideoError: the video cannot be read, or a clip cannot be written.
        OutputError: the folder is a link.
    """
    check_no_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told, what = progress or Silent(), f"clips of {video.path.name}"
    told.begin(what, len(spans), "clips")
    clips = list[Clip]()
    with locked(folder):
        for label, (start_s, end_s) in spans:
            part = TimeRange(start_s=start_s, end_s=end_s)
            stem = f"{slug_of(label) or 'clip'}-{file_time(start_s)}-{file_time(end_s)}"
            name = free_name(stem, {Path(clip.file).stem for clip in clips})  # `C` and `C++` are alike in ASCII
            is_copy = cut_out(video.path, bounds, part, folder / f"{name}.mp4")
            if has_gif:
                write_gif(video.path, bounds, part, folder / f"{name}.gif")
            gif = f"{name}.gif" if has_gif else None
            clips.append(Clip(label=label, start_s=start_s, end_s=end_s, file=f"{name}.mp4", is_copy=is_copy, gif=gif))
            told.advance(what, 1)
        Image.fromarray(contact_sheet(_pictures(video.path, bounds, clips))).save(folder / SHEET_NAME, quality=85)
    return tuple(clips)


def _pictures(path: Path, bounds: MediaBounds, clips: Sequence[Clip]) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield the picture in the middle of each clip, and what it is called."""
    for clip in clips[:MOST_THUMBNAILS]:
        middle = picture_at(path, bounds, (clip.start_s + clip.end_s) / 2)
        yield middle, f"{clip.label} {clock(clip.start_s)}-{clock(clip.end_s)}"
