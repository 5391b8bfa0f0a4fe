"""The features of a video, second by second, kept by its content and the feature space: extracted once, read again.

<root>/<space>-<digest of it>/<digest of the content>/   features.json, features.safetensors
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tasks.contracts.errors import DamagedDatasetError, VideoError
from tasks.contracts.features import FeatureSpace
from tasks.contracts.files import answer_digests, staged
from tasks.contracts.media import (
    CONTENT_DIGITS,
    FEATURES,
    FEATURES_NAME,
    FEATURES_TABLE_NAME,
    FeaturesManifest,
    FetchedVideo,
    VideoRecord,
)
from tasks.contracts.model import code_revision
from tasks.contracts.progress import Progress
from tasks.features.extractor import Extractor, VideoFeatures, read_features
from tasks.video.config import MediaBounds

EXTRACTION_VERSION = 1  # raise by hand when the same network would give other features of the same file
SPACE_DIGITS = 12


def features_folder(root: Path, space: FeatureSpace) -> Path:
    """Return the folder of all features in one space: another network, or other weights, has another."""
    return root / f"{space.name}-{space_digest(space)[:SPACE_DIGITS]}"


def space_digest(space: FeatureSpace) -> str:
    """Return the SHA-256 of all that a feature space is."""
    return _sha256(space.model_dump(mode="json"))


def content_name(content: str) -> str:
    """Return the name of the folder of a file's features, given its SHA-256: two files of one content share it."""
    return content[:CONTENT_DIGITS]


def identity_of_features(content: str, space: FeatureSpace) -> str:
    """Return what the features of a file follow from, given its SHA-256."""
    return _sha256([EXTRACTION_VERSION, content, space_digest(space)])


def extract_features(
    video: FetchedVideo, extractor: Extractor, bounds: MediaBounds, folder: Path, progress: Progress | None = None
) -> FeaturesManifest:
    """Compute the features of every second of a video, and keep them in `folder`.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds, or its features are not finite.
        WeightsError: the networks cannot be run.
    """
    found = read_features(video.path, bounds, extractor, progress)
    if not np.isfinite(found.per_second()).all():
        raise VideoError(f"{video.path.name} has features in {extractor.space.name} that are not finite.")
    files = (FEATURES_TABLE_NAME,)
    with staged(folder, files=files, manifest=FEATURES_NAME) as stage:
        arrays = {
            "times_s": found.times_s,
            "picture": found.picture,
            "sound": found.sound,
            "has_sound": found.has_sound,
        }
        save_file(arrays, stage / FEATURES_TABLE_NAME)
        manifest = FeaturesManifest(
            identity=identity_of_features(video.sha256, extractor.space),
            video=VideoRecord.of(
                video, found.facts, frames_read=found.frames_read, corrupt_frames=found.corrupt_frames
            ),
            space=extractor.space,
            is_silent=found.is_silent,
            mean_s=found.mean_s,
            files=answer_digests(stage, files),
            code_revision=code_revision(),
        )
        (stage / FEATURES_NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return manifest


def kept_features(root: Path, content: str, space: FeatureSpace) -> tuple[Path, FeaturesManifest] | None:
    """Return the folder and the manifest of the features that are kept of a file, if they are whole."""
    folder = features_folder(root, space) / content_name(content)
    manifest = FEATURES.find(folder, identity_of_features(content, space))
    return (folder, manifest) if manifest else None


def read_kept(folder: Path, manifest: FeaturesManifest) -> VideoFeatures:
    """Read the features that lie in a folder; `find` has checked their digest.

    Raises:
        DamagedDatasetError: they are gone, or no features.
    """
    try:
        arrays = load_file(folder / FEATURES_TABLE_NAME)
        return VideoFeatures(
            space=manifest.space,
            is_silent=manifest.is_silent,
            facts=manifest.video.media,
            frames_read=manifest.video.frames_read,
            corrupt_frames=manifest.video.corrupt_frames,
            mean_s=manifest.mean_s,
            **{name: arrays[name] for name in ("times_s", "picture", "sound", "has_sound")},
        )
    except (OSError, SafetensorError, KeyError) as error:
        raise DamagedDatasetError(
            f"The features in {folder} cannot be read: {error}. Delete that folder; the same command makes it again."
        ) from error


def features_in_words(manifest: FeaturesManifest) -> str:
    """Say of how much of a video there are features."""
    silent = ", without sound" if manifest.is_silent else ""
    return f"{manifest.video.media.duration_s or 0:,.1f} s{silent}"


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
