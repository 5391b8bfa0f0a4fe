"""Small videos of plain colours, and a labeller that really reads them and knows three colours."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo, ModelRecord, TimeRange, WeightsRecord
from tasks.contracts.progress import Progress
from tasks.labelling.config import LabelOptions
from tasks.labelling.scores import SecondScores
from tasks.video.config import MediaBounds
from tasks.video.decoding import Shown
from tasks.video.frames import open_frames

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
SOUND_HZ = 16_000
WIDTH, HEIGHT = 160, 96


def write_clip(path: Path, seconds: Sequence[str], *, rate: int = 10, sound: bool = False) -> Path:
    """Write an mp4 that shows one colour each second, perhaps with a tone of the same length."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_HZ, layout="mono") if sound else None
        for colour in seconds:
            for _ in range(rate):
                picture = np.full((HEIGHT, WIDTH, 3), COLOURS[colour], np.uint8)
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio:
            times_s = np.arange(len(seconds) * SOUND_HZ) / SOUND_HZ
            tone = np.sin(2 * np.pi * 440 * times_s).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = SOUND_HZ, Fraction(1, SOUND_HZ)
            container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


def fetched(path: Path, title: str = "colours") -> FetchedVideo:
    return FetchedVideo(
        source=str(path), path=path, sha256=file_digest(path), size_bytes=path.stat().st_size, title=title
    )


class ColourLabeller:
    """Scores a frame by how near its middle is to each of three colours."""

    def __init__(self) -> None:
        weights = WeightsRecord(name="colours", file_name="colours", sha256="0" * 64)
        self.record = ModelRecord(name="colours", feature_space="colours", weights=(weights,))
        self.label_ids = (3, 2, 1)
        self.label_names = tuple(COLOURS)

    def score(
        self,
        path: Path,
        bounds: MediaBounds,
        options: LabelOptions,
        progress: Progress | None = None,
        *,
        part: TimeRange | None = None,
        watch: Callable[[Shown], None] | None = None,
    ) -> SecondScores:
        known = np.array(list(COLOURS.values()), np.float32)
        with open_frames(path, bounds, rate_hz=options.rate_hz, part=part, watch=watch) as reader:
            seen = [(frame.time_s, frame.image[HEIGHT // 2, WIDTH // 2].astype(np.float32)) for frame in reader]
        pixels = np.array([pixel for _, pixel in seen])
        scores = 1 - np.abs(pixels[:, None] - known).max(axis=2) / 255
        return SecondScores(
            times_s=np.array([time_s for time_s, _ in seen]),
            scores=scores.astype(np.float32),
            video_scores=scores.mean(axis=0, dtype=np.float32),
            facts=reader.facts,
            frames_read=reader.frames_read,
            corrupt_frames=reader.corrupt_frames,
        )
