"""What labelling a video gives: `labels.json`, beside `labels.parquet`.

    labels.parquet   time_s double, label_id int32, name string, score float, smoothed float: every second, best labels

In: nothing. Out: frozen values. Does not know how a video is labelled.
"""

from pydantic import Field, JsonValue

from tasks.contracts.artifacts import Sha256
from tasks.contracts.media import VideoRecord, WeightsRecord
from tasks.contracts.model import FrozenModel

LABELS_NAME = "labels.json"
LABELS_TABLE_NAME = "labels.parquet"
LABELLED_VIDEO_NAME = "labelled.mp4"
LABELLED_PICTURE_NAME = "labelled.png"
LABELLED_FRAMES_FOLDER = "frames"


class ModelRecord(FrozenModel):
    """The model that gave the labels, traceable to what it learnt from."""

    name: str = Field(description="`imagenet`, or name/version in the registry, e.g. cooking/3")
    feature_space: str = Field(description="what it looks at, e.g. yt8m-video-2018")
    weights: tuple[WeightsRecord, ...] = Field(description="every file of weights between the frames and the scores")
    dataset_id: str | None = Field(default=None, description="dataset version that it was trained on")
    run_id: str | None = Field(default=None, description="MLflow run that made it")


class LabelScore(FrozenModel):
    """A label and how sure the model is of it."""

    label_id: int
    name: str
    score: float = Field(ge=0, le=1)


class LabelSegment(FrozenModel):
    """A stretch of time during which a label holds, after smoothing and hysteresis."""

    start_s: float = Field(ge=0)
    end_s: float = Field(ge=0, description="where the label no longer holds; never before start_s")
    label_id: int
    name: str
    score: float = Field(ge=0, le=1, description="mean of the smoothed score over the segment")


class LabelsManifest(FrozenModel):
    """The labels of one video over time, and what made them."""

    identity: Sha256 = Field(description="of content, model and options: equal means the same answer")
    video: VideoRecord
    model: ModelRecord
    options: dict[str, JsonValue]
    seconds: int = Field(ge=0, description="moments that were scored")
    is_silent: bool | None = Field(default=None, description="the sound could not be used; None: it was not looked at")
    match_score: float | None = Field(default=None, description="probability that the video is of the dataset's kind")
    top: tuple[LabelScore, ...] = Field(description="of the video as a whole, best first")
    segments: tuple[LabelSegment, ...] = Field(description="by start, then by label")
    annotated_video: str | None = Field(default=None, description="file beside this one, with the current label drawn")
    files: dict[str, Sha256] = Field(default={}, description="digests of the files beside this one, by their names")
    code_revision: str
