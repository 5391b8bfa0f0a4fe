"""Whether the files about the objects of one video are there and whole.

In: a folder. Out: the manifest, where it and what it names are there. Does not know what they say.
"""

from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.objects import (
    DETECTED_PICTURE_NAME,
    DETECTED_VIDEO_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    THUMBNAILS_FOLDER,
    ObjectsManifest,
)
from tasks.contracts.staging import is_whole

FILES = (OBJECTS_TABLE_NAME, DETECTED_VIDEO_NAME, DETECTED_PICTURE_NAME, THUMBNAILS_FOLDER)


def find_objects(folder: Path, identity: str) -> ObjectsManifest | None:
    """Return the manifest in `folder` if it has this identity, and all that it names is there."""
    try:
        manifest = ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    if manifest.identity != identity or OBJECTS_TABLE_NAME not in manifest.files:
        return None
    return manifest if is_whole(folder, manifest.files) else None
