"""Many sources to files on the disk, the next while the last is worked on.

In: sources as people name them. Out: for each, in order, the video that was fetched or the outcome that says why not.
Does not open the files.
"""

from collections.abc import Iterable, Iterator

from tasks.contracts.errors import ReelsiftError
from tasks.contracts.media import FetchedVideo
from tasks.contracts.outcomes import VideoOutcome
from tasks.contracts.progress import Progress
from tasks.per_video.alone import failed
from tasks.per_video.workplace import Workplace
from tasks.video.fetch import fetch_video


def fetch_each(
    sources: Iterable[str], workplace: Workplace, progress: Progress | None = None
) -> Iterator[FetchedVideo | VideoOutcome]:
    """Yield each source's video, or its failure."""
    for source in sources:
        try:
            yield fetch_video(source, workplace.fetched, workplace.fetch, workplace.download, progress)
        except ReelsiftError as error:
            yield failed(source, str(error))
