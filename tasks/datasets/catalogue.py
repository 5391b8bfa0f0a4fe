"""The published dataset versions of a folder, how a user names one, and what changed from one to another.

Reads manifests only, so it needs neither pyarrow nor pandas; whether the parts are whole, `verify` says.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, JsonValue

from tasks.contracts.datasets import DatasetManifest, ShardTally
from tasks.contracts.errors import DamagedDatasetError, UnknownDatasetError, did_you_mean
from tasks.contracts.model import FrozenModel
from tasks.datasets.manifest import ID_PATTERN, LATEST, MANIFEST_NAME, SLUG_PATTERN, Dataset, read_manifest

BUILD_COMMAND = "`reelsift dataset build --label NAME`"


class Entry(FrozenModel):
    """One line of the list of datasets."""

    id: str
    slug: str
    folder: Path
    published_at: datetime = Field(description="UTC; when its manifest was written")
    label_names: tuple[str, ...] = ()
    rows: int = 0
    matches: int = 0
    shards: int = 0
    size_bytes: int = 0
    is_latest: bool = Field(description="whether `latest` means this version")
    problem: str = Field(default="", description="what is wrong with its manifest; empty where it can be read")


def list_datasets(root: Path) -> list[Entry]:
    """Return every version below `root`, the newest first; one with a damaged manifest says so."""
    folders = _folders(root)
    latest = _latest(root, folders)
    entries = list[Entry]()
    for folder in folders:
        with suppress(FileNotFoundError):  # it has been pruned meanwhile
            entries.append(_entry(folder, is_latest=folder == latest))
    return entries


def open_dataset(root: Path, ref: str) -> Dataset:
    """Return the version that `ref` means.

    Args:
        root: the folder of all datasets.
        ref: `latest`, a slug (its latest), an id or the unique beginning of one, or `slug/` and any of these. An id
            that stands under several slugs means any of them where their parts are the same.

    Raises:
        UnknownDatasetError: there is none, or there are several that differ.
        DamagedDatasetError: its manifest cannot be trusted.
    """
    folders = _folders(root)
    slug, _, name = ref.strip().strip("/").rpartition("/")
    found = _meant([folder for folder in folders if slug in ("", folder.parent.name)], root / slug, name)
    if len(found) > 1:
        found = _of_one_content(found)
    if len(found) != 1:
        raise UnknownDatasetError(_unknown(ref, found, folders))
    return Dataset(read_manifest(found[0]), found[0])


def _meant(folders: list[Path], pointed: Path, name: str) -> list[Path]:
    """Return the versions among `folders` that go by `name`; `pointed` holds the pointer that `latest` follows."""
    if name == LATEST:
        latest = _latest(pointed, folders)
        return [latest] if latest else []
    of_slug = [folder for folder in folders if folder.parent.name == name]
    if of_slug:
        return _meant(of_slug, of_slug[0].parent, LATEST)
    exact = [folder for folder in folders if folder.name == name]
    return exact or [
        folder for folder in folders if name and folder.name.removeprefix("ds-").startswith(name.removeprefix("ds-"))
    ]


def _of_one_content(found: list[Path]) -> list[Path]:
    """Return one of the folders where all that can be read have the same id and parts, else all of them.

    A label that was named by its index, then by its name, has its versions under two slugs.
    """
    if len({folder.name for folder in found}) > 1:
        return found
    readable = dict[Path, tuple[str, ...]]()
    for folder in found:
        with suppress(DamagedDatasetError):
            readable[folder] = tuple(part.sha256 for part in read_manifest(folder).parts)
    return [next(iter(readable), found[0])] if len(set(readable.values())) <= 1 else found


def _folders(root: Path) -> list[Path]:
    """Return the folders of all versions, the newest first."""
    found = list[tuple[float, Path]]()
    for slug in _folders_named(root, SLUG_PATTERN):
        for folder in _folders_named(slug, ID_PATTERN):
            with suppress(FileNotFoundError):  # it has been pruned meanwhile
                if (folder / MANIFEST_NAME).is_file():
                    found.append((-_published_at_s(folder), folder))
    return [folder for _, folder in sorted(found)]


def _folders_named(parent: Path, pattern: str) -> list[Path]:
    """Return the folders in `parent` of such names; links, as the pointers are, do not count."""
    if not parent.is_dir():
        return []
    return [
        path
        for path in parent.iterdir()
        if re.fullmatch(pattern, path.name) and path.is_dir() and not path.is_symlink()
    ]


def _latest(pointed: Path, folders: list[Path]) -> Path | None:
    """Return the version to which the pointer in `pointed` leads, or the newest where it leads to none."""
    target = (pointed / LATEST).resolve()
    among = [folder for folder in folders if folder.resolve() == target]
    return next(iter(among or folders), None)


def _entry(folder: Path, *, is_latest: bool) -> Entry:
    published_at = datetime.fromtimestamp(_published_at_s(folder), UTC)
    entry = Entry(
        id=folder.name, slug=folder.parent.name, folder=folder, published_at=published_at, is_latest=is_latest
    )
    try:
        manifest = read_manifest(folder)
    except DamagedDatasetError as error:
        return entry.model_copy(update={"problem": str(error)})
    return entry.model_copy(
        update={
            "label_names": manifest.label_names,
            "rows": manifest.rows,
            "matches": manifest.matches,
            "shards": len(manifest.shards),
            "size_bytes": sum(part.size_bytes for part in manifest.parts),
        }
    )


def _published_at_s(folder: Path) -> float:
    return (folder / MANIFEST_NAME).stat().st_mtime


def _unknown(ref: str, found: list[Path], folders: list[Path]) -> str:
    names = [f"{folder.parent.name}/{folder.name}" for folder in found or folders]
    listed = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if found:
        which = "are named" if len({folder.name for folder in found}) == 1 else "begin with"
        return f"{len(found)} dataset versions {which} {ref!r}: {listed}. Name one of them"
    if not folders:
        return f"No dataset version {ref!r}: there is none at all. {BUILD_COMMAND} makes one"
    near = did_you_mean(ref, [*dict.fromkeys(folder.parent.name for folder in folders), *names])
    return f"No dataset version {ref!r}.{near} There are: {listed}. {BUILD_COMMAND} makes another"


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
