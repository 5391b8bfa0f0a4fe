"""The Parquet parts of a dataset version as checked batches and as arrays to train on."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import FRAME_LISTS, FRAME_TYPES
from tasks.contracts.datasets import DatasetManifest, Level, Oddities, PartFile
from tasks.contracts.errors import DamagedDatasetError, DatasetError
from tasks.contracts.features import YT8M, FeatureSpace
from tasks.datasets.caveats import ID_LENGTH
from tasks.datasets.folders import in_use
from tasks.datasets.manifest import Dataset, damaged, parts_checked
from tasks.datasets.moments import Moments, batch_means

BATCH_ROWS = 1024  # 4.7 MB of features; four times as many make Arrow's buffers take 70 MB more, and save no time
FRAME_BATCH_ROWS = 48  # 14 MB of frames of videos of 300 s
MANY_VIDEOS = 1 << 15  # with frames: the means of more would take over 150 MB beside them
DIGEST_BYTES = 16
SHARD_TYPE = pa.dictionary(pa.int32(), pa.string())


def column_types(space: FeatureSpace, level: Level = "video") -> dict[str, pa.DataType]:
    """Return the columns of a part, in their order: those of any dataset, and one for each modality, or the frames."""
    means = {each.name: pa.list_(pa.float32(), each.size) for each in space.modalities}
    features = FRAME_TYPES if level == "frame" else means
    before = {"video_id": pa.string(), "labels": pa.list_(pa.int32())}
    return before | features | {"shard": SHARD_TYPE, "is_match": pa.bool_()}


def read_batches(
    path: Path,
    columns: Sequence[str],
    batch_rows: int = BATCH_ROWS,
    *,
    space: FeatureSpace = YT8M,
    level: Level = "video",
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part of a dataset in `space`; no column of them holds a null.

    Raises:
        DamagedDatasetError: the file is not Parquet, or its columns are not those of `column_types`.
    """
    with _opened(path) as file:
        _check_types(path, file.schema_arrow, columns, column_types(space, level))
        for batch in file.iter_batches(batch_rows, columns=list(columns)):
            for column in columns:
                if _nulls(batch.column(column)):
                    raise _damaged(path, f"column {column!r} has {_nulls(batch.column(column)):,} nulls")
            yield batch


def row_count(path: Path) -> int:
    """Return how many rows a part has, from its footer.

    Raises:
        DamagedDatasetError: the file is not Parquet.
    """
    with _opened(path) as file:
        return file.metadata.num_rows


def label_lists(batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return where each row's labels begin, offsets (n + 1,) from 0, and all labels one after the other."""
    column = batch.column("labels")
    offsets = np.from_dlpack(column.offsets).astype(np.int64)
    return offsets - offsets[0], np.asarray(np.from_dlpack(column.flatten()), np.int32)


def float_rows(batch: pa.RecordBatch, column: str) -> NDArray[np.float32]:
    """Return a view (n, size) of a modality's column."""
    vectors = batch.column(column)
    return np.asarray(np.from_dlpack(vectors.flatten()), np.float32).reshape(len(vectors), vectors.type.list_size)


def flags(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Return which rows (n,) are matches rather than background."""
    return np.from_dlpack(batch.column("is_match").cast(pa.uint8())).astype(np.bool_)


def _nulls(column: pa.Array) -> int:
    """Return how many values are missing, those within lists included."""
    nested = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    return column.null_count + (column.flatten().null_count if nested else 0)


def _check_types(path: Path, schema: pa.Schema, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> None:
    for column in columns:
        wanted = types[column]
        if column not in schema.names:
            raise _damaged(path, f"it has no column {column!r}")
        found = schema.field(column).type
        if _shape(found) != _shape(wanted):
            raise _damaged(path, f"column {column!r} must be {wanted}, got {found}")


def _shape(kind: pa.DataType) -> tuple[object, ...]:
    """Return what must agree in two types: whether a list's elements may be null, and their name, need not."""
    if pa.types.is_fixed_size_list(kind):
        return ("vector", kind.list_size, kind.value_type)
    return ("list", kind.value_type) if pa.types.is_list(kind) else (kind,)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        # Else Arrow keeps what it has read until the last batch: of frames as much as the part, gigabytes.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from error


def _damaged(path: Path, problem: str) -> DamagedDatasetError:
    version = f"{path.parent.parent.name}/{path.parent.name}"
    return DamagedDatasetError(f"Part {path} cannot be read: {problem}. `reelsift dataset verify {version}` checks all")


@dataclass(frozen=True)
class SparseLabels:
    """Which of some labels each of n videos has: those of row i are `columns[offsets[i]:offsets[i + 1]]`, each once."""

    offsets: NDArray[np.int64]  # (n + 1,)
    columns: NDArray[np.int32]
    labels: int  # how many there are to have

    @property
    def per_video(self) -> NDArray[np.int64]:
        """How many each video has (n,)."""
        return np.diff(self.offsets)

    @property
    def per_label(self) -> NDArray[np.int64]:
        """How many videos have each (labels,)."""
        return np.bincount(self.columns, minlength=self.labels)


@dataclass(frozen=True)
class Videos:
    """The rows of a split as arrays; n rows, and all their labels one after the other.

    The labels of row i are `label_ids[label_offsets[i]:label_offsets[i + 1]]`.
    """

    video_ids: NDArray[np.object_]  # (n,) str
    features: NDArray[np.float32 | np.float16]  # (n, F): the modalities side by side; see `feature_type`
    label_offsets: NDArray[np.int64]  # (n + 1,)
    label_ids: NDArray[np.int32]  # (label_offsets[-1],)
    is_match: NDArray[np.bool_]  # (n,): False for background videos
    space: FeatureSpace = YT8M
    moments: Moments | None = None  # what they show over time; None where nothing but the features is kept

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        rows = len(self.video_ids)
        labels = int(self.label_offsets[-1]) if self.label_offsets.size else 0
        wanted = {
            "features": (rows, self.space.size),
            "label_offsets": (rows + 1,),
            "label_ids": (labels,),
            "is_match": (rows,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DatasetError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.video_ids)

    @cached_property
    def digest(self) -> str:
        """`blake2b:` and 32 hex digits over the videos' ids, labels, features and matches, in their order.

        Computed once, as every model of a comparison asks for it: the arrays are not to be changed in place.
        """
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        digest.update("\n".join(self.video_ids).encode())
        for array in (self.label_offsets, self.label_ids, self.is_match, self.features):
            digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
        return f"blake2b:{digest.hexdigest()}"

    def labels_among(self, label_ids: tuple[int, ...]) -> SparseLabels:
        """Return which of `label_ids` the videos have, as columns of these; other labels are left out."""
        columns = np.full(max(*label_ids, int(self.label_ids.max(initial=0))) + 1, -1, np.int32)
        columns[list(label_ids)] = np.arange(len(label_ids))
        column = columns[self.label_ids]
        row = np.repeat(np.arange(len(self)), np.diff(self.label_offsets))
        pairs = np.unique((row << 32 | column)[column >= 0])
        counts = np.bincount(pairs >> 32, minlength=len(self))
        return SparseLabels(
            offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
            columns=(pairs & 0xFFFFFFFF).astype(np.int32),
            labels=len(label_ids),
        )

    def matches(self) -> Self:
        """Return the videos that match, in their order; themselves where all do."""
        return self if self.is_match.all() else self.take(self.is_match)

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the rows where `chosen` (n,) is true, in their order."""
        counts = np.diff(self.label_offsets)
        return type(self)(
            video_ids=self.video_ids[chosen],
            features=self.features[chosen],
            label_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[chosen])]),
            label_ids=self.label_ids[np.repeat(chosen, counts)],
            is_match=self.is_match[chosen],
            space=self.space,
            moments=self.moments.chosen(chosen) if self.moments else None,
        )


Choice = Callable[[NDArray[np.object_]], NDArray[np.bool_]]  # the ids of all rows (n,) to which rows are taken (n,)


def load_videos(dataset: Dataset, split: str | None = None, choose: Choice | None = None) -> Videos:
    """Read a split into memory, or all of them, part by part: the features once, as `feature_type` has them.

    Rows that `choose` leaves out are not kept, not even for a moment. Where a version holds frames, the features are
    their means; these, and the seconds of imported videos, stay on the disk until `moments` is asked for them.

    Raises:
        DatasetError: the version has no such split.
        DamagedDatasetError: a part does not hold what the manifest promises, or differs from its digest.
    """
    with in_use(dataset.folder), parts_checked(dataset, split):
        return _loaded(dataset, split, choose)


def feature_type(manifest: DatasetManifest) -> type[np.float32 | np.float16]:
    """Return what features are kept as: half the bytes where a version has every video of its shards, or many frames.

    That loses nothing that counts: a value in [-2, 2] is off by 0.0005 at most, while YouTube-8M made the frames'
    values eight bits, steps of 0.016, before it averaged them.
    """
    has_many = manifest.level == "frame" and sum(part.rows for part in manifest.parts) > MANY_VIDEOS
    return np.float16 if manifest.is_whole_vocabulary or has_many else np.float32


def _loaded(dataset: Dataset, split: str | None, choose: Choice | None) -> Videos:
    rows = sum(_checked_rows(dataset.folder, part) for part in dataset.parts(split))
    is_chosen = choose(_ids(dataset.paths(split)).to_numpy()) if choose else np.ones(rows, np.bool_)
    count = np.count_nonzero(is_chosen)
    space = dataset.manifest.space
    level, paths = dataset.manifest.level, dataset.paths(split)
    columns = ("video_id", "labels", "is_match", *(FRAME_LISTS if level == "frame" else space.slices))
    batch_rows = FRAME_BATCH_ROWS if level == "frame" else BATCH_ROWS
    ids, is_match = np.empty(count, np.object_), np.empty(count, np.bool_)
    features = np.empty((count, space.size), feature_type(dataset.manifest))
    counts, labels = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
    row = begin = 0
    for read in (
        batch for path in paths for batch in read_batches(path, columns, batch_rows, space=space, level=level)
    ):
        chosen = is_chosen[row : row + read.num_rows]
        batch = read if chosen.all() else read.filter(pa.array(chosen))
        here = slice(begin, begin + batch.num_rows)
        ids[here] = batch.column("video_id").to_numpy(zero_copy_only=False)
        if level == "frame":
            features[here] = batch_means(batch, space)
        else:
            for name, where in space.slices.items():
                features[here, where] = float_rows(batch, name)
        is_match[here] = flags(batch)
        offsets, ids_here = label_lists(batch)
        counts.append(np.diff(offsets))
        labels.append(ids_here)
        row, begin = row + len(chosen), here.stop
    pa.default_memory_pool().release_unused()  # of frames some 150 MB, which nothing needs any more
    moments = Moments.of_parts(dataset, paths, np.flatnonzero(is_chosen))
    offsets, label_ids = np.cumsum(np.concatenate(counts)), np.concatenate(labels)
    return Videos(ids, features, offsets, label_ids, is_match, space, moments)


def first_rows(video_ids: NDArray[np.object_], besides: Collection[str] = ()) -> NDArray[np.bool_]:
    """Say which rows hold a video that does not stand there before, and whose id is not in `besides`."""
    if not besides and len(set(video_ids)) == len(video_ids):
        return np.ones(len(video_ids), np.bool_)
    seen, chosen = set(besides), np.zeros(len(video_ids), np.bool_)
    for row, video_id in enumerate(video_ids):
        chosen[row] = video_id not in seen
        seen.add(video_id)
    return chosen


def held_out_rows(video_ids: NDArray[np.object_], fraction: float = 0.2) -> NDArray[np.bool_]:
    """Say which rows are held out, about `fraction` of them.

    Each video's id alone decides, so the same video is held out on any machine and in any version.

    Raises:
        DatasetError: there are too few videos for both sides.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"The fraction to hold out must lie between 0 and 1, got {fraction}")
    limit = int(fraction * 2**64)
    held_out = np.fromiter((_hash64(video_id) < limit for video_id in video_ids), np.bool_, len(video_ids))
    if not 0 < np.count_nonzero(held_out) < len(video_ids):
        raise DatasetError(
            f"{len(video_ids):,} videos are too few to hold {fraction:.0%} of them out. "
            "`reelsift dataset build` with more shards, or with a validate partition"
        )
    return held_out


def _checked_rows(folder: Path, part: PartFile) -> int:
    """Return the rows of a part, which its file and the manifest must agree on: arrays are sized by them."""
    rows = row_count(folder / part.name)
    if rows != part.rows:
        raise damaged(folder, f"{part.name} has {rows:,} rows, the manifest says {part.rows:,}")
    return rows


def _hash64(video_id: str) -> int:
    """Return a number below 2^64 that is the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(video_id.encode(), digest_size=8).digest(), "little")


ID_BATCH_ROWS = 1 << 16  # only the ids are read


def video_ids(dataset: Dataset, split: str) -> set[str]:
    """Return the ids of all videos of a split.

    Raises:
        DatasetError: the version has no such split.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
    """
    with in_use(dataset.folder), parts_checked(dataset, split):
        return set(_ids(dataset.paths(split)).to_pylist())


def find_oddities(parts: Mapping[str, Sequence[Path]], *, expected_length: int | None = ID_LENGTH) -> Oddities | None:
    """Return what is odd about the videos of a version; None where each stands there once and has a usual id.

    `parts` are the Parquet files by split; of `expected_length` None, ids of any length are usual.
    """
    by_split = {split: _ids(paths) for split, paths in parts.items()}
    distinct = {split: len(ids.unique()) for split, ids in by_split.items()}
    chunks = [chunk for ids in by_split.values() for chunk in ids.chunks]
    everywhere = len(pa.chunked_array(chunks, pa.string()).unique())
    oddities = Oddities(
        repeated={split: len(ids) - distinct[split] for split, ids in by_split.items() if len(ids) > distinct[split]},
        shared=sum(distinct.values()) - everywhere,
        id_lengths={} if expected_length is None else _lengths(chunks),
    )
    is_usual = not oddities.repeated and not oddities.shared and set(oddities.id_lengths) <= {expected_length}
    return None if is_usual else oddities


def _ids(paths: Sequence[Path]) -> pa.ChunkedArray:
    batches = (batch for path in paths for batch in read_batches(path, ("video_id",), ID_BATCH_ROWS))
    return pa.chunked_array([batch.column("video_id") for batch in batches], pa.string())


def _lengths(chunks: Sequence[pa.Array]) -> dict[int, int]:
    lengths = pc.call_function("utf8_length", [pa.chunked_array(chunks, pa.string())])
    counts = lengths.value_counts().to_pylist()
    return dict(sorted((int(each["values"]), int(each["counts"])) for each in counts))
