"""The next batch of videos is fetched while one is worked on.

In: sources. Out: batches of fetched videos, in order. Does not know what is done with them.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.fetch_videos import fetch_videos
from tasks.per_video.workplace import Workplace

AHEAD = 2  # batches on their way: disk and line are bounded, however long the list

# Prefect's own runner does not fit Prefect's own annotation: `TaskRunner` is invariant in its future.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=AHEAD)


def fetched_batches(
    sources: Sequence[str], workplace: Workplace, size: int
) -> Iterator[list[FetchedVideo | VideoOutcome]]:
    """Yield the sources' videos in batches; those that could not be had are outcomes."""
    waiting = deque(sources[start : start + size] for start in range(0, len(sources), size))
    coming: deque[Any] = deque()
    while waiting or coming:
        while waiting and len(coming) < AHEAD:
            coming.append(fetch_videos.submit(waiting.popleft(), workplace))
        yield coming.popleft().result()
