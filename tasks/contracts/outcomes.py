"""What became of one video of many: one row of a run's answer.

In: nothing. Out: frozen values. Does not know what was done with the video.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.contracts.model import FrozenModel, ShownAddress, ShownLine

DONE, CACHED, FAILED = "done", "cached", "failed"


class VideoOutcome(FrozenModel):
    """One video, done or failed and why; a run has exactly one for each source that it was given."""

    source: ShownAddress = Field(description="as the person named it")
    status: Literal["done", "cached", "failed"] = Field(description="cached: the same answer was there already")
    reason: ShownLine | None = Field(default=None, description="why it failed, in one line")
    title: ShownLine | None = None
    answer: str | None = Field(default=None, description="what was found, in words")
    folder: Path | None = Field(default=None, description="where its manifest, table, pictures and report lie")
    report: Path | None = Field(default=None, description="page to open in a browser")
    seconds: float = Field(default=0.0, ge=0, description="of work on this video, its fetching left out")
    video_s: float | None = Field(default=None, description="seconds that the video lasts")
