"""How long a video lasts, asked of its headers alone.

In: a source. Out: seconds, or None where the video is not on this disk or does not say. Fetches nothing.
"""

from tasks.contracts.errors import ReelsiftError
from tasks.per_video.workplace import Workplace
from tasks.video.fetch import path_on_disk
from tasks.video.probe import probe


def lasting_s(source: str, workplace: Workplace) -> float | None:
    """Return how long the video of a source lasts, 0 for a picture or for what is broken: neither is much work."""
    try:
        path = path_on_disk(source, workplace.fetched, workplace.fetch)
        if path is None:
            return None
        media = probe(path, workplace.bounds)
    except ReelsiftError:
        return 0.0
    return 0.0 if media.kind == "picture" else media.duration_s
