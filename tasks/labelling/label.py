"""A video's labels over time, from its scores to the files of its folder.

In: a fetched video, a labeller, options. Out: `labels.json`, beside it `labels.parquet`, `labelled.mp4` and, where they
are asked for, `frames/`. Does not know how a video is scored.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from tasks.contracts.labels import (
    LABELLED_FRAMES_FOLDER,
    LABELLED_PICTURE_NAME,
    LABELLED_VIDEO_NAME,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    LabelScore,
    LabelsManifest,
)
from tasks.contracts.media import FetchedVideo, VideoRecord
from tasks.contracts.progress import Progress, Silent
from tasks.contracts.revision import code_revision
from tasks.contracts.staging import answer_digests, is_whole, staged
from tasks.labelling.annotate import draw_picture, keep_frames, write_annotated
from tasks.labelling.captions import Captions
from tasks.labelling.config import LabelOptions
from tasks.labelling.labeller import Labeller, SecondScores
from tasks.labelling.segments import end_of, find_segments
from tasks.labelling.smoothing import smoothed
from tasks.labelling.table import best_labels, write_table
from tasks.video.config import MediaBounds

LABELLING_VERSION = 3  # raise by hand when the same video, model and options give another answer
ANNOTATED_NAMES = {"video": LABELLED_VIDEO_NAME, "picture": LABELLED_PICTURE_NAME}
FILES = (LABELS_TABLE_NAME, LABELLED_VIDEO_NAME, LABELLED_PICTURE_NAME, LABELLED_FRAMES_FOLDER)

Labels = Sequence[tuple[int, str]]


def label_video(
    video: FetchedVideo,
    labeller: Labeller,
    options: LabelOptions,
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
) -> LabelsManifest:
    """Label a video over time, and leave the answer in its folder, in the place of an earlier one.

    Raises:
        VideoError: the file is no video or picture, is broken or is out of bounds.
        ModelError: the model cannot label it as the options want.
    """
    told = progress or Silent()
    scored = labeller.score(video.path, bounds, options, told)
    labels = list(zip(labeller.label_ids, labeller.label_names, strict=True))
    smooth = smoothed(scored.scores, options.window, centred=options.centred)
    manifest = _manifest(video, labeller, options, scored, smooth)
    with staged(folder, files=FILES, manifest=LABELS_NAME) as stage:
        held = frozenset(segment.label_id for segment in manifest.segments)
        write_table(stage / LABELS_TABLE_NAME, scored, smooth, labels, best=options.table_top, always=held)
        captions = Captions(scored.times_s, smooth, labels)
        if manifest.annotated_video:
            _draw(video.path, bounds, captions, stage / manifest.annotated_video, told)
        if options.keep_frames:
            keep_frames(video.path, bounds, captions, options.rate_hz, stage / LABELLED_FRAMES_FOLDER)
        manifest = manifest.model_copy(update={"files": answer_digests(stage, FILES)})
        (stage / LABELS_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def identity_of(video: FetchedVideo, labeller: Labeller, options: LabelOptions) -> str:
    """Return the sha256 of all that the answer depends on: content, model, options, and the version of this code."""
    parts = {
        "version": LABELLING_VERSION,
        "video": video.sha256,
        "model": labeller.record.model_dump(mode="json"),
        "options": options.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_labels(folder: Path, identity: str) -> LabelsManifest | None:
    """Return the answer of that identity which lies whole in a folder, or None."""
    try:
        manifest = LabelsManifest.model_validate_json((folder / LABELS_NAME).read_bytes())
    except (OSError, ValidationError):  # none, or not one: it is made anew
        return None
    if manifest.identity != identity or LABELS_TABLE_NAME not in manifest.files:
        return None
    return manifest if is_whole(folder, manifest.files) else None


def _draw(path: Path, bounds: MediaBounds, captions: Captions, destination: Path, progress: Progress) -> None:
    if destination.name == LABELLED_PICTURE_NAME:
        draw_picture(path, bounds, captions, destination)
    else:
        write_annotated(path, bounds, captions, destination, progress)


def _manifest(
    video: FetchedVideo,
    labeller: Labeller,
    options: LabelOptions,
    scored: SecondScores,
    smooth: NDArray[np.float32],
) -> LabelsManifest:
    labels = list(zip(labeller.label_ids, labeller.label_names, strict=True))
    end_s = end_of(scored.facts, scored.times_s, options.rate_hz)
    return LabelsManifest(
        identity=identity_of(video, labeller, options),
        video=VideoRecord.of(video, scored.facts, frames_read=scored.frames_read, corrupt_frames=scored.corrupt_frames),
        model=labeller.record,
        options=options.model_dump(mode="json"),
        seconds=len(scored.times_s),
        is_silent=scored.is_silent,
        match_score=scored.match_score,
        top=_top(scored.video_scores, labels, options.top_k),
        segments=find_segments(scored.times_s, smooth, labels, options, end_s),
        annotated_video=ANNOTATED_NAMES[scored.facts.kind] if options.annotate else None,
        code_revision=code_revision(),
    )


def _top(scores: NDArray[np.float32], labels: Labels, count: int) -> tuple[LabelScore, ...]:
    """Return the best labels of a video as a whole, best first; scores (L,)."""
    best = best_labels(scores, np.array([label_id for label_id, _ in labels], np.int32), count)
    return tuple(
        LabelScore(label_id=labels[column][0], name=labels[column][1], score=float(scores[column])) for column in best
    )
