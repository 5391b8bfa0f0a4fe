"""What FFmpeg attaches to a decoded frame beside its pixels."""

from fractions import Fraction
from typing import TYPE_CHECKING, cast

from av.filter import Graph
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

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
