"""Where videos are kept and how they are fetched: the sources of a list, fetched one after the other."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import sleep

from tasks.contracts.datasets import DropReason
from tasks.contracts.errors import (
    RateLimitedError,
    ReelsiftError,
    RefusedSourceError,
    RestrictedVideoError,
    WithdrawnVideoError,
)
from tasks.contracts.media import FetchedVideo, TimeRange, VideoOutcome
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress, Silent
from tasks.per_video.jobs import failed, failure_of
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import shown
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.fetch import discard_video, fetch_video, fetched_before, find_video, host_of, path_on_disk
from tasks.video.probe import probe
from tasks.weights.store import WeightsStore


class Workplace(FrozenModel):
    """Folders and configs."""

    fetched: Path  # downloaded videos
    out: Path  # one folder below it for each video
    fetch: FetchConfig
    download: DownloadConfig  # for the files of YouTube-8M's hosts
    bounds: MediaBounds
    weights: WeightsStore
    storage: str | None = None  # URI of the object store that keeps what is found
    keeps_videos: bool = True  # where it does not, `discard` deletes a video that was fetched, once it was worked on
    part: TimeRange | None = None  # of each video, that alone is worked on

    def partly(self, video: FetchedVideo) -> FetchedVideo:
        """Return a video with the part of it that is worked on."""
        return video.model_copy(update={"part": self.part}) if self.part else video


FIRST_WAIT_S = 10.0  # doubled at each refusal
LONGEST_WAIT_S = 600.0
NOT_ASKED = "Not asked for, as {} gives no more for now. Run the same again in an hour: what has come is kept."


def fetch_each(
    sources: Iterable[str], workplace: Workplace, progress: Progress | None = None
) -> Iterator[FetchedVideo | VideoOutcome]:
    """Yield each source's video, or its failure."""
    patience = Patience(workplace.fetch.rate_limit_wait_s, progress or Silent())
    for source, is_alone in _with_company(sources):
        try:
            yield _fetched(source, workplace, progress, Patience(0, Silent()) if is_alone else patience)
        except ReelsiftError as error:
            yield failed(source, str(error), cause_of(error))
        except Exception as error:  # noqa: BLE001 - the other videos must not be lost
            yield failure_of(source, error).model_copy(update={"cause": DropReason.NOT_FETCHED})


CAUSES = {
    WithdrawnVideoError: DropReason.WITHDRAWN,
    RestrictedVideoError: DropReason.RESTRICTED,
    RateLimitedError: DropReason.RATE_LIMITED,
    RefusedSourceError: DropReason.REFUSED,
}


def cause_of(error: ReelsiftError) -> DropReason:
    """Return the reason by which a source is counted that could not be fetched."""
    return next((cause for kind, cause in CAUSES.items() if isinstance(error, kind)), DropReason.NOT_FETCHED)


def known_video(source: str, workplace: Workplace) -> FetchedVideo | VideoOutcome | None:
    """Return what is known of a source without asking a host: its file, be it deleted since, or that it is withdrawn.

    Whatever else is wrong with it, `fetch_each` will say.
    """
    try:
        found = fetched_before(source, workplace.fetched, workplace.fetch)
    except ReelsiftError:
        return None
    return failed(source, found, DropReason.WITHDRAWN) if isinstance(found, str) else found


def discard(source: str, workplace: Workplace) -> None:
    """Delete the file of a source that was fetched to be worked on once; any other stays."""
    if not workplace.keeps_videos:
        discard_video(source, workplace.fetched, workplace.fetch)


class Patience:
    """What is left of the time that a list may wait for hosts that give no more for a while."""

    def __init__(self, seconds: float, progress: Progress) -> None:
        self._left_s = seconds
        self._next_s = FIRST_WAIT_S
        self._progress = progress
        self._spent_on = set[str]()

    def is_spent_on(self, host: str) -> bool:
        """Say whether a host gave nothing for all of the time: asked once more, it would refuse for longer."""
        return host in self._spent_on

    def wait(self, source: str, host: str) -> bool:
        """Wait, and longer each time; say at once that it is over once all of the time is used up."""
        wait_s = min(self._next_s, LONGEST_WAIT_S, self._left_s)
        if wait_s <= 0:
            self._spent_on.add(host)
            return False
        self._next_s *= 2
        self._left_s -= wait_s
        what = f"waiting for leave to fetch {source}"
        logging.getLogger("reelsift").warning(
            "The host of %s gives no more for now: asking again in %.0f s, for %.0f s more at most.",
            source,
            wait_s,
            self._left_s,
        )
        self._progress.begin(what, wait_s, "s")
        while wait_s > 0:
            step_s = min(1.0, wait_s)
            sleep(step_s)
            self._progress.advance(what, step_s)
            wait_s -= step_s
        return True

    def renew(self) -> None:
        """Begin with short waits again, as the host gives."""
        self._next_s = FIRST_WAIT_S


def _fetched(source: str, workplace: Workplace, progress: Progress | None, patience: Patience) -> FetchedVideo:
    host, config, for_features = host_of(source), workplace.fetch, not workplace.keeps_videos
    if patience.is_spent_on(host) and find_video(source, workplace.fetched, config) is None:
        raise RateLimitedError(NOT_ASKED.format(host))
    while True:
        try:
            video = fetch_video(
                source, workplace.fetched, config, workplace.download, progress, for_features=for_features
            )
        except RateLimitedError:
            if not patience.wait(shown(source), host):
                raise
        else:
            patience.renew()
            return workplace.partly(video)


def _with_company(sources: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each source, and whether there is no other: then somebody waits for it, and would rather know at once."""
    left = iter(sources)
    source = next(left, None)
    is_first = True
    while source is not None:
        following = next(left, None)
        yield source, is_first and following is None
        source, is_first = following, False


def lasting_s(source: str, workplace: Workplace) -> float | None:
    """Return how much of a video is worked on, 0 for a picture or for what is broken: neither is much work."""
    try:
        path = path_on_disk(source, workplace.fetched, workplace.fetch)
        if path is None:
            return None
        media = probe(path, workplace.bounds)
    except ReelsiftError:
        return 0.0
    if media.kind == "picture":
        return 0.0
    return workplace.part.length_s(media.duration_s) if workplace.part else media.duration_s
