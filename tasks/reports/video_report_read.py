"""The folder of one video → what a report shows of it.

In: a folder with labels.json or objects.json and the files that they name. Out: `VideoFolder`, every file of which
is known to be there. Does not know pages.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from tasks.contracts.errors import ReportError
from tasks.contracts.labels import LABELS_NAME, LABELS_TABLE_NAME, LabelsManifest
from tasks.contracts.media import VideoRecord
from tasks.contracts.model import FrozenModel
from tasks.contracts.objects import OBJECTS_NAME, OBJECTS_TABLE_NAME, ObjectsManifest

SCORES = pa.schema({"time_s": pa.float64(), "label_id": pa.int32(), "smoothed": pa.float64()})

ManifestT = TypeVar("ManifestT", bound=FrozenModel)


@dataclass(frozen=True)
class VideoFolder:
    """What lies in the folder of one video; at least one of the two manifests is there."""

    folder: Path
    labels: LabelsManifest | None
    objects: ObjectsManifest | None

    @property
    def video(self) -> VideoRecord:
        """Return what is known of the video."""
        known = self.labels or self.objects
        assert known
        return known.video


def is_video_folder(folder: Path) -> bool:
    """Say whether a folder has a manifest of one video."""
    return any((folder / name).is_file() for name in (LABELS_NAME, OBJECTS_NAME))


def read_folder(folder: Path) -> VideoFolder:
    """Read the manifests, and see that every file that they name is there.

    Raises `ReportError` where there is nothing, where a manifest is damaged, names what lies outside of the folder
    or belongs to another video, or where a file is missing.
    """
    labels = _manifest(folder / LABELS_NAME, LabelsManifest, "label")
    objects = _manifest(folder / OBJECTS_NAME, ObjectsManifest, "detect")
    if not labels and not objects:
        raise ReportError(
            f"{folder} holds neither {LABELS_NAME} nor {OBJECTS_NAME}: nothing to report on. "
            "Make them with `reelsift label SOURCE` or `reelsift detect SOURCE`"
        )
    if labels and objects and labels.video.sha256 != objects.video.sha256:
        raise ReportError(
            f"{folder}: {LABELS_NAME} and {OBJECTS_NAME} are of different videos "
            f"({labels.video.sha256[:12]} and {objects.video.sha256[:12]}); delete one of them"
        )
    if labels:
        _see(folder, LABELS_TABLE_NAME, LABELS_NAME, "label")
        _see(folder, labels.annotated_video, LABELS_NAME, "label")
    if objects:
        _see(folder, OBJECTS_TABLE_NAME, OBJECTS_NAME, "detect")
        for name in (objects.annotated, *(track.thumbnail for track in objects.tracks)):
            _see(folder, name, OBJECTS_NAME, "detect")
    return VideoFolder(folder, labels, objects)


def read_scores(folder: Path) -> pa.Table:
    """Read times, labels and smoothed scores of labels.parquet; raises `ReportError` where it is no such table."""
    path = folder / LABELS_TABLE_NAME
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=SCORES.names).select(SCORES.names).cast(SCORES).drop_null()
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"{path} is no table of labels ({reason}); {_make_anew('label')}") from error


def _manifest(path: Path, kind: type[ManifestT], command: str) -> ManifestT | None:
    """Return the manifest, or None where there is no such file."""
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise ReportError(f"{path} is damaged ({_first_fault(error)}); {_make_anew(command)}") from error


def _first_fault(error: ValidationError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return f"{place}: {fault['msg']}" if place else fault["msg"]


def _see(folder: Path, name: str | None, manifest_name: str, command: str) -> None:
    """Raise where a manifest names a file that is outside of its folder, or is not there."""
    if name is None:
        return
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or "\\" in name or "\0" in name:
        raise ReportError(f"{folder / manifest_name} names {name!r}, which lies outside of its folder")
    if not (folder / relative).is_file():
        raise ReportError(f"{folder / relative} is missing, but {manifest_name} names it; {_make_anew(command)}")


def _make_anew(command: str) -> str:
    return f"delete the manifest and run `reelsift {command}` on the video again"
