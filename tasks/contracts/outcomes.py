"""What became of one video of many: one row of a run's answer.

In: nothing. Out: frozen values. Does not know what was done with the video.
"""

from collections.abc import Sequence
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
    warning: ShownLine | None = Field(default=None, description="what of the video is missing in the answer")
    folder: Path | None = Field(default=None, description="where its manifest, table, pictures and report lie")
    report: Path | None = Field(default=None, description="page to open in a browser")
    seconds: float = Field(default=0.0, ge=0, description="of work on this video, its fetching left out")
    video_s: float | None = Field(default=None, description="seconds that the video lasts")


def in_short(outcomes: Sequence[VideoOutcome]) -> str:
    """Say how many videos are done, and why the first of those that are not failed."""
    failures = [outcome for outcome in outcomes if outcome.status == FAILED]
    damaged = [outcome for outcome in outcomes if outcome.warning]
    words = f"{len(outcomes) - len(failures):,} of {len(outcomes):,} videos done"
    if failures:
        more = f" (and {len(failures) - 1:,} more)" if len(failures) > 1 else ""
        words += f", {len(failures):,} failed: {told(failures[0])}{more}"
    return words + (f"; {len(damaged):,} only in part: {told(damaged[0])}" if damaged else "")


def told(outcome: VideoOutcome) -> str:
    """Say of a video why it failed, or what of it is missing; its name comes first, once."""
    words = str(outcome.reason or outcome.warning)
    return words if outcome.source in words else f"{outcome.source}: {words}"
