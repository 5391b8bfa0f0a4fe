"""Parts published as a dataset version, or adopted from another machine."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from tasks.contracts.datasets import DatasetManifest, Part
from tasks.contracts.errors import DamagedDatasetError
from tasks.contracts.features import YT8M, FeatureSpace
from tasks.datasets.folders import (
    alone,
    freeze,
    link_or_copy,
    move_into_place,
    point,
    remove,
    temporary_beside,
    writing,
)
from tasks.datasets.manifest import (
    HASHING_THREADS,
    LATEST,
    MANIFEST_NAME,
    Dataset,
    ProblemKind,
    damaged,
    manifest_bytes,
    part_problem,
    read_manifest,
    verify,
)
from tasks.datasets.version import Version


def publish(
    root: Path,
    store: Path,
    parts: Sequence[Part],
    *,
    slug: str,
    label_ids: Sequence[int],
    labels: Mapping[int, str],
    options: Mapping[str, JsonValue],
    filter_version: int,
    splits: Mapping[str, str],
    code_revision: str,
    space: FeatureSpace = YT8M,
    about: Mapping[str, Any] | None = None,
    earlier: DatasetManifest | None = None,
) -> DatasetManifest:
    """Publish the version that `parts` make up, or return it as it is where it is already published and whole.

    Args:
        root: the folder of all datasets.
        store: the folder that the parts' paths are relative to; on the same file system they are linked,
            not copied, and become read-only.
        parts: each shard in exactly one of them.
        slug: the version's folder, as `slug_of` names it.
        label_ids: the labels that make a match.
        labels: the names of all labels, by index.
        options: all of the filter's input, the label ids included (see `dataset_id`).
        filter_version: the version of the filter's code.
        splits: split to partition, e.g. `{"train": "video/train"}`.
        code_revision: of the code that made it; not part of the id.
        space: of the features; another than YouTube-8M's is part of `options`, and so of the id.
        about: further fields of the manifest, on which the id does not depend.
        earlier: the manifest under which another machine has published the version; where its parts are these, the
            version gets it as it is, so that its bytes are the same everywhere.

    Raises:
        DatasetError: the parts do not make up a version, or it cannot be written.
        DamagedDatasetError: a part of the store is missing or differs from its digest.
        DiskSpaceError: the disk is full.
    """
    version = Version(
        slug=slug,
        label_ids=tuple(sorted(label_ids)),
        labels=labels,
        options=options,
        filter_version=filter_version,
        splits=splits,
        code_revision=code_revision,
        parts=tuple(parts),
        space=space,
        about=about or {},
    )
    version.check(store)
    name = f"{slug}/{version.id}"
    with writing(f"Dataset {name}", root), alone(root):
        manifest = _whole(root / name) or _assemble(version, store, root / name, earlier)
        point(root / slug / LATEST, version.id)
        point(root / LATEST, name)
    return manifest


def is_published(root: Path, slug: str, version_id: str) -> bool:
    """Say whether the version is there; whether its parts are whole, `is_current` says."""
    try:
        read_manifest(root / slug / version_id)
    except DamagedDatasetError:
        return False
    return True


def is_current(root: Path, slug: str, version_id: str) -> bool:
    """Say whether the version is published and whole, and the one that `latest` and its slug mean."""
    pointers = {root / slug / LATEST: version_id, root / LATEST: f"{slug}/{version_id}"}
    if any(not link.is_symlink() or str(link.readlink()) != target for link, target in pointers.items()):
        return False
    return _whole(root / slug / version_id) is not None


def _whole(folder: Path) -> DatasetManifest | None:
    """Return the manifest of the version in `folder`, unless it is missing or damaged.

    Files that somebody has put beside the parts do not count, as long as nobody would read them as parts.
    """
    try:
        manifest = read_manifest(folder)
    except DamagedDatasetError:
        return None
    problems = verify(Dataset(manifest, folder))
    harmless = [each.kind is ProblemKind.EXTRA and not each.file.endswith(".parquet") for each in problems]
    return manifest if all(harmless) else None


def _assemble(version: Version, store: Path, folder: Path, earlier: DatasetManifest | None) -> DatasetManifest:
    """Put the version together beside its final place, the manifest last, then move it there."""
    temporary = temporary_beside(folder)
    temporary.mkdir()
    try:
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            list(pool.map(lambda pair: _take(store, pair[1], temporary / pair[0].name), version.files))
        manifest = earlier if earlier and version.is_of(earlier) else version.manifest(temporary)
        (temporary / MANIFEST_NAME).write_bytes(manifest_bytes(manifest))
        freeze(temporary / MANIFEST_NAME)
        move_into_place(temporary, folder)
    finally:
        remove(temporary)
    return manifest


def _take(store: Path, part: Part, target: Path) -> None:
    """Give a part of the store its final name, and check that it is what it should be."""
    source = store / part.path
    if source.is_file():
        link_or_copy(source, target)
    problem = part_problem(target, part.size_bytes, part.sha256)
    if problem is not None:
        raise DamagedDatasetError(
            f"Part {source} is not what was filtered: {problem.detail}. "
            "Delete it and run the same command again: its shards are then filtered again"
        )
    freeze(target)


def adopt(root: Path, slug: str, version_id: str, bring: Callable[[Path], bool]) -> Dataset | None:
    """Have `bring` fill an empty folder, check what it brought, and give it its name; None where it brought nothing.

    Raises:
        DamagedDatasetError: what came is not that version, whole.
        DatasetError: it cannot be written.
        DiskSpaceError: the disk is full.
    """
    folder = root / slug / version_id
    with writing(f"Dataset {slug}/{version_id}", root), alone(root):
        aside = temporary_beside(folder) / slug / version_id  # a manifest is read in a folder of its own name
        try:
            aside.mkdir(parents=True)
            if not bring(aside):
                return None
            _check(Dataset(read_manifest(aside), aside))
            move_into_place(aside, folder)
        finally:
            remove(aside.parents[1])
    return Dataset(read_manifest(folder), folder)


def point_latest(root: Path, slug: str, version_id: str, *, of_all: bool) -> None:
    """Let `latest` of a slug mean the version, and where `of_all` says so, that of all datasets too."""
    with writing(f"The pointer to {slug}/{version_id}", root), alone(root):
        point(root / slug / LATEST, version_id)
        if of_all:
            point(root / LATEST, f"{slug}/{version_id}")


def _check(dataset: Dataset) -> None:
    """Check the files against the manifest, and make them read-only."""
    if problems := verify(dataset):
        raise damaged(dataset.folder, f"{problems[0].file}: {problems[0].detail}")
    for path in (*dataset.paths(), dataset.folder / MANIFEST_NAME):
        freeze(path)
