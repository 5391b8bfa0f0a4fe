"""What videos show over time: the values of each moment, read from the parts of a version when they are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import FRAME_LISTS, seconds_column
from tasks.contracts.errors import DatasetError
from tasks.contracts.features import CODE_STEP, CODE_ZERO, FeatureSpace
from tasks.datasets.folders import in_use
from tasks.datasets.manifest import Dataset, damaged

HELD_BYTES = 512 << 20  # of what was read and may be asked for again
MIXED_BLOCKS = 8  # row groups whose videos are shuffled among each other, where not all can be held: 150 MB of frames
HELD_BLOCKS = MIXED_BLOCKS + 1  # a batch may begin in the first of the next ones
AHEAD = 3  # batches that are read while others are learnt from


def no_moments(model: str, dataset: str) -> DatasetError:
    """Return the error for a model over time and a version that keeps nothing but the features of whole videos."""
    return DatasetError(
        f"A model of the kind {model} looks at the moments of a video, and {dataset} has features of whole videos "
        "alone. `reelsift dataset build --level frame` makes a version with frames, `reelsift dataset import` or "
        "`extract` one with the seconds of videos"
    )


def require_moments(dataset: Dataset, model: str) -> None:
    """Refuse a version that keeps nothing but the features of whole videos, without reading them.

    Raises:
        DatasetError: it does.
        DamagedDatasetError: its first part cannot be read.
    """
    if dataset.paths() and not _has(dataset.paths()[0], moment_columns(dataset)):
        raise no_moments(model, dataset.manifest.reference)


def moment_columns(dataset: Dataset) -> tuple[str, ...]:
    """Return the columns of a version's parts that would have the moments of videos."""
    manifest = dataset.manifest
    return tuple(FRAME_LISTS) if manifest.level == "frame" else tuple(map(seconds_column, manifest.space.slices))


def _has(path: Path, columns: tuple[str, ...]) -> bool:
    with reading_part(path):
        return set(columns) <= set(pq.read_schema(path).names)


@contextmanager
def reading_part(path: Path) -> Iterator[None]:
    """Say what is wrong with a part that cannot be read.

    Raises:
        DamagedDatasetError: it cannot.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise damaged(path.parent, f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error


@dataclass(frozen=True)
class MomentBatch:
    """Some videos, one moment after the other: those of video i are `offsets[i]` to `offsets[i + 1]`."""

    values: NDArray[np.uint8 | np.float16 | np.float32]  # (P, F); uint8 are codes as YouTube-8M publishes them
    offsets: NDArray[np.int64]  # (n + 1,)

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.offsets) - 1

    def video(self, row: int) -> NDArray[np.uint8 | np.float16 | np.float32]:
        """Return a view (T, F) of one of them."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def means(self) -> NDArray[np.float32]:
        """Return the means (n, F) over each video's moments, codes dequantised."""
        if self.values.dtype == np.uint8:
            return frame_means(self.values.astype(np.uint8, copy=False), self.offsets)
        sums = np.add.reduceat(self.values, self.offsets[:-1], axis=0, dtype=np.float64)
        return (sums / np.diff(self.offsets)[:, None]).astype(np.float32)

    @classmethod
    def joined(cls, videos: Sequence[NDArray[np.uint8 | np.float16 | np.float32]]) -> Self:
        """Return a copy of videos (T, F), in their order."""
        lengths = [len(video) for video in videos]
        return cls(np.concatenate(videos), np.cumsum([0, *lengths], dtype=np.int64))


class Blocks:
    """Blocks of videos, of which those that were read last are held: all where there is room, else few."""

    def __init__(self, readers: Sequence[Callable[[], MomentBatch]], rows: Sequence[int], *, size_bytes: int) -> None:
        self.firsts = np.cumsum([0, *rows], dtype=np.int64)  # the first row of each block, and the end of the last
        self.fit = size_bytes <= HELD_BYTES
        self._readers = readers
        self._held = OrderedDict[int, MomentBatch]()
        self._lock = Lock()

    def read(self, block: int) -> MomentBatch:
        """Return a block."""
        with self._lock:
            if block in self._held:
                self._held.move_to_end(block)
                return self._held[block]
            found = self._held[block] = self._readers[block]()
            while not self.fit and len(self._held) > HELD_BLOCKS:
                self._held.popitem(last=False)
            return found

    def close(self) -> None:
        """Let go of what is held, unless it is all."""
        with self._lock:
            if not self.fit:
                self._held.clear()


@dataclass(frozen=True)
class Moments:
    """What each of n videos shows over time, in the videos' order."""

    blocks: Blocks
    rows: NDArray[np.int64]  # (n,): the row of each among those of all blocks

    @classmethod
    def of(cls, batch: MomentBatch) -> Self:
        """Return what is in memory already."""
        return cls(Blocks([lambda: batch], [len(batch)], size_bytes=0), np.arange(len(batch)))

    @classmethod
    def of_parts(cls, dataset: Dataset, paths: Sequence[Path], rows: NDArray[np.int64]) -> Self | None:
        """Return those of some rows of all parts; None where the version keeps nothing but means."""
        columns = moment_columns(dataset)
        readers, counts, size_bytes = list[Callable[[], MomentBatch]](), list[int](), 0
        for path in paths:
            if not _has(path, columns):
                return None
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    found = file.metadata.row_group(group)
                    readers.append(partial(_read, dataset.folder, path, group, columns))
                    counts.append(found.num_rows)
                    size_bytes += found.total_byte_size
        return cls(Blocks(readers, counts, size_bytes=size_bytes), rows)

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.rows)

    def chosen(self, chosen: NDArray[np.bool_]) -> Self:
        """Return those of the videos where `chosen` (n,) is true."""
        return type(self)(self.blocks, self.rows[chosen])

    def take(self, places: NDArray[np.int64]) -> MomentBatch:
        """Return some of the videos, in the order given."""
        block_n, row_n = self._blocks[places], self._within[places]
        present = np.unique(block_n).tolist()
        is_copied = not self.blocks.fit and len(present) > HELD_BLOCKS  # a view would keep its whole block
        videos = dict[int, NDArray[np.uint8 | np.float16 | np.float32]]()
        for block in present:
            read = self.blocks.read(block)
            for place in np.flatnonzero(block_n == block).tolist():
                video = read.video(row_n[place])
                videos[place] = video.copy() if is_copied else video
        return MomentBatch.joined([videos[place] for place in range(len(places))])

    def batches(self, places: Iterable[NDArray[np.int64]]) -> Iterator[MomentBatch]:
        """Yield batches of the videos; the next ones are read meanwhile."""
        with closing(self.blocks), ThreadPoolExecutor(1, thread_name_prefix="moments") as reader:
            coming = list[Future[MomentBatch]]()
            for each in places:
                coming.append(reader.submit(self.take, each))
                if len(coming) > AHEAD:
                    yield coming.pop(0).result()
            for each in coming:
                yield each.result()

    def shuffled(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the places of all videos in a random order, in which no block is read twice where not all are held."""
        if self.blocks.fit:
            return rng.permutation(len(self))
        present = rng.permutation(np.unique(self._blocks))
        starts = range(0, len(present), MIXED_BLOCKS)
        pools = (np.isin(self._blocks, present[first : first + MIXED_BLOCKS]) for first in starts)
        return np.concatenate([rng.permutation(np.flatnonzero(pool)) for pool in pools])

    def counts(self) -> NDArray[np.int64]:
        """Return how many moments each video has (n,); all blocks are read for it."""
        found = np.zeros(len(self), np.int64)
        for block in np.unique(self._blocks).tolist():
            here = self._blocks == block
            found[here] = np.diff(self.blocks.read(block).offsets)[self._within[here]]
        return found

    @cached_property
    def _blocks(self) -> NDArray[np.int64]:
        """The block of each video (n,)."""
        return np.searchsorted(self.blocks.firsts, self.rows, side="right") - 1

    @cached_property
    def _within(self) -> NDArray[np.int64]:
        """The row of each video within its block (n,)."""
        return self.rows - self.blocks.firsts[self._blocks]


def frame_rows(batch: pa.RecordBatch, column: str) -> NDArray[np.uint8]:
    """Return a view (F, size) of the frames of all rows."""
    frames = batch.column(column).flatten()
    size = frames.type.byte_width
    whole = np.frombuffer(frames.buffers()[1] or b"", np.uint8)
    return whole[frames.offset * size : (frames.offset + len(frames)) * size].reshape(-1, size)


def frame_means(codes: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the means (n, F) of the frames of each video, dequantised."""
    sums = np.add.reduceat(codes, offsets[:-1], axis=0, dtype=np.int64)
    return (sums / np.diff(offsets)[:, None] * CODE_STEP + CODE_ZERO).astype(np.float32)


def batch_means(batch: pa.RecordBatch, space: FeatureSpace) -> NDArray[np.float32]:
    """Return the means (n, F) of the frames of each row."""
    ends = np.from_dlpack(batch.column("rgb").offsets).astype(np.int64)
    means = [frame_means(frame_rows(batch, column), ends - ends[0]) for column in FRAME_LISTS]
    assert sum(each.shape[1] for each in means) == space.size
    return np.concatenate(means, axis=1)


def _read(folder: Path, path: Path, group: int, columns: tuple[str, ...]) -> MomentBatch:
    with reading_part(path), in_use(folder), pq.ParquetFile(path) as file:
        table = file.read_row_group(group, columns=list(columns))
    (batch,) = table.combine_chunks().to_batches()
    ends = [np.from_dlpack(batch.column(column).offsets).astype(np.int64) for column in columns]
    if any(not np.array_equal(each - each[0], ends[0] - ends[0][0]) for each in ends) or (np.diff(ends[0]) < 1).any():
        raise damaged(folder, f"{path.name} has videos whose {' and '.join(columns)} are not of as many moments")
    values = [_moment_rows(batch, column) for column in columns]
    return MomentBatch(np.concatenate(values, axis=1), ends[0] - ends[0][0])


def _moment_rows(batch: pa.RecordBatch, column: str) -> NDArray[np.uint8 | np.float16]:
    """Return the moments (P, size) of all rows: codes, or halves."""
    if column in FRAME_LISTS:
        return frame_rows(batch, column)
    vectors = batch.column(column).flatten()
    return np.asarray(np.from_dlpack(vectors.flatten()), np.float16).reshape(-1, vectors.type.list_size)
