"""What changed from one dataset version to another."""

from collections.abc import Mapping

from pydantic import Field, JsonValue

from tasks.contracts.datasets import DatasetManifest, ShardTally
from tasks.contracts.model import FrozenModel
from tasks.datasets.manifest import Dataset


class Change(FrozenModel):
    """A number before and after."""

    before: int
    after: int

    @property
    def gain(self) -> int:
        """How much more it is afterwards; negative for a loss."""
        return self.after - self.before


class OptionChange(FrozenModel):
    """An option before and after; None where it was not set."""

    before: JsonValue
    after: JsonValue


class LabelChange(FrozenModel):
    """In how many matching videos of all splits a label occurred, and occurs."""

    index: int
    name: str
    count: Change


class Difference(FrozenModel):
    """What is in version `after` and not in version `before`, and the other way round."""

    before: str = Field(description="`slug/id`")
    after: str = Field(description="`slug/id`")
    shards_gained: tuple[str, ...] = Field(description="`partition/name`")
    shards_lost: tuple[str, ...] = Field(description="`partition/name`")
    shards_changed: tuple[str, ...] = Field(description="of the same name and another md5")
    records: Change
    rows: Change
    matches: Change
    options: dict[str, OptionChange] = Field(description="those that differ; splits and filter version are among them")
    labels: tuple[LabelChange, ...] = Field(description="those whose count differs, the largest change first")


def difference(a: Dataset, b: Dataset) -> Difference:
    """Return what changed from version `a` to version `b`."""
    before, after = a.manifest, b.manifest
    old, new = _md5s(before.shards), _md5s(after.shards)
    return Difference(
        before=before.reference,
        after=after.reference,
        shards_gained=tuple(sorted(new.keys() - old.keys())),
        shards_lost=tuple(sorted(old.keys() - new.keys())),
        shards_changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
        records=Change(before=before.records, after=after.records),
        rows=Change(before=before.rows, after=after.rows),
        matches=Change(before=before.matches, after=after.matches),
        options=_option_changes(_options(before), _options(after)),
        labels=_label_changes(before, after),
    )


def _md5s(shards: tuple[ShardTally, ...]) -> dict[str, str]:
    return {f"{shard.partition}/{shard.name}": shard.md5 for shard in shards}


def _options(manifest: DatasetManifest) -> dict[str, JsonValue]:
    return {**manifest.options, "splits": dict(manifest.splits), "filter_version": manifest.filter_version}


def _option_changes(old: Mapping[str, JsonValue], new: Mapping[str, JsonValue]) -> dict[str, OptionChange]:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return {name: OptionChange(before=old.get(name), after=new.get(name)) for name in names}


def _label_changes(before: DatasetManifest, after: DatasetManifest) -> tuple[LabelChange, ...]:
    old = {label.index: sum(label.by_split.values()) for label in before.label_counts}
    new = {label.index: sum(label.by_split.values()) for label in after.label_counts}
    names = {label.index: label.name for label in (*before.label_counts, *after.label_counts)}
    changes = [
        LabelChange(index=index, name=name, count=Change(before=old.get(index, 0), after=new.get(index, 0)))
        for index, name in names.items()
        if old.get(index, 0) != new.get(index, 0)
    ]
    return tuple(sorted(changes, key=lambda change: (-abs(change.count.gain), change.index)))
