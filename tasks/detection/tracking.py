"""Which detection is the same thing as which, from moment to moment: ByteTrack, by the library `trackers`.

In: the boxes of moments, in order of time. Out: a key of its track for each box. Does not know which tracks are sure
enough to be shown.

Boxes are followed class by class: a cup never becomes the hot dog that a cut puts in its place. But a detector takes
one and the same thing now for a bottle, now for a vase; so a box that lies just where a thing was is followed as that
thing, whatever its class (`STAYING_IOU`), and the votes of all boxes name it in the end.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.detection.boxes import NO_TRACK, Boxes

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
        """Expect moments at about `look_rate_hz`; a `min_score` below `START_SCORE` lowers that too."""
        memory_s = max(MEMORY_S, MEMORY_LOOKS / look_rate_hz)
        start_score = START_SCORE if min_score is None else min(START_SCORE, min_score)
        self._tracker = _byte_track(memory_s, look_rate_hz, start_score)
        self._memory_s = memory_s
        self._next_key = 0
        self._time_s = -SOONEST_S
        self._last: dict[int, tuple[float, NDArray[np.float32], int]] = {}  # key → when, where, followed as which class

    def update(self, found: Boxes, time_s: float) -> NDArray[np.int64]:
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

    def _steadied(self, found: Boxes) -> NDArray[np.int64]:
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

    def _remember(self, found: Boxes, keys: NDArray[np.int64], class_ids: NDArray[np.int64]) -> None:
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
