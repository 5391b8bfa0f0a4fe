"""The cache key of a batch of videos.

In: the job and the videos. Out: a key of what is done to which content, and where it is put. Does not run anything.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.per_video.each import Job


def batch_cache_key(verb: str, version: int, job: Job[Any], videos: Iterable[FetchedVideo | VideoOutcome]) -> str:
    """Return `<verb>-<version>-<digest>` of the folder of the results, and of every video's source and identity."""
    parts = [str(job.out)]
    for video in videos:
        known = job.identify(video) if isinstance(video, FetchedVideo) else video.reason
        parts.append(f"{video.source}\n{known}")
    return f"{verb}-{version}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"
