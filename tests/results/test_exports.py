"""Exports, each read by a program of its own kind: boxes, times and names are those of the result."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] - it has no stubs
from PIL import Image

from tasks.contracts.errors import ExportError, OutputError
from tasks.contracts.media import LABELS_NAME, OBJECTS_NAME, LabelSegment, LabelsManifest, ObjectsManifest, Shot, Shots
from tasks.detection.boxes import unpack_mask
from tasks.detection.table import OBJECTS
from tasks.results.boxes import ExportedResult
from tasks.results.exports import RESULT_FORMATS, ResultFormat, export_results, find_result
from tasks.results.times import google_video_intelligence
from tests.support.reports import (
    CLASS_NAMES,
    HEIGHT,
    WIDTH,
    other_labels,
    video_record,
    write_boxes,
    write_labels,
    write_objects,
)

TOLERANCE = 1e-4  # pixels: coordinates are float32


class Belt:
    """A result of labels and objects, and what lies in it."""

    def __init__(self, folder: Path, *, masks: bool = False) -> None:
        self.folder = folder
        self.labels: LabelsManifest = write_labels(folder, annotate=False, others=[other_labels("kitchen/1")])
        self.objects: ObjectsManifest = write_objects(folder, annotate=False, thumbnails=False)
        self.table: pa.Table = write_boxes(folder, self.objects, masks=masks)
        self.rows = self.table.to_pylist()

    def export(self, name: ResultFormat) -> str:
        """Return a format of one file."""
        written = io.StringIO()
        assert export_results([find_result(str(self.folder), self.folder)], name, stdout=written) == []
        return written.getvalue()

    def write(self, name: ResultFormat, out: Path) -> list[Path]:
        return export_results([find_result(str(self.folder), self.folder)], name, out)


def boxes_of(rows: list[dict[str, object]]) -> np.ndarray:
    """Return (n, 4): x_min, y_min, x_max, y_max."""
    return np.array([[row[side] for side in ("x_min", "y_min", "x_max", "y_max")] for row in rows], np.float64)


@pytest.fixture
def belt(tmp_path: Path) -> Belt:
    return Belt(tmp_path / "videos" / "belt-1")


@pytest.fixture
def masked(tmp_path: Path) -> Belt:
    return Belt(tmp_path / "videos" / "belt-2", masks=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, under NumPy 2
def test_pycocotools_reads_coco(masked: Belt, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    (path,) = masked.write("coco", tmp_path / "belt.json")
    coco = COCO(path)
    annotations: list[Any] = coco.loadAnns(coco.getAnnIds())
    images: dict[int, Any] = {image["id"]: image for image in coco.loadImgs(coco.getImgIds())}
    names = {each["id"]: each["name"] for each in coco.loadCats(coco.getCatIds())}
    found = np.array([each["bbox"] for each in annotations])
    found[:, 2:] += found[:, :2]
    assert np.abs(found - boxes_of(masked.rows)).max() < TOLERANCE
    for each, row in zip(annotations, masked.rows, strict=True):
        assert names[each["category_id"]] == row["class_name"]
        assert (each["image_id"], images[each["image_id"]]["time_s"]) == (row["frame"], row["time_s"])
        assert (each["track_id"], each["carried"]) == (row["track_id"], row["carried"])
        assert np.float32(each["score"]) == np.float32(row["score"])
        assert {images[each["image_id"]][side] for side in ("width", "height")} == {WIDTH, HEIGHT}
    row = masked.rows[7]
    mask = unpack_mask(row["mask"])
    assert np.array_equal(coco.annToMask(annotations[7]), mask)
    assert annotations[7]["area"] == mask.sum()


def test_supervision_reads_coco_and_yolo(belt: Belt, tmp_path: Path) -> None:
    from supervision import DetectionDataset

    (path,) = belt.write("coco", tmp_path / "belt.json")
    written = belt.write("yolo", tmp_path / "yolo")
    assert {each.relative_to(tmp_path / "yolo").parts[0] for each in written} == {"data.yaml", "labels"}
    images = tmp_path / "yolo" / "images"
    images.mkdir()
    for label in (tmp_path / "yolo" / "labels").iterdir():
        Image.new("RGB", (WIDTH, HEIGHT)).save(images / f"{label.stem}.jpg")
    yolo: dict[str, Any] = {
        "images_directory_path": str(images),
        "annotations_directory_path": str(tmp_path / "yolo" / "labels"),
        "data_yaml_path": str(tmp_path / "yolo" / "data.yaml"),
    }
    for dataset in (
        DetectionDataset.from_coco(images_directory_path=str(images), annotations_path=str(path)),
        DetectionDataset.from_yolo(**yolo),
    ):
        assert len(dataset.annotations) == len({row["frame"] for row in belt.rows})
        for image, detections in dataset.annotations.items():
            assert detections.class_id is not None
            frame = int(Path(image).stem.rpartition("-")[2])
            rows = [row for row in belt.rows if row["frame"] == frame]
            assert np.abs(detections.xyxy - boxes_of(rows)).max() < 1e-3
            assert [dataset.classes[each] for each in detections.class_id.tolist()] == [
                row["class_name"] for row in rows
            ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, under pandas 3
def test_motmetrics_reads_mot(belt: Belt, tmp_path: Path) -> None:
    import motmetrics

    written = belt.write("mot", tmp_path / "mot")
    names = [path.relative_to(tmp_path / "mot").as_posix() for path in written]
    assert names == ["belt-1/gt/gt.txt", "belt-1/gt/labels.txt", "belt-1/seqinfo.ini"]
    frame = motmetrics.io.loadtxt(written[0], fmt=motmetrics.io.Format.MOT16).reset_index()
    classes = written[1].read_text().splitlines()
    found = frame[["X", "Y", "Width", "Height"]].to_numpy()
    found[:, 2:] += found[:, :2]
    assert np.abs(found - boxes_of(belt.rows)).max() < TOLERANCE
    assert list(frame["FrameId"] - 1) == [row["frame"] for row in belt.rows]
    assert list(frame["Id"]) == [row["track_id"] for row in belt.rows]
    assert [classes[number - 1] for number in frame["ClassId"].astype(int)] == [row["class_name"] for row in belt.rows]
    assert np.allclose(frame["Confidence"], [row["score"] for row in belt.rows], atol=1e-6)
    assert "frameRate=10.0\nseqLength=60\nimWidth=160\nimHeight=90\n" in written[2].read_text()


def test_cvat_is_what_cvat_documents(belt: Belt) -> None:
    """https://docs.cvat.ai/docs/dataset_management/formats/xml_format/."""
    root = etree.fromstring(belt.export("cvat").encode())
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    task = root.find("meta/task")
    assert task is not None
    assert (task.findtext("mode"), task.findtext("size"), task.findtext("stop_frame")) == ("interpolation", "60", "59")
    assert (task.findtext("original_size/width"), task.findtext("original_size/height")) == (str(WIDTH), str(HEIGHT))
    labels = [each.findtext("name") for each in task.findall("labels/label")]
    boxes = []
    for track in root.findall("track"):
        assert set(track.attrib) == {"id", "label", "source"}
        assert track.get("label") in labels
        shown = [(int(box.get("frame", "")), box.get("outside")) for box in track]
        assert shown == sorted(shown)
        assert shown[-1][1] == "1" or shown[-1][0] + 2 > 59  # it ends, or the video does
        for box in track:
            assert {"frame", "outside", "occluded", "keyframe", "xtl", "ytl", "xbr", "ybr", "z_order"} == set(
                box.attrib
            )
            if box.get("outside") == "0":
                sides = [float(box.get(side, "")) for side in ("xtl", "ytl", "xbr", "ybr")]
                boxes.append((int(box.get("frame", "")), track.get("label"), *sides))
    expected = [
        (row["frame"], row["class_name"], *box) for row, box in zip(belt.rows, boxes_of(belt.rows), strict=True)
    ]
    assert len(boxes) == len(expected)
    for found, known in zip(sorted(boxes), sorted(expected), strict=True):
        assert found[:2] == known[:2]
        assert np.abs(np.array(found[2:]) - np.array(known[2:])).max() < TOLERANCE


def test_a_track_that_is_lost_is_outside_until_it_is_found(belt: Belt) -> None:
    import pyarrow.parquet as pq

    number = belt.objects.tracks[0].track_id
    kept = [row for row in belt.rows if row["track_id"] != number or row["frame"] not in {4, 6, 8}]
    pq.write_table(pa.Table.from_pylist(kept, schema=belt.table.schema), belt.folder / "objects.parquet")
    track = etree.fromstring(belt.export("cvat").encode()).findall("track")[0]
    shown = [(box.get("frame"), box.get("outside")) for box in track]
    assert shown[:4] == [("0", "0"), ("2", "0"), ("4", "1"), ("10", "0")]


def test_webvtt_py_reads_webvtt(belt: Belt) -> None:
    import webvtt

    cues = [
        (cue.identifier, cue.start_in_seconds, cue.start, cue.end, cue.text)
        for cue in webvtt.from_buffer(io.StringIO(belt.export("webvtt")))
    ]
    expected = [
        (f"label {model}", each.start_s, each.end_s, each.name)
        for model, answer in belt.labels.by_model.items()
        for each in answer.segments
    ] + [(f"track {each.track_id}", each.start_s, each.end_s, each.class_name) for each in belt.objects.tracks]
    known = [
        (name, int(start_s), f"00:00:{start_s:06.3f}", f"00:00:{end_s:06.3f}", text)
        for name, start_s, end_s, text in sorted(expected, key=lambda each: each[1:3])
    ]
    assert cues == known


def test_webvtt_holds_no_markup_of_a_stranger(tmp_path: Path) -> None:
    segment = LabelSegment(start_s=0, end_s=0, label_id=0, name="<c>a --> b\n\n& \x1b[31mred", score=0.9)
    write_labels(tmp_path / "x", segments=[segment], annotate=False)
    written = io.StringIO()
    export_results([find_result(str(tmp_path / "x"), tmp_path)], "webvtt", stdout=written)
    assert written.getvalue().splitlines()[2:] == [
        "label cooking/3",
        "00:00:00.000 --> 00:00:00.001",
        "&lt;c&gt;a --&gt; b &amp; red",
    ]


def chapters(folder: Path, *segments: tuple[float, float, str, float], duration_s: float = 3700.0) -> list[str]:
    media = video_record().media.model_copy(update={"duration_s": duration_s})
    made = [
        LabelSegment(start_s=start_s, end_s=end_s, label_id=number, name=name, score=score)
        for number, (start_s, end_s, name, score) in enumerate(segments)
    ]
    write_labels(folder, video_record(media=media), segments=made, annotate=False)
    written = io.StringIO()
    export_results([find_result(str(folder), folder)], "chapters", stdout=written)
    return written.getvalue().splitlines()


def test_chapters_follow_the_rules_of_youtube(tmp_path: Path) -> None:
    """The first at 0:00, three or more, ascending, each of ten seconds at least."""
    lines = chapters(
        tmp_path / "talk",
        (4.0, 30.0, "intro", 0.9),
        (30.0, 33.0, "a flash", 0.9),  # joins its longer neighbour
        (33.0, 300.5, "cooking", 0.8),
        (100.0, 130.0, "frying", 0.9),  # surer than what it lies in
        (290.0, 3600.0, "eating", 0.5),
        (3605.0, 3690.0, "the <end>", 0.9),
    )
    assert lines == ["0:00 intro", "0:30 cooking", "1:40 frying", "2:10 cooking", "5:00 eating", "1:00:05 the (end)"]
    times = [[int(part) for part in line.partition(" ")[0].split(":")] for line in lines]
    seconds = [sum(part * 60**power for power, part in enumerate(reversed(parts))) for parts in times]
    assert seconds[0] == 0
    assert min(np.diff([*seconds, 3700])) >= 10


@pytest.mark.parametrize(
    ("segments", "made"),
    [
        ([], 0),
        ([(0.0, 20.0, "a", 0.9)], 1),
        ([(0.0, 12.0, "a", 0.9), (12.0, 25.0, "b", 0.9), (25.0, 30.0, "c", 0.9)], 2),
    ],
)
def test_too_few_chapters_are_refused(
    tmp_path: Path, segments: list[tuple[float, float, str, float]], made: int
) -> None:
    with pytest.raises(ExportError, match=f"make {made} chapters? of 10 s or more, and YouTube takes 3 at least"):
        chapters(tmp_path / "short", *segments, duration_s=30.0)


def test_google_s_protobuf_reads_its_json(belt: Belt) -> None:
    from google.cloud.videointelligence import AnnotateVideoResponse

    (result,) = AnnotateVideoResponse.from_json(belt.export("google-video-intelligence")).annotation_results
    assert result.input_uri == belt.labels.video.source
    assert (result.segment.start_time_offset.total_seconds(), result.segment.end_time_offset.total_seconds()) == (0, 6)
    tops = {each.entity.description: each.segments[0].confidence for each in result.segment_label_annotations}
    assert tops == pytest.approx({each.name: each.score for each in belt.labels.top})
    segments = {
        (label.entity.description, *span(each.segment), round(each.confidence, 6))
        for label in result.shot_label_annotations
        for each in label.segments
    }
    assert segments == {(each.name, each.start_s, each.end_s, round(each.score, 6)) for each in belt.labels.segments}
    assert len(result.object_annotations) == len(belt.objects.tracks)
    for annotation, track in zip(result.object_annotations, belt.objects.tracks, strict=True):
        assert (annotation.entity.description, *span(annotation.segment)) == (
            track.class_name, track.start_s, track.end_s,
        )  # fmt: skip
        assert annotation.confidence == pytest.approx(track.score)
        rows = [row for row in belt.rows if row["track_id"] == track.track_id]
        assert [frame.time_offset.total_seconds() for frame in annotation.frames] == [row["time_s"] for row in rows]
        boxes = [frame.normalized_bounding_box for frame in annotation.frames]
        sides = np.array(
            [[box.left * WIDTH, box.top * HEIGHT, box.right * WIDTH, box.bottom * HEIGHT] for box in boxes]
        )
        assert np.abs(sides - boxes_of(rows)).max() < TOLERANCE


def test_google_s_protobuf_reads_the_shots(belt: Belt) -> None:
    from google.cloud.videointelligence import AnnotateVideoResponse

    shots = tuple(Shot(start_s=start_s, end_s=end_s) for start_s, end_s in ((0.0, 1.25), (1.25, 6.0)))
    labels = belt.labels.model_copy(update={"shots": Shots(detector="content", options={}, shots=shots)})
    text = "".join(google_video_intelligence(ExportedResult(belt.folder, labels, None, "belt")))
    (result,) = AnnotateVideoResponse.from_json(text).annotation_results
    assert [span(each) for each in result.shot_annotations] == [(0.0, 1.25), (1.25, 6.0)]


def span(segment: Any) -> tuple[float, float]:
    return segment.start_time_offset.total_seconds(), segment.end_time_offset.total_seconds()


def test_csv_has_a_row_for_each_segment_and_box(belt: Belt) -> None:
    rows = list(csv.DictReader(io.StringIO(belt.export("csv"))))
    labels = [row for row in rows if row["kind"] == "label"]
    assert {row["video"] for row in rows} == {"belt-1"}
    assert [(row["model"], row["name"], float(row["start_s"]), float(row["end_s"])) for row in labels] == [
        (model, each.name, each.start_s, each.end_s)
        for model, answer in belt.labels.by_model.items()
        for each in answer.segments
    ]
    boxes = [row for row in rows if row["kind"] == "object"]
    sides = np.array([[row[side] for side in ("x_min", "y_min", "x_max", "y_max")] for row in boxes], np.float32)
    assert np.array_equal(sides, boxes_of(belt.rows).astype(np.float32))
    assert [(int(row["frame"]), int(row["track"]), row["name"], row["carried"]) for row in boxes] == [
        (row["frame"], row["track_id"], row["class_name"], str(row["carried"]).lower()) for row in belt.rows
    ]


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    names = ["=cmd|'/C calc'!A0", "@sum(1)", "-2+3", "plain", "\t=1"]
    write_labels(tmp_path / "=evil", names=names, annotate=False)
    written = io.StringIO()
    export_results([find_result(str(tmp_path / "=evil"), tmp_path)], "csv", stdout=written)
    cells = [cell for row in csv.reader(io.StringIO(written.getvalue())) for cell in row]
    assert not [cell for cell in cells if re.match(r"[=+@\t\r-]", cell)]
    assert {"'=cmd|'/C calc'!A0", "'=evil", "plain"} <= set(cells)


def test_lengths_are_those_of_the_part(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = tmp_path / "videos" / "belt-1-2-3"
    manifest = write_objects(
        folder, video_record(part={"start_s": 2.0, "end_s": 3.0}), annotate=False, thumbnails=False
    )
    rows = [row for row in write_boxes(folder, manifest).to_pylist() if 2 <= row["time_s"] < 3]
    table = pa.Table.from_pylist([{**row, "frame": row["frame"] - 20} for row in rows], schema=OBJECTS)
    pq.write_table(table, folder / "objects.parquet")  # frames count from the first of the part, times from the video's
    _, _, sequence = exported("mot", folder)
    assert "seqLength=10\n" in sequence.read_text()
    (tracks,) = exported("cvat", folder)
    task = etree.parse(tracks).find("meta/task")
    assert [task.find(name).text for name in ("size", "start_frame", "stop_frame")] == ["10", "0", "9"]
    (said,) = exported("google-video-intelligence", folder)
    segment = {"startTimeOffset": "2s", "endTimeOffset": "3s"}
    assert json.loads(said.read_text())["annotationResults"][0]["segment"] == segment


def test_several_results_get_files_of_their_own(belt: Belt, masked: Belt, tmp_path: Path) -> None:
    twin = Belt(tmp_path / "elsewhere" / "Belt-1")
    results = [find_result(str(each.folder), tmp_path) for each in (belt, masked, twin)]
    written = export_results(results, "csv", tmp_path / "out")
    assert [path.name for path in written] == ["belt-1.csv", "belt-2.csv", "Belt-1-2.csv"]
    names = export_results(results, "yolo", tmp_path / "yolo")
    frames = len({row["frame"] for row in belt.rows})
    assert len(names) == len(set(names)) == 1 + 3 * frames
    assert yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["names"] == dict(
        enumerate(each for each in CLASS_NAMES if each in {row["class_name"] for row in belt.rows})
    )
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_result_is_named_by_folder_manifest_name_or_beginning(belt: Belt, masked: Belt) -> None:
    videos = belt.folder.parent
    for name in (str(belt.folder), "belt-1"):
        found = find_result(name, videos)
        assert (found.folder, found.labels, found.objects) == (belt.folder, belt.labels, belt.objects)
    labels = find_result(str(belt.folder / LABELS_NAME), videos)
    objects = find_result(str(belt.folder / OBJECTS_NAME), videos)
    assert (labels.objects, objects.labels) == (None, None)
    (masked.folder.rename(videos / "other-7"))
    assert find_result("other", videos).folder == videos / "other-7"


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            lambda folder: find_result("belt", folder),
            "2 results begin with 'belt', e.g. belt-1, belt-2: name one in full",
        ),
        (lambda folder: find_result("blt-1", folder), "No result 'blt-1'.* Did you mean 'belt-1' or 'belt-2'"),
        (lambda folder: exported("chapters", folder / "belt-1" / OBJECTS_NAME), "belt-1 has objects and no labels"),
        (lambda folder: exported("mot", folder / "belt-1" / LABELS_NAME), "belt-1 has labels and no objects"),
        (lambda folder: exported("coco", folder / "belt-1" / LABELS_NAME), "belt-1 has labels and no objects"),
        (lambda folder: exported("webvtt", folder / "photo"), "photo is a picture, which has no cues"),
        (lambda folder: exported("chapters", folder / "photo"), "photo is a picture, which has no chapters"),
        (lambda folder: exported("mot", folder / "loose"), "loose has no tracks, which MOT is made of"),
        (lambda folder: exported("yolo", folder / "belt-1", to_file=False), "yolo has several files"),
        (lambda folder: exported("csv", folder / "belt-1", folder / "belt-2", to_file=False), "2 results have several"),
    ],
)
def test_what_does_not_go_together_is_refused(
    belt: Belt, masked: Belt, refused: Callable[[Path], object], message: str
) -> None:
    videos = belt.folder.parent
    write_labels(videos / "photo", video_record("picture"), annotate=False)
    loose = write_objects(videos / "loose", annotate=False, thumbnails=False)
    write_boxes(videos / "loose", loose, tracked=False)
    with pytest.raises(ExportError, match=message):
        refused(videos)
    assert not (videos / "out").exists() or not list((videos / "out").iterdir())


def test_a_damaged_result_is_refused(belt: Belt) -> None:
    import pyarrow.parquet as pq

    holey = pa.Table.from_pylist([{**belt.rows[0], "track_id": None}], schema=belt.table.schema)
    pq.write_table(holey, belt.folder / "objects.parquet")
    with pytest.raises(ExportError, match=r"objects\.parquet is no table of objects \(a row has no track_id\)"):
        belt.export("coco")
    for wrong in ({"x_min": float("nan")}, {"time_s": float("inf")}, {"frame": -1}, {"mask": "{}"}, {"mask": "[7]"}):
        table = pa.Table.from_pylist([{**belt.rows[0], **wrong}], schema=belt.table.schema)
        pq.write_table(table, belt.folder / "objects.parquet")
        with pytest.raises(
            ExportError, match=r"objects\.parquet is no table of objects \(.*(is nan|is inf|is -1|a mask)"
        ):
            belt.export("coco")
    (belt.folder / "objects.parquet").write_bytes(b"nothing")
    with pytest.raises(ExportError, match=r"objects\.parquet is no table of objects"):
        belt.export("coco")
    text = (belt.folder / OBJECTS_NAME).read_text()
    for number in ("Infinity", "1e300"):
        (belt.folder / OBJECTS_NAME).write_text(text.replace('"end_s":2.5', f'"end_s":{number}'))
        with pytest.raises(ExportError, match="is damaged: a time or a score is no number, or too large"):
            belt.export("webvtt")


def exported(name: ResultFormat, *results: Path, to_file: bool = True) -> list[Path]:
    found = [find_result(str(each), each.parent) for each in results]
    return export_results(found, name, results[0].parents[-4] / "out" if to_file else None, stdout=io.StringIO())


def test_nothing_is_overwritten_unless_asked(belt: Belt, tmp_path: Path) -> None:
    (tmp_path / "belt.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"belt\.csv is there: `--force` overwrites it"):
        belt.write("csv", tmp_path / "belt.csv")
    belt.write("mot", tmp_path / "mot")
    with pytest.raises(OutputError, match=r"gt\.txt is there"):
        belt.write("mot", tmp_path / "mot")
    assert (tmp_path / "belt.csv").read_text() == "mine"
    found = [find_result(str(belt.folder), tmp_path)]
    export_results(found, "csv", tmp_path / "belt.csv", force=True)
    assert (tmp_path / "belt.csv").read_text() == belt.export("csv")


def test_every_format_has_the_boxes_that_no_track_took(tmp_path: Path) -> None:
    folder = tmp_path / "loose"
    manifest = write_objects(folder, annotate=False, thumbnails=False)
    rows = write_boxes(folder, manifest, tracked=False).to_pylist()
    (folder / OBJECTS_NAME).write_text(manifest.model_copy(update={"tracks": ()}).model_dump_json())
    found = [find_result(str(folder), tmp_path)]
    texts = {}
    for name in RESULT_FORMATS:
        if name in {"csv", "coco", "cvat", "google-video-intelligence"}:
            written = io.StringIO()
            export_results(found, name, stdout=written)
            texts[name] = written.getvalue()
    assert len(texts["csv"].splitlines()) == 1 + len(rows)
    assert len(json.loads(texts["coco"])["annotations"]) == len(rows)
    assert texts["cvat"].count('outside="0"') == len(rows)
    assert len(json.loads(texts["google-video-intelligence"])["annotationResults"][0]["objectAnnotations"]) == len(rows)
