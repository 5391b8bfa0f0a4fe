"""Task: a batch of sources is on the disk.

In: sources as people name them, and where videos are kept. Out: for each the fetched video, or the outcome that says
why there is none. It has no cache key: what a source names may change, and fetching knows by itself what is there.
"""

from collections.abc import Sequence

from prefect import task
from prefect.runtime import task_run

from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.contracts.text import shown
from tasks.per_video.fetching import fetch_each
from tasks.per_video.workplace import Workplace
from tasks.progress_log import current_progress

LONGEST_NAME = 120  # characters of a run's name


def _run_name() -> str:
    """Name the run by its first source: Prefect stores and shows the name."""
    return f"fetch-{shown(task_run.parameters['sources'][0], LONGEST_NAME)}"


@task(name="fetch-videos", task_run_name=_run_name, persist_result=False)
def fetch_videos(sources: Sequence[str], workplace: Workplace) -> list[FetchedVideo | VideoOutcome]:
    """Fetch what is not there yet; one that cannot be had fails alone."""
    return list(fetch_each(sources, workplace, current_progress()))
