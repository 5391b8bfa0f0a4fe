"""Media whose content is encrypted are refused: a decoder makes noise of them, or a few frames."""

from pathlib import Path

from av.container import InputContainer

from tasks.contracts.errors import VideoError
from tasks.video.ending import index_of

ENTRIES = {b"encv": "Common Encryption", b"enca": "Common Encryption", b"drmi": "FairPlay", b"drms": "FairPlay"}
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
        return "WebM encryption" if any("enc_key_id" in stream.metadata for stream in container.streams) else None
    keys = {key.lower() for key in container.metadata}
    return "Windows Media DRM" if keys & {"asf_protection_type", "asf_key_id", "asf_license_url"} else None


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
