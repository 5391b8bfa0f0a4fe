"""Whether a file breaks off before its end, as a copy or a download does that was stopped, told by its container."""

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer
from av.stream import Stream

INDEX_BOX = b"moov"
MEDIA_BOXES = {b"mdat", b"moof", INDEX_BOX}  # of an mp4; others may be anything that was appended
LARGEST_INDEX = 256 << 20  # bytes of an mp4's `moov`
EBML_OPEN = {b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"}  # Segment and Cluster: recorders leave their size open
TS_SIZES, TS_PACKET, TS_SYNC, TS_LOOKED_AT = (188, 192, 204), 188, 0x47, 8
GIF_EXTENSION, GIF_IMAGE = b"!", b","
OGG_HEADER, PNG_HEADER, GIF_HEADER = 27, 8, 13
PS_PACK, PS_END, PS_HEADER, PS_TAIL = b"\0\0\1\xba", 0xB9, 14, 1 << 20  # ISO 13818-1, 2.5.3
NUT_INDEX, NUT_TAIL = bytes.fromhex("4e58dd672f23e64e"), 16 << 20
Y4M_LINE = 1 << 10  # bytes of a header, at most
# Of each kind of colours of Y4M: planes of chroma, and how many columns and rows of the picture share a sample of it.
Y4M_COLOURS = {"mono": (0, 1, 1), "420": (2, 2, 2), "411": (2, 4, 1), "422": (2, 2, 1), "444": (2, 1, 1)}
FLV_HEADER, FLV_TAG, FLV_KINDS, FLV_START = 13, 11, {8, 9, 18}, 1 << 16  # Adobe's FLV 10.1, annex E
FLV_SIZE = b"\0\x08filesize\0"  # of its metadata; a number of 8 bytes follows
ASF_DATA, ASF_HEAD = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"), 24  # Advanced Systems Format, 5.1
ASF_FILE, ASF_START = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"), 1 << 16  # 3.2
JPEG_BEGIN, JPEG_END, JPEG_TAIL = b"\xff\xd8\xff", b"\xff\xd9", 4 << 20
TAGGED = "DURATION"  # of a stream of Matroska, as hours:minutes:seconds
# Containers whose header has the length of the whole file. What FFmpeg has of others is what it found in the file.
DECLARING = ("matroska,webm", "flv")


def breaks_off(path: Path, format_name: str) -> bool | None:
    """Say whether the file ends within a part whose size is written in front of it; None where its format has none."""
    check = CHECKS.get(format_name)
    if check is None:
        return None
    with path.open("rb") as file:
        return check(file, os.fstat(file.fileno()).st_size)


def declared_ends(path: Path, container: InputContainer, streams: list[Stream]) -> dict[int, float]:
    """Return when each stream would end, in seconds of its own clock, by its index, where the container says so."""
    name = container.format.name
    if name == "avi":
        lengths_s = _avi_lengths(path)
        return {stream.index: lengths_s[stream.index] for stream in streams if stream.index in lengths_s}
    if name.startswith("mov"):
        if _index_breaks_off(path):
            return {}
        if not any(getattr(stream, "frames", 0) for stream in streams):  # in fragments, each with its own index
            end_s = _fragments_s(path)
            return dict.fromkeys((stream.index for stream in streams), end_s) if end_s else {}
        return {
            stream.index: float(((stream.start_time or 0) + stream.duration) * stream.time_base)
            for stream in streams
            if stream.duration and stream.time_base
        }
    found = {stream.index: _tagged_s(stream) for stream in streams}
    return {index: end_s for index, end_s in found.items() if end_s}


def declared_end(path: Path, container: InputContainer) -> float | None:
    """Return when the last of the streams would end, where the container says so."""
    if container.format.name == "asf":
        return _asf_seconds(path)
    declares = container.format.name in DECLARING and container.duration
    return container.duration / 1_000_000 if declares and container.duration else None


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box at the top of an mp4, where what it holds begins, and where it ends (0: open)."""
    place = file.tell()
    while len(header := file.read(16)) >= 8:
        size, kind, head = int.from_bytes(header[:4]), header[4:8], 8
        if size == 1:
            size, head = int.from_bytes(header[8:16]), 16
        yield kind, place + head, place + size if size else 0
        if size < head:
            return
        place += size
        file.seek(place)


def _mp4_breaks_off(file: BinaryIO, size: int) -> bool:
    return any(kind in MEDIA_BOXES and end > size for kind, _, end in boxes(file))


def _index_breaks_off(path: Path) -> bool:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return any(kind == INDEX_BOX and end > size for kind, _, end in boxes(file))


def _matroska_breaks_off(file: BinaryIO, size: int) -> bool:
    place = 0
    while place < size:
        file.seek(place)
        header = file.read(12)
        kind, _ = _vint(header)
        length, value = _vint(header[len(kind) :])
        if not kind or not length:
            return place + 12 > size and header[:1] != b"\0"  # within a header; zeros are a filling
        place += len(kind) + len(length)
        is_open = value == (1 << 7 * len(length)) - 1
        if is_open and kind not in EBML_OPEN:
            return False
        if not is_open:
            place += value
    return place > size


def _vint(data: bytes) -> tuple[bytes, int]:
    """Return the bytes of a number of EBML, and the number without the mark of its length."""
    length = 9 - data[0].bit_length() if data else 9
    if length > min(8, len(data)):
        return b"", 0
    return data[:length], int.from_bytes(data[:length]) & (1 << 7 * length) - 1


def _riff_breaks_off(file: BinaryIO, size: int) -> bool:
    end = 0
    while end + 12 <= size:
        file.seek(end + end % 2)
        header = file.read(8)
        if header[:4] != b"RIFF":  # files of over a gigabyte have several
            return False
        end += end % 2 + 8 + int.from_bytes(header[4:8], "little")
    return end > size


def _ts_breaks_off(file: BinaryIO, size: int) -> bool:
    start = file.read(TS_SIZES[-1] * (TS_LOOKED_AT + 1))
    for step in TS_SIZES:
        for first in range(step):
            if start[first::step][:TS_LOOKED_AT] == bytes([TS_SYNC]) * TS_LOOKED_AT:
                rest = (size - first) % step
                file.seek(size - rest)
                return 0 < rest < TS_PACKET and file.read(1) == bytes([TS_SYNC])  # what else follows is a filling
    return False


def _ogg_breaks_off(file: BinaryIO, size: int) -> bool:
    place = 0
    while place < size:
        file.seek(place)
        header = file.read(OGG_HEADER)
        if not b"OggS".startswith(header[:4]):
            return False
        if len(header) < OGG_HEADER:
            return True
        sizes = file.read(header[-1])
        place += OGG_HEADER + header[-1] + sum(sizes)
    return place > size


def _gif_breaks_off(file: BinaryIO, _: int) -> bool:
    flags = file.read(GIF_HEADER)[10]
    file.seek(_palette_bytes(flags), os.SEEK_CUR)
    while (kind := file.read(1)) in {GIF_EXTENSION, GIF_IMAGE}:
        head = file.read(1 if kind == GIF_EXTENSION else 9)
        if kind == GIF_IMAGE:
            file.seek(_palette_bytes(head[-1] if head else 0) + 1, os.SEEK_CUR)
        while length := file.read(1):
            if length == b"\0":
                break
            file.seek(length[0], os.SEEK_CUR)
    return not kind  # else it is the trailer, or something that was appended


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _png_breaks_off(file: BinaryIO, size: int) -> bool:
    place, kind = PNG_HEADER, b""
    while place < size and kind != b"IEND":
        file.seek(place)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        place += 12 + length
    return place > size or kind != b"IEND"


def _flv_breaks_off(file: BinaryIO, size: int) -> bool:
    """Follow the tags, each of which says how long it is; between two of them the file's own size tells."""
    start = file.read(FLV_START)
    named_at = start.find(FLV_SIZE) + len(FLV_SIZE)
    named = struct.unpack(">d", start[named_at : named_at + 8])[0] if FLV_SIZE in start[:-8] else 0.0
    place = FLV_HEADER
    while place < size:
        file.seek(place)
        head = file.read(FLV_TAG)
        if head[0] & 0x1F not in FLV_KINDS:
            return False  # something that was appended
        place += FLV_TAG + int.from_bytes(head[1:4]) + 4
    return place > size or named > size


def _asf_breaks_off(file: BinaryIO, size: int) -> bool | None:
    place = 0
    while place + ASF_HEAD <= size:
        file.seek(place)
        head = file.read(ASF_HEAD)
        length = int.from_bytes(head[16:], "little")
        if length < ASF_HEAD:  # a broadcast that was written down does not say
            return None
        place += length
        if head[:16] == ASF_DATA:
            return place > size
    return True


def _asf_seconds(path: Path) -> float | None:
    """Return the play duration of the header, which is in 100 ns, without what is loaded first; FFmpeg's is a guess."""
    with path.open("rb") as file:
        start = file.read(ASF_START)
    fields = start[start.find(ASF_FILE) + ASF_HEAD :] if ASF_FILE in start else b""
    if len(fields) < 64:
        return None
    played, preroll_ms = (int.from_bytes(fields[place : place + 8], "little") for place in (40, 56))
    return played / 10_000_000 - preroll_ms / 1000 or None


def _ps_breaks_off(file: BinaryIO, size: int) -> bool | None:
    """Follow the last packs of a program stream: each packet says how long it is."""
    tail = _tail(file, size, PS_TAIL)
    place = tail.find(PS_PACK)
    while place >= 0:
        end = _ps_end(tail, place)
        if end is not None:
            return end > len(tail)
        place = tail.find(PS_PACK, place + 1)
    return None


def _ps_end(data: bytes, place: int) -> int | None:
    """Return where the last packet ends, or would; None where what begins at `place` is no pack after all."""
    while data[place : place + PS_HEADER].strip(b"\0"):  # what has no bit set is a filling
        length = _ps_length(data[place : place + PS_HEADER])
        if not length:
            return place if length == 0 else None
        place += length
    return place


def _ps_length(head: bytes) -> int | None:
    """Return how long a packet is that begins so, 0 for the mark of the end; None for what is no packet."""
    if not PS_PACK.startswith(head[:3]):
        return None
    if head[3:4] == bytes([PS_END]):
        return 0
    if len(head) < 6:
        return PS_HEADER  # it breaks off within its header
    if head[3] == PS_PACK[3]:
        is_mpeg_1, stuffing = head[4] >> 4 == 2, head[-1] & 7
        return 12 if is_mpeg_1 else 14 + stuffing if head[4] >> 6 == 1 else None
    return 6 + int.from_bytes(head[4:6]) if head[3] > PS_PACK[3] else None


def _nut_breaks_off(file: BinaryIO, size: int) -> bool:
    """Look for the index at the end, which FFmpeg, the one writer of such files, always writes."""
    tail = _tail(file, size, NUT_TAIL)
    place = tail.rfind(NUT_INDEX)
    if place < 0:
        return True
    place, length, more = place + len(NUT_INDEX), 0, True
    while more and place < len(tail):
        length, more = length << 7 | tail[place] & 0x7F, tail[place] > 0x7F
        place += 1
    return more or place + (4 if length > 4096 else 0) + length > len(tail)


def _y4m_breaks_off(file: BinaryIO, size: int) -> bool | None:
    fields = {word[:1]: word[1:] for word in file.readline(Y4M_LINE).decode("ascii", "replace").split()[1:]}
    colour = fields.get("C", "420")
    known = next((sizes for name, sizes in Y4M_COLOURS.items() if colour.startswith(name)), None)
    try:
        width, height = int(fields["W"]), int(fields["H"])
    except (KeyError, ValueError):
        return None
    if known is None or width <= 0 or height <= 0:
        return None
    planes, across, down = known
    samples = width * height * (2 if "alpha" in colour else 1) + planes * -(-width // across) * -(-height // down)
    picture = samples * (2 if re.search(r"p1\d|mono1\d", colour) else 1)
    place = file.tell()
    while place < size:
        file.seek(place)
        head = file.readline(Y4M_LINE)
        if not b"FRAME".startswith(head[:5]):
            return False  # something that was appended
        place += len(head) + picture
    return place > size


def _mjpeg_breaks_off(file: BinaryIO, size: int) -> bool:
    tail = _tail(file, size, JPEG_TAIL)
    return tail.rfind(JPEG_BEGIN) > tail.rfind(JPEG_END)


def _tail(file: BinaryIO, size: int, most: int) -> bytes:
    file.seek(max(0, size - most))
    return file.read()


# Streams without a container (H.264, HEVC, MPEG-2, AV1) say neither how long they are nor where a picture ends: their
# last picture is looked at as far as it is there, and counts as lost where the decoder cannot make one of it.
CHECKS: dict[str, Callable[[BinaryIO, int], bool | None]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _mp4_breaks_off,
    "matroska,webm": _matroska_breaks_off,
    "avi": _riff_breaks_off,
    "flv": _flv_breaks_off,
    "asf": _asf_breaks_off,
    "mpegts": _ts_breaks_off,
    "mpeg": _ps_breaks_off,
    "nut": _nut_breaks_off,
    "yuv4mpegpipe": _y4m_breaks_off,
    "mjpeg": _mjpeg_breaks_off,
    "ogg": _ogg_breaks_off,
    "gif": _gif_breaks_off,
    "apng": _png_breaks_off,
}


def index_of(path: Path) -> bytes:
    """Return the `moov` box of an mp4, or nothing where there is none."""
    with path.open("rb") as file:
        for kind, begin, end in boxes(file):
            if kind == INDEX_BOX:
                file.seek(begin)
                return file.read(min(end - begin, LARGEST_INDEX) if end else LARGEST_INDEX)
    return b""


def _fragments_s(path: Path) -> float | None:
    """Return how long all fragments of an mp4 last together, where its header says so (ISO 14496-12: `mehd`)."""
    index = index_of(path)
    header, fragments = index.find(b"mvhd"), index.find(b"mehd")
    if header < 0 or fragments < 0:
        return None
    scale_at = header + (24 if index[header + 4] else 16)  # version 1 has dates of 8 bytes, version 0 of 4
    length_bytes = 8 if index[fragments + 4] else 4
    scale = int.from_bytes(index[scale_at : scale_at + 4])
    length = int.from_bytes(index[fragments + 8 : fragments + 8 + length_bytes])
    return length / scale if scale and length else None


def _avi_lengths(path: Path) -> dict[int, float]:
    """Return the seconds that the header of each stream of an AVI names; FFmpeg's own are shortened to the file."""
    with path.open("rb") as file:
        start = file.read(1 << 20)
    found: dict[int, float] = {}
    place = start.find(b"strh")
    while place >= 0:
        fields = [int.from_bytes(start[place + 28 + 4 * each : place + 32 + 4 * each], "little") for each in range(4)]
        scale, rate, begin, length = fields
        if rate:
            found[len(found)] = (begin + length) * scale / rate
        place = start.find(b"strh", place + 4)
    return found


def _tagged_s(stream: Stream) -> float | None:
    parts = stream.metadata.get(TAGGED, "").split(":")
    try:
        hours, minutes, seconds = map(float, parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
