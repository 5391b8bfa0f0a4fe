"""The published dataset versions of a folder, and how a user names one.

Reads manifests only, so it needs neither pyarrow nor pandas; whether the parts are whole, `verify` says.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

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
