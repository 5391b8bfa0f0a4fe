"""The detector at work: moments in, moments with boxes out.

In: moments in order. Out: the same, those that the detector sees with what it found. Does not know tracks.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from tasks.contracts.errors import DetectorError
from tasks.detection.boxes import Boxes, Moment, boxes_of
from tasks.detection.config import DetectOptions
from tasks.detection.detector import Detections, Detector
from tasks.detection.stage_clock import StageClock

GROUP_BYTES = 256 << 20  # of pictures that wait for a batch to fill, at most


def detected(
    moments: Iterable[Moment], detector: Detector, options: DetectOptions, clock: StageClock
) -> Iterator[Moment]:
    """Yield the moments in order; of those that the detector is to see, each with its boxes.

    Pictures are given in batches of the detector's own size; less where they are so large that waiting for more would
    take up the memory.
    """
    for group in _groups(moments, detector.batch_size):
        seen = [moment for moment in group if moment.is_detected]
        with clock.measuring("detect"):
            images = [moment.image for moment in seen if moment.image is not None]
            found = detector.detect(images) if images else []
            for moment, detections in zip(seen, found, strict=True):
                moment.boxes = _wanted(detections, detector, options)
        yield from group


def _groups(moments: Iterable[Moment], batch_size: int) -> Iterator[list[Moment]]:
    """Yield moments in groups with at most `batch_size` that are to be seen."""
    group: list[Moment] = []
    seen = size_bytes = 0
    for moment in moments:
        group.append(moment)
        seen += moment.is_detected
        size_bytes += moment.image.nbytes if moment.image is not None else 0
        if seen == batch_size or size_bytes > GROUP_BYTES:
            yield group
            group, seen, size_bytes = [], 0, 0
    if group:
        yield group


def _wanted(found: Detections, detector: Detector, options: DetectOptions) -> Boxes:
    """Leave out what the options do not ask for."""
    is_wanted = np.ones(len(found), np.bool_)
    if options.min_score is not None:
        is_wanted &= found.scores >= options.min_score
    if options.classes:
        is_wanted &= np.isin(found.class_ids, _class_ids(detector, options))
    return boxes_of(found[np.flatnonzero(is_wanted)], masks=options.masks)


def _class_ids(detector: Detector, options: DetectOptions) -> list[int]:
    unknown = [name for name in options.classes if name not in detector.class_names]
    if unknown:
        raise DetectorError(f"{detector.record.name} does not know {', '.join(unknown)}.")
    return [detector.class_names.index(name) for name in options.classes]
