"""The boxes of one moment, between the detector and whatever draws or keeps them.

In: detections. Out: the same with masks packed and with the key of the track that each belongs to. Does not know how
things are followed.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tasks.detection.detector import Detections, Picture
from tasks.detection.packed_masks import pack_mask

NO_TRACK = -1  # a detection that no track took, or whose track was never sure


@dataclass(frozen=True)
class Boxes:
    """What is known to be in one frame: N things."""

    boxes: NDArray[np.float32]  # (N, 4): x_min, y_min, x_max, y_max in pixels
    scores: NDArray[np.float32]  # (N,)
    class_ids: NDArray[np.int16]  # (N,)
    keys: NDArray[np.int64]  # (N,) of the tracks, NO_TRACK where there is none
    masks: tuple[str | None, ...]  # (N) COCO RLE as JSON
    carried: bool = False  # by their tracks, not detected on this frame

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def of_tracks(self) -> "Boxes":
        """Return those that belong to a track, as they can be carried: without masks, which do not move along."""
        kept = np.flatnonzero(self.keys != NO_TRACK)
        return Boxes(self.boxes[kept], self.scores[kept], self.class_ids[kept], self.keys[kept], (None,) * len(kept))

    def followed(self, keys: NDArray[np.int64]) -> "Boxes":
        """Return the same with the tracks that they belong to."""
        return replace(self, keys=keys)


def boxes_of(found: Detections, *, masks: bool) -> Boxes:
    """Return detections as boxes of no track yet, their masks packed if they are wanted."""
    packed: tuple[str | None, ...] = (None,) * len(found)
    if masks and found.masks is not None:
        packed = tuple(map(pack_mask, found.masks))
    return Boxes(found.boxes, found.scores, found.class_ids, np.full(len(found), NO_TRACK), packed)


@dataclass
class Moment:
    """One frame on its way through the stages."""

    index: int  # of the frame in the video
    time_s: float
    image: Picture | None  # None where nobody needs the pixels any more
    is_looked_at: bool  # one of the frames that the table has rows of
    is_detected: bool  # the detector looks at it; else the boxes are carried there
    boxes: Boxes | None = field(default=None)  # once they are known
    until_s: float = 0.0  # when the next frame takes its place
    seen_until_s: float = 0.0  # when it was last looked at: a picture that stays on show is on show at later ticks too
