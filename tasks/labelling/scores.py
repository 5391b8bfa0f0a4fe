"""What models give for a video: scores over time, smoothed; the interface of such models, and several in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.features import FeatureSpace, Modality
from tasks.contracts.media import LabelSegment, MediaFacts, ModelRecord, TimeRange
from tasks.contracts.progress import Progress
from tasks.features.batches import FrameNetwork, Prepared
from tasks.features.extractor import Extractor, VideoFeatures, read_features
from tasks.labelling.config import LabelOptions
from tasks.video.config import MediaBounds
from tasks.video.decoding import Watch


@dataclass(frozen=True)
class SecondScores:
    """What a model says of a video: T sampled frames, L labels."""

    times_s: NDArray[np.float64]  # (T,) seconds, rising
    scores: NDArray[np.float32]  # (T, L) in [0, 1], not smoothed
    video_scores: NDArray[np.float32]  # (L,) in [0, 1], of the video as a whole
    facts: MediaFacts
    frames_read: int
    corrupt_frames: int
    match_score: float | None = None  # probability that the video is of the dataset's kind, where the model says
    is_silent: bool | None = None  # the sound could not be used; None: it was not looked at
    is_over_time: bool = False  # the model looks at the frames around each: there is nothing to smooth


def best_labels(scores: NDArray[np.float32], ids: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the columns of the best `count` of scores (…, L) as (…, count), best first, of equal ones the lower id."""
    by_id = np.argsort(ids, kind="stable")
    best = np.argsort(-scores[..., by_id], axis=-1, kind="stable")[..., :count]
    return by_id[best]


ROUNDING_S = 1e-6  # times are sums of fractions: a segment of one second may be a rounding shorter
COLUMNS_A_BLOCK = 128  # bounds the memory of the sums in float64


def smoothed(scores: NDArray[np.float32], window: int, *, centred: bool = False) -> NDArray[np.float32]:
    """Return, for each sampled frame, the mean of the scores over a window of them.

    Args:
        scores: (T, L) in [0, 1].
        window: predictions in the mean, K. Causal: the last K, its own among them, and at the beginning as
            many as there are. 1: the scores as they are.
        centred: (K - 1) // 2 frames back and K // 2 ahead; at both ends as many as there are.
    """
    if window == 1 or not len(scores):
        return scores
    first, last = _bounds(len(scores), window, centred=centred)
    counts = (last - first)[:, None]
    means = np.empty_like(scores)
    for column in range(0, scores.shape[1], COLUMNS_A_BLOCK):
        block = slice(column, column + COLUMNS_A_BLOCK)
        sums = np.zeros((len(scores) + 1, scores[:, block].shape[1]))
        np.cumsum(scores[:, block], axis=0, dtype=np.float64, out=sums[1:])
        means[:, block] = (sums[last] - sums[first]) / counts
    return np.clip(means, 0, 1, out=means)  # the difference of two sums may miss a bound by a rounding


def _bounds(count: int, window: int, *, centred: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each window's first frame and the one after its last."""
    places = np.arange(count)
    ahead = window // 2 if centred else 0
    return np.maximum(places - (window - 1 - ahead), 0), np.minimum(places + ahead + 1, count)


def sharpened(stretches: Sequence[tuple[int, int]], raw: NDArray[np.float32], window: int) -> list[tuple[int, int]]:
    """Return the stretches of one label with their edges where the scores change, which a centred mean smears.

    A mean over K frames crosses any threshold within K // 2 frames of a change. Among these, the edge is the one that
    makes a step from the level outside to the level inside fit best by least squares: the likeliest place of a change
    between two known levels (Hinkley 1970, doi:10.1093/biomet/57.1.1). The levels are medians, outside of the K frames
    next to the stretch, and 0 where the video begins or ends. Stretches that meet become one.

    Args:
        stretches: (first frame, the one after the last) of each, apart and in their order.
        raw: (T,) in [0, 1], not smoothed.
        window: K of the centred mean that they were found in; 1: they are as sharp as they can be.
    """
    found: list[tuple[int, int]] = []
    ends = [0, *(last for _, last in stretches)]
    begins = [*(first for first, _ in stretches), len(raw)]
    for number, (first, last) in enumerate(stretches):
        before, after, middle = ends[number], begins[number + 1], (first + last) // 2
        level = float(np.median(raw[first:last]))
        start = first - _growth(raw[before : middle + 1][::-1], middle + 1 - first, window, level)
        end = last + _growth(raw[middle:after], last - middle, window, level)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _growth(scores: NDArray[np.float32], inside: int, window: int, level: float) -> int:
    """Return how many frames further an edge belongs, negative: sooner.

    Args:
        scores: (n,) from the middle of a stretch outwards.
        inside: how many of them are in the stretch by now.
        window: K of the mean.
        level: inside of the stretch.
    """
    reach = window // 2
    beyond = scores[inside : inside + window]
    outside = float(np.median(beyond)) if len(beyond) else 0.0
    if outside >= level:
        return 0  # no step to find
    nearest = max(inside - reach, 1)  # the middle itself stays
    gains = np.cumsum(scores[nearest : inside + reach] - (level + outside) / 2, dtype=np.float64)
    return nearest + int(np.argmax(np.append(0.0, gains))) - inside


def snapped(segments: Sequence[LabelSegment], cuts_s: Sequence[float], within_s: float) -> tuple[LabelSegment, ...]:
    """Return segments whose edges lie at the nearest cut, where that is at most `within_s` away.

    A label is known at sampled frames alone, and what it names comes and goes with a cut between two of them. An edge
    stays where it is if nothing would be left of its segment.
    """
    cuts = np.asarray(cuts_s, np.float64)

    def near(time_s: float) -> float:
        nearest = cuts[np.abs(cuts - time_s).argmin()] if len(cuts) else np.inf
        return float(nearest) if abs(nearest - time_s) <= within_s + ROUNDING_S else time_s

    moved = []
    for each in segments:
        start_s, end_s = near(each.start_s), near(each.end_s)
        is_left = start_s < end_s
        moved.append(each.model_copy(update={"start_s": start_s, "end_s": end_s}) if is_left else each)
    return tuple(sorted(moved, key=lambda segment: (segment.start_s, segment.label_id)))


class Labeller(Protocol):
    """A model with all that lies between a file and its scores."""

    @property
    def record(self) -> ModelRecord:
        """What the model is, for manifests."""
        ...

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Ids of the L labels, in the order of the scores."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the L labels."""
        ...

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
        """Score every sampled frame of a video, or of a part of it, and that as a whole.

        `watch` hears of every frame that is decoded.

        Raises:
            VideoError: the file is no video or picture, is broken or is out of bounds.
        """
        ...


@runtime_checkable
class FeatureLabeller(Labeller, Protocol):
    """A model that says from features alone what a video shows, so that others may look at the same frames."""

    def extractor_at(self, rate_hz: float) -> Extractor:
        """Return what computes these features of so many sampled frames a second.

        Raises:
            ModelError: it looks at another number of frames.
        """
        ...

    def score_features(self, features: VideoFeatures, *, is_causal: bool = False) -> SecondScores:
        """Score every sampled frame of a video, and the video as a whole, by its features.

        A model over time that must be causal knows nothing of what comes after a sampled frame.
        """
        ...


def score_each(
    labellers: Sequence[Labeller],
    path: Path,
    bounds: MediaBounds,
    options: LabelOptions,
    progress: Progress | None = None,
    *,
    part: TimeRange | None = None,
    watch: Watch | None = None,
) -> list[SecondScores]:
    """Score a video with each model; those that look at features share what is decoded and computed for several.

    `watch` hears of every frame that is decoded, once.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
        ModelError: a model cannot label it as the options want.
    """
    if len(labellers) == 1:
        return [labellers[0].score(path, bounds, options, progress, part=part, watch=watch)]
    extractors = {
        number: each.extractor_at(options.rate_hz)
        for number, each in enumerate(labellers)
        if isinstance(each, FeatureLabeller)
    }
    by_space = {_key(extractor): extractor for extractor in extractors.values()}
    features: dict[str, VideoFeatures] = {}
    for together in _passes(list(by_space.values())):
        features |= _read_together(path, bounds, together, progress, part, watch)
        watch = None
    scored = list[SecondScores]()
    for number, each in enumerate(labellers):
        if isinstance(each, FeatureLabeller):
            scored.append(each.score_features(features[_key(extractors[number])], is_causal=not options.centred))
        else:
            scored.append(each.score(path, bounds, options, progress, part=part, watch=watch))
            watch = None
    return scored


def _key(extractor: Extractor) -> str:
    """Return what two extractors have in common whose features are the same."""
    return extractor.space.model_dump_json()


def _passes(extractors: Sequence[Extractor]) -> Iterator[list[Extractor]]:
    """Yield the extractors that share a pass: all that look at pictures alone, and one that listens; others alone."""
    listening = [each for each in extractors if each.sound_samples]
    first = [*listening[:1], *(each for each in extractors if not each.sound_samples)]
    yield from filter(None, [first, *([each] for each in listening[1:])])


def _read_together(
    path: Path,
    bounds: MediaBounds,
    extractors: Sequence[Extractor],
    progress: Progress | None,
    part: TimeRange | None,
    watch: Watch | None,
) -> dict[str, VideoFeatures]:
    """Compute the features of a video in several spaces in one pass; at most the first has sound."""
    if len(extractors) == 1:
        return {_key(extractors[0]): read_features(path, bounds, extractors[0], progress, part=part, watch=watch)}
    found = read_features(path, bounds, _Together(extractors), progress, part=part, watch=watch)
    no_sound = np.zeros((len(found.times_s), 0), np.float32)
    begin, features = 0, dict[str, VideoFeatures]()
    for each in extractors:
        end = begin + each.space.modalities[0].size
        of_sound = (
            {"sound": found.sound, "has_sound": found.has_sound, "is_silent": found.is_silent}
            if each.sound_samples
            else {"sound": no_sound, "has_sound": np.zeros_like(found.has_sound), "is_silent": None}
        )
        own: dict[str, Any] = {"space": each.space, "picture": found.picture[:, begin:end], "mean_s": each.mean_s}
        features[_key(each)], begin = replace(found, **own, **of_sound), end
    return features


class _Together:
    """Extractors as one: each frame is decoded once, and goes through the network of each. The first may have sound."""

    mean_s = None

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        first, size = extractors[0], sum(each.space.modalities[0].size for each in extractors)
        self._extractors = extractors
        self.records = tuple(record for each in extractors for record in each.records)
        self.sound_samples = first.sound_samples
        self.of_sound = first.of_sound
        self.space = FeatureSpace(
            name="together",
            modalities=(Modality(name="picture", size=size), *first.space.modalities[1:]),
            rate_hz=first.space.rate_hz,
            extractor=", ".join(each.space.name for each in extractors),
        )

    def frame_network(self) -> FrameNetwork:
        """Return a network of them all; what prepares frames for several is done once."""
        networks = [each.frame_network() for each in self._extractors]
        ways = list(dict.fromkeys(network.prepare for network in networks))
        taken = [ways.index(network.prepare) for network in networks]

        def prepare(image: NDArray[np.uint8]) -> Prepared:
            prepared = np.empty(len(ways), np.object_)  # of an array each, which differ in shape
            for number, way in enumerate(ways):
                prepared[number] = way(image)
            return prepared

        def run(frames: Sequence[Prepared]) -> NDArray[np.float32]:
            rows = [
                network.run([frame[number] for frame in frames])
                for network, number in zip(networks, taken, strict=True)
            ]
            return np.concatenate(rows, axis=1)

        columns = sum(network.columns for network in networks)
        size = min(network.batch_size for network in networks)
        return FrameNetwork(prepare, run, columns, size, networks[0].threads)
