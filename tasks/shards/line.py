"""What the transfers of one download share: connections, counts, the wish to stop, knowledge of weak mirrors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from urllib.parse import urlsplit

import httpx

from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import Source
from tasks.shards.sources import Stopped, make_client


class Meter:
    """Counts what several threads receive, and tells a listener of it."""

    def __init__(self, progress: Progress, what: str) -> None:
        self.bytes_received = 0
        self.retried = 0
        self.resumed = 0
        self._progress = progress
        self._what = what
        self._lock = Lock()

    def receive(self, count: int) -> None:
        """Count bytes that have come and are written."""
        with self._lock:
            self.bytes_received += count
        self._progress.advance(self._what, count)

    def keep(self, count: int) -> None:
        """Count bytes that an earlier run has left."""
        self._progress.advance(self._what, count)

    def throw_away(self, count: int) -> None:
        """Take back bytes that were no good."""
        if count:
            self._progress.advance(self._what, -count)

    def retry(self) -> None:
        """Count an attempt that follows a failed one on the same mirror."""
        with self._lock:
            self.retried += 1

    def resume(self) -> None:
        """Count an answer that goes on where the file ended."""
        with self._lock:
            self.resumed += 1


class Line:
    """Shared by all threads of one download."""

    def __init__(self, config: DownloadConfig, meter: Meter) -> None:
        self.config = config
        self.meter = meter
        self.stop = Event()
        self._weak: set[str] = set()
        self._client: httpx.Client | None = None
        self._lock = Lock()

    @property
    def client(self) -> httpx.Client:
        """The HTTP client; made when first needed, as it loads certificates and a folder needs none."""
        with self._lock:
            if self._client is None:
                self._client = make_client(self.config)
            return self._client

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: at once, when the end is asked for.
        """
        if self.stop.wait(seconds):
            raise Stopped

    def in_order(self, sources: Iterable[Source]) -> list[Source]:
        """Return the sources with those last that have lately failed again and again, so that not every file waits."""
        return sorted(sources, key=lambda source: _origin(source) in self._weak)

    def note_failure(self, source: Source) -> None:
        """Remember that a source has failed at every attempt."""
        self._weak.add(_origin(source))

    def note_success(self, source: Source) -> None:
        """Remember that a source works."""
        self._weak.discard(_origin(source))


@contextmanager
def open_line(config: DownloadConfig, progress: Progress, what: str) -> Iterator[Line]:
    """Open a line for the length of a block."""
    line = Line(config, Meter(progress, what))
    try:
        yield line
    finally:
        line.stop.set()
        line.close()


def _origin(source: Source) -> str:
    return urlsplit(source).netloc if isinstance(source, str) else str(source.parent)
