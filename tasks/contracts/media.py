"""What is known of one video or picture, from its fetching to its report.

In: nothing. Out: frozen values, which are also the JSON of manifests. Does not know how any of them is made.
"""

from pathlib import Path
from typing import Any, Literal

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
    media: MediaFacts
    frames_read: int = Field(ge=0, description="frames that were decoded and looked at")
    corrupt_frames: int = Field(ge=0, description="packets that could not be decoded, and were left out")
    loss: ShownLine | None = Field(
        default_factory=loss_in_words, description="what of the video is missing in the answer, in words"
    )

    @classmethod
    def of(cls, video: FetchedVideo, media: MediaFacts, *, frames_read: int, corrupt_frames: int) -> "VideoRecord":
        """Put together what was fetched and what was found."""
        known = video.model_dump(exclude={"path"})
        return cls(**known, media=media, frames_read=frames_read, corrupt_frames=corrupt_frames)


class WeightsRecord(FrozenModel):
    """A file of weights as a manifest names it."""

    name: str = Field(description="as in the table of weights, e.g. yolox-nano")
    file_name: str
    sha256: Sha256
