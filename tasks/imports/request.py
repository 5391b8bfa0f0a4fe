"""What an imported version is made of: the clips of a table, once their files and their features are there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from tasks.contracts.datasets import DropReason, ShardTally
from tasks.contracts.errors import DamagedDatasetError
from tasks.contracts.features import FeatureSpace
from tasks.contracts.media import FetchedVideo, VideoOutcome
from tasks.datasets.manifest import dataset_id, slug_of
from tasks.datasets.publish import is_current
from tasks.datasets.stored import is_stored
from tasks.features.extractor import VideoFeatures
from tasks.imports.plan import ImportedClip, ImportPlan, plan_import
from tasks.imports.table import ClipTable
from tasks.per_video.extraction import kept_features, read_kept

IMPORT_VERSION = 1  # raise by hand whenever the same clips and features would give other rows
Found = Mapping[str, FetchedVideo | VideoOutcome]  # the file of each source, or why there is none


@dataclass(frozen=True)
class ImportRequest:
    """Everything that the id of an imported version depends on, and what it is called."""

    name: str
    plan: ImportPlan
    space: FeatureSpace

    @cached_property
    def shards(self) -> tuple[ShardTally, ...]:
        """The outcome for each clip."""
        return tuple(each.tally for each in self.plan.clips)

    @cached_property
    def indices(self) -> Mapping[str, int]:
        """The index of each label: the one that YouTube-8M gives it, or its place among the names."""
        origin = self.plan.table.origin
        return origin.indices if origin else {name: index for index, name in enumerate(self.plan.label_names)}

    @property
    def label_ids(self) -> tuple[int, ...]:
        """The labels that are always learnt: those that made a version's videos match, or all."""
        origin = self.plan.table.origin
        return origin.label_ids if origin else tuple(self.indices.values())

    @cached_property
    def options(self) -> dict[str, JsonValue]:
        """What the rows depend on beside the clips."""
        about: dict[str, JsonValue] = {"origin": "import", "features": self.space.model_dump(mode="json")}
        origin = self.plan.table.origin
        if origin is None:
            return about | {"label_names": list(self.plan.label_names), "match": "any"}
        return about | {"extracted_from": origin.reference, "label_ids": list(origin.label_ids), **origin.options}

    @cached_property
    def id(self) -> str:
        """The id that the version has."""
        return dataset_id(self.shards, self.options, IMPORT_VERSION)

    @cached_property
    def slug(self) -> str:
        """The name that all versions of this import share."""
        return slug_of([self.name])

    def is_there(self, root: Path, storage: str | None) -> bool:
        """Say whether the version is published and whole, here and in the storage, and `latest` means it."""
        is_here = is_current(root, self.slug, self.id)
        return is_here and (storage is None or is_stored(self.slug, self.id, storage))


def planned(table: ClipTable, found: Found) -> ImportPlan:
    """Say which clips make up the version, now that every file is here, or cannot be.

    Raises:
        DatasetError: as `plan_import`.
    """
    contents = {name: each.sha256 if isinstance(each, FetchedVideo) else None for name, each in found.items()}
    missing = {name: each for name, each in found.items() if isinstance(each, VideoOutcome)}
    failures = {name: str(each.reason) for name, each in missing.items()}
    return plan_import(table, contents, failures, {name: each.cause for name, each in missing.items() if each.cause})


def wanted_videos(plan: ImportPlan, found: Found) -> list[FetchedVideo]:
    """Return the videos whose features are needed, each content once."""
    videos = [found[each.clip.source] for each in plan.used]
    return list({each.sha256: each for each in videos if isinstance(each, FetchedVideo)}.values())


def requested(
    name: str, plan: ImportPlan, space: FeatureSpace, features: Path, failures: Mapping[str, str]
) -> ImportRequest:
    """Return what the version is made of, once all features are there.

    Args:
        name: of the dataset.
        plan: the clips.
        space: of the features.
        features: the folder of all features.
        failures: content -> why it has none.

    Raises:
        DatasetError: what is left makes no version, or features are gone.
    """
    read = features_reader(features, space)
    drops, why = dict[int, DropReason](), dict[str, str]()
    for place, each in enumerate(plan.clips):
        if each.drop is None and each.content is not None and each.content in failures:
            drops[place], why[each.clip.source] = DropReason.BROKEN_VIDEO, failures[each.content]
        elif each.drop is None and each.clip.part != (None, None) and clip_features(read(each), each) is None:
            drops[place] = DropReason.NOTHING_SHOWN
    return ImportRequest(name, plan.without(drops, why), space)


def features_reader(root: Path, space: FeatureSpace) -> Callable[[ImportedClip], VideoFeatures]:
    """Return what reads the features of the whole video of a clip; clips of one video mostly stand together."""

    @lru_cache(maxsize=1)
    def read(content: str) -> VideoFeatures:
        kept = kept_features(root, content, space)
        if kept is None:
            raise DamagedDatasetError(
                f"The features of the file {content[:12]}… are not in {root} any more. The same command makes them "
                "again."
            )
        return read_kept(*kept)

    return lambda each: read(str(each.content))


def clip_features(features: VideoFeatures, clip: ImportedClip) -> VideoFeatures | None:
    """Return the moments that lie in a clip, begin included and end excluded; None where there is none."""
    start_s, end_s = clip.clip.part
    chosen = (features.times_s >= (start_s or 0)) & (features.times_s < (np.inf if end_s is None else end_s))
    if not chosen.any():
        return None
    return (
        features
        if chosen.all()
        else replace(
            features,
            times_s=features.times_s[chosen],
            picture=features.picture[chosen],
            sound=features.sound[chosen],
            has_sound=features.has_sound[chosen],
        )
    )
