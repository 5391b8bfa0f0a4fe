"""Which frames are looked at, which of them the detector sees, and which are only drawn.

In: all frames of a video, in order. Out: a `Moment` for each. Does not know what is seen.
"""

import math
from collections.abc import Iterable, Iterator

from tasks.detection.boxes import Moment
from tasks.video.frames import Frame

LONG_STEPS = 1.5  # a frame on show for longer than so many of the usual steps stays on show
SAME_TIME_S = 1e-6  # times of containers are rounded: 29.97 frames a second are 33.3667 ms


def moments(
    frames: Iterable[Frame], *, rate_hz: float | None, every: int, last_s: float, keep_images: bool
) -> Iterator[Moment]:
    """Yield every frame, and say of each what is done with it.

    With a rate, the frames looked at are those on show at 0, 1 / rate, 2 / rate, ... seconds; without, all are. Of
    these, the detector sees the first and every `every`-th after it. `last_s` is how long the last frame is on show,
    where it does not say so itself. Without `keep_images`, only what the detector sees keeps its pixels.
    """
    looks = 0
    for frame, until_s in _with_ends(frames, last_s):
        is_looked_at = rate_hz is None or _is_on_show_at_a_tick(frame.time_s, until_s, rate_hz, is_first=not looks)
        is_detected = is_looked_at and looks % every == 0
        looks += is_looked_at
        image = frame.image if keep_images or is_detected else None
        seen_until_s = _last_tick(frame.time_s, until_s, rate_hz or 1 / last_s)
        yield Moment(
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
