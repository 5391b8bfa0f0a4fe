"""Pictures: one frame, as a viewer shows it: upright, in 8 bits of sRGB, on white where it is transparent."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pillow_heif
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.colour import UNTAGGED, ToRgb, on_white
from tasks.video.config import MediaBounds
from tasks.video.container import check_size, moving_format

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF")  # an animated GIF is a video
SIGNATURES = (
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF, and that of more than 4 GB
)
# AVIF and HEIC share the container of mp4. Sequences, which are videos, have brands of their own: avis, msf1, hevc.
PICTURE_BRANDS = {b"avif", b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf"}
SEVERAL_PICTURES = "MPO"  # a JPEG with more behind it, as cameras write it: the first one counts

# what the modules raise of files that are broken
BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, RuntimeError, MemoryError),
    *(struct.error, Image.DecompressionBombError),
)
ORIENTATION, BITS, PHOTOMETRIC = 0x0112, 258, 262  # of EXIF and TIFF
SWAPPED = 5  # orientations from here on swap the sides
WHITE_IS_ZERO = 0
DEEP_MODES = ("I", "F")  # of Pillow, and all that begin with `I;`
FULL_SCALES = (255.0, 65_535.0)  # which files of 32 bits may mean, if they do not mean 0 to 1
SRGB = ImageCms.createProfile("sRGB")

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def is_picture(path: Path) -> bool:
    """Say whether a file begins as a picture does, and does not move.

    What is no file, and may never come to an end, is not opened.

    Raises:
        VideoError: it moves, in a format that cannot be read.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(16)
    except (OSError, ValueError):
        return False
    if start[4:8] == b"ftyp":
        return start[8:12] in PICTURE_BRANDS
    is_any = start.startswith(SIGNATURES) or (start.startswith(b"RIFF") and start[8:12] == b"WEBP")
    return is_any and moving_format(path) is None


def probe_picture(path: Path, bounds: MediaBounds) -> MediaFacts:
    """Return what a picture is, told by its header."""
    with _opened(path, bounds) as image:
        # Pillow gives a TIFF's size as shown, others' as stored; of AVIF and HEIC it tells only what is yet to be done.
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) >= SWAPPED
        width, height = image.size[::-1] if turned else image.size
        return MediaFacts(
            kind="picture",
            width=width,
            height=height,
            duration_s=None,
            frame_rate=None,
            codec="jpeg" if image.format == SEVERAL_PICTURES else str(image.format).lower(),
            has_sound=False,
        )


def read_picture(path: Path, bounds: MediaBounds) -> NDArray[np.uint8]:
    """Return a picture, upright, as RGB uint8 (H, W, 3)."""
    with _opened(path, bounds) as image:
        primaries, transfer = _tags_of(path, image)
        is_inverted = image.format == "TIFF" and image.getexif().get(PHOTOMETRIC) == WHITE_IS_ZERO
        full_scale = _full_scale(image)
        upright = ImageOps.exif_transpose(image)
        rgb = _from_deep(upright, full_scale, is_inverted=is_inverted) if _is_deep(upright) else _from_8_bits(upright)
        return _on_screen(rgb, primaries, transfer)


@contextmanager
def _opened(path: Path, bounds: MediaBounds) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, which the bounds say better, and of tags that nobody asks for
        try:
            image = Image.open(path, formats=FORMATS)
        except BROKEN as error:
            raise VideoError(f"{path} begins as a picture, but is none that can be read: {error}.") from error
        with image:
            check_size(path, *image.size, bounds)
            try:
                yield image
            except BROKEN as error:  # of what follows the header
                raise VideoError(f"{path} is a broken picture: {error}. Fetch or copy it again.") from error


def _is_deep(image: Image.Image) -> bool:
    return image.mode in DEEP_MODES or image.mode.startswith("I;")


def _full_scale(image: Image.Image) -> float | None:
    """Return the number that is white in a grey picture of up to 16 bits; None where the file does not say."""
    if not image.mode.startswith("I;"):
        return None
    bits = image.getexif().get(BITS, 16) if image.format == "TIFF" else 16
    return float((1 << (bits[0] if isinstance(bits, tuple) else int(bits))) - 1)


def _from_deep(image: Image.Image, full_scale: float | None, *, is_inverted: bool) -> NDArray[np.uint8]:
    """Return a grey picture of more than 8 bits as RGB."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32), nan=0.0)
    black, white = (0.0, full_scale) if full_scale else _guessed_scale(values, is_whole=image.mode == "I")
    grey = ((values - black) * (255 / (white - black))).clip(0, 255)
    if is_inverted:
        grey = 255 - grey
    transparent = image.info.get("transparency")  # one grey, as PNG has it
    if isinstance(transparent, int):
        grey = np.where(values == transparent, 255, grey)
    return np.repeat(np.round(grey).astype(np.uint8)[:, :, None], 3, axis=2)


def _guessed_scale(values: NDArray[np.float32], *, is_whole: bool) -> tuple[float, float]:
    """Return what is black and what is white, where 32 bits may mean anything: the first usual scale that fits."""
    lowest, highest = float(values.min()), float(values.max())
    fitting = [scale for scale in FULL_SCALES if highest <= scale]
    if lowest >= 0 and highest <= 1 and not is_whole:
        return 0.0, 1.0
    if lowest >= 0 and fitting:
        return 0.0, fitting[0]
    return lowest, max(highest, float(np.nextafter(np.float32(lowest), np.float32(np.inf))))


def _from_8_bits(image: Image.Image) -> NDArray[np.uint8]:
    if image.has_transparency_data:
        return on_white(np.asarray(_in_srgb(image.convert("RGBA")), np.uint8))
    return np.array(_in_srgb(image if image.mode in {"CMYK", "LAB"} else image.convert("RGB")).convert("RGB"), np.uint8)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return a picture in the colours that its profile means. A profile that does not fit counts as none."""
    content = image.info.get("icc_profile")
    mode = image.mode if image.mode == "RGBA" else "RGB"
    try:
        if image.mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        elif content:
            source = ImageCms.ImageCmsProfile(io.BytesIO(content))
        else:
            return image
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        changed = ImageCms.profileToProfile(image, source, SRGB, renderingIntent=intent, outputMode=mode, flags=flags)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return image
    return changed or image


def _tags_of(path: Path, image: Image.Image) -> tuple[int, int]:
    """Return the primaries and the transfer of AVIF and HEIC, in the numbers of H.273, where no profile says more."""
    if image.info.get("icc_profile"):
        return UNTAGGED, UNTAGGED
    if image.format == "HEIF":
        said = image.info.get("nclx_profile") or {}
        return int(said.get("color_primaries", UNTAGGED)), int(said.get("transfer_characteristics", UNTAGGED))
    if image.format == "AVIF":  # Pillow does not say
        try:
            with av.open(str(path.absolute()), format="mov", options={"protocol_whitelist": "file"}) as file:
                context = file.streams.video[0].codec_context
                return context.color_primaries, context.color_trc
        except (FFmpegError, OSError, IndexError, AttributeError):
            return UNTAGGED, UNTAGGED
    return UNTAGGED, UNTAGGED


def _on_screen(rgb: NDArray[np.uint8], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """Return high dynamic range as a screen of BT.709 shows it; all else as it is."""
    if primaries == transfer == UNTAGGED:
        return rgb
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    frame.color_primaries, frame.color_trc = primaries, transfer
    return ToRgb()(frame, frame.width, frame.height)
