"""What stages hand on about videos: sources, fetched files, batches, labels, objects, features and outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import Field, JsonValue, ValidationError, model_validator

from tasks.contracts.datasets import DropReason
from tasks.contracts.features import FeatureSpace
from tasks.contracts.files import is_whole
from tasks.contracts.model import FrozenModel, Sha256, ShownAddress, ShownLine


class TimeRange(FrozenModel):
    """A stretch of a video, in the video's own time, that alone is looked at and listened to."""

    start_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    end_s: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="none: where the video ends")

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"a range must end after its start: it is from {self.start_s:g} to {self.end_s:g} s")
        return self

    def length_s(self, duration_s: float | None) -> float | None:
        """Return how long it is in a video of this length; None where neither says so."""
        ends_s = [end_s for end_s in (self.end_s, duration_s) if end_s is not None]
        return max(min(ends_s) - self.start_s, 0.0) if ends_s else None


_is_none = partial(is_, None)  # of a field that is then left out of JSON
PART = "the stretch that alone was looked at; left out where it was all of the video"


class FetchedVideo(FrozenModel):
    """A video or picture that is on the disk."""

    source: ShownAddress = Field(description="as the person named it: a file, a URL, a YouTube id or a YouTube-8M id")
    path: Path = Field(description="the file on this disk")
    sha256: Sha256 = Field(description="of the file's content")
    size_bytes: int = Field(ge=0)
    title: ShownLine = Field(description="as its host has it, else the file's name; text from a stranger, never a path")
    address: ShownAddress | None = Field(default=None, description="web page of the video, where it has one")
    youtube_id: str | None = Field(default=None, description="11 characters")
    yt8m_id: str | None = Field(default=None, description="4 characters")
    is_temporary: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        description="fetched for its features alone: its file goes once they are kept, and this record stays",
    )
    part: TimeRange | None = Field(default=None, exclude_if=_is_none, description=PART)


class MediaFacts(FrozenModel):
    """What a file holds, found by opening it."""

    kind: Literal["video", "picture"]
    width: int = Field(gt=0, description="square pixels as shown, after rotation")
    height: int = Field(gt=0, description="square pixels as shown, after rotation")
    duration_s: float | None = Field(
        description="seconds that are there; None where neither the container nor the stream says"
    )
    frame_rate: float | None = Field(description="average frames a second; None for a picture")
    codec: str = Field(description="of the picture, e.g. h264")
    has_sound: bool
    rotation_deg: int = Field(default=0, description="clockwise turn that the file asks of a player: 0, 90, 180 or 270")
    mirrored: bool = Field(default=False, description="whether it asks to be mirrored left to right before that turn")
    pixel_aspect: float = Field(default=1.0, gt=0, description="width of a stored pixel as shown, over its height")
    cut_short: bool = Field(default=False, description="whether the file breaks off before its end")
    missing_s: float | None = Field(
        default=None, ge=0, description="seconds of such a video that are not there; None where the file does not say"
    )
    declared_s: float | None = Field(default=None, ge=0, description="seconds that such a file says it lasts")


def loss_in_words(known: dict[str, Any]) -> str | None:
    """Say what of a video is missing in the answer, given the fields of its record; None where nothing is."""
    media, corrupt_frames, frames_read = (known.get(name) for name in ("media", "corrupt_frames", "frames_read"))
    if not isinstance(media, MediaFacts) or corrupt_frames is None or frames_read is None:
        return None  # one was refused, which is said anyway
    lost = [_missing_end(media)] if media.cut_short else []
    if corrupt_frames:
        lost.append(f"{corrupt_frames:,} {'packet' if corrupt_frames == 1 else 'packets'} could not be decoded")
    if not lost:
        return None
    frames = f"{frames_read:,} {'frame' if frames_read == 1 else 'frames'}"
    return f"{'; '.join(lost)}, so the answer is of {frames}"


def _missing_end(media: MediaFacts) -> str:
    if media.missing_s is None or not (media.missing_s == 0 or media.declared_s):
        return "the file is cut short, and does not say how much of it is missing"
    if not media.missing_s:
        return "the file is cut short: the pictures are all there, but the end of the sound is not"
    return f"the file is cut short: the last {media.missing_s:,.1f} s of {media.declared_s:,.1f} s are not there"


class VideoRecord(FrozenModel):
    """A video as a manifest names it: where it came from and what it is, without paths of this machine."""

    source: ShownAddress
    title: ShownLine
    address: ShownAddress | None = None
    youtube_id: str | None = None
    yt8m_id: str | None = None
    sha256: Sha256
    size_bytes: int
    part: TimeRange | None = Field(default=None, exclude_if=_is_none, description=PART)
    media: MediaFacts
    frames_read: int = Field(ge=0, description="frames that were decoded and looked at")
    corrupt_frames: int = Field(ge=0, description="packets that could not be decoded, and were left out")
    loss: ShownLine | None = Field(
        default_factory=loss_in_words, description="what of the video is missing in the answer, in words"
    )

    @classmethod
    def of(cls, video: FetchedVideo, media: MediaFacts, *, frames_read: int, corrupt_frames: int) -> "VideoRecord":
        """Put together what was fetched and what was found."""
        known = video.model_dump(exclude={"path", "is_temporary"})
        return cls(**known, media=media, frames_read=frames_read, corrupt_frames=corrupt_frames)

    @property
    def length_s(self) -> float | None:
        """Seconds of the video that were looked at."""
        return self.part.length_s(self.media.duration_s) if self.part else self.media.duration_s


class WeightsRecord(FrozenModel):
    """A file of weights as a manifest names it."""

    name: str = Field(description="as in the table of weights, e.g. yolox-nano")
    file_name: str
    sha256: Sha256


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
    clips: tuple[Sha256, ...] = Field(
        default=(),
        exclude_if=lambda clips: not clips,
        description="SHA-256 of the files of that version, the first 1,000; left out where it is of YouTube-8M",
    )


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


class Shot(FrozenModel):
    """What a camera took without a cut."""

    start_s: float = Field(ge=0)
    end_s: float = Field(ge=0, description="where the next one begins")


class Shots(FrozenModel):
    """The shots of a video, or of its part, and what found them."""

    detector: str = Field(description="e.g. content or transnetv2")
    options: dict[str, JsonValue]
    shots: tuple[Shot, ...] = Field(description="one after the other, without gaps")

    @property
    def cuts_s(self) -> tuple[float, ...]:
        """When one shot gives way to the next."""
        return tuple(shot.start_s for shot in self.shots[1:])


Smoothing = Literal["centred mean", "causal mean", "none", "model"]
SMOOTHING = "how its scores were smoothed, `model`: they are the model's own over time; None: of an earlier release"


class ModelLabels(FrozenModel):
    """What one model says of a video: its labels over time, and of the video as a whole."""

    model: ModelRecord
    is_silent: bool | None = Field(default=None, description="the sound could not be used; None: it was not looked at")
    match_score: float | None = Field(default=None, description="probability that the video is of the dataset's kind")
    top: tuple[LabelScore, ...] = Field(description="of the video as a whole, best first")
    segments: tuple[LabelSegment, ...] = Field(description="by start, then by label")
    smoothing: Smoothing | None = Field(default=None, description=SMOOTHING)


class LabelsManifest(FrozenModel):
    """The labels of one video over time, and what made them."""

    identity: Sha256 = Field(description="of content, model and options: equal means the same answer")
    video: VideoRecord
    model: ModelRecord
    options: dict[str, JsonValue]
    seconds: int = Field(ge=0, description="sampled frames that were scored")
    is_silent: bool | None = Field(default=None, description="the sound could not be used; None: it was not looked at")
    match_score: float | None = Field(default=None, description="probability that the video is of the dataset's kind")
    top: tuple[LabelScore, ...] = Field(description="of the video as a whole, best first")
    segments: tuple[LabelSegment, ...] = Field(description="by start, then by label")
    smoothing: Smoothing | None = Field(default=None, description=SMOOTHING)
    others: tuple[ModelLabels, ...] = Field(
        default=(),
        exclude_if=lambda others: not others,
        description="what further models say of the same frames; left out where one model was asked",
    )
    chosen: ShownLine | None = Field(
        default=None,
        exclude_if=_is_none,
        description="which model was taken and why, where that was left to reelsift; left out where one was named",
    )
    shots: Shots | None = Field(
        default=None,
        exclude_if=_is_none,
        description="the video's shots, which segments may snap to; left out where they were not asked for",
    )
    annotated_video: str | None = Field(default=None, description="file beside this one, with the current label drawn")
    files: dict[str, Sha256] = Field(default={}, description="digests of the files beside this one, by their names")
    code_revision: str

    @property
    def by_model(self) -> dict[str, ModelLabels]:
        """What each model says, by its name, in the order in which they were asked."""
        own = {name: getattr(self, name) for name in ModelLabels.model_fields}
        return {each.model.name: each for each in (ModelLabels(**own), *self.others)}


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
    reads: ShownLine | None = Field(default=None, exclude_if=_is_none, description="how a file of DETR's kind is fed")


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
        description="tracks of each class, commonest first; without tracks: most at one time"
    )
    tracks: tuple[ObjectTrack, ...] = Field(description="by start, then by id")
    stage_seconds: dict[str, float] = Field(description="seconds of work: decode, detect, track, draw, encode, keep")
    wall_seconds: float = Field(ge=0)
    detector_ms: float | None = Field(default=None, exclude_if=_is_none, description="for each frame that it saw")
    chosen: ShownLine | None = Field(default=None, exclude_if=_is_none, description="what `auto` took, and why")
    annotated: str | None = Field(default=None, description="file beside this one with the boxes drawn")
    files: dict[str, Sha256] = Field(default={}, description="digests of the files beside this one, by their names")
    code_revision: str


FEATURES_NAME = "features.json"
FEATURES_TABLE_NAME = "features.safetensors"
CONTENT_DIGITS = 32  # of the content's SHA-256, in the name of the folder of a video's features


class FeaturesManifest(FrozenModel):
    """The features of one video, second by second, and what computed them."""

    identity: Sha256 = Field(description="of the content and the feature space: equal means the same features")
    video: VideoRecord
    space: FeatureSpace
    is_silent: bool | None = Field(description="nothing can be heard; None: the space has no sound")
    mean_s: float | None = Field(description="seconds at the beginning that a video's mean is of; None: all")
    files: dict[str, Sha256] = Field(description="digests of the files beside this one, by their names")
    code_revision: str


REPORT_NAME = "index.html"  # of the page that shows what was found, beside its manifests
# What the page shows of the video: small pictures of all of its time, one that stands for it, and a link to it.
FILMSTRIP_NAME, POSTER_NAME, ORIGINAL_STEM = "filmstrip.jpg", "poster.webp", "original"

ManifestT = TypeVar("ManifestT", LabelsManifest, ObjectsManifest, FeaturesManifest)


@dataclass(frozen=True)
class AnswerKind(Generic[ManifestT]):
    """A kind of answer about a video: its manifest, and the files that it may have in the video's folder."""

    manifest: type[ManifestT]
    manifest_name: str
    table_name: str  # of the file that every answer has
    other_names: tuple[str, ...] = ()  # of files and folders that it may have beside these
    has_report: bool = True

    @property
    def file_names(self) -> tuple[str, ...]:
        """Names of all files and folders, the manifest's left out."""
        return (self.table_name, *self.other_names)

    def find(self, folder: Path, identity: str) -> ManifestT | None:
        """Return the manifest in a folder if it has this identity and all that it names is there, as it was made."""
        try:
            manifest = self.manifest.model_validate_json((folder / self.manifest_name).read_bytes())
        except (OSError, ValidationError):  # none, or not one: it is recomputed
            return None
        if manifest.identity != identity or self.table_name not in manifest.files:
            return None
        return manifest if is_whole(folder, manifest.files) else None


LABELS = AnswerKind(
    LabelsManifest,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    (LABELLED_VIDEO_NAME, LABELLED_PICTURE_NAME, LABELLED_FRAMES_FOLDER),
)
OBJECTS = AnswerKind(
    ObjectsManifest,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    (DETECTED_VIDEO_NAME, DETECTED_PICTURE_NAME, THUMBNAILS_FOLDER),
)
FEATURES = AnswerKind(FeaturesManifest, FEATURES_NAME, FEATURES_TABLE_NAME, has_report=False)


DONE, CACHED, FAILED = "done", "cached", "failed"


class VideoOutcome(FrozenModel):
    """One video, done or failed and why; a run has exactly one for each source that it was given."""

    source: ShownAddress = Field(description="as the person named it")
    status: Literal["done", "cached", "failed"] = Field(description="cached: the same answer was there already")
    reason: ShownLine | None = Field(default=None, description="why it failed, in one line")
    cause: DropReason | None = Field(
        default=None, description="why it could not be fetched; None: it was, and what then failed is the work on it"
    )
    title: ShownLine | None = None
    answer: str | None = Field(default=None, description="what was found, in words")
    warning: ShownLine | None = Field(default=None, description="what of the video is missing in the answer")
    folder: Path | None = Field(default=None, description="where its manifest, table, pictures and report lie")
    report: Path | None = Field(default=None, description="page to open in a browser")
    seconds: float = Field(default=0.0, ge=0, description="of work on this video, its fetching left out")
    video_s: float | None = Field(default=None, description="seconds that the video lasts")


def in_short(outcomes: Sequence[VideoOutcome]) -> str:
    """Say how many videos are done, and why the first of those that are not failed."""
    failures = [outcome for outcome in outcomes if outcome.status == FAILED]
    damaged = [outcome for outcome in outcomes if outcome.warning]
    words = f"{len(outcomes) - len(failures):,} of {len(outcomes):,} done"
    if failures:
        words += f", {len(failures):,} failed: {told(failures[0])}"
    return words + (f"; {len(damaged):,} only in part: {told(damaged[0])}" if damaged else "")


def told(outcome: VideoOutcome) -> str:
    """Say of a video why it failed, or what of it is missing; its name comes first, once."""
    words = str(outcome.reason or outcome.warning)
    return words if outcome.source in words else f"{outcome.source}: {words}"


# What a worker has in its environment, and every run of it inherits: its name, and the GPUs that it may use.
WORKER_VARIABLE = "REELSIFT_WORKER"
DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
BATCH_ID_PATTERN = r"^[0-9a-f]{12}$"


class BatchVideo(FrozenModel):
    """One source, and its place in the list that was given."""

    place: int = Field(ge=0)
    source: str


class BatchRequest(FrozenModel):
    """Videos that are one run's work, and what is wanted of them."""

    id: str = Field(pattern=BATCH_ID_PATTERN, description="of the sources and the form: the same work, the same id")
    videos: tuple[BatchVideo, ...] = Field(min_length=1)
    form: dict[str, JsonValue] = Field(description="the form of the flow that was started, its sources left out")
    expected_s: float = Field(ge=0, description="seconds of work, as far as was known")


class BatchRow(VideoOutcome):
    """The outcome for one video, and where its result is."""

    place: int = Field(ge=0, description="in the list that was given: what a source is called may be shortened")
    batch: str | None = Field(default=None, description="id of its batch; None: it was there before any batch was made")
    run: str | None = Field(default=None, description="id of the flow run that worked on it")
    worker: str | None = Field(default=None, description="name of the worker")
    device: str | None = Field(default=None, description="what the worker's CUDA_VISIBLE_DEVICES said; None: unset")
    detector: str | None = Field(default=None, description="name of the detector that looked, and on what")

    @classmethod
    def of(cls, outcome: VideoOutcome, **about: Any) -> Self:  # noqa: ANN401 - the fields that an outcome has not
        """Put an outcome together with where it came about."""
        return cls.model_validate({**outcome.model_dump(), **about})
