"""What was found in videos, in the object store: taken from there rather than made, and put there once made.

Layout:

    videos/<folder>/labels-<identity>/   videos/<folder>/objects-<identity>/   one bundle an answer, never changed
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tasks.contracts.errors import DamagedStorageError
from tasks.contracts.files import locked, staged
from tasks.contracts.media import FetchedVideo, LabelsManifest, ObjectsManifest
from tasks.contracts.progress import Progress
from tasks.per_video.jobs import Job
from tasks.storage.bundles import find_bundle, pull_bundle, push_bundle
from tasks.storage.object_store import ObjectStore, open_store

PREFIX = "videos"
IDENTITY_DIGITS = 16
MadeT = TypeVar("MadeT", LabelsManifest, ObjectsManifest)


def through_storage(job: Job[MadeT], storage: str | None, progress: Progress | None = None) -> Job[MadeT]:
    """Return the job with a store behind its folders; where none is set, the job itself.

    Raises:
        StorageError: the store cannot be used, which is told before any video is worked on.
    """
    if storage is None:
        return job
    store = open_store(storage)

    def find(folder: Path, identity: str) -> MadeT | None:
        found = job.find(folder, identity)
        if found:
            _keep(job, store, folder, found, progress)
            return found
        return job.find(folder, identity) if _brought(job, store, folder, identity, progress) else None

    def make(video: FetchedVideo, folder: Path) -> MadeT:
        made = job.make(video, folder)
        _keep(job, store, folder, made, progress)
        return made

    return replace(job, find=find, make=make)


def _key(job: Job[MadeT], folder: Path, identity: str) -> str:
    return f"{PREFIX}/{folder.name}/{Path(job.manifest_name).stem}-{identity[:IDENTITY_DIGITS]}"


def _keep(job: Job[MadeT], store: ObjectStore, folder: Path, made: MadeT, progress: Progress | None) -> None:
    """Put an answer into the store, unless it is there, or another process has put its own in the place of it."""
    key = _key(job, folder, made.identity)
    if find_bundle(store, key) is not None:
        return
    with locked(folder):
        if job.find(folder, made.identity) == made:
            files = {name: folder / name for name in (*made.files, job.manifest_name)}
            push_bundle(store, key, files, expected=made.files, progress=progress)


def _brought(job: Job[MadeT], store: ObjectStore, folder: Path, identity: str, progress: Progress | None) -> bool:
    """Fetch an answer into its folder, in the place of another; say whether it was there and whole."""
    key = _key(job, folder, identity)
    if find_bundle(store, key) is None:
        return False
    try:
        with staged(folder, files=job.file_names, manifest=job.manifest_name) as stage:
            pull_bundle(store, key, stage, progress)
            _check_whole(stage / job.manifest_name, key)
    except DamagedStorageError as damage:
        logging.getLogger("reelsift").warning("%s", damage)
        return False
    return True


def _check_whole(manifest: Path, key: str) -> None:
    """Let nothing take the place of what is there unless it has a manifest.

    Raises:
        DamagedStorageError: somebody deleted the bundle in between, or it is no answer.
    """
    if not manifest.is_file():
        raise DamagedStorageError(f"{key} in the storage is gone, or is no answer.")
