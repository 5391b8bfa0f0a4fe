"""How long the work takes, as far as earlier runs tell.

In: rows of what is done. Out: seconds of work for each second of video, kept in a file from run to run. A guess where
there is nothing to go by. Does not do the work.
"""

from collections.abc import Iterable
from pathlib import Path

from tasks.contracts.batches import BatchRow
from tasks.contracts.outcomes import DONE
from tasks.fan_out.memory import recalled, remember

PACES_NAME = "paces.json"
# A video of YouTube-8M lasts 120 to 500 s, 230 on average (https://research.google.com/youtube8m/).
USUAL_VIDEO_S = 230.0
USUAL_PACE = 0.5  # seconds of work for a second of video: 30 frames a second at 60 of them a second
MAX_PACE = 1e6
ENOUGH_S = 60.0  # seconds of video
OVERHEAD_S = 0.5  # of opening a video and writing its report


def expected_s(video_s: float | None, pace: float) -> float:
    """Return the seconds of work that a video is; one of unknown length counts as a usual one."""
    return OVERHEAD_S + (USUAL_VIDEO_S if video_s is None else video_s) * pace


def known_pace(folder: Path, work: str) -> float:
    """Return the pace that was last measured for this work, or a guess."""
    pace = recalled(folder / PACES_NAME).get(work)
    return float(pace) if isinstance(pace, int | float) and 0 < pace < MAX_PACE else USUAL_PACE


def keep_pace(folder: Path, work: str, rows: Iterable[BatchRow]) -> None:
    """Remember how long the work took, where enough was done to tell: the first video of a process takes longer."""
    done = [(row.seconds, row.video_s) for row in rows if row.status == DONE and row.video_s]
    video_s = sum(lasted for _, lasted in done)
    if video_s >= ENOUGH_S:
        remember(folder / PACES_NAME, work, round(sum(seconds for seconds, _ in done) / video_s, 5))
