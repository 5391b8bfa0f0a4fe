"""Object detection for one video or picture, from the file to the folder of results."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DetectorError
from tasks.contracts.files import answer_digests, staged
from tasks.contracts.media import (
    DETECTED_PICTURE_NAME,
    DETECTED_VIDEO_NAME,
    OBJECTS,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    DetectorRecord,
    FetchedVideo,
    MediaFacts,
    ObjectsManifest,
    VideoRecord,
)
from tasks.contracts.model import code_revision
from tasks.contracts.overlap import StageClock, ahead
from tasks.contracts.progress import Progress, Silent
from tasks.detection.boxes import NO_TRACK, Detections, Detector, TimedFrame
from tasks.detection.config import DetectOptions
from tasks.detection.drawing import Thumbnails, labels_of, showing
from tasks.detection.table import KeyedRows
from tasks.detection.tracking import Follower, TrackSummaries, carried
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch
from tasks.video.frames import FALLBACK_RATE, Frame, FrameReader, open_frames
from tasks.video.probe import probe

GROUP_BYTES = 256 << 20  # of pictures that wait for a batch to fill, at most


def detected(
    frames: Iterable[TimedFrame], detector: Detector, options: DetectOptions, clock: StageClock
) -> Iterator[TimedFrame]:
    """Yield the frames in order; of those that the detector is to see, each with what was found.

    Pictures are given in batches of the detector's own size; less where they are so large that waiting for more would
    take up the memory.
    """
    for group in _groups(frames, detector.batch_size):
        with clock.measuring("detect"):
            images = [frame.image for frame in group if frame.is_detected and frame.image is not None]
            found = iter([_wanted(each, detector, options) for each in detector.detect(images)] if images else [])
        for frame in group:
            yield replace(frame, found=next(found)) if frame.is_detected else frame


def _groups(frames: Iterable[TimedFrame], batch_size: int) -> Iterator[list[TimedFrame]]:
    """Yield frames in groups with at most `batch_size` that are to be seen."""
    group: list[TimedFrame] = []
    seen = size_bytes = 0
    for frame in frames:
        group.append(frame)
        seen += frame.is_detected
        size_bytes += frame.image.nbytes if frame.image is not None else 0
        if seen == batch_size or size_bytes > GROUP_BYTES:
            yield group
            group, seen, size_bytes = [], 0, 0
    if group:
        yield group


def _wanted(found: Detections, detector: Detector, options: DetectOptions) -> Detections:
    """Leave out what the options do not ask for, and pack the masks."""
    is_wanted = np.ones(len(found), np.bool_)
    if options.min_score is not None:
        is_wanted &= found.scores >= options.min_score
    if options.classes:
        is_wanted &= np.isin(found.class_ids, _class_ids(detector, options))
    wanted = found[np.flatnonzero(is_wanted)]
    return wanted.packed() if options.masks else replace(wanted, masks=None)


def _class_ids(detector: Detector, options: DetectOptions) -> list[int]:
    unknown = [name for name in options.classes if name not in detector.class_names]
    if unknown:
        raise DetectorError(f"{detector.record.name} has no class {', '.join(unknown)}.")
    return [detector.class_names.index(name) for name in options.classes]


LONG_STEPS = 1.5  # a frame on show for longer than so many of the usual steps stays on show
SAME_TIME_S = 1e-6  # times of containers are rounded: 29.97 frames a second are 33.3667 ms


def timed_frames(
    frames: Iterable[Frame],
    *,
    rate_hz: float | None,
    every: int,
    last_s: float,
    keep_images: bool,
    start_s: float = 0.0,
) -> Iterator[TimedFrame]:
    """Yield every frame, and say of each what is done with it.

    With a rate, the frames looked at are those on show 0, 1 / rate, 2 / rate, ... after the start; without, all are. Of
    these, the detector sees the first and every `every`-th after it. `last_s` is how long the last frame is on show,
    where it does not say so itself. Without `keep_images`, only what the detector sees keeps its pixels.
    """
    looks = 0
    for frame, until_s in _with_ends(frames, last_s):
        is_looked_at = rate_hz is None or _is_on_show_at_a_tick(
            frame.time_s - start_s, until_s - start_s, rate_hz, is_first=not looks
        )
        is_detected = is_looked_at and looks % every == 0
        looks += is_looked_at
        image = frame.image if keep_images or is_detected else None
        seen_until_s = start_s + _last_tick(frame.time_s - start_s, until_s - start_s, rate_hz or 1 / last_s)
        yield TimedFrame(
            frame.index,
            frame.time_s,
            image,
            is_looked_at,
            is_detected,
            until_s=until_s,
            seen_until_s=seen_until_s,
        )


def _with_ends(frames: Iterable[Frame], last_s: float) -> Iterator[tuple[Frame, float]]:
    """Yield each frame with the time at which the next one takes its place."""
    pending: Frame | None = None
    for frame in frames:
        if pending is not None:
            yield pending, frame.time_s
        pending = frame
    if pending is not None:
        yield pending, pending.time_s + (pending.duration_s or last_s)


def _last_tick(from_s: float, until_s: float, rate_hz: float) -> float:
    """Return the last of 0, 1 / rate, 2 / rate, ... at which a frame is on show, and never less than its own time.

    Only what stays on show for longer than usual is on show at more than one of them.
    """
    if until_s - from_s < LONG_STEPS / rate_hz:
        return from_s
    return max(from_s, (math.ceil((until_s - SAME_TIME_S) * rate_hz) - 1) / rate_hz)


def _is_on_show_at_a_tick(from_s: float, until_s: float, rate_hz: float, *, is_first: bool) -> bool:
    """Say whether any of 0, 1 / rate, 2 / rate, ... lies in [from_s, until_s); the first frame stands in before it."""
    if is_first:
        return True
    tick = math.ceil((from_s - SAME_TIME_S) * rate_hz)
    return tick / rate_hz < until_s - SAME_TIME_S


QUEUE_BYTES = 96 << 20  # of pictures that wait between two threads, at most
QUEUE_FRAMES = 16


class Follows(Protocol):
    """Gives boxes the keys of their tracks."""

    def update(self, found: Detections, time_s: float) -> NDArray[np.int64]:
        """Return the key of each box."""
        ...


class EachItsOwn:
    """Every box is a thing of its own: those of a picture."""

    def update(self, found: Detections, time_s: float) -> NDArray[np.int64]:  # noqa: ARG002 - as a follower does it
        """Return keys from 0."""
        return np.arange(len(found))


class Nobody:
    """No box belongs to a track."""

    def update(self, found: Detections, time_s: float) -> NDArray[np.int64]:  # noqa: ARG002 - as a follower does it
        """Return `NO_TRACK` for each box."""
        return np.full(len(found), NO_TRACK)


@dataclass(frozen=True)
class DetectionPlan:
    """What is to be done with one video."""

    video: FetchedVideo
    media: MediaFacts
    detector: Detector
    options: DetectOptions

    @property
    def is_picture(self) -> bool:
        """Whether there is one frame only."""
        return self.media.kind == "picture"

    @property
    def annotated(self) -> str | None:
        """The name of the annotated copy; None where none is asked for."""
        if not self.options.annotate:
            return None
        return DETECTED_PICTURE_NAME if self.is_picture else DETECTED_VIDEO_NAME

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second of the video."""
        return self.media.frame_rate or FALLBACK_RATE

    @property
    def rate_hz(self) -> float | None:
        """Ticks a second at which the frame on show is looked at; None where that is every frame."""
        return None if self.is_picture else self.options.rate_hz

    @property
    def look_step_s(self) -> float:
        """The usual time from one look of the detector to the next; frames at any time may be fewer than the ticks."""
        return self.options.every / min(self.rate_hz or self.frame_rate_hz, self.frame_rate_hz)

    @property
    def queue_frames(self) -> int:
        """Frames that wait between two threads at most."""
        frame_bytes = self.media.width * self.media.height * 3
        return max(1, min(QUEUE_FRAMES, QUEUE_BYTES // frame_bytes))

    def follower(self) -> Follows:
        """Return what gives boxes their tracks."""
        if self.is_picture:
            return EachItsOwn()
        if not self.options.tracks:
            return Nobody()
        return Follower(1 / self.look_step_s, self.options.min_score)

    @property
    def is_followed(self) -> bool:
        """Whether boxes belong to tracks, and count once their track is sure."""
        return self.is_picture or self.options.tracks

    @property
    def frames_expected(self) -> float | None:
        """Frames that will be read, as far as the headers say."""
        if self.is_picture:
            return 1
        part, duration_s = self.video.part, self.media.duration_s
        length_s = part.length_s(duration_s) if part else duration_s
        return round(length_s * self.frame_rate_hz) if length_s else None


DETECTION_VERSION = 3  # raise by hand when the same video, detector and options give another answer


def identity_of_objects(video: FetchedVideo, detector: DetectorRecord, options: DetectOptions) -> str:
    """Return the SHA-256 of the video's content, what looks at it and how."""
    parts = [DETECTION_VERSION, video.sha256, detector.model_dump(mode="json"), options.model_dump(mode="json")]
    if video.part:
        parts.append(video.part.model_dump(mode="json"))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


STAGES = ("decode", "detect", "track", "keep", "draw", "encode")


def detect_objects(
    video: FetchedVideo,
    detector: Detector,
    options: DetectOptions,
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
    *,
    chosen: str | None = None,
    watch: Watch | None = None,
) -> ObjectsManifest:
    """Find the objects of a video or picture, and write all about them to `folder`.

    `chosen` is why this detector was taken, where that was left to reelsift; `watch` hears of every frame.

    The annotated copy has every frame of the video, whatever `rate_hz` and `every` say: boxes are carried to the frames
    that are not looked at. The table has rows only of those that are.

    Raises:
        VideoError: the file is no video or picture, has nothing to see, or is out of bounds; nothing is left behind.
    """
    clock = StageClock(*STAGES)
    media = probe(video.path, bounds)
    plan = DetectionPlan(video, media, detector, options)
    with staged(folder, files=OBJECTS.file_names, manifest=OBJECTS_NAME) as draft:
        summaries = TrackSummaries(detector.class_names, sure_at_once=plan.is_picture)
        reader, seen = _look_through(plan, bounds, draft, summaries, clock, progress or Silent(), watch)
        manifest = ObjectsManifest(
            identity=identity_of_objects(video, detector.record, options),
            video=VideoRecord.of(video, media, frames_read=reader.frames_read, corrupt_frames=reader.corrupt_frames),
            detector=detector.record,
            options=options.model_dump(mode="json"),
            boxes=summaries.boxes,
            counts=summaries.counts(),
            tracks=summaries.tracks(),
            stage_seconds=clock.seconds,
            wall_seconds=clock.wall_seconds,
            detector_ms=round(1000 * clock.seconds["detect"] / seen, 2) if seen else None,
            chosen=chosen,
            annotated=plan.annotated,
            files=answer_digests(draft, OBJECTS.file_names),
            code_revision=code_revision(),
        )
        (draft / OBJECTS_NAME).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return manifest


def _look_through(
    plan: DetectionPlan,
    bounds: MediaBounds,
    draft: Path,
    summaries: TrackSummaries,
    clock: StageClock,
    progress: Progress,
    watch: Watch | None,
) -> tuple[FrameReader, int]:
    """Read the video once, write all but the manifest, and count the frames that the detector saw."""
    class_names = plan.detector.class_names
    what = f"objects in {plan.video.path.name}"
    rows = KeyedRows(draft / "keyed.parquet")
    seen = 0
    thumbnails = Thumbnails(draft)
    with ExitStack() as stack:
        stack.callback(rows.close)
        reader = stack.enter_context(open_frames(plan.video.path, bounds, part=plan.video.part, watch=watch))
        show = stack.enter_context(showing(plan.video, plan.media, draft, clock)) if plan.annotated else None
        progress.begin(what, plan.frames_expected, "frames")
        for frame in _seen(plan, reader, stack, clock):
            seen += frame.is_detected
            with clock.measuring("keep"):
                thumbnails.keep(frame, summaries.add(frame))
                rows.add(frame)
            if show and frame.image is not None:
                labels = labels_of(
                    frame,
                    summaries,
                    class_names,
                    is_followed=plan.is_followed,
                    is_picture=plan.is_picture,
                )
                show(frame.image, frame.time_s, frame.until_s - frame.time_s, labels)
            progress.advance(what, 1)
        progress.begin(what, reader.frames_read, "frames")
    with clock.measuring("keep"):
        thumbnails.name(summaries.sure_keys())
        rows.named(draft / OBJECTS_TABLE_NAME, summaries, class_names)
    return reader, seen


def _seen(plan: DetectionPlan, reader: FrameReader, stack: ExitStack, clock: StageClock) -> Iterator[TimedFrame]:
    """Yield every frame with its boxes, reading and detecting ahead in two threads."""
    timed = timed_frames(
        reader,
        rate_hz=plan.rate_hz,
        every=plan.options.every,
        last_s=1 / plan.frame_rate_hz,
        keep_images=plan.options.annotate,
        start_s=reader.start_s,
    )
    read = ahead(clock.drawing_from(timed, "decode"), buffer=plan.queue_frames)
    stack.enter_context(closing(read))
    seen = ahead(detected(read, plan.detector, plan.options, clock), buffer=plan.queue_frames)
    stack.enter_context(closing(seen))
    return carried(_followed(seen, plan, clock))


def _followed(seen: Iterable[TimedFrame], plan: DetectionPlan, clock: StageClock) -> Iterator[TimedFrame]:
    """Give boxes their tracks; time does not pass for a thing while the picture that shows it stays on show."""
    follower = plan.follower()
    before: TimedFrame | None = None
    passed_s = 0.0
    for frame in seen:
        if frame.found is not None:
            if before:
                unseen_s = max(0.0, frame.time_s - before.until_s)
                passed_s += min(frame.time_s - before.time_s, max(unseen_s, plan.look_step_s))
            before = frame
            with clock.measuring("track"):
                followed = frame.found.followed(follower.update(frame.found, passed_s))
            yield replace(frame, found=followed)
        else:
            yield frame
