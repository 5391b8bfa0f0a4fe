"""Boxes and masks of one frame; masks as COCO run-length encoding."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from tasks.contracts.columns import run_lengths
from tasks.contracts.media import DetectorRecord


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
    counts = run_lengths(fields["counts"])
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return runs.reshape(width, height).T


Picture = NDArray[np.uint8]  # RGB (H, W, 3)


NO_TRACK = -1  # a detection that no track took, or whose track was never sure
NO_KEYS = np.empty(0, np.int64)  # not followed yet
Masks = NDArray[np.bool_] | tuple[str | None, ...] | None  # (N, H, W), or packed by `pack_mask`: (N)


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, best first: N things."""

    boxes: NDArray[np.float32]  # (N, 4): x_min, y_min, x_max, y_max in pixels of the picture
    scores: NDArray[np.float32]  # (N,) in [0, 1]
    class_ids: NDArray[np.int16]  # (N,) places in the detector's class names
    masks: Masks = None  # arrays, as a detector gives them; packed from then on
    keys: NDArray[np.int64] = field(default_factory=lambda: NO_KEYS)  # (N,) of the tracks, NO_TRACK where there is none
    carried: bool = False  # by their tracks, not detected on this frame

    def __post_init__(self) -> None:
        """Let what a detector gives belong to no track yet."""
        if self.keys is NO_KEYS:
            object.__setattr__(self, "keys", np.full(len(self), NO_TRACK, np.int64))

    def __len__(self) -> int:
        """Return N."""
        return len(self.scores)

    def __getitem__(self, kept: NDArray[np.integer[Any]]) -> "Detections":
        """Return those that an index, (n,), keeps."""
        masks = self.masks
        if isinstance(masks, tuple):
            masks = tuple(masks[place] for place in kept)
        elif masks is not None:
            masks = masks[kept]
        return Detections(
            self.boxes[kept], self.scores[kept], self.class_ids[kept], masks, self.keys[kept], self.carried
        )

    def packed(self) -> "Detections":
        """Return the same with its masks packed."""
        return self if self.masks is None else replace(self, masks=tuple(map(self.packed_mask, range(len(self)))))

    def packed_mask(self, place: int) -> str | None:
        """Return one mask, packed; None where there is none."""
        if self.masks is None:
            return None
        mask = self.masks[place]
        return pack_mask(mask) if isinstance(mask, np.ndarray) else mask

    def of_tracks(self) -> "Detections":
        """Return those that belong to a track, as they can be carried: without masks, which do not move along."""
        return replace(self[np.flatnonzero(self.keys != NO_TRACK)], masks=None)

    def followed(self, keys: NDArray[np.int64]) -> "Detections":
        """Return the same with the tracks that they belong to."""
        return replace(self, keys=keys)


def best_of_overlapping(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], groups: NDArray[np.int64], largest_iou: float
) -> NDArray[np.int64]:
    """Return the places of the boxes, given best first, that overlap with no better one of their group."""
    import cv2  # noqa: PLC0415 - what only asks which detectors there are works without it

    if not len(scores):
        return np.zeros(0, np.int64)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)
    suppress: Any = cv2.dnn.NMSBoxesBatched  # OpenCV's stubs want sequences; arrays are what it takes
    kept = suppress(xywh, scores, groups.astype(np.int32), 0.0, largest_iou)
    return np.sort(np.asarray(kept, np.int64).reshape(-1))


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


@dataclass(frozen=True)
class TimedFrame:
    """One frame on its way through the stages, each of which hands on another one that says more."""

    index: int  # of the frame in the video
    time_s: float
    image: Picture | None  # None where nobody needs the pixels any more
    is_looked_at: bool  # one of the frames that the table has rows of
    is_detected: bool  # the detector looks at it; else the boxes are carried there
    found: Detections | None = None  # once they are known
    until_s: float = 0.0  # when the next frame takes its place
    seen_until_s: float = 0.0  # when it was last looked at: a picture that stays on show is on show at later ticks too
