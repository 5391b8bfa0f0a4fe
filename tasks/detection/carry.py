"""Boxes carried by their tracks to the frames that the detector did not see.

In: moments in order, some with boxes that have tracks. Out: the same moments in order, all with boxes. Does not know
how the boxes were found.

A frame between two that the detector saw takes each box from the line between its places on these two; a thing seen
on one of them only is there until, or from, half-way. That needs the later of the two, so frames wait for it; where
so many wait that they would take up the memory, the oldest go on with the boxes as they were last seen.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.detection.boxes import Boxes, Moment

WAITING_BYTES = 192 << 20  # of pictures that wait for the next detection, at most
HALF_WAY = 0.5


def carried(moments: Iterable[Moment], waiting_bytes: int = WAITING_BYTES) -> Iterator[Moment]:
    """Yield the moments with their boxes; the first one must have been seen by the detector."""
    last = following = None
    waiting: deque[Moment] = deque()
    size_bytes = 0
    for moment in moments:
        if moment.is_detected:
            last, following = following, moment
            yield from _filled(waiting, last, following)
            size_bytes = 0
            yield moment
            continue
        waiting.append(moment)
        size_bytes += _size_bytes(moment)
        while size_bytes > waiting_bytes:
            size_bytes -= _size_bytes(waiting[0])
            yield _with_boxes(waiting.popleft(), following, None)
    yield from _filled(waiting, following, None)


def _filled(waiting: deque[Moment], before: Moment | None, after: Moment | None) -> Iterator[Moment]:
    while waiting:
        yield _with_boxes(waiting.popleft(), before, after)


def _with_boxes(moment: Moment, before: Moment | None, after: Moment | None) -> Moment:
    """Give a moment the boxes that its neighbours have of the same tracks."""
    if before is None or before.boxes is None:
        message = "the detector sees the first frame"
        raise AssertionError(message)
    if after is None or after.boxes is None:
        moment.boxes = replace(before.boxes.of_tracks(), carried=True)
        return moment
    share = (moment.time_s - before.time_s) / max(after.time_s - before.time_s, np.finfo(float).tiny)
    moment.boxes = between(before.boxes, after.boxes, min(max(share, 0.0), 1.0))
    return moment


def between(before: Boxes, after: Boxes, share: float) -> Boxes:
    """Return the boxes at `share` of the way from one detection to the next, 0 to 1."""
    before, after = before.of_tracks(), after.of_tracks()
    _, of_before, of_after = np.intersect1d(before.keys, after.keys, return_indices=True)
    single, of_single = (before, of_before) if share < HALF_WAY else (after, of_after)
    alone = np.setdiff1d(np.arange(len(single)), of_single)
    return Boxes(
        boxes=np.concatenate([_mixed(before.boxes[of_before], after.boxes[of_after], share), single.boxes[alone]]),
        scores=np.concatenate([_mixed(before.scores[of_before], after.scores[of_after], share), single.scores[alone]]),
        class_ids=np.concatenate([before.class_ids[of_before], single.class_ids[alone]]),
        keys=np.concatenate([before.keys[of_before], single.keys[alone]]),
        masks=(None,) * (len(of_before) + len(alone)),
        carried=True,
    )


def _mixed(before: NDArray[np.float32], after: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    return (before * (1 - share) + after * share).astype(np.float32)


def _size_bytes(moment: Moment) -> int:
    return moment.image.nbytes if moment.image is not None else 0
