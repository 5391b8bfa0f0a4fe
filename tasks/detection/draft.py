"""The files about the objects of one video, made aside and put in their place together, the manifest last.

In: a folder. Out: `objects.json` and what it names, all from the same run. Does not know what they say.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.files import write_text
from tasks.contracts.objects import (
    DETECTED_PICTURE_NAME,
    DETECTED_VIDEO_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    THUMBNAILS_FOLDER,
    ObjectsManifest,
)

PLACES = (OBJECTS_TABLE_NAME, DETECTED_VIDEO_NAME, DETECTED_PICTURE_NAME, THUMBNAILS_FOLDER)


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder in `folder` to write to; whatever is left of it at the end of the block is removed.

    A `folder` that was not there and into which nothing was published goes too.
    """
    draft = folder / f".objects.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    draft.mkdir(parents=True)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # it holds something, as it mostly does
            folder.rmdir()


def publish(draft: Path, folder: Path, manifest: ObjectsManifest) -> None:
    """Put what was drafted in the place of what was there before.

    The old manifest goes first and the new one comes last: whoever finds one finds its files, and no others. A process
    killed in between leaves none, and the video is done again.
    """
    (folder / OBJECTS_NAME).unlink(missing_ok=True)
    for name in PLACES:
        _remove(folder / name)
        if (draft / name).exists():
            _keep_on_disk(draft / name)
            (draft / name).rename(folder / name)
    write_text(folder / OBJECTS_NAME, manifest.model_dump_json(indent=1))


def find_objects(folder: Path, identity: str) -> ObjectsManifest | None:
    """Return the manifest in `folder` if it has this identity, and all that it names is there."""
    try:
        manifest = ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    named = [OBJECTS_TABLE_NAME, manifest.annotated, *(track.thumbnail for track in manifest.tracks)]
    is_whole = all((folder / name).is_file() for name in named if name)
    return manifest if is_whole and manifest.identity == identity else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _keep_on_disk(path: Path) -> None:
    """Have the disk hold a file before its name does; thumbnails can be made again."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
