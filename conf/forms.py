"""What each flow asks for: the form of its start page in Prefect's UI, and the options of its command."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from conf.pages import Form, Input
from tasks.contracts.datasets import Level
from tasks.contracts.media import TimeRange
from tasks.contracts.text import seconds
from tasks.detection.config import CLASS_NAMES, DETECTORS
from tasks.labelling.config import AUTO, IMAGENET
from tasks.shards.config import Share, part_of
from tasks.video.config import ShotDetectorName
from tasks.weights.config import EFFICIENTNET_LITE0, YT8M_GROUP

MOST_MODELS = 4  # that label one video side by side: a report of more could not be read
LARGE_DOWNLOAD_SHARDS = 100  # of a public mirror: a form fetches more than these only with its switch


def _checked_address(address: str) -> str:
    if not re.fullmatch(r"[a-z]+://\S+", address):
        raise ValueError("must be the address of a scheduler, e.g. tcp://10.0.0.7:8786")
    return address


SchedulerAddress = Annotated[str, AfterValidator(_checked_address)]
LabelRef = Annotated[str, Field(min_length=1, max_length=200)]
# The choices of a form are the ones that have labels; elsewhere any can be named.
PARTITIONS = (
    "video/train", "video/validate", "frame/train", "frame/validate", "video_level/train", "video_level/validate",
)  # fmt: skip
Partition = Annotated[str, Field(pattern=r"^(3/)?[a-z_]+/[a-z]+$", json_schema_extra={"enum": list(PARTITIONS)})]
LABELS = "Labels by name, index or knowledge-graph id, e.g. Cooking; all: every video, whichever labels it has"
DATASET = "Dataset version: slug/id, an id or the beginning of one, a slug, or latest"


class MirrorForm(Form):
    """Where YouTube-8M comes from."""

    mirror: Annotated[str | None, Input(4, metavar="M", empty="as configured")] = Field(
        default=None, description="us, eu, asia, a URL, or a folder of shards"
    )


class ShardsForm(MirrorForm):
    """Some of the shards of a mirror."""

    partitions: Annotated[tuple[Partition, ...], Input(3, "--partition", metavar="PARTITION")] = Field(
        default=PARTITIONS[:2],
        min_length=1,
        description="Partitions of YouTube-8M, of which 3/frame/validate has segments; each becomes a split",
    )
    limit: Annotated[int | None, Input(5, metavar="N", empty="all")] = Field(
        default=None, ge=1, description="Take at most this many shards of each partition, 1 or more"
    )
    shards: Annotated[Share | None, Input(6, metavar="X,Y", empty="all")] = Field(
        default=None,
        description="Take the X-th of Y shares of each partition, written X,Y, as in the official script",
    )

    @property
    def part(self) -> tuple[int, int] | None:
        """X and Y of `shards`."""
        return part_of(self.shards) if self.shards else None


class PrepareDatasetForm(ShardsForm):
    """A dataset version: which labels, of which shards."""

    sections = ("filter", "flow")

    labels: Annotated[tuple[LabelRef, ...], Input(0, "--label -l", metavar="LABEL")] = Field(
        min_length=1, description=LABELS
    )
    match: Annotated[Literal["any", "all"], Input(1)] = Field(
        default="any", description="A video matches with any of the labels, or with all of them"
    )
    exclude: Annotated[tuple[LabelRef, ...], Input(2, metavar="LABEL")] = Field(
        default=(), description="A video with one of these labels does not match"
    )
    background: Annotated[
        Annotated[int, Field(ge=0)] | Literal["all"] | None, Input(7, metavar="N|all", empty="as configured")
    ] = Field(default=None, description="Unmatched videos kept for each match, 0 or more, or all")
    level: Annotated[Level, Input(11)] = Field(
        default="video",
        description="video: the features of whole videos; frame: those of each second, of frame/train and "
        "frame/validate unless other partitions are named",
    )
    strict: Annotated[bool, Input(8)] = Field(
        default=False, description="Fail on a damaged shard instead of reporting it"
    )
    discard_shards: Annotated[bool, Input(9)] = Field(
        default=False, description="Delete each shard once its rows are kept"
    )
    large_download: Annotated[bool, Input(10, is_typed=False)] = Field(
        default=False,
        description=f"Allow more than {LARGE_DOWNLOAD_SHARDS} shards to be fetched from a public mirror: the whole of "
        "video/train and video/validate is 7,688 shards, 31 GB",
    )
    runner: Annotated[Literal["local", "dask"] | None, Input(50, empty="as configured")] = Field(
        default=None, description="What downloads and filters: threads here, or processes of a Dask cluster"
    )
    dask_address: Annotated[
        SchedulerAddress | None,
        Input(51, "--address", metavar="tcp://HOST:PORT", empty="as configured, or a cluster made for the run"),
    ] = Field(
        default=None,
        max_length=300,
        description="Dask scheduler, e.g. tcp://10.0.0.7:8786",
    )

    @property
    def chosen_partitions(self) -> tuple[str, ...]:
        """The partitions that are named, or those of the level where none is."""
        if self.level == "frame" and self.partitions == PARTITIONS[:2]:
            return PARTITIONS[2:4]
        return self.partitions


class FeaturesForm(Form):
    """A dataset version of videos whose features are extracted: which features, and where that is done."""

    features: Annotated[str, Input(1, metavar="SPACE")] = Field(
        default=EFFICIENTNET_LITE0,
        min_length=1,
        max_length=64,
        description=f"Feature space: {EFFICIENTNET_LITE0} (needs no download), {YT8M_GROUP} (that of YouTube-8M), "
        "or one of the settings",
    )
    again: Annotated[bool, Input(42)] = Field(default=False, description="Recompute, ignoring cached results")
    where: Annotated[Literal["auto", "here", "pool"], Input(43, is_typed=False)] = Field(
        default="auto",
        description="pool: in batches on the workers of the pool gpu; here: in this run; auto: pool in a deployed run",
    )


class ImportDatasetForm(FeaturesForm):
    """A dataset version of one's own videos: what is labelled, and which features are learnt from."""

    source: Annotated[Path, Input(0, "FILE|FOLDER")] = Field(
        description="Labelled videos: a CSV file, JSON lines or Parquet with the columns source and label (or labels), "
        "perhaps split, group, start_s, end_s; or a folder with one folder for each class"
    )
    name: Annotated[str | None, Input(2, metavar="NAME", empty="that of the file or folder")] = Field(
        default=None, min_length=1, max_length=200, description="What the dataset is called, e.g. kitchen"
    )


LARGE_FETCH_VIDEOS = 300  # that YouTube gives a guest in an hour: more than these a form fetches only if told to


class ExtractDatasetForm(FeaturesForm):
    """The matching videos of a version of YouTube-8M, fetched from YouTube, by their features in another space."""

    dataset: Annotated[str, Input(0, "REF")] = Field(
        default="latest", min_length=1, description=f"{DATASET}; one of YouTube-8M"
    )
    name: Annotated[str | None, Input(2, metavar="NAME", empty="that of the version, and the feature space")] = Field(
        default=None, min_length=1, max_length=200, description="What the new dataset is called, e.g. cooking-today"
    )
    partitions: Annotated[tuple[Partition, ...], Input(3, "--partition", metavar="PARTITION", empty="all it has")] = (
        Field(default=(), description="Partitions of the version whose matching videos are taken")
    )
    limit: Annotated[int | None, Input(5, metavar="N", empty="all")] = Field(
        default=None,
        ge=1,
        description="Take at most this many videos of each partition, 1 or more: a higher one takes these and others",
    )
    keep_videos: Annotated[bool, Input(6)] = Field(
        default=False, description="Keep fetched videos, which are otherwise deleted once their features are extracted"
    )
    large_download: Annotated[bool, Input(10, is_typed=False)] = Field(
        default=False,
        description=f"Allow more than {LARGE_FETCH_VIDEOS} videos to be fetched, the most that a guest gets in an hour",
    )


PRESETS = (
    "Presets to train, one candidate each: logistic, moe, gated, chain or your own; over time, on versions of frames "
    "or of imported videos: mean, lstm, gru, attention, netvlad, nextvlad, convolution"
)


class TrainOptions(Form):
    """Which candidates are trained."""

    sections = ("train",)

    models: Annotated[
        tuple[str, ...], Input(20, "--model", metavar="PRESET", empty="as configured", choices="presets")
    ] = Field(default=(), description=PRESETS)
    seed: Annotated[int | None, Input(21, metavar="N", empty="as configured")] = Field(
        default=None, ge=0, lt=2**32, description="Seed of every candidate, 0 to 4294967295"
    )
    again: Annotated[bool, Input(22)] = Field(
        default=False, description="Train again, ignoring cached models of the same dataset and settings"
    )


class TrainClassifierForm(TrainOptions):
    """Candidates for a dataset version that is there."""

    dataset: Annotated[str, Input(10, metavar="REF")] = Field(default="latest", min_length=1, description=DATASET)


Source = Annotated[str, Field(max_length=1 << 16)]  # a bad one is an error of its own row, as the others may be good
SOURCES = (
    "A file, a folder, a pattern ('tapes/*.mkv'), an http(s) address, a YouTube id (11 characters), a YouTube-8M id "
    "(4), or @FILE: a text file with one of these a line"
)


def _checked_clock(time: str) -> str:
    seconds(time)
    return time


# A time as it is written; Python code may give seconds.
ClockText = Annotated[
    str,
    BeforeValidator(lambda time: format(time, "f") if isinstance(time, int | float) else time),
    AfterValidator(_checked_clock),
]


class SourcesForm(Form):
    """Which videos, and where what is made of them goes."""

    sources: Annotated[tuple[Source, ...], Input(0, "SOURCE")] = Field(
        min_length=1, description=f"Videos or pictures. {SOURCES}"
    )
    out: Annotated[Path | None, Input(41, metavar="DIR", empty="the home's")] = Field(
        default=None, description="Folder with one folder for each video"
    )
    again: Annotated[bool, Input(42)] = Field(default=False, description="Recompute, ignoring cached results")
    recursive: Annotated[bool, Input(43)] = Field(
        default=False, description="Open the folders below a folder that is named, too"
    )
    start: Annotated[ClockText | None, Input(44, metavar="TIME", empty="where each video begins")] = Field(
        default=None,
        max_length=20,
        description="Look only at what comes from this time on, in seconds, m:ss or h:mm:ss",
    )
    end: Annotated[ClockText | None, Input(45, metavar="TIME", empty="where each video ends")] = Field(
        default=None, max_length=20, description="Look only at what comes before this time, in seconds, m:ss or h:mm:ss"
    )

    @field_validator("end")
    @classmethod
    def _is_after_the_start(cls, end: str | None, info: ValidationInfo) -> str | None:
        start_s, end_s = seconds(info.data.get("start")) or 0.0, seconds(end)
        if end_s is not None and end_s <= start_s:
            raise ValueError(f"a range must end after its start, which is {start_s:g} s")
        return end

    @property
    def part(self) -> TimeRange | None:
        """The part of each video that is looked at; None: all of it."""
        start_s, end_s = seconds(self.start) or 0.0, seconds(self.end)
        return TimeRange(start_s=start_s, end_s=end_s) if start_s or end_s is not None else None


class VideosForm(SourcesForm):
    """Videos that are annotated with what is found in them."""

    annotate: Annotated[bool | None, Input(40, "--annotate/--no-annotate", empty="as configured")] = Field(
        default=None, description="Write a copy of each video with the answer drawn"
    )


class ShotsForm(SourcesForm):
    """The shots of videos."""

    sections = ("shots",)

    detector: Annotated[ShotDetectorName | None, Input(10, empty="as configured")] = Field(
        default=None,
        description="auto: transnetv2 where there is a GPU, else content; adaptive is steadier in fast motion, "
        "transnetv2 finds fades too",
    )
    threshold: Annotated[float | None, Input(11, metavar="T", empty="as configured")] = Field(
        default=None, gt=0, le=255, description="From which a change is a cut, in the detector's own measure"
    )


class ClipsForm(SourcesForm):
    """Clips of what was found in videos."""

    labels: Annotated[tuple[LabelRef, ...], Input(10, "--label -l", metavar="NAME")] = Field(
        min_length=1, description="A label that holds in the video, or a class of its objects, e.g. bottle"
    )
    pad: Annotated[float, Input(11, metavar="SECONDS")] = Field(
        default=0.0, ge=0, le=3600, description="Seconds before and after each stretch that the clip has, too"
    )
    gif: Annotated[bool, Input(12)] = Field(
        default=False, description="Write an animated GIF of each clip, too, of its first 30 s"
    )


ModelName = Annotated[str, Field(min_length=1, max_length=300)]
# Of one model, its name alone will do: as in forms and schedules of earlier releases.
ModelNames = ModelName | Annotated[tuple[ModelName, ...], Field(min_length=1, max_length=MOST_MODELS)]
CHOSEN = (AUTO,)
MODELS = (
    f"{AUTO} (the newest champion whose features can be computed here, else {IMAGENET}), {IMAGENET} (needs no "
    "download), champion, NAME@champion, NAME/3, models:/NAME/3 or a run's id; several label side by side"
)


def names_of(models: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the models that a form names."""
    return (models,) if isinstance(models, str) else models


RATE = "Frames per second"


class LabelVideosForm(VideosForm):
    """What videos show over time."""

    sections = ("label", "shots")
    model: Annotated[ModelNames, Input(10, metavar="MODEL", choices="models"), AfterValidator(names_of)] = Field(
        default=CHOSEN, description=MODELS
    )
    rate_hz: Annotated[float | None, Input(11, "--fps", metavar="R", empty="as configured")] = Field(
        title=RATE, default=None, gt=0, le=60, description="Sampled frames per second, above 0 and up to 60"
    )
    window: Annotated[int | None, Input(12, metavar="K", empty="as configured")] = Field(
        default=None, ge=1, le=1000, description="The score is the mean of K samples, 1 (none) to 1000"
    )
    centred: Annotated[bool | None, Input(13, "--centred/--causal", empty="as configured")] = Field(
        default=None, description="Smooth over what comes as well, or only over what was, as live: labels then lag"
    )
    keep_frames: Annotated[bool | None, Input(14, "--keep-frames", empty="as configured")] = Field(
        default=None, description="Keep the annotated frames as pictures too"
    )
    shots: Annotated[bool, Input(15, "--shots")] = Field(
        default=False, description="Find the video's shots, too, and let labels begin and end with them"
    )
    snap: Annotated[bool | None, Input(16, "--snap/--no-snap", empty="as configured")] = Field(
        default=None, description="Where shots are found, move the edges of labels to cuts that are near, or leave them"
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The models, each by the name that was given."""
        return names_of(self.model)


# The choices of a form are the ones that reelsift ships with; elsewhere one of the settings can be named.
DetectorName = Annotated[str, Field(min_length=1, max_length=64, json_schema_extra={"enum": list(DETECTORS)})]
DETECTOR = (
    "auto: the best that is here and suits the machine. yolox-nano gives boxes in real time on a CPU, dfine-s finer "
    "ones a few times a second, pointrend and maskrcnn masks too, on a GPU; `reelsift weights list` has them all"
)
Speed = Literal["normal", "fast", "rapid"]
ObjectClass = Annotated[str, Field(json_schema_extra={"enum": list(CLASS_NAMES)})]


class DetectObjectsForm(VideosForm):
    """The objects in videos, and when."""

    sections = ("detect",)
    detector: Annotated[DetectorName, Input(10, metavar="DETECTOR")] = Field(default="auto", description=DETECTOR)
    speed: Annotated[Speed, Input(11)] = Field(
        default="normal",
        description="fast, rapid: pointrend, maskrcnn, fcos get a smaller picture: quicker, and blind to small things",
    )
    rate_hz: Annotated[float | None, Input(12, "--fps", metavar="R", empty="as configured, or every one")] = Field(
        title=RATE, default=None, gt=0, le=240, description="Frames a second that are looked at, above 0 and up to 240"
    )
    every: Annotated[int | None, Input(13, metavar="N", empty="as configured")] = Field(
        default=None,
        ge=1,
        le=1000,
        description="Detect on every N-th frame, 1 to 1000, and carry boxes between by tracks",
    )
    classes: Annotated[tuple[ObjectClass, ...] | None, Input(14, metavar="A,B", empty="all 80")] = Field(
        default=None, description="Only things of these classes, e.g. bottle"
    )
    min_score: Annotated[float | None, Input(15, metavar="SCORE", empty="the detector's own bound")] = Field(
        default=None, ge=0, le=1, description="Scores below this, 0 to 1, do not count"
    )
    where: Annotated[Literal["auto", "here", "pool"], Input(46, is_typed=False)] = Field(
        default="auto",
        description="pool: in batches on the workers of the pool gpu; here: in this run; auto: pool in a deployed run",
    )


class BatchForm(Form):
    """One batch of videos, as detect-objects, import-dataset or extract-dataset hands it to a worker of a pool."""

    batch: Annotated[Path, Input(0)] = Field(description="File that says which videos, and what is wanted of them")


class PipelineForm(PrepareDatasetForm, TrainOptions):
    """The whole path: a dataset version, its candidates, their comparison, the gate, and the videos to look at."""

    sections = (*PrepareDatasetForm.sections, *TrainOptions.sections)

    videos: Annotated[tuple[Source, ...], Input(30, "--video", metavar="SOURCE")] = Field(
        default=(), description=f"Videos that are labelled, and that a detector looks at. {SOURCES}"
    )
    video_model: Annotated[ModelNames, Input(31, metavar="MODEL", choices="models"), AfterValidator(names_of)] = Field(
        default=CHOSEN, description=f"What labels them: {MODELS}"
    )
    detector: Annotated[DetectorName, Input(32, metavar="DETECTOR")] = Field(default="auto", description=DETECTOR)

    @property
    def video_models(self) -> tuple[str, ...]:
        """The models that label, each by the name that was given."""
        return names_of(self.video_model)


class RetrainForm(PrepareDatasetForm, TrainOptions):
    """What a schedule looks at: a plan's shards for some labels, and the candidates to train on new ones."""

    sections = PipelineForm.sections

    labels: Annotated[tuple[LabelRef, ...], Input(0, "--label -l", metavar="LABEL")] = Field(
        default=("Cooking",), min_length=1, description=LABELS
    )
