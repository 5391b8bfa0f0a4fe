"""How late labels begin and end where real clips of different classes follow one another in one video.

The clips are those that no model has learnt from, joined by the project's own reader and writer of videos, so the times
of the cuts are known to a frame. Shapes: T moments, L labels, S stretches of one class.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.config import ModelKind
from tasks.classifier.fitted import FittedClassifier
from tasks.contracts.media import LabelSegment
from tasks.features.extractor import VideoFeatures, read_features
from tasks.features.shipped import EfficientNetExtractor
from tasks.labelling.config import LabelOptions
from tasks.labelling.label import end_of, find_segments
from tasks.labelling.scores import smoothed
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.writing import open_writer
from tests.benchmarks.study.clips import OVER_TIME, Fold, Interval, Models, interval

MOST_CLIPS = 3  # of a stretch
WIDTH, HEIGHT, FRAME_RATE = 320, 240, 25.0
GRID_S = 0.1  # at which is looked whether a label that holds is right
RESAMPLES = 2000

Labels = Sequence[tuple[int, str]]


@dataclass(frozen=True)
class Stretch:
    """Where a class is shown."""

    start_s: float
    end_s: float
    name: str

    def overlap_s(self, segment: LabelSegment) -> float:
        """Return for how long a segment holds in it."""
        return min(segment.end_s, self.end_s) - max(segment.start_s, self.start_s)


@dataclass(frozen=True)
class Joined:
    """A video of several classes, one after the other, and its features."""

    stretches: tuple[Stretch, ...]
    features: VideoFeatures

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Times of its moments (T,)."""
        return self.features.times_s

    @property
    def names(self) -> list[str]:
        """The classes that are shown."""
        return sorted({each.name for each in self.stretches})

    @property
    def end_s(self) -> float:
        """Where its last moment ends."""
        return end_of(self.features.facts, self.features.times_s, self.features.space.rate_hz)


@dataclass(frozen=True)
class Way:
    """A way from a video's features to its segments: a rolling mean over K moments, or a model over time."""

    name: str
    kind: ModelKind
    window: int | None = None  # K of the mean over what a model of single moments says; None: a model over time
    centred: bool = True

    def scores(self, classifier: FittedClassifier, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is said of each moment (T, L), not smoothed."""
        if self.window is None:
            return classifier.over_time(features, is_causal=not self.centred)
        return classifier.over_time(features, window_s=1.0)  # a moment by itself

    def segments(
        self, times_s: NDArray[np.float64], raw: NDArray[np.float32], labels: Labels, end_s: float
    ) -> tuple[LabelSegment, ...]:
        """Return the segments, as `reelsift label` finds them."""
        window = self.window or 1
        options = LabelOptions(window=window, centred=self.centred)
        means = smoothed(raw, window, centred=self.centred)
        return find_segments(times_s, means, labels, options, end_s, raw if self.centred else None)


MEANS = (1, 3, 5, 15)


def ways(*, centred: bool) -> list[Way]:
    """Return all ways that look ahead, or all that do not, as a stream must."""
    means = [Way("no mean (K = 1)" if k == 1 else f"mean, K = {k}", ModelKind.MEAN, k, centred) for k in MEANS]
    return means + [Way(f"{kind}, 5 s", kind, None, centred) for kind in OVER_TIME]


@dataclass
class Found:
    """What a way made of stretches; those of all videos and seeds are added up.

    Edges are those of the best label of each moment, so that a model's confidence does not count, in stretches of which
    it names more than half in one run; the begin and end of a video are no edges.
    """

    starts_s: dict[int, list[float]] = field(default_factory=dict)  # late: above 0; by stretch, one for each seed
    ends_s: dict[int, list[float]] = field(default_factory=dict)
    is_found: list[bool] = field(default_factory=list)
    best_is_right: list[float] = field(default_factory=list)  # shares of the videos' time
    right: list[float] = field(default_factory=list)  # the same: a label holds that is shown
    wrong: list[float] = field(default_factory=list)  # a label holds that is not

    def add(self, video: Joined, first: int, best: Sequence[LabelSegment], holding: Sequence[LabelSegment]) -> None:
        """Judge runs of the best label, and what holds, in a video whose stretches are numbered from `first` on."""
        for number, stretch in enumerate(video.stretches):
            overlaps = [(stretch.overlap_s(each), each) for each in best if each.name == stretch.name]
            longest_s, run = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
            self.is_found.append(longest_s > (stretch.end_s - stretch.start_s) / 2)
            if run is None or not self.is_found[-1]:
                continue
            if number:
                self.starts_s.setdefault(first + number, []).append(run.start_s - stretch.start_s)
            if number < len(video.stretches) - 1:
                self.ends_s.setdefault(first + number, []).append(run.end_s - stretch.end_s)
        times_s = np.arange(0, video.end_s, GRID_S) + GRID_S / 2
        shown, is_best, holds = (
            np.array([held(times_s, [each for each in spans if each.name == name]) for name in video.names])
            for spans in (video.stretches, best, holding)
        )
        self.best_is_right.append(float((is_best & shown).any(axis=0).mean()))
        self.right.append(float((holds & shown).any(axis=0).mean()))
        self.wrong.append(float((holds & ~shown).any(axis=0).mean()))

    def late_s(self) -> Interval:
        """By how much edges come late in the mean, with an interval by a bootstrap of the stretches."""
        return self._mean_of_edges(np.asarray)

    def off_s(self) -> Interval:
        """By how much edges are off in the mean, early or late."""
        return self._mean_of_edges(np.abs)

    def _mean_of_edges(self, measure: Callable[[list[float]], NDArray[np.float64]]) -> Interval:
        both = self.starts_s.keys() | self.ends_s.keys()
        edges = [measure([*self.starts_s.get(each, []), *self.ends_s.get(each, [])]) for each in sorted(both)]
        if not edges:
            return Interval(np.nan, np.nan, np.nan)
        sums, counts = np.array([each.sum() for each in edges]), np.array([len(each) for each in edges])
        rng = np.random.default_rng(0)
        drawn = [np.arange(len(sums)), *rng.integers(len(sums), size=(RESAMPLES, len(sums)))]
        return interval(np.array([sums[rows].sum() / counts[rows].sum() for rows in drawn]))


def held(times_s: NDArray[np.float64], spans: Sequence[Stretch | LabelSegment]) -> NDArray[np.bool_]:
    """Say at which times one of some spans holds."""
    found = np.zeros(len(times_s), np.bool_)
    for each in spans:
        found |= (times_s >= each.start_s) & (times_s < each.end_s)
    return found


def joined(fold: Fold, files: Mapping[str, Path], path: Path, seed: int) -> Joined:
    """Write a video of the clips of a fold that are judged, and look at it; `files` are those of clips by name."""
    clips = defaultdict[str, list[Path]](list)
    for video_id, label in zip(fold.judged.video_ids, fold.judged.label_ids.tolist(), strict=True):
        clips[fold.names[label]].append(files[video_id.rpartition("-")[0]])
    stretches = tuple(write_joined(path, in_order(clips, np.random.default_rng(seed))))
    return Joined(stretches, read_features(path, MediaBounds(), EfficientNetExtractor.open()))


def in_order(clips: Mapping[str, Sequence[Path]], rng: np.random.Generator) -> list[tuple[str, list[Path]]]:
    """Return stretches of one to three clips of a class, no two of one class in succession."""
    while True:
        stretches = list[tuple[str, list[Path]]]()
        for name, paths in clips.items():
            shuffled = [paths[n] for n in rng.permutation(len(paths))]
            while shuffled:
                count = int(rng.integers(1, MOST_CLIPS + 1))
                stretches.append((name, shuffled[:count]))
                shuffled = shuffled[count:]
        made = [stretches[n] for n in rng.permutation(len(stretches))]
        if all(one[0] != other[0] for one, other in pairwise(made)):
            return made


def write_joined(path: Path, stretches: Sequence[tuple[str, Sequence[Path]]]) -> Iterator[Stretch]:
    """Write clips one after the other, without their sound, and yield where each stretch is when it is written."""
    at_s = 0.0
    with open_writer(path, width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE, sound_of=None) as writer:
        for name, clips in stretches:
            start_s = at_s
            for clip in clips:
                begin_s = at_s
                with open_frames(clip, MediaBounds()) as reader:
                    for frame in reader:
                        writer.write(frame.image[:HEIGHT, :WIDTH], begin_s + frame.time_s, frame.duration_s)
                        at_s = begin_s + frame.time_s + (frame.duration_s or 1 / FRAME_RATE)
            yield Stretch(start_s, at_s, name)


def judged(videos: Sequence[Joined], models: Sequence[Models], way: Way) -> Found:
    """Judge a way on all videos, each by the models of its fold, of all seeds."""
    found, first = Found(), 0
    for video, of_fold in zip(videos, models, strict=True):
        for result in of_fold[way.kind]:
            add_scores(found, video, first, result.classifier, way)
        first += len(video.stretches)
    return found


def add_scores(found: Found, video: Joined, first: int, classifier: FittedClassifier, way: Way) -> None:
    """Add what a model says of a video."""
    raw = way.scores(classifier, video.features.per_second())
    labels = list(zip(classifier.label_ids, classifier.label_names, strict=True))
    segments = way.segments(video.times_s, raw, labels, video.end_s)
    found.add(video, first, best_runs(video, raw, labels, way), segments)


def best_runs(video: Joined, raw: NDArray[np.float32], labels: Labels, way: Way) -> tuple[LabelSegment, ...]:
    """Return the runs of the best label of each moment."""
    means = smoothed(raw, way.window or 1, centred=way.centred)
    is_best = np.eye(len(labels), dtype=np.float32)[means.argmax(axis=1)]
    return find_segments(video.times_s, is_best, labels, LabelOptions(window=1, shortest_s=0), video.end_s)


def perfect(videos: Sequence[Joined]) -> Found:
    """Judge a model that is always right about each moment, and knows nothing of the time between two."""
    found, first, way = Found(), 0, Way("perfect", ModelKind.MEAN, 1)
    for video in videos:
        shown = [held(video.times_s, [each for each in video.stretches if each.name == name]) for name in video.names]
        raw, labels = np.stack(shown, axis=1).astype(np.float32), list(enumerate(video.names))
        found.add(
            video, first, best_runs(video, raw, labels, way), way.segments(video.times_s, raw, labels, video.end_s)
        )
        first += len(video.stretches)
    return found
