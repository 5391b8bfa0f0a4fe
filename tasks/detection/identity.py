"""The identity of a detection result, and whether its files are complete."""

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.files import is_whole
from tasks.contracts.media import (
    DETECTED_PICTURE_NAME,
    DETECTED_VIDEO_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    THUMBNAILS_FOLDER,
    DetectorRecord,
    FetchedVideo,
    ObjectsManifest,
)
from tasks.detection.config import DetectOptions

DETECTION_VERSION = 3  # raise by hand when the same video, detector and options give another answer


def identity_of_objects(video: FetchedVideo, detector: DetectorRecord, options: DetectOptions) -> str:
    """Return the SHA-256 of the video's content, what looks at it and how."""
    parts = [DETECTION_VERSION, video.sha256, detector.model_dump(mode="json"), options.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


OBJECTS_FILES = (OBJECTS_TABLE_NAME, DETECTED_VIDEO_NAME, DETECTED_PICTURE_NAME, THUMBNAILS_FOLDER)


def find_objects(folder: Path, identity: str) -> ObjectsManifest | None:
    """Return the manifest in `folder` if it has this identity, and all that it names is there."""
    try:
        manifest = ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    if manifest.identity != identity or OBJECTS_TABLE_NAME not in manifest.files:
        return None
    return manifest if is_whole(folder, manifest.files) else None
