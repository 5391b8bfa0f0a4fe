"""Parts as the records stage writes them, made up without it, and versions published from them."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.datasets import DatasetManifest, DropReason, Part, ShardTally
from tasks.contracts.files import file_digest
from tasks.datasets.publish import publish

NAMES = {0: "Game", 7: "Toys, games & co.", 22: "Cooking", 29: "Dish", 37: "Food"}
LABEL_LISTS = ([22], [22, 29], [37, 22], [22, 29, 37], [0], [7, 0])  # of six videos; the last two are background
LONG = 4500  # rows: more than are read at once
SPLITS = {"train": "video/train", "validate": "video/validate"}
OPTIONS = {"label_ids": [22], "background": 2}


def not_null(kind: pa.DataType) -> pa.Field:
    return pa.field("element", kind, nullable=False)


SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(not_null(pa.int32())), nullable=False),
        pa.field("mean_rgb", pa.list_(not_null(pa.float32()), 1024), nullable=False),
        pa.field("mean_audio", pa.list_(not_null(pa.float32()), 128), nullable=False),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("is_match", pa.bool_(), nullable=False),
    ]
)


def tally(name: str, partition: str, *, rows: int, matches: int) -> ShardTally:
    return ShardTally(
        name=name,
        partition=partition,
        md5=hashlib.md5(f"{partition}/{name}".encode(), usedforsecurity=False).hexdigest(),
        records=rows + 3,
        matches=matches,
        background=rows - matches,
        drops={DropReason.NO_MATCH: 2, DropReason.BAD_CRC: 1, DropReason.NO_LABELS: 0},
    )


def rows_of(shard: str, count: int) -> dict[str, Any]:
    """`count` rows of a shard: values that only the shard's name and the row decide."""
    rng = np.random.default_rng(list(shard.encode()))
    return {
        "video_id": [f"{number:02d}{shard[-11:-9]}" for number in range(count)],
        "labels": [LABEL_LISTS[number % len(LABEL_LISTS)] for number in range(count)],
        "mean_rgb": rng.standard_normal((count, 1024), np.float32),
        "mean_audio": rng.standard_normal((count, 128), np.float32),
        "shard": [shard] * count,
        "is_match": [22 in LABEL_LISTS[number % len(LABEL_LISTS)] for number in range(count)],
    }


def table_of(columns: dict[str, Any]) -> pa.Table:
    arrays = []
    for field in SCHEMA:
        values = columns[field.name]
        if pa.types.is_fixed_size_list(field.type):
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=field.type))
        elif pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def write_part(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=1)


def make_part(store: Path, shards: Sequence[str], partition: str = "video/train", rows: int = 12) -> Part:
    """Write a part of `rows` rows from each shard, two thirds of them matches, and describe it."""
    columns = [rows_of(shard, rows) for shard in shards]
    path = store / "parts" / f"{'-'.join(shard.removesuffix('.tfrecord') for shard in shards)}.parquet"
    write_part(path, pa.concat_tables(map(table_of, columns)))
    matches = [sum(each["is_match"]) for each in columns]
    return Part(
        path=str(path.relative_to(store)),
        partition=partition,
        sha256=file_digest(path),
        size_bytes=path.stat().st_size,
        rows=rows * len(shards),
        matches=sum(matches),
        shards=tuple(
            tally(shard, partition, rows=rows, matches=matching)
            for shard, matching in zip(shards, matches, strict=True)
        ),
    )


def make_parts(store: Path, train: Iterable[str] = "ab", validate: Iterable[str] = "c") -> list[Part]:
    """Write a part of one shard for each letter."""
    return [
        *(make_part(store, [f"traina{letter}.tfrecord"]) for letter in train),
        *(make_part(store, [f"validatea{letter}.tfrecord"], "video/validate", rows=6) for letter in validate),
    ]


@dataclass(frozen=True)
class Folders:
    """Where parts are kept and where versions are published."""

    store: Path
    root: Path

    def publish(self, parts: Sequence[Part], **changes: Any) -> DatasetManifest:
        """Publish `parts` as Cooking, with what `changes` says otherwise."""
        arguments: dict[str, Any] = {
            "slug": "cooking",
            "label_ids": [22],
            "labels": NAMES,
            "options": OPTIONS,
            "filter_version": 1,
            "splits": SPLITS,
            "code_revision": "abc123",
        }
        return publish(self.root, self.store, parts, **{**arguments, **changes})

    def folder(self, manifest: DatasetManifest) -> Path:
        return self.root / manifest.slug / manifest.id


def contents(root: Path) -> dict[str, bytes | str]:
    """Every file's bytes and every link's target below a folder, locks left out."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if (path.is_file() or path.is_symlink()) and path.name != ".lock"
    }


def edit_manifest(folder: Path, **changes: Any) -> None:
    """Overwrite fields of a published manifest, and leave out its digest, as no part of the program would."""
    path = folder / "manifest.json"
    edited = json.loads(path.read_bytes()) | changes
    del edited["digest"]
    path.chmod(0o644)
    path.write_text(json.dumps(edited), encoding="utf-8")
