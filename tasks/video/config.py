"""How videos are fetched, and what of them is read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from tasks.contracts.model import FrozenModel


class FetchConfig(FrozenModel):
    """How a video is fetched, and which are refused."""

    largest_height: int = Field(
        default=720,
        ge=144,
        le=4320,
        description="pixels of the shorter side, the height of a landscape video; the best format up to this is taken, "
        "a larger one never",
    )
    largest_bytes: int = Field(default=2 << 30, ge=1, le=1 << 50, description="bytes above which a video is refused")
    longest_s: float = Field(default=4 * 3600, gt=0, le=48 * 3600, description="seconds above which one is refused")
    playlists: bool = Field(default=False, description="take the first video of a playlist, rather than refuse it")
    attempts: int = Field(default=3, ge=1, le=50, description="tries of one download, the first included")
    timeout_s: float = Field(default=20.0, gt=0, le=600, description="seconds of silence that end an attempt")
    allow_private: bool = Field(
        default=False, description="fetch from addresses of private networks too, and through the environment's proxy"
    )
    refresh: bool = Field(default=False, description="fetch again what was fetched before")
    pause_s: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="seconds from one YouTube video to the next; guests get about 300 videos an hour",
    )
    rate_limit_wait_s: float = Field(
        default=3600.0,
        ge=0,
        le=24 * 3600,
        description="seconds that a list waits in all where YouTube gives no more videos for a while",
    )
    cookies_file: Path | None = Field(
        default=None,
        description="cookies.txt of a browser that is signed in at youtube.com, where YouTube asks for that; only you "
        "may read it (mode 0600), and it is sent to YouTube alone",
    )

    @field_validator("cookies_file")
    @classmethod
    def _from_any_folder(cls, path: Path | None) -> Path | None:
        """Name the same file for workers that run elsewhere."""
        return path.expanduser().absolute() if path else None


class MediaBounds(FrozenModel):
    """What of a file is read; beyond it the file is refused before anything is decoded."""

    largest_side: int = Field(default=8192, ge=16, le=32768, description="pixels of the longer side")
    largest_pixels: int = Field(default=8192 * 4320, ge=256, le=1 << 30, description="pixels of one frame")
    largest_pixels_per_s: int = Field(
        default=8192 * 4320 * 60,
        ge=256,
        le=1 << 40,
        description="pixels of all frames in one second of a video: 8K at 60 frames a second, 4K at 240",
    )
    longest_s: float = Field(default=6 * 3600, gt=0, le=7 * 24 * 3600, description="seconds of a video")


ShotDetectorName = Literal["auto", "content", "adaptive", "hash", "transnetv2"]
AUTO_SHOTS, CONTENT, ADAPTIVE, HASH, TRANSNETV2 = "auto", "content", "adaptive", "hash", "transnetv2"
# PySceneDetect's own threshold of `content` is 27. In 100 clips of UCF-101 put one after the other (99 cuts, 12,877
# frames) that finds 18 cuts too many, in fast motion; 33 finds one, and misses none.
THRESHOLDS = {CONTENT: 33.0, ADAPTIVE: 3.0, HASH: 0.35, TRANSNETV2: 0.5}


class ShotOptions(FrozenModel):
    """How shots are found."""

    detector: ShotDetectorName = Field(
        default="auto",
        description="content, adaptive and hash are PySceneDetect's; transnetv2 is a network, which finds fades and "
        "dissolves too; auto: transnetv2 where there is a GPU, else content",
    )
    threshold: float | None = Field(
        default=None, gt=0, le=255, description="of the detector, from which a change is a cut; none: its own"
    )
    shortest_s: float = Field(default=0.5, ge=0, le=60, description="seconds of the shortest shot")
    snap: bool = Field(default=True, description="let segments of labels begin and end at a cut that is near")

    @property
    def bound(self) -> float:
        """The threshold in force, of a detector that is chosen."""
        return THRESHOLDS[self.detector] if self.threshold is None else self.threshold
