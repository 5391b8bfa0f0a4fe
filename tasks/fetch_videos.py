"""Task: a batch of sources is on the disk.

In: sources as people name them, and where videos are kept. Out: for each the fetched video, or the outcome that says
why there is none. It has no cache key: what a source names may change, and fetching knows by itself what is there.
"""

from collections.abc import Sequence

from prefect import task

from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.per_video.fetching import fetch_each
from tasks.per_video.workplace import Workplace
from tasks.progress_log import current_progress


@task(name="fetch-videos", task_run_name="fetch-{sources[0]}", persist_result=False)
def fetch_videos(sources: Sequence[str], workplace: Workplace) -> list[FetchedVideo | VideoOutcome]:
    """Fetch what is not there yet; one that cannot be had fails alone."""
    return list(fetch_each(sources, workplace, current_progress()))
