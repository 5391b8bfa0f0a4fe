"""Colour of decoded frames: matrix, range, HDR tone-mapping and alpha, to RGB on a BT.709 screen."""

import struct
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideDataContainer

TYPES = 64  # more than FFmpeg has
ANY_TIME_BASE = Fraction(1, 25)


def side_data_of(frame: VideoFrame, kind: Type) -> bytes:
    """Return the bytes of one type, as C has them; empty where the frame has none."""
    try:
        attached = frame.side_data
    except ValueError:  # PyAV refuses them all where one is of a type that it has no name for, as EXIF is
        attached = _with_known_types(frame).side_data
    named = cast("SideDataContainer", attached)  # PyAV's own annotation is of something else
    return bytes(named[kind]) if kind in named else b""


def _with_known_types(frame: VideoFrame) -> VideoFrame:
    graph = Graph()
    steps = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=ANY_TIME_BASE)]
    unknown = range(max(kind.value for kind in Type) + 1, TYPES)
    steps += [graph.add("sidedata", f"mode=delete:type={number}") for number in unknown]
    graph.link_nodes(*steps, graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


Floats = NDArray[np.float64]

UNTAGGED = 2  # FFmpeg's number where a frame does not name its matrix, primaries or transfer
# Where no matrix is named, players take that of high definition for pictures larger than television's were.
SD_WIDTH, SD_HEIGHT = 1280, 576

REFERENCE_WHITE_NITS = 203.0  # BT.2408: a sheet of paper, in high dynamic range; what SDR shows as white
USUAL_PEAK_NITS = 1000.0  # of most masters, and what HLG is defined for
LARGEST_PEAK_NITS = 10_000.0
DISPLAY_GAMMA = 2.4  # BT.1886
PQ_M1, PQ_M2 = 2610 / 16384, 2523 / 4096 * 128  # SMPTE ST 2084
PQ_C1, PQ_C2, PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073  # BT.2100
HLG_GAMMA = 1.2  # of a screen of 1,000 nits
LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593])

# x and y of red, green and blue; white is D65 in all
CHROMATICITIES = {
    ColorPrimaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
D65 = (0.3127, 0.3290)
SCREEN = ColorPrimaries.BT709
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)

LIGHT_LEVEL = struct.Struct("=II")  # the brightest pixel of all, and the brightest frame on average, in nits
MASTERING = struct.Struct("=20iii")  # ratios: three primaries, white, darkest, brightest; then whether each is given

GRID = 49  # points a side of the table of colours: within a step of 8 bits of the formulas
DEEP = "gbrp12le"  # what goes into the table


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a frame stand for, where it is not what screens of BT.709 show."""

    transfer: int
    primaries: int
    peak_nits: float = USUAL_PEAK_NITS


class ToRgb:
    """Converts the frames of one video."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()  # kept: setting one up costs more than converting a small frame
        self._meaning: Meaning | None = None  # of the first frame that has one: its peak holds for all
        self._graph: tuple[tuple[int, int], Graph] | None = None  # for frames of this size

    def __call__(self, frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
        """Return a frame scaled to width x height, as RGB uint8 (H, W, 3)."""
        if _is_mapped(frame):
            deep = self._reformat(frame, width, height, DEEP)
            return _array(self._reformat(self._mapped(deep, frame), width, height, "rgb24"))
        if has_alpha(frame.format):
            rgba = _array(self._reformat(frame, width, height, "rgba"))
            is_filled_in = rgba[..., 3].any() or not rgba[..., :3].any()  # some formats leave the fourth byte zero
            return on_white(rgba) if is_filled_in else np.ascontiguousarray(rgba[..., :3])
        rgb = self._reformat(frame, width, height, "rgb24")
        return _array(rgb).copy() if rgb is frame else _array(rgb)  # an RGB video's next frame builds on this one

    def _reformat(self, frame: VideoFrame, width: int, height: int, target: str) -> VideoFrame:
        # one thread: others are at work on the next frames, and 360 lines are too few to share out
        return self._reformatter.reformat(
            frame, width, height, format=target, src_colorspace=_matrix_of(frame), threads=1
        )

    def _mapped(self, deep: VideoFrame, frame: VideoFrame) -> VideoFrame:
        size = (deep.width, deep.height)
        if self._graph is None or self._graph[0] != size:
            self._meaning = self._meaning or meaning_of(frame)
            self._graph = (size, _table_graph(deep, cube_of(self._meaning)))
        graph = self._graph[1]
        graph.vpush(deep)
        return graph.vpull()


def _array(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(), np.uint8)


def _matrix_of(frame: VideoFrame) -> Colorspace | None:
    """Return the matrix of a frame that does not name it; None where it does, or has none."""
    if frame.colorspace != UNTAGGED or frame.format.is_rgb:
        return None
    if _is_mapped(frame):
        return Colorspace.BT2020
    is_hd = frame.width >= SD_WIDTH or frame.height > SD_HEIGHT
    return Colorspace.ITU709 if is_hd else Colorspace.ITU601


@lru_cache
def _has_alpha(name: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(name).components)


def has_alpha(kind: VideoFormat) -> bool:
    """Say whether frames of this format may be transparent."""
    return _has_alpha(kind.name)


def on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGBA uint8 (H, W, 4) laid on white paper, as RGB uint8 (H, W, 3)."""
    rgb, alpha = image[..., :3], image[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgb)
    weighted = rgb.astype(np.uint16) * alpha + (255 - alpha.astype(np.uint16)) * 255
    return ((weighted + 127) // 255).astype(np.uint8)


def _is_mapped(frame: VideoFrame) -> bool:
    """Say whether a frame's colours are others than those of a screen of BT.709: of high dynamic range, or wide."""
    return frame.color_trc in HDR or (frame.color_primaries in CHROMATICITIES and frame.color_primaries != SCREEN)


def meaning_of(frame: VideoFrame) -> Meaning:
    """Return what a frame's numbers stand for, as it is tagged."""
    is_known = frame.color_primaries in CHROMATICITIES
    peak_nits = _peak_nits(frame) if frame.color_trc == ColorTrc.SMPTE2084 else USUAL_PEAK_NITS
    return Meaning(frame.color_trc, frame.color_primaries if is_known else ColorPrimaries.BT2020, peak_nits)


def _peak_nits(frame: VideoFrame) -> float:
    """Return how bright the brightest place of a video is, as its master says."""
    light = side_data_of(frame, Type.CONTENT_LIGHT_LEVEL)
    brightest = float(LIGHT_LEVEL.unpack_from(light)[0]) if len(light) >= LIGHT_LEVEL.size else 0.0
    master = side_data_of(frame, Type.MASTERING_DISPLAY_METADATA)
    if not brightest and len(master) >= MASTERING.size:
        *_, above, below, _, says_so = MASTERING.unpack_from(master)
        brightest = above / below if says_so and below > 0 else 0.0
    return min(max(brightest, REFERENCE_WHITE_NITS), LARGEST_PEAK_NITS) if brightest > 0 else USUAL_PEAK_NITS


def _table_graph(frame: VideoFrame, cube: str) -> Graph:
    """Return a graph that looks the colours of frames like this one up in a table."""
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    with tempfile.NamedTemporaryFile("w", suffix=".cube", encoding="ascii") as file:
        file.write(cube)
        file.flush()
        graph.link_nodes(
            source, graph.add("lut3d", file=file.name, interp="tetrahedral"), graph.add("buffersink")
        ).configure()
    return graph


@lru_cache(maxsize=4)
def cube_of(meaning: Meaning) -> str:
    """Return the table of colours in the format of Adobe's .cube files: red runs fastest."""
    axis = np.linspace(0, 1, GRID)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    colours = to_screen(np.stack([red, green, blue], axis=-1).reshape(-1, 3), meaning)
    return f"LUT_3D_SIZE {GRID}\n" + "\n".join(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in colours.tolist()) + "\n"


def to_screen(rgb: Floats, meaning: Meaning) -> Floats:
    """Return what a screen of BT.709 is given to show colours, both as numbers from 0 to 1, shape (n, 3)."""
    if meaning.transfer in HDR:
        nits = pq_to_nits(rgb) if meaning.transfer == ColorTrc.SMPTE2084 else _hlg_to_nits(rgb)
        linear = _tone_mapped(nits, meaning.peak_nits) / REFERENCE_WHITE_NITS
    else:
        linear = rgb**DISPLAY_GAMMA
    linear = linear @ _from_primaries(meaning.primaries).T
    return np.clip(linear, 0, 1) ** (1 / DISPLAY_GAMMA)


def pq_to_nits(signal: Floats) -> Floats:
    """Return light in candelas per square metre (SMPTE ST 2084, equation 4.1)."""
    root = signal ** (1 / PQ_M2)
    return LARGEST_PEAK_NITS * (np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root)) ** (1 / PQ_M1)


def nits_to_pq(nits: Floats) -> Floats:
    """Return the signal, 0 to 1 (SMPTE ST 2084, equation 5.2)."""
    power = (nits / LARGEST_PEAK_NITS) ** PQ_M1
    return ((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2


def _hlg_to_nits(signal: Floats) -> Floats:
    """Return the light of a screen of 1,000 nits (BT.2100, table 5)."""
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12)
    luminance = scene @ LUMINANCE_2020
    return USUAL_PEAK_NITS * luminance[:, None] ** (HLG_GAMMA - 1) * scene


def _tone_mapped(nits: Floats, peak_nits: float) -> Floats:
    """Bring light of up to `peak_nits` within what SDR shows, by the curve of BT.2390-10, 5.4.1.

    It works on the largest of red, green and blue, and scales the others along: the hue is kept.
    """
    largest = nits.max(axis=-1)
    peak = nits_to_pq(np.array(peak_nits))
    target = nits_to_pq(np.array(REFERENCE_WHITE_NITS)) / peak
    knee = 1.5 * target - 0.5
    above = np.clip(nits_to_pq(largest) / peak, 0, 1)
    t = (above - knee) / max(1 - knee, np.finfo(float).tiny)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * target
    mapped = pq_to_nits(np.where(above < knee, above, spline) * peak)
    scale = np.divide(mapped, largest, out=np.ones_like(largest), where=largest > 0)
    return nits * scale[:, None]


def _from_primaries(primaries: int) -> Floats:
    """Return the matrix from linear light of these primaries to that of BT.709."""
    return np.linalg.inv(_to_xyz(SCREEN)) @ _to_xyz(ColorPrimaries(primaries))


def _to_xyz(primaries: ColorPrimaries) -> Floats:
    points = np.array([[x / y, 1, (1 - x - y) / y] for x, y in CHROMATICITIES[primaries]]).T
    x, y = D65
    return points * np.linalg.solve(points, np.array([x / y, 1, (1 - x - y) / y]))
