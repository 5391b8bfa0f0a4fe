"""Extraction in the space that needs no download, end to end, beside the bare network, in one run.

The bare network gets prepared pictures, all there beforehand, a batch at a time, as a program would call PyTorch. End
to end, files are opened, decoded, prepared, looked at and listened to: one after the other, two at a time, and as an
import does it, which keeps the features on the disk as well. Rounds take turns, and the medians of their ratios count:
whatever else the machine does is shared.

The clips are those of `data/clips`, else made here: 320x240 with a tone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from tasks.contracts.files import file_digest
from tasks.contracts.media import DONE, FetchedVideo
from tasks.features.extractor import AT_ONCE, VideoFeatures, read_each
from tasks.features.shipped import EfficientNetExtractor, prepare
from tasks.per_video.extraction import kept_features, read_kept
from tasks.per_video.fetching import Workplace
from tasks.per_video.jobs import do_each
from tasks.per_video.work import VIDEOS_AT_ONCE, ExtractWork
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.frames import open_frames
from tasks.weights.store import WeightsStore
from tests.conftest import REAL_DATA
from tests.support.media import Tone, write_video

ROUNDS = 7
CLIPS = 20
MADE_CLIPS, MADE_SECONDS, RATE = 8, 8, 25
REQUIRED = 0.9


def rows(
    rounds: int = ROUNDS, made: int = MADE_CLIPS, seconds: int = MADE_SECONDS, most: int = CLIPS
) -> Iterator[tuple[str, str, str]]:
    """Yield frames a second of each way, and their ratios to the bare network."""
    with TemporaryDirectory() as folder:
        clips = clips_in(Path(folder), made, seconds, most)
        extractor, videos = EfficientNetExtractor.open(), list(map(_video, clips))
        bare = _bare(extractor, clips)
        ways: dict[str, Callable[[], int]] = {
            "the bare network": bare,
            "end to end, one clip after the other": lambda: _at_once(extractor, clips, 1),
            f"end to end, {AT_ONCE} clips at once": lambda: _at_once(extractor, clips, AT_ONCE),
            f"as an import does it, {VIDEOS_AT_ONCE} clips at once": lambda: _imported(extractor, videos),
        }
        for way in ways.values():
            way()  # whatever is done once
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                started_s = time.perf_counter()
                rates[name].append(way() / (time.perf_counter() - started_s))
    against = rates["the bare network"]
    for name, found in rates.items():
        yield f"{name}, {len(clips)} clips of 320x240", f"{median(found):.0f} frames/s", ""
        if found is not against:
            ratio = median(each / other for each, other in zip(found, against, strict=True))
            yield f"{name}, of the bare network's", f"{ratio:.2f}", f"{REQUIRED:.2f}"


def _bare(extractor: EfficientNetExtractor, clips: Sequence[Path]) -> Callable[[], int]:
    """Return the network alone on the clips' own frames."""
    network, pictures = extractor.frame_network(), []
    for clip in clips:
        with open_frames(clip, MediaBounds(), rate_hz=1) as reader:
            pictures += [prepare(frame.image) for frame in reader]
    size = network.batch_size
    batches = [pictures[start : start + size] for start in range(0, len(pictures), size)]
    return lambda: sum(len(network.run(batch)) for batch in batches)


def _at_once(extractor: EfficientNetExtractor, clips: Sequence[Path], at_once: int) -> int:
    found = read_each(clips, MediaBounds(), extractor, at_once=at_once)
    return sum(len(each.times_s) for _, each in found if isinstance(each, VideoFeatures))


def _imported(extractor: EfficientNetExtractor, videos: Sequence[FetchedVideo]) -> int:
    with TemporaryDirectory() as folder:
        place = Workplace(
            fetched=Path(folder),
            out=Path(folder, "features"),
            fetch=FetchConfig(),
            download=DownloadConfig(),
            bounds=MediaBounds(),
            weights=WeightsStore(folder=Path(folder), table={}),
        )
        job = ExtractWork(features=extractor.space.name).job(extractor, place)
        assert {outcome.status for outcome in do_each(job, videos)} == {DONE}
        kept = [kept_features(place.out, video.sha256, extractor.space) for video in videos]
        return sum(len(read_kept(*each).times_s) for each in kept if each)


def _video(path: Path) -> FetchedVideo:
    size = path.stat().st_size
    return FetchedVideo(source=str(path), path=path, sha256=file_digest(path), size_bytes=size, title=path.stem)


def clips_in(folder: Path, made: int, seconds: int, most: int = CLIPS) -> list[Path]:
    """Return real clips, so many at the most, else some that are made in a folder, each of so many seconds."""
    real = sorted((REAL_DATA / "clips").glob("*/*.avi"))
    if real:
        return real[:: max(1, len(real) // most)][:most]
    random = np.random.default_rng(0)
    return [
        write_video(
            folder / f"{number}.mp4",
            (np.roll(random.integers(0, 256, (240, 320, 3), np.uint8), step, axis=1) for step in range(seconds * RATE)),
            times_s=[step / RATE for step in range(seconds * RATE)],
            tone=Tone(float(seconds)),
        )
        for number in range(made)
    ]
