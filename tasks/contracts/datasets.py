"""What stages pass on to one another: which records are wanted, shards, parts and dataset versions."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from tasks.contracts.features import YT8M, FeatureSpace
from tasks.contracts.model import FrozenModel, Md5, Sha256

VOCABULARY_SIZE = 3862  # labels of the release of 2018
Level = Literal["video", "frame"]  # of records: the means of a whole video, or each of its seconds
LEVELS: tuple[Level, ...] = ("video", "frame")


def level_of(partition: str) -> Level:
    """Return the level of a partition's records, such as `frame/train`, or `frame_level/train` as it was in 2017."""
    return "frame" if partition.split("/")[-2:][0].startswith("frame") else "video"


def level_among(options: Mapping[str, JsonValue]) -> Level:
    """Return the level that a version's options ask for: they name none where it is of whole videos."""
    return "frame" if options.get("level") == "frame" else "video"


def placed(partition: str, release: int) -> tuple[int, str]:
    """Return the release of a partition and its name there: `3/frame/validate` names its own, the others have none."""
    first, _, rest = partition.partition("/")
    return (int(first), rest) if first.isdecimal() else (release, partition)


class FilterConfig(FrozenModel):
    """Which records a filter keeps, and how closely it looks at them."""

    label_ids: tuple[int, ...] = Field(min_length=1, description="indices of the labels wanted; kept sorted and unique")
    match: Literal["any", "all"] = Field(default="any", description="whether one of several labels is enough")
    exclude_ids: tuple[int, ...] = Field(default=(), description="indices of labels whose videos are never kept")
    level: Level = Field(
        default="video",
        exclude_if=lambda level: level == "video",  # so that what is of whole videos has the ids that it always had
        description="of the records that are read: whole videos, or frames",
    )
    background: int | Literal["all"] = Field(
        default=0, description="unmatched videos to keep for each match of a shard, or `all` of them"
    )
    vocabulary_size: int = Field(
        default=VOCABULARY_SIZE, ge=1, le=1_000_000, description="4,716 in the release of 2017"
    )
    check_crc: bool = Field(default=True, description="check both CRC-32C of every record")
    strict: bool = Field(default=False, description="fail on a damaged shard instead of reporting it")

    @property
    def is_whole_vocabulary(self) -> bool:
        """Whether every label is wanted, but for those that are excluded."""
        return len(self.label_ids) + len(self.exclude_ids) == self.vocabulary_size > 1

    @field_validator("label_ids", "exclude_ids", mode="after")
    @classmethod
    def _in_order(cls, ids: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(ids)))

    @field_validator("background", mode="after")
    @classmethod
    def _not_negative(cls, background: int | str) -> int | str:
        if isinstance(background, int) and background < 0:
            raise ValueError(f"background must be `all` or 0 and more videos for each match, got {background}")
        return background

    @model_validator(mode="after")
    def _within_the_vocabulary(self) -> Self:
        for label in self.label_ids + self.exclude_ids:
            if not 0 <= label < self.vocabulary_size:
                bounds = f"0 to {self.vocabulary_size - 1} (vocabulary_size is {self.vocabulary_size})"
                raise ValueError(f"label {label} is not in the vocabulary; allowed are {bounds}")
        if both := sorted(set(self.label_ids) & set(self.exclude_ids)):
            raise ValueError(f"labels {both} are both wanted and excluded; name each once")
        return self


class PlannedShard(FrozenModel):
    """A shard as the download plan promises it."""

    name: str = Field(description="as in the plan, e.g. `trainpj.tfrecord`")
    partition: str = Field(description="e.g. `video/train`")
    md5: Md5


class Shard(PlannedShard):
    """A shard on the disk whose md5 has been checked."""

    size_bytes: int = Field(ge=0)
    path: Path


class DropReason(StrEnum):
    """Why a record is not in the dataset."""

    NO_MATCH = "no-match"  # whole and well, but not of the labels asked for
    NO_LABELS = "no-labels"  # a record without labels, as all of the test partition
    BAD_CRC = "bad-crc"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"  # framed well, but not the wire format of an Example
    MISSING_FEATURE = "missing-feature"
    WRONG_LENGTH = "wrong-length"
    NO_FRAMES = "no-frames"  # a frame-level record without a single frame
    UNEVEN_FRAMES = "uneven-frames"  # more frames of the picture than of the sound, or fewer
    NON_FINITE = "non-finite"
    LABEL_OUT_OF_RANGE = "label-out-of-range"
    # Of a video of one's own:
    NOT_FETCHED = "not-fetched"  # there is no such file, or its host does not give it
    WITHDRAWN = "withdrawn"  # YouTube-8M or its host no longer has it
    RESTRICTED = "restricted"  # its host gives it to some people, and not to us as we asked
    RATE_LIMITED = "rate-limited"  # its host gave no more for a while: the same again asks for it
    REFUSED = "refused"  # too large, too long, live, encrypted or in a private network
    BROKEN_VIDEO = "broken-video"  # no video or picture, broken, or out of bounds
    NOTHING_SHOWN = "nothing-shown"  # no frame lies between its start and its end
    DUPLICATE = "duplicate"  # the same content, times and labels as one before it


class Damage(FrozenModel):
    """A place where a shard is damaged."""

    path: str
    offset: int = Field(ge=0, description="bytes from the start of the file to the record")
    reason: DropReason
    detail: str


class ClipRecord(FrozenModel):
    """What a row of an imported dataset was made of: a video, or a part of one."""

    sha256: Sha256 | None = Field(description="of the file's content; none where it could not be fetched")
    start_s: float | None = Field(default=None, ge=0, description="where the part begins; none: at the beginning")
    end_s: float | None = Field(default=None, gt=0, description="where the part ends; none: at the end")


class ShardTally(FrozenModel):
    """The tally of the records of one shard: records = matches + background + all drops."""

    name: str
    partition: str
    md5: Md5
    records: int = Field(ge=0)
    matches: int = Field(ge=0)
    background: int = Field(ge=0)
    drops: dict[DropReason, int]
    damage: tuple[Damage, ...] = ()
    clip: ClipRecord | None = Field(
        default=None,
        exclude_if=lambda clip: clip is None,  # so that a shard's tally has the bytes that it always had
        description="the video of a dataset of one's own, each of which is a shard; left out of a shard of YouTube-8M",
    )


class Part(FrozenModel):
    """One Parquet file of filtered records, and the shards that it was made from."""

    path: str = Field(description="relative to the folder that keeps it")
    partition: str
    sha256: Sha256
    size_bytes: int
    rows: int
    matches: int
    shards: tuple[ShardTally, ...]


class PartFile(FrozenModel):
    """One Parquet file of a dataset version."""

    name: str
    split: str = Field(description="`train` or `validate`")
    rows: int
    matches: int
    size_bytes: int
    sha256: Sha256


class LabelCount(FrozenModel):
    """In how many matching videos a label occurs, by split."""

    index: int
    name: str
    by_split: dict[str, int]


class Cooccurrence(FrozenModel):
    """How often the commonest labels occur together in matching videos."""

    label_ids: tuple[int, ...]
    counts: tuple[tuple[int, ...], ...] = Field(description="symmetric; the diagonal counts the label itself")


class Oddities(FrozenModel):
    """What is unusual about the videos of a version."""

    repeated: dict[str, int] = Field(description="rows whose video stands in the same split before, by split")
    shared: int = Field(ge=0, description="videos that are in more than one split")
    id_lengths: dict[int, int] = Field(description="characters of a video's id -> rows with such ids")


class FrameCounts(FrozenModel):
    """What a frame-level version holds beside the labels of its videos."""

    frames: dict[str, int] = Field(description="of all rows, one a second, by split")
    longest: int = Field(ge=0, description="frames of the longest video")
    rated: dict[str, int] = Field(description="labels of segments that people have rated, by split")
    confirmed: dict[str, int] = Field(description="of them, those that the segment does show, by split")
    rated_labels: tuple[int, ...] = Field(description="indices of the labels of rated segments")


class DatasetManifest(FrozenModel):
    """All that there is to know of a dataset version. The same input gives the same bytes."""

    id: str = Field(pattern=r"^ds-[0-9a-f]{12}$")
    slug: str
    label_ids: tuple[int, ...]
    label_names: tuple[str, ...]
    options: dict[str, JsonValue] = Field(description="the filter's options, as hashed into the id")
    filter_version: int
    splits: dict[str, str] = Field(description="split -> partition, e.g. train -> video/train")
    rows: int
    matches: int
    records: int = Field(description="records read from all shards")
    drops: dict[DropReason, int]
    label_counts: tuple[LabelCount, ...] = Field(description="every label that occurs, commonest first")
    cooccurrence: Cooccurrence
    shards: tuple[ShardTally, ...]
    parts: tuple[PartFile, ...]
    code_revision: str
    oddities: Oddities | None = Field(default=None, description="None where no video is twice, nor the ids unusual")
    feature_space: FeatureSpace | None = Field(default=None, description="None: that of YouTube-8M")
    without_sound: int | None = Field(
        default=None, description="rows of videos in which nothing can be heard; None: of none, or sound plays no part"
    )
    sources: dict[str, str] | None = Field(
        default=None,
        description="of videos of one's own: shard -> the video as the imported table names it; no part of the id",
    )
    frames: FrameCounts | None = Field(default=None, description="None: of whole videos")

    @property
    def level(self) -> Level:
        """Whether its rows hold the frames of videos, or their means."""
        return level_among(self.options)

    @property
    def reference(self) -> str:
        """What names exactly this version: the same id may stand under several slugs."""
        return f"{self.slug}/{self.id}"

    @property
    def is_whole_vocabulary(self) -> bool:
        """Whether a video with any label of YouTube-8M matches, but for those that are excluded."""
        excluded = self.options.get("exclude_ids")
        labels = len(self.label_ids) + (len(excluded) if isinstance(excluded, list) else 0)
        return labels > 1 and labels == self.options.get("vocabulary_size")

    @property
    def clips(self) -> tuple[str, ...]:
        """The SHA-256 of each file of which it has a row, sorted; none where it is of YouTube-8M."""
        return tuple(
            sorted({each.clip.sha256 for each in self.shards if each.clip and each.clip.sha256 and each.matches})
        )

    @property
    def space(self) -> FeatureSpace:
        """The feature space of its videos."""
        return self.feature_space or YT8M
