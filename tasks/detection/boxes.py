"""Boxes and masks of one frame; masks as COCO run-length encoding."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from tasks.contracts.media import DetectorRecord

FIRST_CHARACTER = 48  # "0" stands for 0: each character holds five bits of a count, the lowest first
BITS, MORE, SIGN = 5, 0x20, 0x10


def pack_mask(mask: NDArray[np.bool_]) -> str:
    """Return a mask, bool (H, W), as JSON of its run lengths."""
    packed: Any = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return json.dumps({"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")})


def unpack_mask(packed: str) -> NDArray[np.bool_]:
    """Return the mask, bool (H, W), that was packed.

    pycocotools' own `decode` is not used: it warns with every call under NumPy 2, and warnings cannot be silenced in
    one thread alone.
    """
    fields = json.loads(packed)
    height, width = fields["size"]
    counts = _counts(fields["counts"])
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return runs.reshape(width, height).T


def _counts(text: str) -> list[int]:
    """Return the lengths of the runs, of zeros first; from the fourth on, the text has the change from two before."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - FIRST_CHARACTER
        value |= (bits & ~MORE) << shift
        shift += BITS
        if bits & MORE:
            continue
        if bits & SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


Picture = NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, best first: N things."""

    boxes: NDArray[np.float32]  # (N, 4): x_min, y_min, x_max, y_max in pixels of the picture
    scores: NDArray[np.float32]  # (N,) in [0, 1]
    class_ids: NDArray[np.int16]  # (N,) places in the detector's class names
    masks: NDArray[np.bool_] | None = None  # (N, H, W), of a detector that gives them

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def __getitem__(self, kept: NDArray[Any]) -> "Detections":
        """Return those that a boolean or integer index keeps."""
        masks = None if self.masks is None else self.masks[kept]
        return Detections(self.boxes[kept], self.scores[kept], self.class_ids[kept], masks)


class Detector(Protocol):
    """Something that finds things in pictures. One call at a time."""

    @property
    def record(self) -> DetectorRecord:
        """What it is, for manifests."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class id."""
        ...

    @property
    def batch_size(self) -> int:
        """Pictures that are best given at once."""
        ...

    def detect(self, images: Sequence[Picture]) -> list[Detections]:
        """Return what is in each picture, RGB uint8 (H, W, 3), in their order."""
        ...


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
