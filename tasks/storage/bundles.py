"""Bundles: the files of one finished thing below one key, with a list of them that is written last.

    datasets/cooking/ds-8be3a83e4cf3/  part-train-0000.parquet  part-validate-0000.parquet  manifest.json  stored.json

What is listed is there; an upload that was cut off has no list, so nobody sees it, and the next one goes over it.
Whatever comes is held to the digests of the list.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import Field, JsonValue, ValidationError

from tasks.contracts.errors import DamagedStorageError, StorageError
from tasks.contracts.model import FrozenModel, Sha256
from tasks.contracts.progress import Progress, Silent
from tasks.storage.object_store import ObjectStore

LIST_NAME = "stored.json"
TO, FROM = "to storage", "from storage"  # what progress is counted of
AT_ONCE = 4  # files on their way; each holds a block
WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # no name of a list leads out of its folder


class StoredFile(FrozenModel):
    """A file of a bundle."""

    name: str = Field(pattern=rf"^{WORD}(/{WORD})*$", description="relative to the bundle")
    size_bytes: int = Field(ge=0)
    sha256: Sha256
    modified_s: float = Field(description="seconds since 1970: when it was made, which a copy keeps")


class Bundle(FrozenModel):
    """What a bundle consists of."""

    files: tuple[StoredFile, ...]
    about: JsonValue = Field(default=None, description="what the thing says of itself, for readers that only look")


def find_bundle(store: ObjectStore, key: str) -> Bundle | None:
    """Return what lies under a key; None where nothing does, or only a part of it."""
    content = store.read(f"{key}/{LIST_NAME}")
    try:
        return Bundle.model_validate_json(content) if content else None
    except ValidationError:  # cut off, where the store lets half an object be seen: it is written again
        return None


def bundles_below(store: ObjectStore, prefix: str) -> list[str]:
    """Return the keys of all bundles below a prefix."""
    keys = (key.rpartition("/") for key in store.sizes(prefix))
    return sorted(f"{prefix}/{bundle}" for bundle, _, name in keys if name == LIST_NAME and bundle)


def push_bundle(
    store: ObjectStore,
    key: str,
    files: Mapping[str, Path],
    *,
    about: JsonValue = None,
    expected: Mapping[str, str] | None = None,
    copies: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Put files under a key, their list last; what lies there whole already is left as it is.

    Args:
        store: where to.
        key: of the bundle; the same key means the same thing.
        files: by the names that they get.
        about: kept with the list.
        expected: the sha256 that some of the files must have.
        copies: for some of those the key of an object of the same content, which the store copies by itself.
        progress: reports the bytes.

    Raises:
        DamagedStorageError: a file has not the expected digest; the bundle is not listed.
        StorageError: the store cannot be written to.
    """
    known = find_bundle(store, key)
    if known is not None and _is_complete(store, key, known):
        return known
    told = progress or Silent()
    told.begin(TO, sum(path.stat().st_size for path in files.values()), "B")

    def push(name: str) -> StoredFile:
        same = (copies or {}).get(name)
        return _push(store, f"{key}/{name}", name, files[name], (expected or {}).get(name), same, told)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="storage") as pool:
        bundle = Bundle(files=tuple(pool.map(push, sorted(files))), about=about)
    store.write(f"{key}/{LIST_NAME}", bundle.model_dump_json(indent=1).encode())
    return bundle


def pull_bundle(store: ObjectStore, key: str, folder: Path, progress: Progress | None = None) -> Bundle | None:
    """Fetch a bundle's files into an empty folder of the caller's; None where there is no such bundle.

    Raises:
        DamagedStorageError: a file is missing or not what the list says. The list is deleted, so that the thing counts
            as not there, and a process that recomputes it can put it back.
        StorageError: the store cannot be read.
    """
    bundle = find_bundle(store, key)
    if bundle is None:
        return None
    told = progress or Silent()
    told.begin(FROM, sum(file.size_bytes for file in bundle.files), "B")
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="storage") as pool:
        problems = list(pool.map(lambda file: _pull(store, key, file, folder, told), bundle.files))
    if problem := next(filter(None, problems), None):
        store.delete(f"{key}/{LIST_NAME}")
        raise DamagedStorageError(
            f"{key} at the storage {store.uri} is damaged: {problem}. It no longer counts as there; the command that "
            "made it puts it back."
        )
    return bundle


def _push(
    store: ObjectStore, key: str, name: str, path: Path, expected: str | None, same: str | None, told: Progress
) -> StoredFile:
    status = path.stat()
    digest = expected if expected and same and _copied(store, same, key) else None
    if digest is None:
        digest = store.upload(path, key, lambda sent: told.advance(TO, sent))
    else:
        told.advance(TO, status.st_size)
    if expected is not None and digest != expected:
        raise DamagedStorageError(f"{path} is damaged: its SHA-256 is {digest[:12]}…, should be {expected[:12]}…")
    return StoredFile(name=name, size_bytes=status.st_size, sha256=digest, modified_s=status.st_mtime)


def _copied(store: ObjectStore, source: str, key: str) -> bool:
    """Let the store copy an object; say whether it could, as it may be missing, or too large for one request."""
    try:
        store.copy(source, key)
    except (FileNotFoundError, StorageError):
        return False
    return True


def _pull(store: ObjectStore, key: str, file: StoredFile, folder: Path, told: Progress) -> str | None:
    """Fetch a file; return what is wrong with it, if anything is."""
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest = store.download(f"{key}/{file.name}", path, lambda came: told.advance(FROM, came))
    except FileNotFoundError:
        return f"{file.name} is missing"
    if digest != file.sha256:
        return f"the SHA-256 of {file.name} is {digest[:12]}…, should be {file.sha256[:12]}…"
    os.utime(path, (file.modified_s, file.modified_s))
    return None


def _is_complete(store: ObjectStore, key: str, bundle: Bundle) -> bool:
    """Say whether every file of a list is there with its size."""
    sizes = store.sizes(key)
    return all(sizes.get(file.name) == file.size_bytes for file in bundle.files)
