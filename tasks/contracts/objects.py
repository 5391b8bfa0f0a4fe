"""What detecting the objects of a video gives: `objects.json`, beside `objects.parquet`.

    objects.parquet  frame int64, time_s double, track_id int32, class_id int16, class_name string, score float in
                     [0, 1], x_min, y_min, x_max, y_max float (pixels of the picture as shown), mask string (COCO RLE
                     as JSON {"size": [height, width], "counts": "..."}) or null, carried bool (true: the box was
                     carried there by its track, not detected on this frame). track_id -1: of no sure track

In: nothing. Out: frozen values. Does not know how objects are found.
"""

from pydantic import Field, JsonValue

from tasks.contracts.artifacts import Sha256
from tasks.contracts.media import VideoRecord, WeightsRecord
from tasks.contracts.model import FrozenModel

OBJECTS_NAME = "objects.json"
OBJECTS_TABLE_NAME = "objects.parquet"
DETECTED_VIDEO_NAME = "detected.mp4"
DETECTED_PICTURE_NAME = "detected.png"
THUMBNAILS_FOLDER = "thumbnails"


class DetectorRecord(FrozenModel):
    """The detector that found the objects."""

    name: str = Field(description="e.g. yolox-nano or pointrend-resnet50")
    weights: WeightsRecord
    device: str = Field(description="cpu or cuda")
    speed: str = Field(description="normal, fast or rapid")
    has_masks: bool


class ObjectTrack(FrozenModel):
    """One thing, followed through the video."""

    track_id: int = Field(ge=0)
    class_id: int
    class_name: str = Field(description="by the votes of all its boxes")
    score: float = Field(ge=0, le=1, description="mean over its detected boxes")
    start_s: float = Field(ge=0)
    end_s: float = Field(ge=0)
    boxes: int = Field(ge=1, description="detected boxes, without carried ones")
    best_time_s: float = Field(ge=0, description="when its score was highest")
    best_box: tuple[float, float, float, float] = Field(
        description="x_min, y_min, x_max, y_max in pixels, at that time"
    )
    thumbnail: str | None = Field(default=None, description="file beside this one: the thing as seen at that time")
    colour: str = Field(pattern=r"^#[0-9a-f]{6}$", description="as drawn")


class ObjectsManifest(FrozenModel):
    """The objects of one video or picture, and what found them."""

    identity: Sha256 = Field(description="of the content, the detector and the options: equal means the same answer")
    video: VideoRecord
    detector: DetectorRecord
    options: dict[str, JsonValue]
    boxes: int = Field(ge=0, description="detected boxes, without carried ones")
    counts: dict[str, int] = Field(
        description="tracks of each class, commonest first; without tracks: most at one moment"
    )
    tracks: tuple[ObjectTrack, ...] = Field(description="by start, then by id")
    stage_seconds: dict[str, float] = Field(description="seconds of work: decode, detect, track, draw, encode, keep")
    wall_seconds: float = Field(ge=0)
    annotated: str | None = Field(default=None, description="file beside this one with the boxes drawn")
    files: dict[str, Sha256] = Field(default={}, description="digests of the files beside this one, by their names")
    code_revision: str
