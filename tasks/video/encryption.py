"""Media whose content is encrypted are refused: a decoder makes noise of them, or a few frames."""

import re
from pathlib import Path
from uuid import UUID

from av.container import InputContainer

from tasks.contracts.errors import VideoError
from tasks.video.ending import index_of

ENTRIES = {b"encv": "Common Encryption", b"enca": "Common Encryption", b"drmi": "FairPlay", b"drms": "FairPlay"}
HEADER_BYTES = 1 << 20  # of Matroska and ASF, in which the streams are described
# ContentEncodingType 1, its size written in any of the ways of EBML; FFmpeg tells only of one with a key's id.
EBML_ENCRYPTED = re.compile(rb"\x50\x33(?:\x81|\x40\x01|\x20\0\x01|\x10\0\0\x01|\x01\0{6}\x01)\x01")
# The objects of the ASF specification, 3.14 to 3.16: content encryption, extended and advanced.
ASF_ENCRYPTED = tuple(
    UUID(text).bytes_le
    for text in (
        "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e",
        "298ae614-2622-4c17-b935-dae07ee9289c",
        "43058533-6981-49e6-9b74-ad12cb86d58c",
    )
)
TS_PACKET, TS_SYNC, TS_LOOKED_AT = 188, 0x47, 4_000
SCRAMBLED, PAYLOAD = 0xC0, 0x10  # bits of a transport packet's fourth byte
MOSTLY = 0.5  # of the packets: tables and some streams are never scrambled


def check_clear(path: Path, container: InputContainer) -> None:
    """Refuse a file whose picture or sound is encrypted.

    Raises:
        VideoError: it is.
    """
    kind = _kind(path, container)
    if kind:
        raise VideoError(f"{path} is encrypted ({kind}): it cannot be decoded. Name a copy that is not protected.")


def _kind(path: Path, container: InputContainer) -> str | None:
    name = container.format.name
    if name.startswith("mov"):
        return _of_mp4(path)
    if name == "mpegts":
        return "scrambled transport stream" if _is_scrambled(path) else None
    if name.startswith("matroska"):
        has_key = any("enc_key_id" in stream.metadata for stream in container.streams)
        return "WebM encryption" if has_key or EBML_ENCRYPTED.search(_start_of(path)) else None
    if name == "asf":
        return "Windows Media DRM" if any(mark in _start_of(path) for mark in ASF_ENCRYPTED) else None
    return None


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _of_mp4(path: Path) -> str | None:
    """Look at what the descriptions of the samples call themselves."""
    index = index_of(path)
    place = index.find(b"stsd")
    while place >= 0:
        kind = ENTRIES.get(index[place + 16 : place + 20])
        if kind:
            return kind
        place = index.find(b"stsd", place + 4)
    return None


def _is_scrambled(path: Path) -> bool:
    with path.open("rb") as file:
        content = file.read(TS_PACKET * TS_LOOKED_AT)
    flags = content[3::TS_PACKET] if content[:1] == bytes([TS_SYNC]) else b""
    loaded = [flag for flag in flags if flag & PAYLOAD]
    return sum(bool(flag & SCRAMBLED) for flag in loaded) > MOSTLY * len(loaded)
