"""The objects of one video or picture, from the file to the folder.

    read ─► moments ─► detector ─► tracks ─► carry ─► table, thumbnails
    └─ a thread ─┘     └ another ┘  └────── this one ──────┘   └─► draw ─► encode (a thread behind)

In: a video on the disk, a detector and options. Out: a folder with `objects.json` and what it names. Does not know
where the video came from, nor who asks. Memory is bounded whatever the length: frames go through in order, and what
waits between two stages is bounded in bytes.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from tasks.contracts.media import FetchedVideo, VideoRecord
from tasks.contracts.objects import (
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    ObjectsManifest,
)
from tasks.contracts.progress import Progress, Silent
from tasks.contracts.revision import code_revision
from tasks.contracts.staging import answer_digests, staged
from tasks.detection.boxes import Moment
from tasks.detection.carry import carried
from tasks.detection.config import DetectOptions
from tasks.detection.detector import Detector
from tasks.detection.drawing import labels_of
from tasks.detection.identity import identity_of
from tasks.detection.looking import detected
from tasks.detection.moments import moments
from tasks.detection.plan import Plan
from tasks.detection.showing import showing
from tasks.detection.stage_clock import StageClock
from tasks.detection.stories import Stories
from tasks.detection.table import KeyedRows
from tasks.detection.thumbnails import Thumbnails
from tasks.detection.whole import FILES, find_objects
from tasks.video.config import MediaBounds
from tasks.video.frames import FrameReader, open_frames
from tasks.video.overlap import ahead
from tasks.video.probe import probe

__all__ = ["detect_objects", "find_objects", "identity_of"]

STAGES = ("decode", "detect", "track", "keep", "draw", "encode")


def detect_objects(
    video: FetchedVideo,
    detector: Detector,
    options: DetectOptions,
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
) -> ObjectsManifest:
    """Find the objects of a video or picture, and write all about them to `folder`.

    The annotated copy has every frame of the video, whatever `rate_hz` and `every` say: boxes are carried to the frames
    that are not looked at. The table has rows only of those that are.

    Raises:
        VideoError: the file is no video or picture, has nothing to see, or is out of bounds; nothing is left behind.
    """
    clock = StageClock(*STAGES)
    media = probe(video.path, bounds)
    plan = Plan(video, media, detector, options)
    with staged(folder, files=FILES, manifest=OBJECTS_NAME) as draft:
        stories = Stories(detector.class_names, sure_at_once=plan.is_picture)
        reader = _look_through(plan, bounds, draft, stories, clock, progress or Silent())
        manifest = ObjectsManifest(
            identity=identity_of(video, detector.record, options),
            video=VideoRecord.of(video, media, frames_read=reader.frames_read, corrupt_frames=reader.corrupt_frames),
            detector=detector.record,
            options=options.model_dump(mode="json"),
            boxes=stories.boxes,
            counts=stories.counts(),
            tracks=stories.tracks(),
            stage_seconds=clock.seconds,
            wall_seconds=clock.wall_seconds,
            annotated=plan.annotated,
            files=answer_digests(draft, FILES),
            code_revision=code_revision(),
        )
        (draft / OBJECTS_NAME).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return manifest


def _look_through(
    plan: Plan, bounds: MediaBounds, draft: Path, stories: Stories, clock: StageClock, progress: Progress
) -> FrameReader:
    """Read the video once, and write all but the manifest."""
    class_names = plan.detector.class_names
    what = f"objects in {plan.video.path.name}"
    rows = KeyedRows(draft / "keyed.parquet")
    thumbnails = Thumbnails(draft)
    with ExitStack() as stack:
        stack.callback(rows.close)
        reader = stack.enter_context(open_frames(plan.video.path, bounds))
        show = stack.enter_context(showing(plan.video, plan.media, draft, clock)) if plan.annotated else None
        progress.begin(what, plan.frames_expected, "frames")
        for moment in _seen(plan, reader, stack, clock):
            with clock.measuring("keep"):
                thumbnails.keep(moment, stories.add(moment))
                rows.add(moment)
            if show and moment.image is not None:
                labels = labels_of(
                    moment,
                    stories,
                    class_names,
                    is_followed=plan.is_followed,
                    is_picture=plan.is_picture,
                )
                show(moment.image, moment.time_s, moment.until_s - moment.time_s, labels)
            progress.advance(what, 1)
        progress.begin(what, reader.frames_read, "frames")
    with clock.measuring("keep"):
        thumbnails.name(stories.sure_keys())
        rows.named(draft / OBJECTS_TABLE_NAME, stories, class_names)
    return reader


def _seen(plan: Plan, reader: FrameReader, stack: ExitStack, clock: StageClock) -> Iterator[Moment]:
    """Yield every frame with its boxes, reading and detecting ahead in two threads."""
    all_moments = moments(
        reader,
        rate_hz=plan.rate_hz,
        every=plan.options.every,
        last_s=1 / plan.frame_rate_hz,
        keep_images=plan.options.annotate,
    )
    read = ahead(clock.drawing_from(all_moments, "decode"), buffer=plan.queue_frames)
    stack.enter_context(closing(read))
    seen = ahead(detected(read, plan.detector, plan.options, clock), buffer=plan.queue_frames)
    stack.enter_context(closing(seen))
    return carried(_followed(seen, plan, clock))


def _followed(seen: Iterable[Moment], plan: Plan, clock: StageClock) -> Iterator[Moment]:
    """Give boxes their tracks; time does not pass for a thing while the picture that shows it stays on show."""
    follower = plan.follower()
    before: Moment | None = None
    passed_s = 0.0
    for moment in seen:
        if moment.boxes is not None:
            if before:
                unseen_s = max(0.0, moment.time_s - before.until_s)
                passed_s += min(moment.time_s - before.time_s, max(unseen_s, plan.look_step_s))
            before = moment
            with clock.measuring("track"):
                moment.boxes = moment.boxes.followed(follower.update(moment.boxes, passed_s))
        yield moment
