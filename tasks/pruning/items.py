"""What pruning speaks of: things that would go, things that stay although they are old, and what became of each.

In: nothing. Out: frozen values. Does not look at anything.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pydantic import AwareDatetime, Field

from tasks.contracts.model import FrozenModel


class Kind(StrEnum):
    """What a thing is."""

    MODEL = "model"
    RUN = "MLflow run"
    TRAINING = "kept training"
    DATASET = "dataset"
    PART = "part"
    SHARD = "shard"
    VIDEO = "fetched video"
    LEFTOVER = "leftover"
    LOG = "log"
    FLOW_RUN = "flow run"


class Item(FrozenModel):
    """One thing that would go."""

    kind: Kind
    name: str = Field(description="as the commands that show it name it")
    why: str
    last_used: AwareDatetime | None = None
    size_bytes: int = Field(
        default=0, description="that its going frees, after that of those before; links counted once"
    )
    path: Path | None = Field(default=None, description="where it lies, if it is a file or folder")


class Kept(FrozenModel):
    """One thing that stays although it is old."""

    kind: Kind
    name: str
    why: str
    last_used: AwareDatetime | None = None


class Outcome(FrozenModel):
    """What became of one thing that was to go."""

    item: Item
    freed_bytes: int = 0
    spared: str = Field(default="", description="why it stayed after all; empty where it is gone")


class Bounds(FrozenModel):
    """How old is old, and how much stays whatever its age."""

    now: AwareDatetime
    older_than: timedelta
    keep: int = Field(ge=1, description="newest dataset versions of each slug, and versions of each model, that stay")

    def is_old(self, used: datetime, *, at_least: timedelta = timedelta(0)) -> bool:
        """Say whether something was last used longer ago than the bound, and than `at_least`."""
        return used <= self.now - max(self.older_than, at_least)


class Found(FrozenModel):
    """What one look found."""

    goes: tuple[Item, ...] = ()
    stays: tuple[Kept, ...] = ()


class Remover(Protocol):
    """Whoever deletes things of one kind."""

    def remove(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """Delete things that were found, but for those that somebody has come to need since."""
        ...
