"""Folders of videos as labelling and detecting write them: manifests, tables, small real videos and pictures."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.contracts.files import write_text
from tasks.contracts.media import (
    DETECTED_PICTURE_NAME,
    DETECTED_VIDEO_NAME,
    LABELLED_VIDEO_NAME,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    THUMBNAILS_FOLDER,
    DetectorRecord,
    LabelScore,
    LabelSegment,
    LabelsManifest,
    MediaFacts,
    ModelLabels,
    ModelRecord,
    ObjectsManifest,
    ObjectTrack,
    VideoRecord,
    WeightsRecord,
)
from tasks.detection.boxes import pack_mask
from tasks.detection.table import OBJECTS

WIDTH, HEIGHT, FRAME_RATE, DURATION_S = 160, 90, 10, 6.0
CLASS_NAMES = ("bottle", "cup", "person", "hot dog")
COLOURS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8")
NAMES = ("espresso", "hotdog", "banana")


def video_record(kind: str = "video", *, title: str = "A belt with bottles", **changes: object) -> VideoRecord:
    """A video of 6 s, or a picture."""
    is_video = kind == "video"
    media = MediaFacts(
        kind="video" if is_video else "picture",
        width=WIDTH,
        height=HEIGHT,
        duration_s=DURATION_S if is_video else None,
        frame_rate=FRAME_RATE if is_video else None,
        codec="h264" if is_video else "png",
        has_sound=is_video,
    )
    known = {"source": "https://example.org/belt.mp4", "title": title, "sha256": "ab" * 32, "size_bytes": 123_456}
    return VideoRecord.model_validate(
        {**known, "media": media, "frames_read": 60 if is_video else 1, "corrupt_frames": 0, **changes}
    )


def write_labels(
    folder: Path,
    record: VideoRecord | None = None,
    *,
    names: Sequence[str] = NAMES,
    segments: Sequence[LabelSegment] | None = None,
    annotate: bool = True,
    **changes: object,
) -> LabelsManifest:
    """Labels that follow one another, each for two seconds."""
    record = record or video_record()
    is_video = record.media.kind == "video"
    following = [
        LabelSegment(start_s=2.0 * place, end_s=2.0 * place + 2, label_id=place, name=name, score=0.9)
        for place, name in enumerate(names)
    ]
    manifest = LabelsManifest.model_validate(
        {
            "identity": "12" * 32,
            "video": record,
            "model": ModelRecord(
                name="cooking/3",
                feature_space="yt8m-video-2018",
                weights=(WeightsRecord(name="inception-2015", file_name="graph.pb", sha256="cd" * 32),),
                dataset_id="ds-0123456789ab",
                run_id="0f" * 16,
            ),
            "options": {"rate_hz": 1.0, "window": 3},
            "seconds": 6 if is_video else 1,
            "is_silent": False,
            "match_score": 0.93,
            "top": [LabelScore(label_id=place, name=name, score=0.9 / (place + 1)) for place, name in enumerate(names)],
            "segments": (following if segments is None else segments) if is_video else [],
            "annotated_video": LABELLED_VIDEO_NAME if annotate and is_video else None,
            "code_revision": "0.1.0+abcdef012345",
            **changes,
        }
    )
    write_scores(folder / LABELS_TABLE_NAME, names, manifest.seconds, list(manifest.by_model))
    if manifest.annotated_video:
        write_clip(folder / manifest.annotated_video, blue=200)
    write_text(folder / LABELS_NAME, manifest.model_dump_json())
    return manifest


def other_labels(model: str, names: Sequence[str] = NAMES) -> ModelLabels:
    """What another model says: the same labels, one every third second, and the last one first."""
    order = tuple(reversed(range(len(names))))
    return ModelLabels(
        model=ModelRecord(name=model, feature_space="efficientnet-lite0", weights=()),
        top=tuple(LabelScore(label_id=place, name=names[place], score=0.8 / (place + 1)) for place in order),
        segments=tuple(
            LabelSegment(start_s=2.0 * turn, end_s=2.0 * turn + 1, label_id=place, name=names[place], score=0.8)
            for turn, place in enumerate(order)
        ),
    )


def write_scores(path: Path, names: Sequence[str], seconds: int, models: Sequence[str] = ("one",)) -> None:
    """A score of .9 for a label in its two seconds, else of .05; of another model, the other way round in time."""
    moments = [(float(second), place) for second in range(seconds) for place in range(len(names))]
    scores = [0.9 if int(time_s) // 2 == place else 0.05 for time_s, place in moments]
    turned = [0.8 if len(names) - 1 - int(time_s) // 2 == place else 0.05 for time_s, place in moments]
    columns = {
        "time_s": pa.array([time_s for time_s, _ in moments] * len(models), pa.float64()),
        "label_id": pa.array([place for _, place in moments] * len(models), pa.int32()),
        "name": pa.array([names[place] for _, place in moments] * len(models), pa.string()),
        "score": pa.array(scores + turned * (len(models) - 1), pa.float32()),
        "smoothed": pa.array(scores + turned * (len(models) - 1), pa.float32()),
    }
    if len(models) > 1:
        columns["model"] = pa.array([model for model in models for _ in moments], pa.string())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def write_objects(
    folder: Path, record: VideoRecord | None = None, *, tracks: int = 5, annotate: bool = True, thumbnails: bool = True
) -> ObjectsManifest:
    """Objects of four classes, each a little later than the one before."""
    record = record or video_record()
    made = [_track(folder, number, tracks, record, thumbnails=thumbnails) for number in range(tracks)]
    names = [track.class_name for track in made]
    annotated = DETECTED_VIDEO_NAME if record.media.kind == "video" else DETECTED_PICTURE_NAME
    manifest = ObjectsManifest(
        identity="34" * 32,
        video=record,
        detector=DetectorRecord(
            name="yolox-nano",
            weights=WeightsRecord(name="yolox-nano", file_name="yolox_nano.onnx", sha256="ef" * 32),
            device="cpu",
            speed="normal",
            has_masks=False,
        ),
        options={"min_score": 0.3, "classes": []},
        boxes=sum(track.boxes for track in made),
        counts={name: names.count(name) for name in sorted(set(names), key=lambda name: -names.count(name))},
        tracks=tuple(made),
        stage_seconds={"decode": 0.4, "detect": 1.9, "track": 0.1, "draw": 0.2, "encode": 0.6},
        wall_seconds=2.4,
        annotated=annotated if annotate else None,
        code_revision="0.1.0+abcdef012345",
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(OBJECTS.empty_table(), folder / OBJECTS_TABLE_NAME)
    if annotate and record.media.kind == "video":
        write_clip(folder / annotated, blue=40)
    elif annotate:
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 120, np.uint8)).save(folder / annotated)
    write_text(folder / OBJECTS_NAME, manifest.model_dump_json())
    return manifest


def write_clip(path: Path, *, blue: int, duration_s: float = DURATION_S) -> None:
    """A real video: a light bar that moves over a ground of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FRAME_RATE)
        for number in range(round(duration_s * FRAME_RATE)):
            image = np.full((HEIGHT, WIDTH, 3), (30, 60, blue), np.uint8)
            left = number * (WIDTH - 10) // round(duration_s * FRAME_RATE)
            image[:, left : left + 10] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def _track(folder: Path, number: int, tracks: int, record: VideoRecord, *, thumbnails: bool) -> ObjectTrack:
    whole_s = record.media.duration_s or 0.0
    place = number % len(CLASS_NAMES) if number < tracks // 2 else 0
    start_s = round(whole_s * number / (tracks + 1), 2)
    name = f"{THUMBNAILS_FOLDER}/{number:04d}.jpg"
    if thumbnails:
        (folder / THUMBNAILS_FOLDER).mkdir(parents=True, exist_ok=True)
        colour = tuple(bytes.fromhex(COLOURS[place][1:]))
        Image.new("RGB", (48, 36), colour).save(folder / name)
    return ObjectTrack(
        track_id=number,
        class_id=place,
        class_name=CLASS_NAMES[place],
        score=0.8,
        start_s=start_s,
        end_s=min(start_s + 1.5, whole_s),
        boxes=15 + number,
        best_time_s=min(start_s + 0.5, whole_s),
        best_box=(10.0 + number % 50, 10.0, 60.0 + number % 50, 70.0),
        thumbnail=name if thumbnails else None,
        colour=COLOURS[place],
    )


def write_boxes(folder: Path, manifest: ObjectsManifest, *, masks: bool = False, tracked: bool = True) -> pa.Table:
    """Give the tracks of a manifest their rows in objects.parquet, a box for every second frame, and return these."""
    rows = [
        {
            "frame": frame,
            "time_s": frame / FRAME_RATE,
            "track_id": track.track_id if tracked else -1,
            "class_id": track.class_id,
            "class_name": track.class_name,
            "score": 0.5 + frame / 1000,
            "x_min": track.best_box[0] + frame / 3,
            "y_min": track.best_box[1] + track.track_id / 7,
            "x_max": track.best_box[2] + frame / 3 + 0.1,
            "y_max": track.best_box[3] + track.track_id / 7,
            "mask": pack_mask(_disc(track.track_id)) if masks else None,
            "carried": frame % 4 == 2,
        }
        for track in manifest.tracks
        for frame in range(round(track.start_s * FRAME_RATE / 2) * 2, round(track.end_s * FRAME_RATE) + 1, 2)
    ]
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: (row["frame"], row["track_id"])), schema=OBJECTS)
    pq.write_table(table, folder / OBJECTS_TABLE_NAME)
    return table


def _disc(number: int) -> np.ndarray:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return (rows - 40) ** 2 + (columns - 40 - number) ** 2 < (8 + number) ** 2
