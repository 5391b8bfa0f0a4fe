"""What rolling means and models over time say, second by second, of the one real frame-level video that is at hand.

No frame-level shard to learn from could be found. The models have learnt from the video-level features of 8,000 real
videos, each shown as five equal moments: enough to name what a moment shows, not to know how anything moves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.train import fit
from tasks.contracts.features import CODE_STEP, CODE_ZERO
from tasks.datasets.load import Videos
from tasks.datasets.moments import MomentBatch, Moments
from tasks.labelling.scores import smoothed
from tests.benchmarks.bench_model import read_videos, shards_of
from tests.benchmarks.study.clips import OVER_TIME
from tests.benchmarks.study.delay import Way, ways

LEARNT, WATCHED, EPOCHS, MIN_POSITIVES = 8000, 2000, 5, 40
MOMENTS = 5  # of each video that is learnt from
FOOD = 11  # the label of the video
FARTHEST_S = 10  # that a lag is looked for


@dataclass(frozen=True)
class Video:
    """The video: T moments of F features, one a second."""

    features: NDArray[np.float32]  # (T, F)
    label: int


@dataclass(frozen=True)
class Said:
    """What a way says of the video."""

    name: str
    food: NDArray[np.float32]  # (T,): the score of its label at each second
    held_s: float  # seconds at which that label holds
    segments: int  # of all labels
    changes: int  # seconds at which the best label is another than the second before
    lag_s: int  # by which the score comes after that of single moments


def rows_of(video: Video, classifiers: Mapping[ModelKind, FittedClassifier]) -> list[Said]:
    """Return what all ways say."""
    every = [*ways(centred=True), *(way for way in ways(centred=False) if way.window and way.window > 1)]
    alone = Way("", ModelKind.MEAN, 1).scores(classifiers[ModelKind.MEAN], video.features)
    return [said(video, classifiers[way.kind], way, alone) for way in every]


def said(video: Video, classifier: FittedClassifier, way: Way, alone: NDArray[np.float32]) -> Said:
    """Return what a way says; `alone` (T, L) is what is said of single moments."""
    raw = way.scores(classifier, video.features)
    shown = smoothed(raw, way.window or 1, centred=way.centred)
    labels = list(zip(classifier.label_ids, classifier.label_names, strict=True))
    seconds = len(video.features)
    segments = way.segments(np.arange(seconds, dtype=np.float64), raw, labels, float(seconds))
    column = classifier.label_ids.index(video.label)
    return Said(
        name=way.name if way.centred else f"{way.name}, causal",
        food=shown[:, column],
        held_s=sum(each.end_s - each.start_s for each in segments if each.label_id == video.label),
        segments=len(segments),
        changes=int(np.count_nonzero(np.diff(shown.argmax(axis=1)))),
        lag_s=lag(alone[:, column], shown[:, column]),
    )


def lag(before: NDArray[np.float32], after: NDArray[np.float32]) -> int:
    """Return by how many seconds a curve comes after another: where they go together best."""

    def together(by: int) -> float:
        one = before[max(0, -by) : len(before) - max(0, by)]
        other = after[max(0, by) : len(after) - max(0, -by)]
        return float(np.corrcoef(one, other)[0, 1])

    return max(range(-FARTHEST_S, FARTHEST_S + 1), key=lambda by: (together(by), -abs(by)))


def read_video(path: Path) -> Video:
    """Read the video as it is published."""
    with np.load(path) as found:
        codes = np.concatenate([found["rgb"], found["audio"]], axis=1)
        return Video(codes.astype(np.float32) * np.float32(CODE_STEP) + np.float32(CODE_ZERO), int(found["labels"][0]))


def classifiers_of(mirror: Path, names: Mapping[int, str]) -> dict[ModelKind, FittedClassifier]:
    """Train all models over time on real videos that do not move."""
    learnt, watched = (
        still(read_videos(shards_of(mirror, split)), count)
        for split, count in (("train", LEARNT), ("validate", WATCHED))
    )
    return {kind: trained(learnt, watched, kind, names) for kind in OVER_TIME}


def trained(learnt: Videos, watched: Videos, kind: ModelKind, names: Mapping[int, str]) -> FittedClassifier:
    """Train a preset for a few epochs."""
    config = PRESETS[kind].model_copy(update={"epochs": EPOCHS, "min_positives": MIN_POSITIVES})
    return fit(
        learnt, watched, label_names=names, target_label_ids=(FOOD,), config=config, dataset_id="ds-benchmark"
    ).classifier


def still(videos: Videos, count: int) -> Videos:
    """Return the first so many of the videos, each of some moments that are all as its mean."""
    chosen = videos.take(np.arange(len(videos)) < count)
    values = np.repeat(chosen.features.astype(np.float16), MOMENTS, axis=0)
    moments = Moments.of(MomentBatch(values, np.arange(len(chosen) + 1) * MOMENTS))
    return replace(chosen, is_match=np.ones(len(chosen), np.bool_), moments=moments)


def places(classifiers: Mapping[ModelKind, FittedClassifier], video: Video) -> Sequence[tuple[ModelKind, int, float]]:
    """Return for each model the place of the video's label among all, best first, and its score, of the whole video."""
    found = list[tuple[ModelKind, int, float]]()
    for kind, classifier in classifiers.items():
        (scores,) = classifier.predict(video.features[None])
        score = scores[classifier.label_ids.index(video.label)]
        found.append((kind, 1 + int((scores > score).sum()), float(score)))
    return found
