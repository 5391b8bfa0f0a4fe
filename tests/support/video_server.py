"""Web sites with videos, as yt-dlp's generic extractor meets them, on loopback."""

import html
from pathlib import Path

import av

from tests.support.media import Tone, shades, write_video
from tests.support.mirror_server import Fault

VIDEO = Fault(headers={"Content-Type": "video/mp4"})
PAGE_TYPE = Fault(headers={"Content-Type": "text/html; charset=utf-8"})


def write_page(folder: Path, name: str, title: str, *videos: str) -> Path:
    """Write a page of that title with a player for each address."""
    players = "".join(f'<video src="{html.escape(video)}"></video>' for video in videos)
    path = folder / name
    path.write_text(
        f"<!DOCTYPE html><html><head><title>{html.escape(title)}</title></head><body>{players}</body></html>",
        encoding="utf-8",
    )
    return path


def write_clip(path: Path, frames: int = 10, tone: Tone | None = None) -> Path:
    """Write a small mp4 with sound."""
    return write_video(path, shades(frames), tone=tone or Tone(duration_s=frames / 10), container="mp4")


def write_hls(folder: Path, name: str, clip: Path) -> Path:
    """Cut a clip into the segments of a playlist `<name>.m3u8`."""
    path = folder / f"{name}.m3u8"
    options = {"hls_time": "1", "hls_list_size": "0", "hls_segment_filename": str(folder / f"{name}%d.ts")}
    with av.open(str(clip)) as read, av.open(str(path), "w", format="hls", options=options) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                written.mux(packet)
    return path
