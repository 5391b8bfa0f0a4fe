"""Frames of a video through a network: read ahead, in batches, several of them at once, with progress in seconds."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.overlap import ahead, in_order
from tasks.contracts.progress import Progress, Silent
from tasks.video.frames import Frame, FrameReader

ItemT = TypeVar("ItemT")
MadeT = TypeVar("MadeT")


class VideoClock:
    """One pass over one video."""

    def __init__(self, progress: Progress, what: str, length_s: float | None) -> None:
        """Say that it begins."""
        progress.begin(what, length_s, "s")
        self._progress, self._what, self._length_s = progress, what, length_s
        self._reached_s = 0.0

    def reach(self, time_s: float) -> None:
        """Say that all before `time_s` is done; never more than there is."""
        until_s = time_s if self._length_s is None else min(time_s, self._length_s)
        if until_s > self._reached_s:
            self._progress.advance(self._what, until_s - self._reached_s)
            self._reached_s = until_s

    def finish(self) -> None:
        """Say that the whole video is done."""
        if self._length_s is not None:
            self.reach(self._length_s)


MOST_SAMPLES = 50_000  # nearly 7 a second for two hours; of a thousand labels 200 MB, and as much again smoothed


def check_samples(
    path: Path, rate_hz: float, length_s: float | None, advice: str = "with `--fps`", most: int = MOST_SAMPLES
) -> None:
    """See that a video of this length, or what has been read of it, has no more sampled frames than can be held.

    Raises:
        VideoError: it has.
    """
    if length_s is None or length_s * rate_hz <= most:
        return
    raise VideoError(
        f"{path.name} would be sampled at over {most:,} frames, {rate_hz:g} a second for {length_s:,.0f} s: "
        f"ask for {most / length_s:.2g} a second or fewer {advice}."
    )


FIRST_ROWS = 64  # that there is room for at first


class GrowingRows:
    """Rows of float32 that come a few at a time, copied into one array, of which up to half is unused.

    Rows that a network gives are views of its own memory. Kept one by one among all that it allocates in between, they
    keep the allocator from giving that back: 208 kB a row.
    """

    def __init__(self, columns: int) -> None:
        self._held = np.empty((FIRST_ROWS, columns), np.float32)
        self._count = 0

    def add(self, row: NDArray[np.float32]) -> None:
        """Add a copy of a row, (columns,)."""
        if self._count == len(self._held):
            grown = np.empty((2 * self._count, self._held.shape[1]), np.float32)
            grown[: self._count] = self._held
            self._held = grown
        self._held[self._count] = row
        self._count += 1

    def rows(self) -> NDArray[np.float32]:
        """Return all rows so far, (n, columns): a view, which holds until the next one is added."""
        return self._held[: self._count]


class NetworkThreads:
    """Threads that put batches through a network side by side, each on one core; the answers come in order.

    Two threads of one core each look at a third more frames a second than two cores at one batch, which wait for each
    other at every layer; and where another stage takes one of the cores, they do not wait for it.
    """

    def __init__(self, count: int, begin: Callable[[], object] | None = None) -> None:
        """Make them; with a count of 1 the caller's own thread does the work. `begin` is called in each at first."""
        self.count = count
        self._pool = ThreadPoolExecutor(count, "network", initializer=begin) if count > 1 else None

    def map(self, call: Callable[[ItemT], MadeT], items: Iterable[ItemT]) -> Iterator[MadeT]:
        """Yield what `call` makes of each item; several videos may ask at once."""
        if self._pool is None:
            yield from map(call, items)
            return
        yield from in_order(self._pool, call, items, self.count)


Prepared = NDArray[Any]  # what a network takes of one frame


@dataclass(frozen=True)
class FrameNetwork:
    """A network that frames go through, and how."""

    prepare: Callable[[NDArray[np.uint8]], Prepared]  # done to each frame in the thread that reads ahead
    run: Callable[[Sequence[Prepared]], NDArray[np.float32]]  # from n of them to rows (n, columns), which are copied
    columns: int
    batch_size: int
    threads: NetworkThreads


LEAST_AHEAD = 4  # frames decoded while the network looks at others


def sampled_rows(
    reader: FrameReader,
    rate_hz: float,
    network: Callable[[], FrameNetwork],
    what: str,
    progress: Progress | None = None,
    advice: str = "with `--fps`",
    most: int = MOST_SAMPLES,
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the time of each of T sampled frames, (T,), and what a network makes of it, (T, columns).

    Args:
        reader: of frames at that rate.
        rate_hz: samples a second.
        network: gives the network; called once progress has been reported, as it may take seconds to load.
        what: what progress calls it, with the file's name after it.
        progress: reports the seconds that have been looked at.
        advice: how a lower rate is asked for.
        most: samples that can be held.

    Raises:
        VideoError: the video is broken, shows nothing, or has more samples than can be held.
    """
    length_s, name = reader.length_s, reader.path.name
    clock = VideoClock(progress or Silent(), f"{what} of {name}", length_s)
    check_samples(reader.path, rate_hz, length_s, advice, most)
    opened = network()
    times_s, kept = list[float](), GrowingRows(opened.columns)
    size = _even_size(length_s and math.ceil(length_s * rate_hz), opened)
    for new_s, rows in _looked_at(reader, opened, size):
        times_s += new_s
        looked_at_s = times_s[-1] - reader.start_s
        check_samples(reader.path, rate_hz, looked_at_s, advice, most)
        for row in rows:
            kept.add(row)
        clock.reach(looked_at_s + 1 / rate_hz)
    clock.finish()
    if not times_s:
        raise VideoError(f"{name} shows no frame at any time: is it a video? Fetch or copy it again.")
    return np.asarray(times_s, np.float64), kept.rows()


Batch = list[tuple[float, Prepared | None]]


def _even_size(samples: float | None, network: FrameNetwork) -> int:
    """Return the size of batches: of a short video such that each thread has as many as the others."""
    if not samples:
        return network.batch_size
    count = network.threads.count
    rounds = math.ceil(samples / (count * network.batch_size))
    return min(network.batch_size, math.ceil(samples / (count * rounds)))


def _looked_at(
    frames: Iterable[Frame], network: FrameNetwork, size: int
) -> Iterator[tuple[list[float], NDArray[np.float32]]]:
    """Yield times and rows of `size` samples at a time, in order.

    A sample at which the picture before is still on show has that picture's row, and is not looked at again.
    """

    def work(batch: Batch) -> tuple[Batch, NDArray[np.float32]]:
        new = [image for _, image in batch if image is not None]
        rows = network.run(new) if new else np.zeros((0, network.columns), np.float32)
        return batch, np.array(rows, np.float32)

    latest = np.zeros((0, network.columns), np.float32)
    with closing(ahead(_prepared(frames, network.prepare), buffer=max(LEAST_AHEAD, 2 * network.batch_size))) as samples:
        for batch, rows in network.threads.map(work, in_batches(samples, size)):
            known = np.concatenate([latest, rows])
            places = np.cumsum([image is not None for _, image in batch]) + len(latest) - 1
            latest = known[-1:].copy()
            yield [time_s for time_s, _ in batch], known[places]


def _prepared(
    frames: Iterable[Frame], prepare: Callable[[NDArray[np.uint8]], Prepared]
) -> Iterator[tuple[float, Prepared | None]]:
    """Yield each sample's picture, or None where that is still the picture of the sample before."""
    latest: int | None = None
    for frame in frames:
        yield frame.time_s, prepare(frame.image) if frame.index != latest else None
        latest = frame.index


def in_batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield lists of `size` items, the last perhaps shorter (`itertools.batched` came with Python 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
