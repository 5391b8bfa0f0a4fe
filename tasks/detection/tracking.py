"""Tracks by ByteTrack (`trackers`), boxes carried to frames that the detector skipped, and track summaries."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.media import THUMBNAILS_FOLDER, ObjectTrack
from tasks.detection.boxes import NO_TRACK, Detections, TimedFrame
from tasks.video.drawing import colour_of, hex_of

if TYPE_CHECKING:
    from trackers import ByteTrackTracker

START_SCORE = 0.4  # of a detection that starts a track; weaker ones only prolong one
STAYING_IOU = 0.7  # of a box with the last one of a track, above which it is the same thing whatever its class
MOVING_IOU = 0.1  # of a box with where its track should be now: ByteTrack's own bound, for things that move fast
# Where frames are looked at rarely, things move by more than their own size in between. So boxes are widened for the
# comparison (by this share of their sides at each end, times the seconds between two looks), as C-BIoU does
# (https://arxiv.org/abs/2211.14317): things on a belt keep their tracks at 3 looks a second.
WIDENING_PER_S = 1.0
WIDEST = 0.5
MEMORY_S = 1.0  # for which a thing may be out of sight and still be the same
MEMORY_LOOKS = 2.5  # that the memory lasts for at least, where frames are looked at rarely
TRACKER_RATE_HZ = 30.0  # in whose frames ByteTrack counts its memory
# Far beyond any picture: boxes are moved by it times their class, so that those of two classes never meet.
CLASS_OFFSET = 50_000.0
SOONEST_S = 1e-6  # ByteTrack wants time to pass between two updates


class Follower:
    """Gives each box the key of its track; keys count from 0 in the order in which tracks start."""

    def __init__(self, look_rate_hz: float, min_score: float | None = None) -> None:
        """Expect frames at about `look_rate_hz`; a `min_score` below `START_SCORE` lowers that too."""
        memory_s = max(MEMORY_S, MEMORY_LOOKS / look_rate_hz)
        start_score = START_SCORE if min_score is None else min(START_SCORE, min_score)
        self._tracker = _byte_track(memory_s, look_rate_hz, start_score)
        self._memory_s = memory_s
        self._next_key = 0
        self._time_s = -SOONEST_S
        self._last: dict[int, tuple[float, NDArray[np.float32], int]] = {}  # key → when, where, followed as which class

    def update(self, found: Detections, time_s: float) -> NDArray[np.int64]:
        """Return the key of the track of each box, (N,); NO_TRACK for one too weak to start a track."""
        from supervision import Detections as Tracked  # noqa: PLC0415 - a second, while frames are decoded

        self._time_s = max(time_s, self._time_s + SOONEST_S)
        class_ids = self._steadied(found)
        offsets = (class_ids * CLASS_OFFSET)[:, None] * np.array([1.0, 0.0, 1.0, 0.0])
        boxes = found.boxes.astype(np.float64) + offsets
        # The place of each box travels as its class: the tracker returns them in an order of its own.
        given = Tracked(xyxy=boxes, confidence=found.scores, class_id=np.arange(len(found)))
        made = self._tracker.update(given, timestamp=self._time_s)
        keys = np.full(len(found), NO_TRACK, np.int64)
        if made.tracker_id is not None and made.class_id is not None:
            keys[made.class_id] = made.tracker_id
        self._name_new(boxes, keys)
        self._remember(found, keys, class_ids)
        return keys

    def _name_new(self, boxes: NDArray[np.float64], keys: NDArray[np.int64]) -> None:
        """Give tracks that have just started their keys now; the library would do so at their second box only."""
        new: list[Any] = [track for track in self._tracker.tracks if track.tracker_id == NO_TRACK]
        for track in new:
            track.tracker_id = self._next_key
            free = np.flatnonzero(keys == NO_TRACK)
            distances = np.abs(boxes[free] - track.get_state_bbox()).sum(axis=1)
            keys[free[distances.argmin()]] = self._next_key
            self._next_key += 1

    def _steadied(self, found: Detections) -> NDArray[np.int64]:
        """Return the class that each box is followed as: its own, or that of the track where it is."""
        class_ids = found.class_ids.astype(np.int64)
        tracks = list(self._last.values())
        if not tracks or not len(found):
            return class_ids
        overlaps = iou(found.boxes, np.stack([box for _, box, _ in tracks]))
        nearest = overlaps.argmax(axis=1)
        track_classes = np.array([class_id for _, _, class_id in tracks])[nearest]
        stays = overlaps[np.arange(len(found)), nearest] >= STAYING_IOU
        # Where a box of the track's own class is there too, that one is the track's.
        taken = np.array([((nearest == track) & stays & (class_ids == track_classes)).any() for track in nearest])
        return np.where(stays & ~taken, track_classes, class_ids)

    def _remember(self, found: Detections, keys: NDArray[np.int64], class_ids: NDArray[np.int64]) -> None:
        for place in np.flatnonzero(keys != NO_TRACK):
            self._last[int(keys[place])] = (self._time_s, found.boxes[place], int(class_ids[place]))
        forgotten = [key for key, (seen_s, _, _) in self._last.items() if self._time_s - seen_s > self._memory_s]
        for key in forgotten:
            del self._last[key]


def iou(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the share of the union of two boxes that both cover, for each pair: (N, 4), (M, 4) → (N, M)."""
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (bottom_right - top_left).clip(min=0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - common
    return common / np.maximum(union, np.finfo(np.float32).tiny)


def _byte_track(memory_s: float, look_rate_hz: float, start_score: float) -> "ByteTrackTracker":
    from trackers import BIoU, ByteTrackTracker  # noqa: PLC0415 - a second, while frames are decoded

    return ByteTrackTracker(
        lost_track_buffer=round(memory_s * TRACKER_RATE_HZ),
        frame_rate=look_rate_hz,
        track_activation_threshold=start_score,
        high_conf_det_threshold=start_score,
        minimum_iou_threshold=MOVING_IOU,
        minimum_consecutive_frames=1,
        iou=BIoU(min(WIDEST, WIDENING_PER_S / look_rate_hz)),
    )


WAITING_BYTES = 192 << 20  # of pictures that wait for the next detection, at most
HALF_WAY = 0.5


def carried(frames: Iterable[TimedFrame], waiting_bytes: int = WAITING_BYTES) -> Iterator[TimedFrame]:
    """Yield the frames with their boxes; the first one must have been seen by the detector."""
    last = following = None
    waiting: deque[TimedFrame] = deque()
    size_bytes = 0
    for frame in frames:
        if frame.is_detected:
            last, following = following, frame
            yield from _filled(waiting, last, following)
            size_bytes = 0
            yield frame
            continue
        waiting.append(frame)
        size_bytes += _size_bytes(frame)
        while size_bytes > waiting_bytes:
            size_bytes -= _size_bytes(waiting[0])
            yield _with_boxes(waiting.popleft(), following, None)
    yield from _filled(waiting, following, None)


def _filled(waiting: deque[TimedFrame], before: TimedFrame | None, after: TimedFrame | None) -> Iterator[TimedFrame]:
    while waiting:
        yield _with_boxes(waiting.popleft(), before, after)


def _with_boxes(frame: TimedFrame, before: TimedFrame | None, after: TimedFrame | None) -> TimedFrame:
    """Give a frame the boxes that its neighbours have of the same tracks."""
    if before is None or before.found is None:
        message = "the detector sees the first frame"
        raise AssertionError(message)
    if after is None or after.found is None:
        return replace(frame, found=replace(before.found.of_tracks(), carried=True))
    share = (frame.time_s - before.time_s) / max(after.time_s - before.time_s, np.finfo(float).tiny)
    return replace(frame, found=between(before.found, after.found, min(max(share, 0.0), 1.0)))


def between(before: Detections, after: Detections, share: float) -> Detections:
    """Return the boxes at `share` of the way from one detection to the next, 0 to 1."""
    before, after = before.of_tracks(), after.of_tracks()
    _, of_before, of_after = np.intersect1d(before.keys, after.keys, return_indices=True)
    single, of_single = (before, of_before) if share < HALF_WAY else (after, of_after)
    alone = np.setdiff1d(np.arange(len(single)), of_single)
    return Detections(
        boxes=np.concatenate([_mixed(before.boxes[of_before], after.boxes[of_after], share), single.boxes[alone]]),
        scores=np.concatenate([_mixed(before.scores[of_before], after.scores[of_after], share), single.scores[alone]]),
        class_ids=np.concatenate([before.class_ids[of_before], single.class_ids[alone]]),
        keys=np.concatenate([before.keys[of_before], single.keys[alone]]),
        carried=True,
    )


def _mixed(before: NDArray[np.float32], after: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return (before * (1 - share) + after * share).astype(np.float32)


def _size_bytes(frame: TimedFrame) -> int:
    return frame.image.nbytes if frame.image is not None else 0


SURE_SCORE = 0.5  # one box as sure as this makes a track
SURE_BOXES = 3  # so do this many weaker ones
DIGITS = 4  # of scores in manifests


@dataclass
class TrackSummary:
    """One track so far."""

    start_s: float
    votes: dict[int, float] = field(default_factory=dict)  # class id → sum of scores
    boxes: int = 0
    end_s: float = 0.0
    best_score: float = -1.0
    best_time_s: float = 0.0
    best_box: NDArray[np.float32] = field(default_factory=lambda: np.zeros(4, np.float32))
    track_id: int | None = None  # once it is sure

    @property
    def class_id(self) -> int:
        """The class that its boxes voted for, each with its score."""
        return max(self.votes, key=lambda class_id: (self.votes[class_id], -class_id))

    @property
    def score(self) -> float:
        """The mean of its boxes' scores."""
        return min(1.0, sum(self.votes.values()) / self.boxes)


class TrackSummaries:
    """All tracks of a video so far, by key."""

    def __init__(self, class_names: tuple[str, ...], *, sure_at_once: bool = False) -> None:
        """Take every track for sure at its first box, if asked to: a picture has no second one."""
        self._class_names = class_names
        self._sure_at_once = sure_at_once
        self._summaries: dict[int, TrackSummary] = {}
        self._next_id = 1
        self._most_at_once: Counter[str] = Counter()
        self.boxes = 0

    def add(self, frame: TimedFrame) -> list[int]:
        """Take in the boxes that were detected in a frame; return the places of those that no earlier one betters."""
        found = frame.found
        if found is None or found.carried:
            return []
        self.boxes += len(found)
        self._most_at_once |= Counter(self._class_names[class_id] for class_id in found.class_ids)
        return [
            place
            for place, (key, class_id) in enumerate(zip(found.keys.tolist(), found.class_ids.tolist(), strict=True))
            if key != NO_TRACK and self._add(key, class_id, float(found.scores[place]), found.boxes[place], frame)
        ]

    def _add(self, key: int, class_id: int, score: float, box: NDArray[np.float32], frame: TimedFrame) -> bool:
        """Take in one box, and say whether it is the best of its track."""
        time_s = frame.time_s
        summary = self._summaries.setdefault(key, TrackSummary(start_s=time_s))
        summary.boxes += 1
        summary.votes[class_id] = summary.votes.get(class_id, 0.0) + score
        summary.end_s = max(time_s, frame.seen_until_s)
        is_best = score > summary.best_score
        if is_best:
            summary.best_score, summary.best_time_s, summary.best_box = score, time_s, box.copy()
        if summary.track_id is None and self._is_sure(summary):
            summary.track_id, self._next_id = self._next_id, self._next_id + 1
        return is_best

    def _is_sure(self, summary: TrackSummary) -> bool:
        return self._sure_at_once or summary.best_score >= SURE_SCORE or summary.boxes >= SURE_BOXES

    def sure(self, key: int) -> TrackSummary | None:
        """Return the track of a key, if it is sure by now."""
        summary = self._summaries.get(key)
        return summary if summary and summary.track_id is not None else None

    def sure_keys(self) -> dict[int, int]:
        """Return the number of each sure track, by its key."""
        return {key: summary.track_id or 0 for key, summary in self._summaries.items() if summary.track_id is not None}

    def tracks(self) -> tuple[ObjectTrack, ...]:
        """Return the sure tracks, by start, then by number."""
        sure = [summary for summary in self._summaries.values() if summary.track_id is not None]
        return tuple(map(self._track, sorted(sure, key=lambda summary: (summary.start_s, summary.track_id))))

    def counts(self) -> dict[str, int]:
        """Return the number of tracks of each class, commonest first; without tracks, the most at one frame."""
        tracks = self.tracks()
        counted = Counter(track.class_name for track in tracks) if tracks else self._most_at_once
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    def _track(self, summary: TrackSummary) -> ObjectTrack:
        number = summary.track_id or 0
        left, top, right, bottom = (round(float(side), 2) for side in summary.best_box)
        return ObjectTrack(
            track_id=number,
            class_id=summary.class_id,
            class_name=self._class_names[summary.class_id],
            score=round(summary.score, DIGITS),
            start_s=summary.start_s,
            end_s=summary.end_s,
            boxes=summary.boxes,
            best_time_s=summary.best_time_s,
            best_box=(left, top, right, bottom),
            thumbnail=thumbnail_name(number),
            colour=hex_of(colour_of(number)),
        )


def thumbnail_name(track_id: int) -> str:
    """Return where the picture of a track lies, beside the manifest."""
    return f"{THUMBNAILS_FOLDER}/track-{track_id:04d}.jpg"
