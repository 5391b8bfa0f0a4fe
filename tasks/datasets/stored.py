"""Dataset versions in the object store: opened from there where they are not here, and put there once published.

Layout:

    datasets/latest (slug/id)   datasets/<slug>/latest (id)   datasets/<slug>/<id>/   the pointers move last
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.contracts.datasets import DatasetManifest, Part
from tasks.contracts.errors import DamagedDatasetError, UnknownDatasetError
from tasks.contracts.progress import Progress
from tasks.contracts.revision import code_revision
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import ID_PATTERN, LATEST, MANIFEST_NAME, SLUG_PATTERN, Dataset, manifest_of
from tasks.datasets.publish import adopt, is_published, point_latest, publish
from tasks.datasets.request import DatasetRequest
from tasks.records.parts import FILTER_VERSION, options_of
from tasks.records.stored import bring_published, stored_object
from tasks.storage.bundles import bundles_below, find_bundle, pull_bundle, push_bundle
from tasks.storage.object_store import open_store

PREFIX = "datasets"
POINTER_BYTES = 200


def publish_request(
    request: DatasetRequest,
    parts: Sequence[Part],
    *,
    root: Path,
    store: Path,
    storage: str | None,
    progress: Progress,
) -> tuple[Dataset, bool]:
    """Publish the version that a request and its parts make, here and in the storage; say whether it is new.

    Raises:
        DatasetError: the parts do not make up a version, or it cannot be written.
        StorageError: the storage cannot be used.
    """
    earlier = earlier_manifest(request.slug, request.id, storage) if storage else None
    is_new = earlier is None and not is_published(root, request.slug, request.id)
    if storage:
        bring_published(store, parts, storage, progress)
    manifest = publish(
        root,
        store,
        parts,
        slug=request.slug,
        label_ids=request.filter.label_ids,
        labels=request.label_names,
        options=options_of(request.filter),
        filter_version=FILTER_VERSION,
        splits=request.splits,
        code_revision=code_revision(),
        earlier=earlier,
    )
    dataset = Dataset(manifest, root / manifest.slug / manifest.id)
    if storage:
        keep_dataset(dataset, parts, storage, progress)
    return dataset, is_new


def open_anywhere(root: Path, ref: str, storage: str | None, progress: Progress | None = None) -> Dataset:
    """Return the version that `ref` means, fetched from the store where it is not here.

    What `latest` and a slug mean is for the store to say, where there is one: another machine may have published since.

    Raises:
        UnknownDatasetError: there is none, or there are several, in neither place.
        DamagedDatasetError: its manifest cannot be trusted.
        DamagedStorageError: what lies in the store is not what its list says.
        StorageError: the store cannot be used.
    """
    if storage is None:
        return open_dataset(root, ref)
    slug, _, name = ref.strip().strip("/").rpartition("/")
    pointed = _pointed(storage, slug, name)
    if pointed is None:
        return _open_named(root, ref, slug, name, storage, progress)
    dataset = _here(root, pointed) or _pulled(root, pointed, storage, progress)
    if dataset is None:
        return open_dataset(root, ref)
    point_latest(root, *pointed, of_all=name == LATEST and not slug)
    return dataset


def earlier_manifest(slug: str, version_id: str, storage: str) -> DatasetManifest | None:
    """Return the manifest of a version in the store, if it is there."""
    store = open_store(storage)
    key = f"{PREFIX}/{slug}/{version_id}"
    content = store.read(f"{key}/{MANIFEST_NAME}") if find_bundle(store, key) else None
    try:
        return manifest_of(content) if content else None
    except ValueError:
        return None


def stored_manifests(slug: str, storage: str) -> list[DatasetManifest]:
    """Return the manifests of a slug's versions in the store, that to which its pointer leads first.

    Raises:
        StorageError: the store cannot be used.
    """
    keys = bundles_below(open_store(storage), f"{PREFIX}/{slug}")
    versions = [key.split("/")[2] for key in keys if key.count("/") == 2 and key.split("/")[1] == slug]
    pointed = _pointed(storage, slug, LATEST)
    versions.sort(key=lambda version: (slug, version) != pointed)
    return [found for version in versions if (found := earlier_manifest(slug, version, storage))]


def is_stored(slug: str, version_id: str, storage: str) -> bool:
    """Say whether the store has the version, and its pointers mean it."""
    store = open_store(storage)
    pointers = {f"{PREFIX}/{slug}/{LATEST}": version_id, f"{PREFIX}/{LATEST}": f"{slug}/{version_id}"}
    is_meant = all(store.read(key) == target.encode() for key, target in pointers.items())
    return is_meant and find_bundle(store, f"{PREFIX}/{slug}/{version_id}") is not None


def keep_dataset(dataset: Dataset, parts: Iterable[Part], storage: str, progress: Progress | None = None) -> None:
    """Put a published version into the store, unless it is there, then move the pointers.

    Args:
        dataset: the version.
        parts: those that it was made of; their bytes are in the store already, which copies them.
        storage: where to.
        progress: told of the bytes.

    Raises:
        StorageError: the store cannot be used.
    """
    store, manifest = open_store(storage), dataset.manifest
    same = {part.sha256: stored_object(part) for part in parts}
    push_bundle(
        store,
        f"{PREFIX}/{manifest.slug}/{manifest.id}",
        {path.name: path for path in (*dataset.paths(), dataset.folder / MANIFEST_NAME)},
        expected={part.name: part.sha256 for part in manifest.parts},
        copies={part.name: same[part.sha256] for part in manifest.parts if part.sha256 in same},
        progress=progress,
    )
    store.write(f"{PREFIX}/{manifest.slug}/{LATEST}", manifest.id.encode())
    store.write(f"{PREFIX}/{LATEST}", f"{manifest.slug}/{manifest.id}".encode())


def _pointed(storage: str, slug: str, name: str) -> tuple[str, str] | None:
    """Return slug and id of the version to which the store's pointer for this name leads, if it has one."""
    if not name:
        return None
    if name != LATEST and not slug:
        slug, name = name, LATEST
    if name != LATEST or (slug and not re.fullmatch(SLUG_PATTERN, slug)):
        return None
    key = f"{PREFIX}/{slug}/{LATEST}" if slug else f"{PREFIX}/{LATEST}"
    target = (open_store(storage).read(key) or b"")[:POINTER_BYTES].decode("ascii", "replace")
    found = re.fullmatch(rf"({SLUG_PATTERN})/({ID_PATTERN})", f"{slug}/{target}" if slug else target)
    return (found[1], found[2]) if found else None


def _open_named(root: Path, ref: str, slug: str, name: str, storage: str, progress: Progress | None) -> Dataset:
    """Open the version of an id, or the beginning of one, here or from the store."""
    try:
        return open_dataset(root, ref)
    except (UnknownDatasetError, DamagedDatasetError):
        stored = _stored_versions(storage, slug, name)
        if not stored or len({_content(version, storage) for version in stored}) > 1:
            raise
        dataset = _pulled(root, stored[0], storage, progress)
        if dataset is None:
            raise
        return dataset


def _content(version: tuple[str, str], storage: str) -> tuple[str, ...]:
    """Return what two stored versions share that are the same under two slugs: the id and the parts' digests."""
    manifest = earlier_manifest(*version, storage)
    return (version[1], *(part.sha256 for part in manifest.parts)) if manifest else version


def _stored_versions(storage: str, slug: str, name: str) -> list[tuple[str, str]]:
    """Return slug and id of the versions in the store whose id begins so."""
    if not re.fullmatch(r"(ds-)?[0-9a-f]{1,12}", name) or not re.fullmatch(rf"({SLUG_PATTERN})?", slug):
        return []
    keys = bundles_below(open_store(storage), f"{PREFIX}/{slug}".rstrip("/"))
    versions = [(key.split("/")[1], key.split("/")[2]) for key in keys if key.count("/") == 2]
    return [pair for pair in versions if pair[1].removeprefix("ds-").startswith(name.removeprefix("ds-"))]


def _here(root: Path, version: tuple[str, str]) -> Dataset | None:
    try:
        return open_dataset(root, "/".join(version))
    except (UnknownDatasetError, DamagedDatasetError):
        return None


def _pulled(root: Path, version: tuple[str, str], storage: str, progress: Progress | None) -> Dataset | None:
    """Fetch a version; None where the store has not got it after all."""
    store, key = open_store(storage), "/".join((PREFIX, *version))
    return adopt(root, *version, lambda folder: pull_bundle(store, key, folder, progress) is not None)
