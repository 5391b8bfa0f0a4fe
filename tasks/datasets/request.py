"""What a dataset version will be made of, planned before anything is downloaded, and what is new in it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from tasks.contracts.datasets import (
    VOCABULARY_SIZE,
    DatasetManifest,
    FilterConfig,
    PlannedShard,
    ShardTally,
    level_among,
    level_of,
)
from tasks.contracts.errors import ConfigError, DatasetError, MirrorError
from tasks.datasets.catalogue import list_datasets, open_dataset
from tasks.datasets.manifest import ALL, dataset_id, slug_of
from tasks.records.parts import FILTER_VERSION, batches_of, options_of
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import selected_shards
from tasks.vocabulary.labels import Vocabulary
from tasks.vocabulary.table import load_vocabulary

RELEASE_SIZES = (VOCABULARY_SIZE, 4716, 4800)  # labels of the releases of 2018, 2017 and 2016


@dataclass(frozen=True)
class DatasetRequest:
    """Everything that the id of a dataset version depends on, and what it is called."""

    filter: FilterConfig
    shards: tuple[PlannedShard, ...]
    splits: Mapping[str, str]  # split -> partition
    label_names: Mapping[int, str]  # of the whole vocabulary

    @cached_property
    def id(self) -> str:
        """The id that the version will have."""
        return dataset_id(self.shards, options_of(self.filter), FILTER_VERSION)

    @cached_property
    def slug(self) -> str:
        """The name that all versions of these labels share."""
        names = self.label_names
        wanted = None if self.filter.is_whole_vocabulary else [names[index] for index in self.filter.label_ids]
        return slug_of(wanted, match=self.filter.match, exclude=[names[index] for index in self.filter.exclude_ids])

    def without(self, absent: Collection[tuple[str, str]]) -> Self:
        """Return the request for the same version without some shards, given by partition and name."""
        return replace(
            self, shards=tuple(shard for shard in self.shards if (shard.partition, shard.name) not in absent)
        )

    @cached_property
    def batches(self) -> tuple[tuple[PlannedShard, ...], ...]:
        """The shards, in groups that stay the same when more shards are selected."""
        return tuple(batches_of(self.shards))


def plan_request(
    labels: Sequence[str],
    *,
    exclude: Sequence[str] = (),
    partitions: Sequence[str],
    part: tuple[int, int] | None = None,
    limit: int | None = None,
    filter_options: Mapping[str, Any],
    vocabulary_folder: Path,
    download: DownloadConfig,
) -> DatasetRequest:
    """Fetch plans and vocabulary, and say what the version will be made of.

    Raises:
        MirrorError: a plan or the vocabulary cannot be fetched or is not one.
        UnknownLabelError: a label is not in the vocabulary.
        ConfigError: an option is out of its bounds, a label both wanted and excluded, or a partition of another level.
        DatasetError: no shard is selected, or two partitions would be the same split.
    """
    splits = splits_of(partitions)
    refuse_other_level(partitions, level_among(filter_options))
    vocabulary = _vocabulary_for((*labels, *exclude), vocabulary_folder, download)
    sized = {**filter_options, "vocabulary_size": _vocabulary_size(vocabulary, filter_options)}
    config = label_filter(vocabulary, labels, exclude, sized)
    return DatasetRequest(
        filter=config,
        shards=selected_shards(partitions, download, part=part, limit=limit),
        splits=splits,
        label_names=label_names(vocabulary, config.vocabulary_size),
    )


def refuse_other_level(partitions: Sequence[str], level: str) -> None:
    """Refuse partitions whose records are of another level than the one that is read.

    Raises:
        ConfigError: one is.
    """
    for partition in partitions:
        if level_of(partition) != level:
            held = {"frame": "the frames of videos", "video": "features of whole videos"}[level_of(partition)]
            raise ConfigError(
                f"The partition {partition!r} has {held}, and what is asked for is the level {level!r}: "
                f"`--level {level_of(partition)}` reads it, or name another partition."
            )


def _vocabulary_for(labels: Sequence[str], folder: Path, download: DownloadConfig) -> Vocabulary | None:
    """Load the mirror's vocabulary; a mirror without one will do where every label is named by its index."""
    try:
        return load_vocabulary(folder, download)
    except MirrorError:
        if all(label.isdecimal() or _is_all(label) for label in labels):
            return None
        raise


def _vocabulary_size(vocabulary: Vocabulary | None, options: Mapping[str, Any]) -> int:
    """Return how many labels there are: as set, else as many as the release has that the vocabulary is of."""
    chosen = int(options.get("vocabulary_size", VOCABULARY_SIZE))
    if vocabulary is None or chosen != VOCABULARY_SIZE:
        return chosen
    return next((size for size in RELEASE_SIZES if size >= vocabulary.size), vocabulary.size)


def label_names(vocabulary: Vocabulary | None, vocabulary_size: int) -> dict[int, str]:
    """Return a name for each label that a record may have; a label without one is called by its index."""
    names = {index: f"label {index}" for index in range(vocabulary_size)}
    return names | {label.index: label.shown_name for label in (vocabulary.labels if vocabulary else ())}


def label_filter(
    vocabulary: Vocabulary | None, labels: Sequence[str], exclude: Sequence[str], options: Mapping[str, Any]
) -> FilterConfig:
    """Return the filter's config for labels as a person names them; `all` means every label but the excluded ones.

    Raises:
        UnknownLabelError: a label is not in the vocabulary.
        ConfigError: an option is out of its bounds, or a label is both wanted and excluded.
    """
    unwanted = tuple(_index_of(label, vocabulary) for label in exclude)
    if any(map(_is_all, labels)):
        if options.get("match") == "all":
            raise ConfigError("No video has every label, which `all` of all labels would ask for: match any of them.")
        size = int(options.get("vocabulary_size", VOCABULARY_SIZE))
        wanted = tuple(sorted(set(range(size)) - set(unwanted)))
    else:
        wanted = tuple(_index_of(label, vocabulary) for label in labels)
    try:
        return FilterConfig(label_ids=wanted, exclude_ids=unwanted, **options)
    except ValidationError as error:
        raise ConfigError("; ".join(detail["msg"] for detail in error.errors(include_url=False)) + ".") from error


def _is_all(label: str) -> bool:
    return label.strip().casefold() == ALL


def _index_of(label: str, vocabulary: Vocabulary | None) -> int:
    """Return a label's index; the vocabulary may lack some, as the segments' does; the filter bounds them."""
    if label.isdecimal() and (vocabulary is None or not vocabulary.is_complete or int(label) >= vocabulary.size):
        return int(label)
    assert vocabulary is not None, "a label's name without a vocabulary is refused before"
    return vocabulary.find(label).index


def splits_of(partitions: Sequence[str]) -> dict[str, str]:
    """Name each partition's split by the partition's last word.

    Raises:
        DatasetError: two partitions would have the same name.
    """
    splits: dict[str, str] = {}
    for partition in partitions:
        split = partition.rpartition("/")[2]
        if splits.setdefault(split, partition) != partition:
            raise DatasetError(
                f"Partitions {splits[split]!r} and {partition!r} would both be the split {split!r}: take one."
            )
    return splits


@dataclass(frozen=True)
class News:
    """A request beside the versions of the same slug that were made with the same options."""

    shards: int  # in the plan, as the request selects them
    new: int  # of them, those that the version before lacks: unknown by partition and md5, so a mended one is new
    gone: int  # shards of the version before that the plan no longer has
    holder: DatasetManifest | None  # the version asked for, else the newest that holds every shard asked for


def news_of(request: DatasetRequest, versions: Iterable[DatasetManifest]) -> News:
    """Compare the request with what is published, the newest first.

    A plan that only lost shards brings nothing new: the version that holds them stays the one to train on.
    """
    alike = [version for version in versions if _is_alike(version, request)]
    wanted = _contents(request.shards)
    exact = [version for version in alike if version.id == request.id]
    holder = next(iter(exact or [version for version in alike if wanted <= _contents(version.shards)]), None)
    before = holder or next(iter(alike), None)
    held = _contents(before.shards) if before else set()
    return News(shards=len(request.shards), new=len(wanted - held), gone=len(held - wanted), holder=holder)


def manifests_here(root: Path, slug: str) -> list[DatasetManifest]:
    """Return the manifests of a slug's versions below `root`, the newest first; damaged ones do not count."""
    entries = [entry for entry in list_datasets(root) if entry.slug == slug and not entry.problem]
    return [open_dataset(root, f"{slug}/{entry.id}").manifest for entry in entries]


def _is_alike(version: DatasetManifest, request: DatasetRequest) -> bool:
    """Say whether the version would be the request's, were the shards the same."""
    made_by = (version.slug, version.options, version.filter_version)
    return made_by == (request.slug, options_of(request.filter), FILTER_VERSION)


def _contents(shards: Iterable[PlannedShard | ShardTally]) -> set[tuple[str, str]]:
    """Return what decides which rows there are, as the id of a version is made of it."""
    return {(shard.partition, shard.md5) for shard in shards}
