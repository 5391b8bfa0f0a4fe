"""The labeller that needs no download: each sampled frame by itself, by a network trained on ImageNet."""

import ast
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import WeightsError
from tasks.contracts.features import FeatureSpace, Modality
from tasks.contracts.media import ModelRecord, TimeRange
from tasks.contracts.progress import Progress
from tasks.features.batches import FrameNetwork, sampled_rows
from tasks.features.extractor import Extractor, VideoFeatures
from tasks.features.shipped import embedded_record, embedded_weights, prepare
from tasks.labelling.config import IMAGENET, LabelOptions
from tasks.labelling.scores import SecondScores
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch
from tasks.video.frames import FrameReader, open_frames

if TYPE_CHECKING:
    from tasks.features.efficientnet_network import EfficientNetLite0

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


FEATURE_SPACE = "imagenet-frames"  # single frames; no features between them and the classes


class ImagenetLabeller:
    """EfficientNet-Lite0; what it says of the video as a whole is the mean over its sampled frames."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights
        self.record = ModelRecord(name=IMAGENET, feature_space=FEATURE_SPACE, weights=(embedded_record(weights),))
        self.label_names = imagenet_names()
        self.label_ids = tuple(range(len(self.label_names)))

    @classmethod
    def open(cls) -> "ImagenetLabeller":
        """Find the weights in their package.

        Raises:
            WeightsError: the package is not there.
        """
        return cls(embedded_weights())

    def score(
        self,
        path: Path,
        bounds: MediaBounds,
        options: LabelOptions,
        progress: Progress | None = None,
        *,
        part: TimeRange | None = None,
        watch: Watch | None = None,
    ) -> SecondScores:
        """Score frames at `rate_hz`; each is one sample."""
        with open_frames(path, bounds, rate_hz=options.rate_hz, part=part, watch=watch) as reader:
            times_s, scores = sampled_rows(reader, options.rate_hz, self.frame_network, "labels", progress)
        return _scored(times_s, scores, reader)

    def extractor_at(self, rate_hz: float) -> Extractor:
        """Return what gives the scores of all classes as if they were features."""
        return _Classes(self, rate_hz)

    def score_features(self, features: VideoFeatures, *, is_causal: bool = False) -> SecondScores:  # noqa: ARG002
        """Take the scores of the classes as they are."""
        return _scored(features.times_s, features.picture, features)

    def frame_network(self) -> FrameNetwork:
        """Return the network, from frames to the scores of all classes, (n, 1000)."""
        net = self._net
        return FrameNetwork(prepare, net.classify, len(self.label_ids), net.batch_size, net.threads)

    @cached_property
    def _net(self) -> "EfficientNetLite0":
        # PLC0415: torch takes over two seconds, which nobody should wait for before the first sign of life.
        from tasks.features.efficientnet_network import EfficientNetLite0  # noqa: PLC0415

        return EfficientNetLite0.load(self.weights)


class _Classes:
    """The scores of all classes, as an extractor that other models can share frames with."""

    sound_samples = 0
    mean_s = None

    def __init__(self, labeller: ImagenetLabeller, rate_hz: float) -> None:
        self.records = labeller.record.weights
        self.frame_network = labeller.frame_network
        self.space = FeatureSpace(
            name=FEATURE_SPACE,
            modalities=(Modality(name="classes", size=CLASSES),),
            rate_hz=rate_hz,
            extractor=f"{IMAGENET}, probabilities of its classes",
        )

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return nothing of the sound: (n, 0)."""
        return np.zeros((len(windows), 0), np.float32)


def _scored(
    times_s: NDArray[np.float64], scores: NDArray[np.float32], looked: FrameReader | VideoFeatures
) -> SecondScores:
    return SecondScores(
        times_s=times_s,
        scores=scores,
        video_scores=scores.mean(axis=0),
        facts=looked.facts,
        frames_read=looked.frames_read,
        corrupt_frames=looked.corrupt_frames,
    )
