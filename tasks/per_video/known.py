"""One video that was looked at before, found without a detector.

In: a source, the record of a detector, options. Out: its outcome, or None where there is none. Fetches nothing.
"""

from tasks.contracts.errors import ReelsiftError
from tasks.contracts.objects import DetectorRecord
from tasks.contracts.outcomes import VideoOutcome
from tasks.detection.config import DetectOptions
from tasks.per_video.each import recall
from tasks.per_video.objects import objects_lookup
from tasks.per_video.workplace import Workplace
from tasks.video.fetch import find_video


def known_outcome(
    source: str, record: DetectorRecord, options: DetectOptions, workplace: Workplace
) -> VideoOutcome | None:
    """Return what is there of a video; whatever is wrong with it, whoever works on it will say."""
    try:
        video = find_video(source, workplace.fetched, workplace.fetch)
        return recall(objects_lookup(record, options, workplace), video) if video else None
    except ReelsiftError:
        return None
