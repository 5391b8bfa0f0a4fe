"""Picture and sound of two files, put into one without coding anything anew.

In: files. Out: a Matroska file with the first picture and the first sound among them. Does not decode.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.video.container import open_container, picture_of, sound_of


def join_streams(files: Sequence[Path], path: Path) -> Path:
    """Write the first picture and the first sound of `files` to `path`, and return it.

    Raises:
        VideoError: a file cannot be opened, or there is neither picture nor sound.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_container(file)) for file in files]
        chosen = _chosen(opened)
        if not chosen:
            raise VideoError(f"{files[0]} holds neither picture nor sound.")
        temporary = stack.enter_context(appearing(path))
        written = stack.enter_context(av.open(str(temporary), "w", format="matroska"))
        streams = [(read, stream, written.add_stream_from_template(stream)) for read, stream in chosen]
        for packet, target in _in_order([_packets(read, stream, target) for read, stream, target in streams]):
            packet.stream = target
            written.mux(packet)
    return path


def _chosen(opened: Sequence[InputContainer]) -> list[tuple[InputContainer, Stream]]:
    pictures = [(read, stream) for read in opened if (stream := picture_of(read))]
    sounds = [(read, stream) for read in opened if (stream := sound_of(read))]
    return [*pictures[:1], *sounds[:1]]


def _packets(read: InputContainer, stream: Stream, target: Stream) -> Iterator[tuple[Packet, Stream]]:
    return ((packet, target) for packet in read.demux(stream) if packet.dts is not None)


def _in_order(sources: Sequence[Iterator[tuple[Packet, Stream]]]) -> Iterator[tuple[Packet, Stream]]:
    """Merge packets by time, as a player reads them."""
    heads = [next(source, None) for source in sources]
    while any(heads):
        place = min((index for index, head in enumerate(heads) if head), key=lambda index: _time_s(heads[index]))
        head = heads[place]
        assert head is not None
        yield head
        heads[place] = next(sources[place], None)


def _time_s(head: tuple[Packet, Stream] | None) -> float:
    assert head is not None
    packet = head[0]
    return float((packet.dts or 0) * (packet.time_base or 0))
