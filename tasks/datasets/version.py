"""The content of a version, checked before anything is written: shards, labels, splits and label counts."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from tasks.contracts.datasets import (
    Cooccurrence,
    DatasetManifest,
    DropReason,
    LabelCount,
    Part,
    PartFile,
    ShardTally,
    level_among,
)
from tasks.contracts.errors import DatasetError
from tasks.contracts.features import YT8M, FeatureSpace
from tasks.datasets.caveats import drops_in_words, expected_id_length
from tasks.datasets.frames import count_frames
from tasks.datasets.load import find_oddities, flags, label_lists, read_batches
from tasks.datasets.manifest import LATEST, SLUG_PATTERN, SPLIT_PATTERN, dataset_id, part_name

COMMONEST = 30
BATCH_ROWS = 1 << 16  # only a few labels a row are read


def count_labels(parts: Mapping[str, Sequence[Path]], names: Mapping[int, str]) -> tuple[LabelCount, ...]:
    """Return in how many matching videos of each split each label occurs, the commonest first.

    `parts` are the Parquet files by split. A label without a name in `names` is named by its index.
    """
    by_split = {split: _count(paths) for split, paths in parts.items()}
    total = sum(by_split.values(), Counter[int]())
    return tuple(
        LabelCount(
            index=index,
            name=names.get(index, str(index)),
            by_split={split: by_split[split][index] for split in sorted(by_split)},
        )
        for index, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    )


def count_cooccurrence(paths: Sequence[Path], counts: Sequence[LabelCount]) -> Cooccurrence:
    """Return in how many matching videos two labels occur together, for the commonest of `counts`."""
    chosen = np.array([count.index for count in counts[:COMMONEST]], np.int64)
    ascending = np.argsort(chosen)
    together = np.zeros((len(chosen), len(chosen)), np.int64)
    for videos, labels in _matching(paths):
        place = ascending[np.searchsorted(chosen, labels, sorter=ascending).clip(max=len(chosen) - 1)]
        known = chosen[place] == labels
        has_label = np.zeros((BATCH_ROWS, len(chosen)), np.float32)
        has_label[videos[known], place[known]] = 1
        together += (has_label.T @ has_label).astype(np.int64)  # exact: a batch has fewer than 2^24 videos
    return Cooccurrence(label_ids=tuple(chosen.tolist()), counts=tuple(map(tuple, together.tolist())))


def _count(paths: Sequence[Path]) -> Counter[int]:
    counter = Counter[int]()
    for _, labels in _matching(paths):
        ids, counts = np.unique(labels, return_counts=True)
        counter.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
    return counter


def _matching(paths: Sequence[Path]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, a batch at a time, the row and the label of each label of a matching video, no pair twice."""
    for path in paths:
        for batch in read_batches(path, ("labels", "is_match"), BATCH_ROWS):
            offsets, labels = label_lists(batch)
            rows = np.repeat(np.arange(batch.num_rows), np.diff(offsets))
            pairs = np.unique((rows << 32 | labels)[flags(batch)[rows]])
            yield pairs >> 32, pairs & 0xFFFFFFFF


SHARD_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"


@dataclass(frozen=True)
class Version:
    """A version before it has a folder; `publish` says what the fields are."""

    slug: str
    label_ids: tuple[int, ...]
    labels: Mapping[int, str]
    options: Mapping[str, JsonValue]
    filter_version: int
    splits: Mapping[str, str]
    code_revision: str
    parts: tuple[Part, ...]
    space: FeatureSpace = YT8M
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def shards(self) -> tuple[ShardTally, ...]:
        """The tally of every shard, by partition and name, without this machine's paths."""
        shards = (_portable(shard) for part in self.parts for shard in part.shards)
        return tuple(sorted(shards, key=lambda shard: (shard.partition, shard.name)))

    @cached_property
    def id(self) -> str:
        """The id that the version has on any machine."""
        return dataset_id(self.shards, self.options, self.filter_version)

    @cached_property
    def files(self) -> tuple[tuple[PartFile, Part], ...]:
        """The parts that have rows, by split and shards, under the names that they will have."""
        found: list[tuple[PartFile, Part]] = []
        for split, partition in sorted(self.splits.items()):
            parts = [part for part in self.parts if part.partition == partition and part.rows]
            for number, part in enumerate(sorted(parts, key=_order)):
                found.append((_part_file(part_name(split, number), split, part), part))
        return tuple(found)

    def check(self, store: Path) -> None:
        """Refuse what would lead out of a folder or count a video twice.

        Raises:
            DatasetError: the parts, names and splits do not make up a version.
        """
        _each(self.splits, "split", lambda split: bool(re.fullmatch(SPLIT_PATTERN, split)))
        _each([self.slug], "slug", lambda slug: slug != LATEST and bool(re.fullmatch(SLUG_PATTERN, slug)))
        _each([shard.name for shard in self.shards], "shard", lambda name: bool(re.fullmatch(SHARD_PATTERN, name)))
        _each([part.path for part in self.parts], "part", lambda path: _is_within(store, path))
        self._check_partitions()
        self._check_sums()

    def manifest(self, folder: Path) -> DatasetManifest:
        """Return the manifest, counting the labels of the parts that lie in `folder` under their names."""
        paths = {split: [folder / file.name for file, _ in self.files if file.split == split] for split in self.splits}
        counts = count_labels(paths, self.labels)
        return DatasetManifest(
            id=self.id,
            slug=self.slug,
            label_ids=self.label_ids,
            label_names=tuple(self.labels.get(index, str(index)) for index in self.label_ids),
            options=dict(self.options),
            filter_version=self.filter_version,
            splits=dict(self.splits),
            rows=sum(part.rows for part in self.parts),
            matches=sum(part.matches for part in self.parts),
            records=sum(shard.records for shard in self.shards),
            drops=dict(self._drops),
            label_counts=counts,
            cooccurrence=count_cooccurrence([folder / file.name for file, _ in self.files], counts),
            shards=self.shards,
            parts=tuple(file for file, _ in self.files),
            code_revision=self.code_revision,
            feature_space=None if self.space == YT8M else self.space,
            frames=count_frames(paths) if level_among(self.options) == "frame" else None,
            oddities=find_oddities(paths, expected_length=expected_id_length(self.options)),
            **self.about,
        )

    def is_of(self, manifest: DatasetManifest) -> bool:
        """Say whether a manifest is of this version and of the same files."""
        parts = tuple(file for file, _ in self.files)
        return (manifest.id, manifest.slug, manifest.parts) == (self.id, self.slug, parts)

    def _check_partitions(self) -> None:
        known = set(self.splits.values())
        if len(known) < len(self.splits):
            raise DatasetError(f"Two splits cannot be the same partition: {dict(self.splits)}")
        for part in self.parts:
            if part.partition not in known or any(shard.partition != part.partition for shard in part.shards):
                raise DatasetError(
                    f"Part {part.path} is of partition {part.partition!r}, splits are {dict(self.splits)}"
                )

    def _check_sums(self) -> None:
        names = Counter((shard.partition, shard.name) for shard in self.shards)
        for (partition, name), times in names.items():
            if times > 1:
                raise DatasetError(
                    f"Shard {partition}/{name} is in {times} parts: its videos would count {times} times"
                )
        for part in self.parts:
            tallied = sum(shard.matches + shard.background for shard in part.shards)
            if part.rows != tallied:
                raise DatasetError(f"Part {part.path} has {part.rows:,} rows, but its shards gave {tallied:,}")
        if not sum(part.matches for part in self.parts):
            raise DatasetError(self._why_nothing())

    @cached_property
    def _drops(self) -> Counter[DropReason]:
        return sum((Counter(shard.drops) for shard in self.shards), Counter[DropReason]())

    def _why_nothing(self) -> str:
        """Say why no record matches: because of their labels, or because none could be used at all."""
        records, damage = (
            sum(shard.records for shard in self.shards),
            [d for shard in self.shards for d in shard.damage],
        )
        said = f" Dropped: {drops_in_words(self._drops, level_among(self.options))}." if self._drops else ""
        if damage:
            first = damage[0]
            said += (
                f" {len(damage)} places are damaged, the first in {first.path} at byte {first.offset}: {first.detail}."
            )
        if self._drops[DropReason.NO_MATCH]:
            more = f".{said.removesuffix('.')}" if damage or set(self._drops) > {DropReason.NO_MATCH} else ""
            return (
                f"None of the {records:,} videos in {len(self.shards):,} shards has the labels asked for. "
                "Take more shards with `--limit`, or another label: `reelsift vocabulary` shows how common each is"
                f"{more}"
            )
        return f"None of the {records:,} records in {len(self.shards):,} shards is a match.{said}"


def _each(names: Iterable[str], what: str, is_allowed: Callable[[str], bool]) -> None:
    for name in names:
        if not is_allowed(name):
            raise DatasetError(f"{name!r} cannot be the name of a {what}: it would not stay within its folder")


def _is_within(store: Path, path: str) -> bool:
    # A part may be deeper in the store, but neither `..` nor a link may lead out of it.
    return (store / path).resolve().is_relative_to(store.resolve()) and not Path(path).is_absolute()


def _part_file(name: str, split: str, part: Part) -> PartFile:
    return PartFile(
        name=name, split=split, rows=part.rows, matches=part.matches, size_bytes=part.size_bytes, sha256=part.sha256
    )


def _portable(shard: ShardTally) -> ShardTally:
    """Return the tally as any machine would write it: no path of this one, reasons that occurred."""
    place = f"{shard.partition}/{shard.name}"
    return shard.model_copy(
        update={
            "damage": tuple(each.model_copy(update={"path": place}) for each in shard.damage),
            "drops": {reason: count for reason, count in shard.drops.items() if count},
        }
    )


def _order(part: Part) -> tuple[list[str], str]:
    return sorted(shard.name for shard in part.shards), part.sha256
