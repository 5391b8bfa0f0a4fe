"""What is known of one video or picture, from its fetching to its report.

In: nothing. Out: frozen values, which are also the JSON of manifests. Does not know how any of them is made.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from tasks.contracts.artifacts import Sha256
from tasks.contracts.model import FrozenModel, ShownAddress, ShownLine


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


class MediaFacts(FrozenModel):
    """What a file holds, found by opening it."""

    kind: Literal["video", "picture"]
    width: int = Field(gt=0, description="square pixels as shown, after rotation")
    height: int = Field(gt=0, description="square pixels as shown, after rotation")
    duration_s: float | None = Field(description="seconds; None where neither the container nor the stream says")
    frame_rate: float | None = Field(description="average frames a second; None for a picture")
    codec: str = Field(description="of the picture, e.g. h264")
    has_sound: bool
    rotation_deg: int = Field(default=0, description="clockwise turn that the file asks of a player: 0, 90, 180 or 270")
    mirrored: bool = Field(default=False, description="whether it asks to be mirrored left to right before that turn")
    pixel_aspect: float = Field(default=1.0, gt=0, description="width of a stored pixel as shown, over its height")


class VideoRecord(FrozenModel):
    """A video as a manifest names it: where it came from and what it is, without paths of this machine."""

    source: ShownAddress
    title: ShownLine
    address: ShownAddress | None = None
    youtube_id: str | None = None
    yt8m_id: str | None = None
    sha256: Sha256
    size_bytes: int
    media: MediaFacts
    frames_read: int = Field(ge=0, description="frames that were decoded and looked at")
    corrupt_frames: int = Field(ge=0, description="packets that could not be decoded, and were left out")

    @classmethod
    def of(cls, video: FetchedVideo, media: MediaFacts, *, frames_read: int, corrupt_frames: int) -> "VideoRecord":
        """Put together what was fetched and what was found."""
        known = video.model_dump(exclude={"path"})
        return cls(**known, media=media, frames_read=frames_read, corrupt_frames=corrupt_frames)

    @property
    def loss(self) -> str | None:
        """What of the video is missing in the answer, in words; None where nothing is."""
        if not self.corrupt_frames:
            return None
        return f"{self.corrupt_frames:,} packets could not be decoded, so the answer is of {self.frames_read:,} frames"


class WeightsRecord(FrozenModel):
    """A file of weights as a manifest names it."""

    name: str = Field(description="as in the table of weights, e.g. yolox-nano")
    file_name: str
    sha256: Sha256
