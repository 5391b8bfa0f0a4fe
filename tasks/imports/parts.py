"""The rows of imported clips: their features cut out of what is kept of each video, and written to Parquet parts."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import seconds_column
from tasks.contracts.datasets import Part
from tasks.contracts.features import FeatureSpace
from tasks.contracts.files import appearing, file_digest, temporary_file
from tasks.contracts.model import code_revision
from tasks.datasets.load import column_types
from tasks.datasets.manifest import Dataset
from tasks.datasets.publish import is_published, publish
from tasks.datasets.stored import keep_dataset
from tasks.features.extractor import VideoFeatures
from tasks.imports.plan import PARTITIONS, ImportedClip
from tasks.imports.request import IMPORT_VERSION, ImportRequest, clip_features, features_reader
from tasks.per_video.extraction import kept_features
from tasks.records.part_file import find_whole, footer_of, part_name

PART_CLIPS = 1024
GROUP_VALUES = 64 << 20  # of seconds' features in a row group: 128 MB
LARGEST_HALF = float(np.finfo(np.float16).max)
Features = Callable[[ImportedClip], VideoFeatures]


def import_schema(space: FeatureSpace) -> pa.Schema:
    """Return the columns of a part: those of any dataset, and for each modality the values of each second."""
    seconds = {
        seconds_column(each.name): pa.list_(_not_null(pa.list_(_not_null(pa.float16()), each.size)))
        for each in space.modalities
    }
    kinds = {name: _strict(kind) for name, kind in column_types(space).items()}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in (kinds | seconds).items()])


def publish_import(
    request: ImportRequest, *, root: Path, store: Path, features: Path, storage: str | None
) -> tuple[Dataset, bool]:
    """Write the rows of all clips and publish the version, here and in the storage; say whether it is new.

    Args:
        request: the clips and what they are called.
        root: the folder of all datasets.
        store: the folder of all parts.
        features: the folder of all features.
        storage: URI of the object store, if there is one.

    Raises:
        DatasetError: the version cannot be written, or features are gone.
        DiskSpaceError: the disk is full.
        StorageError: the storage cannot be used.
    """
    is_new = not is_published(root, request.slug, request.id)
    manifest = publish(
        root,
        store,
        _parts(request, features_reader(features, request.space), store),
        slug=request.slug,
        label_ids=request.label_ids,
        labels={index: name for name, index in request.indices.items()},
        options=request.options,
        filter_version=IMPORT_VERSION,
        splits=PARTITIONS,
        code_revision=code_revision(),
        space=request.space,
        about={"without_sound": _without_sound(request, features), "sources": _sources(request)},
    )
    dataset = Dataset(manifest, root / manifest.slug / manifest.id)
    if storage:
        keep_dataset(dataset, (), storage)
    return dataset, is_new


def _without_sound(request: ImportRequest, features: Path) -> int | None:
    """Count the rows of videos in which nothing can be heard; None where there is none."""
    contents = Counter(str(each.content) for each in request.plan.used)
    kept = {content: kept_features(features, content, request.space) for content in contents}
    return sum(contents[content] for content, found in kept.items() if found and found[1].is_silent) or None


def _sources(request: ImportRequest) -> dict[str, str] | None:
    """Return what the table calls each video; the ids of a version's videos say that themselves."""
    clips = () if request.plan.table.origin else request.plan.clips
    return {each.name: each.clip.named for each in clips} or None


def _parts(request: ImportRequest, features: Features, store: Path) -> list[Part]:
    """Write the parts that are not there yet."""
    folder = store / f"import-{_key(request.options)}"
    found = list[Part]()
    for side, partition in PARTITIONS.items():
        clips = sorted((each for each in request.plan.clips if each.side == side), key=lambda each: each.name)
        for first in range(0, len(clips), PART_CLIPS):
            some = clips[first : first + PART_CLIPS]
            path = _written(folder, some, request, features)
            tallies = tuple(each.tally for each in some)
            found.append(
                Part(
                    path=str(path.relative_to(store)),
                    partition=partition,
                    sha256=path.stem.rpartition("-")[2],
                    size_bytes=path.stat().st_size,
                    rows=sum(tally.matches for tally in tallies),
                    matches=sum(tally.matches for tally in tallies),
                    shards=tallies,
                )
            )
    return found


def _written(folder: Path, clips: Sequence[ImportedClip], request: ImportRequest, features: Features) -> Path:
    key = _key([[each.tally.partition, each.tally.md5] for each in clips])
    folder.mkdir(parents=True, exist_ok=True)
    if (known := find_whole(folder, key)) is not None:
        return known
    with temporary_file(folder, key) as scratch:  # its name is known only when its content is
        _write(scratch, clips, request, features)
        path = folder / part_name(key, file_digest(scratch))
        with appearing(path) as temporary:
            scratch.replace(temporary)
    return path


def _write(path: Path, clips: Sequence[ImportedClip], request: ImportRequest, features: Features) -> None:
    space, ids = request.space, request.indices
    schema = import_schema(space)
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["shard"],  # pyright: ignore[reportArgumentType] - its stubs know only the flag
        # Not on the halves: DuckDB reads this encoding of floats, and not of them.
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in space.slices},
        write_statistics=False,
    ) as writer:
        for group in _groups((each, features(each)) for each in clips if each.drop is None):
            writer.write_table(_table(group, ids, space, schema), row_group_size=len(group))
        writer.add_key_value_metadata(footer_of(tuple(each.tally for each in clips)))


Group = list[tuple[ImportedClip, VideoFeatures]]


def _groups(rows: Iterator[tuple[ImportedClip, VideoFeatures]]) -> Iterator[Group]:
    """Yield rows for one row group each, bounded by their features."""
    group, values = Group(), 0
    for each, whole in rows:
        part = clip_features(whole, each)
        assert part is not None, "a clip that shows nothing is dropped before"
        group.append((each, part))
        values += len(part.times_s) * part.space.size
        if values > GROUP_VALUES:
            yield group
            group, values = Group(), 0
    if group:
        yield group


def _table(group: Group, ids: Mapping[str, int], space: FeatureSpace, schema: pa.Schema) -> pa.Table:
    means = np.concatenate([part.mean() for _, part in group])
    lengths = np.cumsum([0, *(len(part.times_s) for _, part in group)])
    names = [each.name for each, _ in group]
    columns: dict[str, Any] = {
        "video_id": pa.array(names),
        "labels": pa.array(
            [sorted(ids[label] for label in each.clip.labels) for each, _ in group], schema.field("labels").type
        ),
        "shard": pa.array(names).dictionary_encode(),
        "is_match": pa.array([True] * len(group)),
    }
    for modality, where in space.slices.items():
        columns[modality] = _vectors(means[:, where], schema.field(modality).type)
        seconds = np.concatenate([part.modalities[modality] for _, part in group])
        kind = schema.field(seconds_column(modality)).type
        halves = seconds.clip(-LARGEST_HALF, LARGEST_HALF).astype(np.float16)
        lists = pa.ListArray.from_arrays(pa.array(lengths, pa.int32()), _vectors(halves, kind.value_type))
        columns[seconds_column(modality)] = lists.cast(kind)
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _vectors(values: NDArray[np.floating], kind: pa.DataType) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), type=kind)


def _strict(kind: pa.DataType) -> pa.DataType:
    """Return the type with elements that may not be null: quicker to write and to read."""
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_not_null(kind.value_type), kind.list_size)
    return pa.list_(_not_null(kind.value_type)) if pa.types.is_list(kind) else kind


def _not_null(kind: pa.DataType) -> pa.Field:
    return pa.field("element", kind, nullable=False)


def _key(value: object) -> str:
    return hashlib.sha256(json.dumps([IMPORT_VERSION, value], sort_keys=True).encode()).hexdigest()[:16]
