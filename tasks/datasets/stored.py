"""Dataset versions in the object store: opened from there where they are not here, and put there once published.

Layout:

    datasets/latest (slug/id)   datasets/<slug>/latest (id)   datasets/<slug>/<id>/   the pointers move last
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.contracts.datasets import DatasetManifest, Part, ShardTally
from tasks.contracts.errors import DamagedDatasetError, UnknownDatasetError
from tasks.contracts.model import code_revision
from tasks.contracts.progress import Progress
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.folders import in_use
from tasks.datasets.frames import require_frames, shard_means
from tasks.datasets.manifest import (
    ID_PATTERN,
    LATEST,
    MANIFEST_NAME,
    SLUG_PATTERN,
    Dataset,
    dataset_id,
    manifest_of,
    parts_checked,
)
from tasks.datasets.publish import adopt, is_published, point_latest, publish
from tasks.datasets.request import DatasetRequest
from tasks.records.part_file import describe, find_whole, read_tallies
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


def publish_means(
    dataset: Dataset, *, root: Path, store: Path, storage: str | None, progress: Progress
) -> tuple[Dataset, bool]:
    """Publish the version of whole videos that the means of a version's frames make; say whether it is new.

    It has the same videos, splits and shards. Where the frames are those that YouTube-8M took its means of, these are
    equal to its own but for the quantisation of the frames.

    Raises:
        DatasetError: the version holds no frames, or the new one cannot be written.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
        StorageError: the storage cannot be used.
    """
    require_frames(dataset)
    manifest = dataset.manifest
    options = {name: value for name, value in manifest.options.items() if name != "level"} | {"means_of": "frame"}
    version_id = dataset_id(manifest.shards, options, manifest.filter_version)
    is_new = not is_published(root, manifest.slug, version_id)
    with in_use(dataset.folder), parts_checked(dataset):
        parts = _means_parts(dataset, store, f"means-{version_id.removeprefix('ds-')}", progress)
    made = publish(
        root,
        store,
        parts,
        slug=manifest.slug,
        label_ids=manifest.label_ids,
        labels={count.index: count.name for count in manifest.label_counts}
        | dict(zip(manifest.label_ids, manifest.label_names, strict=True)),
        options=options,
        filter_version=manifest.filter_version,
        splits=manifest.splits,
        code_revision=code_revision(),
    )
    means = Dataset(made, root / made.slug / made.id)
    if storage:
        keep_dataset(means, (), storage, progress)
    return means, is_new


def _means_parts(dataset: Dataset, store: Path, folder: str, progress: Progress) -> list[Part]:
    """Write a part of means for each part of frames, unless it is there; shards without rows are listed in parts, too.

    The name of each tells which part it was made of.
    """
    from tasks.records.writing import StoredRows, write_batch  # noqa: PLC0415 - numba takes a second to import

    what, left = f"means of {dataset.manifest.id}", {(each.partition, each.name) for each in dataset.manifest.shards}
    progress.begin(what, len(dataset.manifest.parts), "parts")
    parts = list[Part]()
    for file in dataset.manifest.parts:
        key, path = file.sha256[:16], dataset.folder / file.name
        found = find_whole(store / folder, key)
        if found is None:
            rows = StoredRows(path)
            shards = (rows.filtered(tally) for tally in read_tallies(path) or ())
            found = write_batch(store / folder, key, (shard.with_rows(shard_means(shard.rows)) for shard in shards))
        parts.append(describe(store, found))
        left -= {(each.partition, each.name) for each in parts[-1].shards}
        progress.advance(what, 1)
    rest = [each for each in dataset.manifest.shards if (each.partition, each.name) in left]
    return [
        *parts,
        *(_without_rows(partition, rest, folder) for partition in sorted({each.partition for each in rest})),
    ]


def _without_rows(partition: str, shards: Iterable[ShardTally], folder: str) -> Part:
    """Describe a part that has no file, as none of its shards has a row."""
    return Part(
        path=f"{folder}/none.parquet",
        partition=partition,
        sha256=hashlib.sha256().hexdigest(),
        size_bytes=0,
        rows=0,
        matches=0,
        shards=tuple(each for each in shards if each.partition == partition),
    )


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
        progress: reports the bytes.

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
