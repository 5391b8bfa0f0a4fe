"""Dataset versions that hold the frames of videos: counted, and in ragged batches."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import vectors
from tasks.contracts.datasets import FrameCounts
from tasks.contracts.errors import DatasetError
from tasks.contracts.features import CODE_STEP, CODE_ZERO
from tasks.datasets.folders import in_use
from tasks.datasets.load import FRAME_BATCH_ROWS, flags, label_lists, read_batches
from tasks.datasets.manifest import Dataset, parts_checked
from tasks.datasets.moments import frame_means, frame_rows, reading_part

if TYPE_CHECKING:
    import torch

COUNTED_ROWS = 1 << 14  # without frames
MIXED_GROUPS = 4  # row groups whose videos are shuffled among each other: 76 MB


def count_frames(parts: Mapping[str, Sequence[Path]]) -> FrameCounts:
    """Count the frames and the ratings of segments; `parts` are the Parquet files by split."""
    frames, rated, confirmed = (dict.fromkeys(sorted(parts), 0) for _ in range(3))
    longest, labels = 0, set[int]()
    for split, paths in parts.items():
        for path in paths:
            for batch in read_batches(path, ("frame_count", "segments"), COUNTED_ROWS, level="frame"):
                counts = np.asarray(np.from_dlpack(batch.column("frame_count")), np.int64)
                ratings = Ratings.of(batch)
                frames[split] += int(counts.sum())
                longest = max(longest, int(counts.max(initial=0)))
                rated[split] += len(ratings.label)
                confirmed[split] += int(ratings.is_confirmed.sum())
                labels |= set(np.unique(ratings.label).tolist())
    return FrameCounts(
        frames=frames, longest=longest, rated=rated, confirmed=confirmed, rated_labels=tuple(sorted(labels))
    )


RATING = ("start_s", "end_s", "label", "score")


@dataclass(frozen=True)
class Ratings:
    """What people said of segments of n videos: one rating for each segment and label that they were asked about.

    Those of video i are `offsets[i]` to `offsets[i + 1]`. All other labels of a segment are unknown, neither there nor
    absent: only rated ones may be judged.
    """

    offsets: NDArray[np.int64]  # (n + 1,)
    start_s: NDArray[np.int32]  # (R,)
    end_s: NDArray[np.int32]  # (R,)
    label: NDArray[np.int32]  # (R,)
    score: NDArray[np.float32]  # (R,): above 0 where the segment shows the label

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Self:
        """Return the column `segments` of some rows."""
        column = batch.column("segments")
        offsets, inner = np.from_dlpack(column.offsets).astype(np.int64), column.flatten()
        return cls(
            offsets=offsets - offsets[0],
            start_s=np.asarray(np.from_dlpack(inner.field("start_s")), np.int32),
            end_s=np.asarray(np.from_dlpack(inner.field("end_s")), np.int32),
            label=np.asarray(np.from_dlpack(inner.field("label")), np.int32),
            score=np.asarray(np.from_dlpack(inner.field("score")), np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the ratings of the videos of all parts, in their order."""
        values = (np.concatenate([getattr(part, name) for part in parts]) for name in RATING)
        return cls(_joined_offsets([part.offsets for part in parts]), *values)

    @property
    def is_confirmed(self) -> NDArray[np.bool_]:
        """Which ratings (R,) say that the segment shows the label."""
        return self.score > 0

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the ratings of some of the videos, in the order given."""
        chosen, offsets = _ragged(self.offsets, rows)
        return type(self)(offsets, self.start_s[chosen], self.end_s[chosen], self.label[chosen], self.score[chosen])


def load_ratings(dataset: Dataset) -> Ratings:
    """Return what people said of the segments of all videos of a version, in the order of its rows.

    Raises:
        DatasetError: the version holds no frames.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
    """
    require_frames(dataset)
    with in_use(dataset.folder), parts_checked(dataset):
        batches = (
            each for path in dataset.paths() for each in read_batches(path, ("segments",), COUNTED_ROWS, level="frame")
        )
        return Ratings.joined(list(map(Ratings.of, batches)))


@dataclass(frozen=True)
class FrameBatch:
    """Some videos with their frames one after the other: those of video i are `offsets[i]` to `offsets[i + 1]`."""

    video_ids: NDArray[np.object_]  # (n,) str
    rgb: NDArray[np.uint8]  # (F, 1024), quantised as they are published
    audio: NDArray[np.uint8]  # (F, 128)
    offsets: NDArray[np.int64]  # (n + 1,)
    label_offsets: NDArray[np.int64]  # (n + 1,)
    label_ids: NDArray[np.int32]  # (label_offsets[-1],)
    is_match: NDArray[np.bool_]  # (n,)
    ratings: Ratings

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.video_ids)

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Self:
        """Return all columns of some rows; the frames are views of them."""
        ends = np.from_dlpack(batch.column("rgb").offsets).astype(np.int64)
        label_offsets, label_ids = label_lists(batch)
        return cls(
            video_ids=batch.column("video_id").to_numpy(zero_copy_only=False),
            rgb=frame_rows(batch, "rgb"),
            audio=frame_rows(batch, "audio"),
            offsets=ends - ends[0],
            label_offsets=label_offsets,
            label_ids=label_ids,
            is_match=flags(batch),
            ratings=Ratings.of(batch),
        )

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return a copy of some of the videos, in the order given."""
        runs = [slice(self.offsets[row], self.offsets[row + 1]) for row in rows.tolist()]
        labels, label_offsets = _ragged(self.label_offsets, rows)
        return type(self)(
            self.video_ids[rows],
            np.concatenate([self.rgb[run] for run in runs]),
            np.concatenate([self.audio[run] for run in runs]),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(self.offsets)[rows])]),
            label_offsets,
            self.label_ids[labels],
            self.is_match[rows],
            self.ratings.take(rows),
        )

    def tensors(self, device: "str | torch.device", dtype: "torch.dtype | None" = None) -> "tuple[torch.Tensor, ...]":
        """Return features (F, 1152) and offsets (n + 1) on a device, to which the frames go as bytes.

        `dtype` is that of the features, float32 by default.
        """
        import torch  # noqa: PLC0415 - takes seconds, which those who only count need not wait for

        codes = [torch.from_numpy(each).to(device, non_blocking=True) for each in (self.rgb, self.audio)]
        features = torch.cat(codes, dim=1).float().mul_(CODE_STEP).add_(CODE_ZERO)
        return features.to(dtype or torch.float32), torch.from_numpy(self.offsets).to(device, non_blocking=True)

    def means(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the means of the picture (n, 1024) and of the sound (n, 128) of each video, dequantised."""
        return frame_means(self.rgb, self.offsets), frame_means(self.audio, self.offsets)


def shard_means(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of a shard as those of whole videos, in one table."""
    from tasks.records.rows import SCHEMA  # noqa: PLC0415 - numba takes a second to import

    made = [SCHEMA.empty_table()]
    for batch in (batch for table in tables for batch in table.to_batches(FRAME_BATCH_ROWS)):
        means = dict(zip(("mean_rgb", "mean_audio"), FrameBatch.of(batch).means(), strict=True))
        columns = [
            vectors(means[name], SCHEMA.field(name).type) if name in means else batch.column(name)
            for name in SCHEMA.names
        ]
        made.append(pa.Table.from_arrays(columns, schema=SCHEMA))
    yield pa.concat_tables(made)


def frame_arrays(table: pa.Table, column: str) -> list[NDArray[np.uint8]]:
    """Return the frames of each row, uint8 (frames, size)."""
    found = list[NDArray[np.uint8]]()
    for batch in table.select([column]).to_batches():
        ends = np.from_dlpack(batch.column(column).offsets)[1:-1] - batch.column(column).offsets[0].as_py()
        found += np.split(frame_rows(batch, column), ends) if len(batch) else []
    return found


def _ragged(offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the elements of some lists are, list by list, and the offsets that these then have."""
    counts = np.diff(offsets)[rows]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return np.arange(ends[-1]) + np.repeat(offsets[rows] - ends[:-1], counts), ends


def frame_batches(
    dataset: Dataset, split: str, videos: int = 64, *, seed: int | None = None, check: bool = True
) -> Iterator[FrameBatch]:
    """Yield a split in ragged batches of so many videos, the last one smaller; the next are read meanwhile.

    A few row groups are in memory at a time, whatever the size of the version.

    Args:
        dataset: a version that holds frames.
        split: one of its splits.
        videos: in a batch.
        seed: shuffles the row groups, and the videos of each few among each other; None keeps them in order.
        check: compare the parts with their digests, which takes as long as reading them: once is enough.

    Raises:
        DatasetError: the version has no such split, or no frames.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
    """
    require_frames(dataset)
    places = [(path, group) for path in dataset.paths(split) for group in range(_group_count(path))]
    order = np.arange(len(places)) if seed is None else np.random.default_rng(seed).permutation(len(places))
    mixed = 1 if seed is None else MIXED_GROUPS
    pools = [[places[n] for n in order[start : start + mixed]] for start in range(0, len(order), mixed)]
    rng = None if seed is None else np.random.default_rng(seed + 1)
    with in_use(dataset.folder), parts_checked(dataset, split) if check else nullcontext():
        yield from _batches(pools, videos, rng)


def require_frames(dataset: Dataset) -> None:
    """Refuse a version that holds no frames.

    Raises:
        DatasetError: it does not.
    """
    if dataset.manifest.level != "frame":
        raise DatasetError(
            f"Dataset {dataset.manifest.reference} holds features of whole videos, no frames. "
            "`reelsift dataset build --level frame` makes a version with frames"
        )


def _group_count(path: Path) -> int:
    with pq.ParquetFile(path) as file:
        return file.num_row_groups


Places = Sequence[tuple[Path, int]]


def _read(places: Places) -> FrameBatch:
    tables = list[pa.Table]()
    for path, group in places:
        with reading_part(path), pq.ParquetFile(path) as file:
            tables.append(file.read_row_group(group))
    return FrameBatch.of(pa.concat_tables(tables).combine_chunks().to_batches()[0])


def _batches(pools: Sequence[Places], videos: int, rng: np.random.Generator | None) -> Iterator[FrameBatch]:
    held, room = list[FrameBatch](), videos
    with ThreadPoolExecutor(1, thread_name_prefix="frames") as reader:
        coming = deque(reader.submit(_read, places) for places in pools[:1])
        for following in range(1, len(pools) + 1):
            pool = coming.popleft().result()
            coming.extend(reader.submit(_read, places) for places in pools[following : following + 1])
            rows = np.arange(len(pool)) if rng is None else rng.permutation(len(pool))
            while len(rows):
                held.append(pool.take(rows[:room]))
                rows, room = rows[room:], room - len(held[-1])
                if room == 0:
                    yield _joined(held)
                    held, room = [], videos
    if held:
        yield _joined(held)


def _joined(batches: Sequence[FrameBatch]) -> FrameBatch:
    if len(batches) == 1:
        return batches[0]
    ratings = [each.ratings for each in batches]

    def joined(parts: Sequence[object], name: str) -> NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in parts])

    return FrameBatch(
        video_ids=joined(batches, "video_ids"),
        rgb=joined(batches, "rgb"),
        audio=joined(batches, "audio"),
        offsets=_joined_offsets([each.offsets for each in batches]),
        label_offsets=_joined_offsets([each.label_offsets for each in batches]),
        label_ids=joined(batches, "label_ids"),
        is_match=joined(batches, "is_match"),
        ratings=Ratings.joined(ratings),
    )


def _joined_offsets(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate([np.diff(each) for each in offsets]))])
