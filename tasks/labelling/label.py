"""A video's labels over time: scores smoothed, made into segments and a table, and written to its folder."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import numbers, texts
from tasks.contracts.files import answer_digests, staged
from tasks.contracts.media import (
    LABELLED_FRAMES_FOLDER,
    LABELLED_PICTURE_NAME,
    LABELLED_VIDEO_NAME,
    LABELS,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    FetchedVideo,
    LabelScore,
    LabelSegment,
    LabelsManifest,
    MediaFacts,
    ModelLabels,
    Shots,
    Smoothing,
    TimeRange,
    VideoRecord,
)
from tasks.contracts.model import code_revision
from tasks.contracts.progress import Progress, Silent
from tasks.labelling.annotate import (
    MOST_SHOWN,
    Captions,
    CaptionsOfSeveral,
    draw_picture,
    keep_frames,
    write_annotated,
)
from tasks.labelling.config import LabelOptions
from tasks.labelling.scores import (
    ROUNDING_S,
    Labeller,
    SecondScores,
    best_labels,
    score_each,
    sharpened,
    smoothed,
    snapped,
)
from tasks.video.config import MediaBounds, ShotOptions
from tasks.video.decoding import Watch, all_of
from tasks.video.picture import is_picture
from tasks.video.shots import SHOTS_VERSION, ShotFinder


def find_segments(
    times_s: NDArray[np.float64],
    scores: NDArray[np.float32],
    labels: Sequence[tuple[int, str]],
    options: LabelOptions,
    end_s: float,
    raw: NDArray[np.float32] | None = None,
) -> tuple[LabelSegment, ...]:
    """Return the segments of all labels, by start, then by label.

    Without `raw` a label holds from `enter` until below `leave`, as one who watches live must decide. With it, as the
    whole video is known, a label holds as long as its score stays at `leave` or above and reaches `enter` somewhere
    (the two thresholds of Canny's edge detector), and each edge is put where the scores that are not smoothed say.

    Args:
        times_s: (T,) rising; times of the sampled frames.
        scores: (T, L) in [0, 1], smoothed.
        labels: id and name of each of the L labels.
        options: `enter`, `leave`, `shortest_s` and `bridge_s`.
        end_s: where the last sampled frame ends, at or after the last of `times_s`.
        raw: (T, L) in [0, 1], not smoothed; `scores` are their centred means.
    """
    edges_s = np.append(times_s, end_s)
    found = [
        LabelSegment(
            start_s=float(edges_s[first]),
            end_s=float(edges_s[last]),
            label_id=labels[column][0],
            name=labels[column][1],
            score=float(scores[first:last, column].mean(dtype=np.float64)),
        )
        for column in np.flatnonzero(scores.max(axis=0, initial=0) >= np.float32(options.enter)).tolist()
        for first, last in (
            _kept(scores[:, column], edges_s, options)
            if raw is None
            else _kept_of_whole(scores[:, column], raw[:, column], edges_s, options)
        )
    ]
    return tuple(sorted(found, key=lambda segment: (segment.start_s, segment.label_id)))


def hysteresis(scores: NDArray[np.float32], enter: float, leave: float) -> list[tuple[int, int]]:
    """Return (first frame, the one after the last) of each stretch in which one label holds; scores (T,)."""
    if not len(scores):
        return []
    # As float32, so that a score equal to a threshold is equal to it here as well.
    enters, leaves = scores >= np.float32(enter), scores < np.float32(leave)
    decided = np.where(enters | leaves, np.arange(len(scores)), 0)  # between the two, the last decision stands
    holds = enters[np.maximum.accumulate(decided)]
    return _runs(holds)


def _runs(holds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, the one after the last) of each run of True in (T,)."""
    changes = np.flatnonzero(np.diff(holds, prepend=False, append=False))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]


def end_of(facts: MediaFacts, times_s: NDArray[np.float64], rate_hz: float, part: TimeRange | None = None) -> float:
    """Return where the last sampled frame ends: a step later, or sooner with the video or its part.

    A picture lasts no time.
    """
    if facts.kind == "picture" or not len(times_s):
        return float(times_s[-1]) if len(times_s) else 0.0
    a_step_later_s = float(times_s[-1]) + 1 / rate_hz
    # A header may promise less than there is.
    ends_s = facts.duration_s if facts.duration_s and facts.duration_s > times_s[-1] else a_step_later_s
    return min(ends_s, a_step_later_s, part.end_s if part and part.end_s else math.inf)


def _kept(
    scores: NDArray[np.float32], edges_s: NDArray[np.float64], options: LabelOptions
) -> Iterator[tuple[int, int]]:
    """Yield a label's stretches, bridged and long enough."""
    whole_s = edges_s.copy()
    whole_s[-1] = max(edges_s[-1], edges_s[-2] + 1 / options.rate_hz)  # none is too short because the video ends
    shortest_s = min(options.shortest_s, whole_s[-1] - whole_s[0]) - ROUNDING_S
    for first, last in _bridged(hysteresis(scores, options.enter, options.leave), edges_s, options.bridge_s):
        if whole_s[last] - whole_s[first] >= shortest_s:
            yield first, last


def _kept_of_whole(
    scores: NDArray[np.float32], raw: NDArray[np.float32], edges_s: NDArray[np.float64], options: LabelOptions
) -> Iterator[tuple[int, int]]:
    """Yield a label's stretches where the whole video is known, sharpened, bridged and long enough.

    How long a label is seen is known from the first sampled frame that shows it to the last: one frame alone is no
    stretch of time.
    """
    held = [
        (first, last)
        for first, last in _runs(scores >= np.float32(options.leave))
        if scores[first:last].max() >= np.float32(options.enter)
    ]
    shortest_s = min(options.shortest_s, edges_s[-2] - edges_s[0]) - ROUNDING_S
    for first, last in _bridged(sharpened(held, raw, options.window), edges_s, options.bridge_s):
        if edges_s[last - 1] - edges_s[first] >= shortest_s:
            yield first, last


def _bridged(
    stretches: Sequence[tuple[int, int]], edges_s: NDArray[np.float64], bridge_s: float
) -> list[tuple[int, int]]:
    """Join stretches with a gap of at most `bridge_s` between them."""
    joined: list[tuple[int, int]] = []
    for first, last in stretches:
        if joined and bridge_s and edges_s[first] - edges_s[joined[-1][1]] <= bridge_s + ROUNDING_S:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


SCHEMA = pa.schema(
    [
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("label_id", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("smoothed", pa.float32(), nullable=False),
    ]
)
SEVERAL = SCHEMA.append(pa.field("model", pa.string(), nullable=False))  # where several models were asked
MOMENTS_A_GROUP = 1024  # bounds the memory of a group of rows


@dataclass(frozen=True)
class ModelScores:
    """What one model says of T sampled frames, and which of its L labels are kept of all of them."""

    model: str
    scored: SecondScores
    smoothed: NDArray[np.float32]  # (T, L)
    labels: Sequence[tuple[int, str]]  # (L,)
    always: frozenset[int]  # ids


def write_table(path: Path, models: Sequence[ModelScores], *, best: int) -> None:
    """Write each sampled frame's `best` labels by smoothed score, and those with an id in `always`, best first.

    Of several models, the rows of one follow those of the other, and a further column names the model.
    """
    schema = SCHEMA if len(models) == 1 else SEVERAL
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for each in models:
            for columns in _groups(each, best):
                names = [texts([each.model] * len(columns[0]))] if schema is SEVERAL else []
                writer.write_batch(pa.RecordBatch.from_arrays([*columns, *names], schema=schema))


def _groups(each: ModelScores, best: int) -> Iterator[list[pa.Array]]:
    """Yield the columns of a model's rows, those of some frames at a time."""
    ids = np.array([label_id for label_id, _ in each.labels], np.int32)
    names = [name for _, name in each.labels]
    kept_always = np.isin(ids, list(each.always))
    for first in range(0, len(each.smoothed), MOMENTS_A_GROUP):
        group = slice(first, first + MOMENTS_A_GROUP)
        rows, columns = _chosen(each.smoothed[group], ids, best, kept_always)
        yield [
            numbers(each.scored.times_s[group][rows], pa.float64()),
            numbers(ids[columns], pa.int32()),
            texts([names[column] for column in columns]),
            numbers(each.scored.scores[group][rows, columns], pa.float32()),
            numbers(each.smoothed[group][rows, columns], pa.float32()),
        ]


def _chosen(
    smoothed: NDArray[np.float32], ids: NDArray[np.int32], best: int, always: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of what is kept, by row, then by falling score, then by label."""
    kept = np.broadcast_to(always, smoothed.shape).copy()
    np.put_along_axis(kept, best_labels(smoothed, ids, best), values=True, axis=1)
    rows, columns = np.nonzero(kept)
    order = np.lexsort((ids[columns], -smoothed[rows, columns], rows))
    return rows[order], columns[order]


LABELLING_VERSION = 4  # raise by hand when the same video, model and options give another answer
ANNOTATED_NAMES = {"video": LABELLED_VIDEO_NAME, "picture": LABELLED_PICTURE_NAME}

Labels = Sequence[tuple[int, str]]


@dataclass(frozen=True)
class _Said:
    """What one model says of a video."""

    labeller: Labeller
    scored: SecondScores
    smooth: NDArray[np.float32]
    smoothing: Smoothing

    @classmethod
    def of(cls, labeller: Labeller, scored: SecondScores, options: LabelOptions) -> "_Said":
        """Smooth what it says as the options want."""
        if scored.is_over_time:
            return cls(labeller, scored, scored.scores, "model")
        named: Smoothing = "none" if options.window == 1 else "centred mean" if options.centred else "causal mean"
        smooth = smoothed(scored.scores, options.window, centred=options.centred)
        return cls(labeller, scored, smooth, named)

    @property
    def labels(self) -> Labels:
        return list(zip(self.labeller.label_ids, self.labeller.label_names, strict=True))

    def answer(self, options: LabelOptions, part: TimeRange | None) -> ModelLabels:
        end_s = end_of(self.scored.facts, self.scored.times_s, options.rate_hz, part)
        if self.scored.is_over_time:
            options = options.model_copy(update={"window": 1})  # no mean has smeared its edges
        return ModelLabels(
            model=self.labeller.record,
            is_silent=self.scored.is_silent,
            match_score=self.scored.match_score,
            top=_top(self.scored.video_scores, self.labels, options.top_k),
            segments=find_segments(
                self.scored.times_s,
                self.smooth,
                self.labels,
                options,
                end_s,
                raw=self.scored.scores if options.centred else None,
            ),
            smoothing=self.smoothing,
        )


def label_video(
    video: FetchedVideo,
    labeller: Labeller,
    options: LabelOptions,
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
    *,
    others: Sequence[Labeller] = (),
    chosen: str | None = None,
    shots: ShotOptions | None = None,
    watch: Watch | None = None,
) -> LabelsManifest:
    """Label a video over time, and leave the answer in its folder, in the place of an earlier one.

    `others` are further models that say of the same frames what they show; `chosen` tells why the model was taken. With
    `shots`, which name a detector, the video's shots are found on the way; `watch` hears of every frame.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
        ModelError: a model cannot label it as the options want.
    """
    told, labellers = progress or Silent(), (labeller, *others)
    finder = ShotFinder(shots) if shots and not is_picture(video.path) else None
    scored = score_each(labellers, video.path, bounds, options, told, part=video.part, watch=all_of(finder, watch))
    said = [_Said.of(one, scores, options) for one, scores in zip(labellers, scored, strict=True)]
    manifest = _manifest(video, said, options, chosen, shots, finder.shots() if finder else None)
    with staged(folder, files=LABELS.file_names, manifest=LABELS_NAME) as stage:
        write_table(stage / LABELS_TABLE_NAME, list(_rows(said, manifest)), best=options.table_top)
        captions = _captions(said, manifest)
        if manifest.annotated_video:
            _draw(video, bounds, captions, stage / manifest.annotated_video, told)
        if options.keep_frames:
            frames = stage / LABELLED_FRAMES_FOLDER
            keep_frames(video.path, bounds, captions, options.rate_hz, frames, part=video.part)
        manifest = manifest.model_copy(update={"files": answer_digests(stage, LABELS.file_names)})
        (stage / LABELS_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def identity_of_labels(
    video: FetchedVideo,
    labeller: Labeller,
    options: LabelOptions,
    others: Sequence[Labeller] = (),
    shots: ShotOptions | None = None,
) -> str:
    """Return the sha256 of all that the answer depends on: content, models, options, and the version of this code."""
    parts: dict[str, object] = {
        "version": LABELLING_VERSION,
        "video": video.sha256,
        "model": labeller.record.model_dump(mode="json"),
        "options": options.model_dump(mode="json"),
    }
    if video.part:
        parts["part"] = video.part.model_dump(mode="json")
    if shots:
        parts["shots"] = [SHOTS_VERSION, shots.model_dump(mode="json"), shots.bound]
    if others:
        parts["others"] = [each.record.model_dump(mode="json") for each in others]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _rows(said: Sequence[_Said], manifest: LabelsManifest) -> Iterator[ModelScores]:
    for each, answer in zip(said, manifest.by_model.values(), strict=True):
        held = frozenset(segment.label_id for segment in answer.segments)
        yield ModelScores(answer.model.name, each.scored, each.smooth, each.labels, held)


def _captions(said: Sequence[_Said], manifest: LabelsManifest) -> Captions:
    """Return what is drawn: of one model its best labels, of several fewer of each, with its name."""
    is_picture = manifest.video.media.kind == "picture"
    captions = [
        Captions(
            each.scored.times_s,
            each.smooth,
            each.labels,
            segments=None if is_picture else answer.segments,
            most=max(1, MOST_SHOWN // len(said)),
            model=each.labeller.record.name if len(said) > 1 else None,
        )
        for each, answer in zip(said, manifest.by_model.values(), strict=True)
    ]
    return captions[0] if len(captions) == 1 else CaptionsOfSeveral(captions)


def _draw(video: FetchedVideo, bounds: MediaBounds, captions: Captions, destination: Path, progress: Progress) -> None:
    if destination.name == LABELLED_PICTURE_NAME:
        draw_picture(video.path, bounds, captions, destination)
    else:
        write_annotated(video.path, bounds, captions, destination, progress, part=video.part)


def _manifest(
    video: FetchedVideo,
    said: Sequence[_Said],
    options: LabelOptions,
    chosen: str | None,
    shots: ShotOptions | None,
    found: Shots | None,
) -> LabelsManifest:
    first, scored, answers = said[0], said[0].scored, [each.answer(options, video.part) for each in said]
    if shots and shots.snap and found:
        step_s = 1 / options.rate_hz
        answers = [
            each.model_copy(update={"segments": snapped(each.segments, found.cuts_s, step_s)}) for each in answers
        ]
    answer, *others = answers
    return LabelsManifest(
        identity=identity_of_labels(video, first.labeller, options, [each.labeller for each in said[1:]], shots),
        video=VideoRecord.of(video, scored.facts, frames_read=scored.frames_read, corrupt_frames=scored.corrupt_frames),
        **{name: getattr(answer, name) for name in ModelLabels.model_fields},
        options=options.model_dump(mode="json"),
        seconds=len(scored.times_s),
        others=tuple(others),
        chosen=chosen,
        shots=found,
        annotated_video=ANNOTATED_NAMES[scored.facts.kind] if options.annotate else None,
        code_revision=code_revision(),
    )


def _top(scores: NDArray[np.float32], labels: Labels, count: int) -> tuple[LabelScore, ...]:
    """Return the best labels of a video as a whole, best first; scores (L,)."""
    best = best_labels(scores, np.array([label_id for label_id, _ in labels], np.int32), count)
    return tuple(
        LabelScore(label_id=labels[column][0], name=labels[column][1], score=float(scores[column])) for column in best
    )
