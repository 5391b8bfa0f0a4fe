"""Every model over time beside the mean of the frames, on 100 real clips of five classes, by the picture alone.

Each clip is judged by models that have not learnt from it: the clips are divided into five folds, each of which is
judged once by models of the other four, with three seeds. Which epoch's weights are kept is decided by clips that are
neither learnt from nor judged. No two clips are of one group (one person, one place). The sound is left out: two of the
classes have none, which would give them away.

Shapes: N clips, L classes, R resamples of the clips.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import reelsift
from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.data import multi_hot
from tasks.classifier.scoring import predictions
from tasks.classifier.splits import all_videos
from tasks.classifier.train import TrainingResult, fit
from tasks.datasets.load import Videos
from tasks.datasets.moments import MomentBatch, Moments

# ruff: noqa: N803, N806 - capitals at the end of an array's name are its axes, as in the legend above.

SEEDS, FOLDS = (0, 1, 2), 5
WATCHED_EVERY = 4  # one in so many clips that are not judged decides which epoch is kept
OF_WHOLE_VIDEOS = (ModelKind.LOGISTIC, ModelKind.GATED)  # by the mean of their frames
OVER_TIME = tuple(kind for kind in ModelKind if kind.is_over_time)
RESAMPLES, CONFIDENCE = 2000, 0.95

Models = Mapping[ModelKind, Sequence[TrainingResult]]  # one for each seed
Figure = Callable[[NDArray[np.float32], NDArray[np.bool_]], float]  # of scores (N, L) and truth (N, L)


@dataclass(frozen=True)
class Fold:
    """Clips to learn from, to stop by, and to judge."""

    learnt: Videos
    watched: Videos
    judged: Videos
    names: Mapping[int, str]

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Ids of the classes, in the order of all scores."""
        return tuple(sorted(self.names))

    def trained(self, kind: ModelKind, seed: int) -> TrainingResult:
        """Train a preset with a seed; the clips that are judged have no part in it."""
        return fit(
            self.learnt,
            self.watched,
            label_names=self.names,
            target_label_ids=self.label_ids,
            config=PRESETS[kind].model_copy(update={"seed": seed}),
            dataset_id="ds-benchmark",
        )


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Show a gain or loss."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Quality:
    """How good a model is on the clips, the mean of all seeds."""

    kind: ModelKind
    gap: float
    top1: float
    gap_over_mean: Interval
    top1_over_mean: Interval


def folds_of(table: Path, home: Path) -> Iterator[Fold]:
    """Import the clips, which takes their features, and yield how they are divided."""
    version = reelsift.import_dataset(table, home=home)
    clips = without_sound(all_videos(version.dataset))
    names = {label.index: label.name for label in version.manifest.label_counts}
    for number in range(FOLDS):
        is_judged, is_watched = np.zeros((2, len(clips)), np.bool_)
        for label in names:
            of_label = np.flatnonzero(clips.label_ids == label)  # of one class each
            by_name = of_label[np.argsort(clips.video_ids[of_label])]
            is_judged[by_name[number::FOLDS]] = True
            is_watched[np.delete(by_name, np.s_[number::FOLDS])[::WATCHED_EVERY]] = True
        parts = (~is_judged & ~is_watched, is_watched, is_judged)
        yield Fold(*map(clips.take, parts), names=names)


def without_sound(videos: Videos) -> Videos:
    """Return videos whose sound is zeros."""
    assert videos.moments is not None
    batch = videos.moments.take(np.arange(len(videos)))
    values, features = batch.values.copy(), videos.features.copy()
    values[:, videos.space.slices["sound"]] = 0
    features[:, videos.space.slices["sound"]] = 0
    return replace(videos, features=features, moments=Moments.of(MomentBatch(values, batch.offsets)))


def models_of(fold: Fold) -> Models:
    """Train all models with all seeds."""
    return {kind: [fold.trained(kind, seed) for seed in SEEDS] for kind in (*OF_WHOLE_VIDEOS, *OVER_TIME)}


def qualities(folds: Sequence[Fold], models: Sequence[Models]) -> list[Quality]:
    """Judge the models; the intervals are of a paired bootstrap of the clips, the mean of all seeds in each."""
    truth_NL = np.concatenate([multi_hot(fold.judged, fold.label_ids) for fold in folds]).astype(np.bool_)
    rng = np.random.default_rng(0)
    drawn = [np.arange(len(truth_NL)), *rng.integers(len(truth_NL), size=(RESAMPLES, len(truth_NL)))]
    gaps, top1 = dict[ModelKind, NDArray[np.float64]](), dict[ModelKind, NDArray[np.float64]]()
    for kind in models[0]:
        scores = [
            np.concatenate([scores_of(found[kind][seed], fold) for fold, found in zip(folds, models, strict=True)])
            for seed in range(len(SEEDS))
        ]
        gaps[kind], top1[kind] = (_of_resamples(each, scores, truth_NL, drawn) for each in (gap, best_is_right))
    return [
        Quality(
            kind=kind,
            gap=float(gaps[kind][0]),
            top1=float(top1[kind][0]),
            gap_over_mean=interval(gaps[kind] - gaps[ModelKind.MEAN]),
            top1_over_mean=interval(top1[kind] - top1[ModelKind.MEAN]),
        )
        for kind in gaps
    ]


def scores_of(result: TrainingResult, fold: Fold) -> NDArray[np.float32]:
    """Return what a model says of the clips that are judged (N, L)."""
    return np.concatenate(list(predictions(result.classifier, fold.judged)))


def _of_resamples(
    figure: Figure,
    scores: Sequence[NDArray[np.float32]],
    truth_NL: NDArray[np.bool_],
    drawn: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Return the figure's mean over the seeds, of the clips of each draw (R,)."""
    return np.array([np.mean([figure(each[rows], truth_NL[rows]) for each in scores]) for rows in drawn], np.float64)


def interval(figures_R: NDArray[np.float64]) -> Interval:
    """Return the first figure, that of what was found, and the percentile interval of the others, of resamples."""
    low, high = np.quantile(figures_R[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(figures_R[0]), float(low), float(high))


def gap(scores_NL: NDArray[np.float32], truth_NL: NDArray[np.bool_]) -> float:
    """Return the global average precision of all pairs; there are fewer than 20 labels a clip."""
    hits = truth_NL.ravel()[np.argsort(-scores_NL.ravel(), kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].sum() / hits.sum())


def best_is_right(scores_NL: NDArray[np.float32], truth_NL: NDArray[np.bool_]) -> float:
    """Return how often the best label is right."""
    return float(np.take_along_axis(truth_NL, scores_NL.argmax(axis=1)[:, None], axis=1).mean())
