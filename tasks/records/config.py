"""What to keep of a shard."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tasks.contracts.datasets import VOCABULARY_SIZE, Level
from tasks.contracts.model import FrozenModel


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
