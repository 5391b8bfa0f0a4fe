"""What moves is a video or refused by name; what is encrypted or nearly all lost is refused."""

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tests.support.media import Tone, number_of, shades, spoil_packets, write_picture, write_video

BOUNDS = MediaBounds()


def shown(path: Path) -> list[tuple[int, float]]:
    """Return the number that each frame shows, and when."""
    with open_frames(path, BOUNDS) as reader:
        return [(number_of(frame.image), round(frame.time_s, 3)) for frame in reader]


def _jpegs(path: Path, count: int) -> Path:
    """Write JPEGs one behind the other, as a camera sends them."""
    pieces = []
    for number, image in enumerate(shades(count)):
        piece = path.with_suffix(f".{number}.jpg")
        Image.fromarray(image).save(piece, quality=95)
        pieces.append(piece.read_bytes())
    path.write_bytes(b"".join(pieces))
    return path


def _animated(path: Path) -> Path:
    images = [Image.fromarray(image) for image in shades(3)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=200, lossless=True)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "mjpeg"])
def test_jpegs_one_behind_the_other_are_a_video(tmp_path: Path, suffix: str) -> None:
    clip = _jpegs(tmp_path / f"cam.{suffix}", 12)
    assert probe(clip, BOUNDS).kind == "video"
    assert shown(clip) == [(number, number / 25) for number in range(12)]


def test_one_jpeg_is_a_picture(tmp_path: Path) -> None:
    assert probe(_jpegs(tmp_path / "one.mjpeg", 1), BOUNDS).kind == "picture"


def test_pictures_for_two_eyes_are_one_picture(tmp_path: Path) -> None:
    images = [Image.fromarray(image) for image in shades(2)]
    images[0].save(tmp_path / "eyes.mpo", save_all=True, append_images=images[1:])
    assert probe(tmp_path / "eyes.mpo", BOUNDS).kind == "picture"


def test_an_animated_png_is_a_video(tmp_path: Path) -> None:
    images = [Image.fromarray(image) for image in shades(3)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=200)
    assert probe(tmp_path / "a.png", BOUNDS).kind == "video"
    assert shown(tmp_path / "a.png") == [(number, number / 5) for number in range(3)]


@pytest.mark.parametrize(("suffix", "kind"), [("webp", "WebP"), ("avif", "AVIF")])
def test_animations_that_cannot_be_read_are_refused_by_name(tmp_path: Path, suffix: str, kind: str) -> None:
    with pytest.raises(VideoError, match=f"a.{suffix} is an animated {kind}, which cannot be read: convert it to mp4"):
        probe(_animated(tmp_path / f"a.{suffix}"), BOUNDS)


@pytest.mark.parametrize("suffix", ["webp", "png", "jpg"])
def test_still_pictures_stay_pictures(tmp_path: Path, suffix: str) -> None:
    assert probe(write_picture(tmp_path / f"a.{suffix}"), BOUNDS).kind == "picture"


def test_y4m_is_a_video(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.y4m", shades(10), codec="wrapped_avframe")
    assert [number for number, _ in shown(clip)] == list(range(10))


def test_an_encrypted_mp4_is_refused(tmp_path: Path) -> None:
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "0" * 31 + "1", "encryption_kid": "0" * 31 + "2"}
    clip = write_video(tmp_path / "a.mp4", options=key)
    with pytest.raises(VideoError, match=r"a.mp4 is encrypted \(Common Encryption\): it cannot be decoded"):
        probe(clip, BOUNDS)


@pytest.mark.parametrize(
    ("entry", "other", "kind"),
    [(b"mp4a", b"enca", "Common Encryption"), (b"avc1", b"drmi", "FairPlay"), (b"mp4a", b"drms", "FairPlay")],
)
@pytest.mark.parametrize("options", [{}, {"movflags": "+faststart"}], ids=["behind", "in front"])
def test_an_mp4_of_which_a_stream_is_encrypted_is_refused(
    tmp_path: Path, entry: bytes, other: bytes, kind: str, options: dict[str, str]
) -> None:
    """What a sample is called in its description is all that tells (ISO 14496-12, 8.12: `encv`, `enca`)."""
    clip = write_video(tmp_path / "a.m4v", container="mp4", tone=Tone(1.0), options=options)
    content = clip.read_bytes()
    assert content.count(entry) >= 1
    place = content.rindex(entry) if entry == b"mp4a" else content.index(entry, content.index(b"stsd"))
    clip.write_bytes(content[:place] + other + content[place + 4 :])
    with pytest.raises(VideoError, match=rf"a.m4v is encrypted \({kind}\): it cannot be decoded"):
        probe(clip, BOUNDS)


def _ebml(kind: bytes, content: bytes) -> bytes:
    return kind + (1 << 56 | len(content)).to_bytes(8) + content


def _place(content: bytes, kind: bytes, start: int = 0) -> tuple[int, int, int]:
    """Return where an element begins, where what it holds begins, and where it ends."""
    place = content.index(kind, start)
    length = 9 - content[place + len(kind)].bit_length()
    begin = place + len(kind) + length
    return place, begin, begin + (int.from_bytes(content[begin - length : begin]) & (1 << 7 * length) - 1)


@pytest.mark.parametrize("key", [_ebml(b"\x47\xe2", b"a key's own id.."), b""], ids=["with its key's id", "without"])
def test_a_webm_whose_content_is_encrypted_is_refused(tmp_path: Path, key: bytes) -> None:
    """As https://www.webmproject.org/docs/webm-encryption/ has it: AES in counter mode, said in the track's entry."""
    cipher = _ebml(b"\x47\xe7", _ebml(b"\x47\xe8", b"\1"))
    encryption = _ebml(b"\x50\x35", _ebml(b"\x47\xe1", b"\5") + key + cipher)
    order, scope, kind = (_ebml(bytes([0x50, number]), bytes([value])) for number, value in _ENCODING.items())
    encodings = _ebml(b"\x6d\x80", _ebml(b"\x62\x40", order + scope + kind + encryption))
    clip = write_video(tmp_path / "a.webm", codec="libvpx", options={"live": "1"})
    content = clip.read_bytes()
    place, begin, end = _place(content, b"\x16\x54\xae\x6b")
    entry, within, after = _place(content, b"\xae", begin)
    grown = content[begin:entry] + _ebml(b"\xae", content[within:after] + encodings) + content[after:end]
    clip.write_bytes(content[:place] + _ebml(b"\x16\x54\xae\x6b", grown) + content[end:])
    with pytest.raises(VideoError, match=r"a.webm is encrypted \(WebM encryption\): it cannot be decoded"):
        probe(clip, BOUNDS)


_ENCODING = {0x31: 0, 0x32: 1, 0x33: 1}  # ContentEncodingOrder, -Scope (all frames) and -Type (encryption)
_OF_ASF = "2211b3fb-bd23-11d2-b4b7-00a0c955fc6e"
_EXTENDED = "298ae614-2622-4c17-b935-dae07ee9289c"
_ADVANCED = "43058533-6981-49e6-9b74-ad12cb86d58c"


@pytest.mark.parametrize("kind", [_OF_ASF, _EXTENDED, _ADVANCED], ids=["of a key", "extended", "advanced"])
def test_windows_media_with_an_object_of_its_drm_is_refused(tmp_path: Path, kind: str) -> None:
    """The objects of the ASF specification, 3.14, 3.15 and 3.16, put into the header of a file that is clear."""
    clip = write_video(tmp_path / "a.wmv", codec="wmv2")
    assert probe(clip, BOUNDS).codec == "wmv2"
    content = clip.read_bytes()
    texts = (b"secret", b"DRM\0", b"key\0", b"https://example.org/\0")
    body = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    added = UUID(kind).bytes_le + (24 + len(body)).to_bytes(8, "little") + body
    size, count = int.from_bytes(content[16:24], "little"), int.from_bytes(content[24:28], "little")
    header = content[:16] + (size + len(added)).to_bytes(8, "little") + (count + 1).to_bytes(4, "little")
    clip.write_bytes(header + content[28:30] + added + content[30:])
    with pytest.raises(VideoError, match=r"a.wmv is encrypted \(Windows Media DRM\): it cannot be decoded"):
        probe(clip, BOUNDS)


def test_a_scrambled_transport_stream_is_refused(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.ts", np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8))
    content = bytearray(clip.read_bytes())
    for place in range(0, len(content), 188):
        if (content[place + 1] & 0x1F, content[place + 2]) == (1, 0) and not content[place + 1] & 0x40:
            content[place + 3] |= 0x80  # of the picture's packets, those that begin no frame
    clip.write_bytes(content)
    with pytest.raises(VideoError, match=r"a.ts is encrypted \(scrambled transport stream\)"):
        probe(clip, BOUNDS)


@pytest.mark.parametrize(("lost", "is_refused"), [(29, True), (10, False)], ids=["nearly all", "a third"])
def test_a_video_of_which_nearly_all_is_lost_is_refused(tmp_path: Path, lost: int, is_refused: bool) -> None:
    clip = write_video(tmp_path / "a.mov", shades(30), codec="mjpeg", pix_fmt="yuvj420p")
    spoil_packets(clip, range(1, 1 + lost))
    if not is_refused:
        assert len(shown(clip)) == 30 - lost
        return
    with pytest.raises(VideoError, match=r"a.mov is broken: \d+ of 30 packets \(9\d%\) could not be decoded"):
        shown(clip)


def test_files_that_were_taken_for_pictures_or_whole(real_data: Path) -> None:
    folder = real_data / "faults" / "video"
    assert len(shown(folder / "cam.mjpeg")) == 20
    assert [time_s for _, time_s in shown(folder / "tiny.y4m")] == [number / 10 for number in range(10)]
    with pytest.raises(VideoError, match="is an animated WebP"):
        probe(folder / "anim.webp", BOUNDS)
    with pytest.raises(VideoError, match=r"is encrypted \(Common Encryption\)"):
        probe(folder / "encrypted.mp4", BOUNDS)
