"""Media whose content is encrypted are refused: a decoder makes noise of them, or a few frames."""

from pathlib import Path

from av.container import InputContainer

from tasks.contracts.errors import VideoError

ENTRIES = {b"encv": "Common Encryption", b"enca": "Common Encryption", b"drmi": "FairPlay", b"drms": "FairPlay"}
LARGEST_INDEX = 256 << 20  # bytes of an mp4's `moov`
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
    index = _index_of(path)
    place = index.find(b"stsd")
    while place >= 0:
        kind = ENTRIES.get(index[place + 16 : place + 20])
        if kind:
            return kind
        place = index.find(b"stsd", place + 4)
    return None


def _index_of(path: Path) -> bytes:
    """Return the `moov` box of an mp4, or nothing where there is none."""
    with path.open("rb") as file:
        while len(header := file.read(16)) >= 8:
            size, kind, head = int.from_bytes(header[:4]), header[4:8], 8
            if size == 1:
                size, head = int.from_bytes(header[8:16]), 16
            if kind == b"moov":
                file.seek(8 - len(header), 1)
                return file.read(min(size, LARGEST_INDEX) if size else LARGEST_INDEX)
            if size < head:
                return b""
            file.seek(size - len(header), 1)
    return b""


def _is_scrambled(path: Path) -> bool:
    with path.open("rb") as file:
        content = file.read(TS_PACKET * TS_LOOKED_AT)
    flags = content[3::TS_PACKET] if content[:1] == bytes([TS_SYNC]) else b""
    loaded = [flag for flag in flags if flag & PAYLOAD]
    return sum(bool(flag & SCRAMBLED) for flag in loaded) > MOSTLY * len(loaded)
