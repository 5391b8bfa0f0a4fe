"""What each flow asks for: the form of its start page in Prefect's UI, and the options of its command."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tasks.contracts.model import FrozenModel
from tasks.detection.config import CLASS_NAMES


def _at(position: int) -> dict[str, Any]:
    """Place a field: the UI would sort the fields by name."""
    return {"position": position}


LARGE_DOWNLOAD_SHARDS = 100  # of a public mirror: more than these a form fetches only where it is told to
SHARE_PATTERN = r"^[1-9][0-9]{0,5},[1-9][0-9]{0,5}$"
LabelRef = Annotated[str, Field(min_length=1, max_length=200)]
Partition = Annotated[
    str,
    # The choices of a form are the ones that have labels, and features of whole videos; elsewhere any can be named.
    Field(
        pattern=r"^[a-z_]+/[a-z]+$",
        json_schema_extra={
            "enum": ["video/train", "video/validate", "video_level/train", "video_level/validate"],
        },
    ),
]
LABELS = "Labels by name, index or knowledge-graph id, e.g. Cooking"


class PrepareDatasetForm(FrozenModel):
    """A dataset version: which labels, of which shards."""

    labels: tuple[LabelRef, ...] = Field(min_length=1, description=LABELS, json_schema_extra=_at(0))
    match: Literal["any", "all"] = Field(
        default="any",
        description="A video matches with any of the labels, or with all of them",
        json_schema_extra=_at(1),
    )
    exclude: tuple[LabelRef, ...] = Field(
        default=(), description="A video with one of these does not match", json_schema_extra=_at(2)
    )
    partitions: tuple[Partition, ...] = Field(
        default=("video/train", "video/validate"),
        min_length=1,
        description="Partitions of YouTube-8M; each becomes a split of the version",
        json_schema_extra=_at(3),
    )
    mirror: str | None = Field(
        default=None,
        description="us, eu, asia, a URL, or a folder of shards; empty: as configured",
        json_schema_extra=_at(4),
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="Take at most this many shards of each partition, 1 or more; empty: all",
        json_schema_extra=_at(5),
    )
    shards: str | None = Field(
        default=None,
        pattern=SHARE_PATTERN,
        description="Take the X-th of Y shares of each partition, written X,Y, as in the official script; empty: all",
        json_schema_extra=_at(6),
    )
    background: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        default=None,
        description="Unmatched videos kept for each match, 0 or more, or all; empty: as configured",
        json_schema_extra=_at(7),
    )
    strict: bool = Field(
        default=False, description="Fail on a damaged shard instead of reporting it", json_schema_extra=_at(8)
    )
    discard_shards: bool = Field(
        default=False, description="Delete each shard once its rows are kept", json_schema_extra=_at(9)
    )
    large_download: bool = Field(
        default=False,
        description=f"Allow more than {LARGE_DOWNLOAD_SHARDS} shards to be fetched from a public mirror: the whole of "
        "video/train and video/validate is 7,688 shards, 31 GB",
        json_schema_extra=_at(10),
    )
    runner: Literal["local", "dask"] | None = Field(
        default=None,
        description="What downloads and filters: threads here, or processes of a Dask cluster; empty: as configured",
        json_schema_extra=_at(50),
    )
    dask_address: str | None = Field(
        default=None,
        pattern=r"^[a-z]+://\S+$",
        max_length=300,
        description="Dask scheduler, e.g. tcp://10.0.0.7:8786; empty: as configured, or a cluster made for the run",
        json_schema_extra=_at(51),
    )

    @field_validator("shards")
    @classmethod
    def _one_of_its_shares(cls, text: str | None) -> str | None:
        share, shares = parse_part(text) or (1, 1)
        if not 1 <= share <= shares:
            raise ValueError("X,Y needs 1 <= X <= Y, e.g. 1,100 for one hundredth")
        return text

    @property
    def part(self) -> tuple[int, int] | None:
        """X and Y of `shards`."""
        return parse_part(self.shards)


def parse_part(text: str | None) -> tuple[int, int] | None:
    """Read X,Y; None stays None."""
    if text is None:
        return None
    share, _, shares = text.partition(",")
    return int(share), int(shares)


class TrainOptions(FrozenModel):
    """Which candidates are trained."""

    models: tuple[str, ...] = Field(
        default=(),
        description="Presets to train, one candidate each (logistic, moe, gated); empty: as configured",
        json_schema_extra=_at(20),
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="Seed of every candidate, 0 to 4294967295; empty: as configured",
        json_schema_extra=_at(21),
    )
    again: bool = Field(
        default=False,
        description="Train again, ignoring cached models of the same dataset and settings",
        json_schema_extra=_at(22),
    )


class TrainClassifierForm(TrainOptions):
    """Candidates for a dataset version that is there."""

    dataset: str = Field(
        default="latest",
        min_length=1,
        description="Dataset version: slug/id, an id, a slug, or latest",
        json_schema_extra=_at(10),
    )


Source = Annotated[str, Field(max_length=1 << 16)]  # what cannot be one is told of it alone, as the others may be good
SOURCES = (
    "A file, an http(s) address, a YouTube id (11 characters), a YouTube-8M id (4), or @FILE: a text file with one of "
    "these a line"
)


class VideosForm(FrozenModel):
    """Which videos, and where what is made of them goes."""

    sources: tuple[Source, ...] = Field(
        min_length=1, description=f"Videos or pictures, one a line. {SOURCES}", json_schema_extra=_at(0)
    )
    annotate: bool | None = Field(
        default=None,
        description="Write a copy of each video with the answer drawn; empty: as configured",
        json_schema_extra=_at(40),
    )
    out: Path | None = Field(
        default=None, description="Folder with one folder for each video; empty: the home's", json_schema_extra=_at(41)
    )
    again: bool = Field(default=False, description="Recompute, ignoring cached results", json_schema_extra=_at(42))


class LabelVideosForm(VideosForm):
    """What videos show over time."""

    model: str = Field(
        default="imagenet",
        min_length=1,
        description="imagenet (needs no download), champion, NAME@champion, NAME/3, models:/NAME/3 or a run's id",
        json_schema_extra=_at(10),
    )
    rate_hz: float | None = Field(
        default=None,
        gt=0,
        le=60,
        description="Sampled frames per second, above 0 and up to 60; empty: as configured",
        json_schema_extra=_at(11),
    )
    window: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="The score is the mean of the last K samples, 1 (none) to 1000; empty: as configured",
        json_schema_extra=_at(12),
    )
    centred: bool | None = Field(
        default=None,
        description="Use a centred smoothing window; empty: as configured",
        json_schema_extra=_at(13),
    )
    keep_frames: bool | None = Field(
        default=None,
        description="Keep the annotated frames as pictures too; empty: as configured",
        json_schema_extra=_at(14),
    )


DetectorName = Literal["auto", "pointrend", "pointrend-resnet101", "yolox-nano"]
Speed = Literal["normal", "fast", "rapid"]
ObjectClass = Annotated[str, Field(json_schema_extra={"enum": list(CLASS_NAMES)})]


class DetectObjectsForm(VideosForm):
    """The objects in videos, and when."""

    detector: DetectorName = Field(
        default="auto",
        description="auto: pointrend (masks) where there is a GPU, else yolox-nano (boxes, real time on a CPU)",
        json_schema_extra=_at(10),
    )
    speed: Speed = Field(
        default="normal",
        description="fast and rapid give pointrend a smaller picture: quicker, and blind to small things",
        json_schema_extra=_at(11),
    )
    rate_hz: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="Frames a second that are looked at, above 0 and up to 240; empty: as configured, or every one",
        json_schema_extra=_at(12),
    )
    every: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Detect on every N-th frame, 1 to 1000, and carry boxes between by tracks; empty: as configured",
        json_schema_extra=_at(13),
    )
    classes: tuple[ObjectClass, ...] | None = Field(
        default=None, description="Only things of these classes, e.g. bottle; empty: all 80", json_schema_extra=_at(14)
    )
    min_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Scores below this, 0 to 1, do not count; empty: the detector's own bound",
        json_schema_extra=_at(15),
    )
    where: Literal["auto", "here", "pool"] = Field(
        default="auto",
        description="pool: in batches on the workers of the pool gpu; here: in this run; auto: pool in a deployed run",
        json_schema_extra=_at(43),
    )


class DetectBatchForm(FrozenModel):
    """One batch of videos, as detect-objects hands it to a worker of a pool."""

    batch: Path = Field(description="File that says which videos, and what is wanted of them", json_schema_extra=_at(0))


class PipelineForm(PrepareDatasetForm, TrainOptions):
    """The whole path: a dataset version, its candidates, their comparison, the gate, and the videos to look at."""

    videos: tuple[Source, ...] = Field(
        default=(),
        description=f"Videos that the champion labels and a detector looks at. {SOURCES}",
        json_schema_extra=_at(30),
    )
    video_model: str = Field(
        default="auto",
        min_length=1,
        description="auto: the champion where the weights of YouTube-8M's features are at hand, else imagenet",
        json_schema_extra=_at(31),
    )
    detector: DetectorName = Field(default="auto", description="As in detect-objects", json_schema_extra=_at(32))


class RetrainForm(PrepareDatasetForm, TrainOptions):
    """What a schedule looks at: a plan's shards for some labels, and the candidates to train on new ones."""

    labels: tuple[LabelRef, ...] = Field(
        default=("Cooking",), min_length=1, description=LABELS, json_schema_extra=_at(0)
    )
