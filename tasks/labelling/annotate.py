"""A copy of the video with the current labels drawn, and the scored frames as pictures.

In: a video and its captions. Out: `labelled.mp4` with the sound kept, of a picture `labelled.png`; `frames/*.jpg`.
Does not know what labels mean.
Decoding, drawing and encoding run at once, each in a thread.
"""

from contextlib import closing
from pathlib import Path

from PIL import Image

from tasks.contracts.progress import Progress
from tasks.labelling.captions import Captions, draw_captions
from tasks.labelling.clock import VideoClock
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.overlap import Behind, ahead
from tasks.video.writing import open_writer

AHEAD_FRAMES = 8
PLAIN_RATE_HZ = 25.0  # named to the encoder where the file does not say its own; the frames' own times are kept
JPEG_QUALITY = 90


def write_annotated(
    source: Path, bounds: MediaBounds, captions: Captions, destination: Path, progress: Progress
) -> None:
    """Write every frame of a video with the captions of its moment, at its own time, and the video's sound.

    Raises:
        VideoError: the video cannot be read or written.
    """
    with open_frames(source, bounds) as reader:
        facts = reader.facts
        clock = VideoClock(progress, f"drawing {source.name}", facts.duration_s)
        writer = open_writer(
            destination,
            width=facts.width,
            height=facts.height,
            frame_rate=facts.frame_rate or PLAIN_RATE_HZ,
            sound_of=source if facts.has_sound else None,
        )
        with writer as writing, Behind() as encoding, closing(ahead(reader, buffer=AHEAD_FRAMES)) as frames:
            for frame in frames:
                draw_captions(frame.image, captions.at(frame.time_s))
                encoding.submit(writing.write, frame.image, frame.time_s, frame.duration_s)
                clock.reach(frame.time_s)
        clock.finish()


def draw_picture(source: Path, bounds: MediaBounds, captions: Captions, destination: Path) -> None:
    """Write a picture with the captions of its one moment.

    Raises:
        VideoError: the picture cannot be read.
    """
    with open_frames(source, bounds) as reader:
        frame = next(iter(reader))
    draw_captions(frame.image, captions.at(frame.time_s))
    Image.fromarray(frame.image).save(destination)


def keep_frames(source: Path, bounds: MediaBounds, captions: Captions, rate_hz: float, folder: Path) -> None:
    """Write the frames that were scored, captions drawn, as `000000.jpg`, `000001.jpg` … into a new folder.

    Raises:
        VideoError: the video cannot be read.
    """
    folder.mkdir()
    with (
        open_frames(source, bounds, rate_hz=rate_hz) as reader,
        closing(ahead(reader, buffer=AHEAD_FRAMES)) as frames,
    ):
        for moment, frame in enumerate(frames):
            draw_captions(frame.image, captions.at(frame.time_s))
            Image.fromarray(frame.image).save(folder / f"{moment:06d}.jpg", quality=JPEG_QUALITY)
