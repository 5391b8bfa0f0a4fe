"""The boxes of a result in the formats of other tools: COCO, CVAT for video, MOTChallenge and YOLO."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pycocotools import mask as masks

from tasks.contracts.columns import mask_runs
from tasks.contracts.errors import ExportError
from tasks.contracts.media import OBJECTS_TABLE_NAME, MediaFacts, ObjectsManifest
from tasks.contracts.text import LARGEST_SHOWN, inert
from tasks.reports.facts import VideoFolder

NO_TRACK = -1  # as `tasks.detection.boxes` has it
# The smallest number that a row may have: one beyond, or none, is damage, which JSON and other tools have no word for.
LEAST = {"frame": 0, "time_s": 0} | dict.fromkeys(("score", "x_min", "y_min", "x_max", "y_max"), -LARGEST_SHOWN)
DIGITS = 6  # of differences of coordinates, which have 24 bits


class Box(NamedTuple):
    """A row of objects.parquet; its numbers are written as short as they can be without becoming others."""

    frame: int
    time_s: float
    track_id: int
    class_id: int
    class_name: str
    score: float
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    mask: str | None
    carried: bool

    @property
    def width(self) -> float:
        """In pixels."""
        return round(self.x_max - self.x_min, DIGITS)

    @property
    def height(self) -> float:
        """In pixels."""
        return round(self.y_max - self.y_min, DIGITS)

    def within(self, media: MediaFacts) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom as shares of the picture, 0 to 1."""
        sides = (
            self.x_min / media.width,
            self.y_min / media.height,
            self.x_max / media.width,
            self.y_max / media.height,
        )
        left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in sides)
        return left, top, right, bottom


@dataclass(frozen=True)
class ExportedResult(VideoFolder):
    """A result under the name that its files get: its folder's, with a number behind it where several have that."""

    name: str


def objects_of(found: ExportedResult) -> ObjectsManifest:
    """Return the objects of a result.

    Raises:
        ExportError: it has none.
    """
    if found.objects is None:
        raise ExportError(f"{found.name} has labels and no objects: `reelsift detect` finds them.")
    return found.objects


def boxes_of(found: ExportedResult) -> Iterator[Box]:
    """Yield the boxes of a result, by frame.

    Raises:
        ExportError: objects.parquet is no such table.
    """
    path = found.folder / OBJECTS_TABLE_NAME
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(Box._fields)):
                if holey := next((name for name in Box._fields[:-2] if batch.column(name).null_count), None):
                    raise ExportError(f"{path} is no table of objects (a row has no {holey}).")
                columns = {name: _values(batch.column(name)) for name in Box._fields}
                for name, least in LEAST.items():
                    if wrong := [each for each in columns[name] if not least <= each <= LARGEST_SHOWN]:
                        raise ExportError(f"{path} is no table of objects ({name} is {wrong[0]}).")
                yield from map(Box._make, zip(*columns.values(), strict=True))
    except (pa.ArrowException, KeyError, TypeError, OSError) as error:
        raise ExportError(f"{path} is no table of objects ({' '.join(str(error).split())}).") from error


def _values(column: pa.Array) -> list[Any]:
    """Return a column's values; of four-byte numbers those with the fewest digits that mean the same."""
    values = column.to_pylist()
    return [float(str(np.float32(value))) for value in values] if pa.types.is_float32(column.type) else values


def coco(found: ExportedResult) -> Iterator[str]:
    """Yield a COCO file: an image for each frame that has boxes, and the boxes with their masks, scores and tracks.

    https://cocodataset.org/#format-data; `score`, `track_id`, `time_s` and `carried` are beyond it.
    """
    media, boxes = objects_of(found).video.media, list(boxes_of(found))
    frames = {box.frame: box.time_s for box in boxes}
    images = [
        {
            "id": frame,
            "file_name": f"{found.name}-{frame:06d}.jpg",
            "width": media.width,
            "height": media.height,
            "time_s": time_s,
        }
        for frame, time_s in frames.items()
    ]
    classes = class_names(boxes)
    annotations = []
    for number, box in enumerate(boxes, 1):
        packed = _mask(found, box) if box.mask else None
        annotation = {
            "id": number,
            "image_id": box.frame,
            "category_id": classes.index(box.class_name) + 1,
            "bbox": [box.x_min, box.y_min, box.width, box.height],
            "area": float(masks.area(packed)) if packed else round(box.width * box.height, DIGITS),
            "iscrowd": 0,
            "score": box.score,
            "carried": box.carried,
        }
        annotation |= {"segmentation": packed} if packed else {}
        annotation |= {"track_id": box.track_id} if box.track_id != NO_TRACK else {}
        annotations.append(annotation)
    categories = [{"id": number, "name": each} for number, each in enumerate(classes, 1)]
    yield json.dumps(
        {
            "info": {"description": objects_of(found).video.title},
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": categories,
        },
        ensure_ascii=False,
    )
    yield "\n"


def _length(manifest: ObjectsManifest) -> int:
    """Return the number of frames that were looked at or passed over: of a part, those of that, as frames count."""
    return round((manifest.video.length_s or 0.0) * (manifest.video.media.frame_rate or 0.0))


def _mask(found: ExportedResult, box: Box) -> Any:  # noqa: ANN401 - pycocotools keeps the type to itself
    """Return the mask of a box as COCO has it."""
    try:
        mask_runs(box.mask or "")
    except ValueError as error:
        raise ExportError(f"{found.folder / OBJECTS_TABLE_NAME} is no table of objects ({error}).") from error
    return json.loads(box.mask or "")


def class_names(boxes: Iterable[Box]) -> list[str]:
    """Return the names of the classes that occur, in the order of the detector's."""
    return [name for _, name in sorted({(box.class_id, box.class_name) for box in boxes})]


def cvat(found: ExportedResult) -> Iterator[str]:
    """Yield the XML of "CVAT for video 1.1": a track for each thing, and for each box that has no track.

    CVAT draws what lies between two boxes of a track, so a track is marked as outside where it is lost.
    https://docs.cvat.ai/docs/dataset_management/formats/xml_format/
    """
    manifest, boxes = objects_of(found), list(boxes_of(found))
    media = manifest.video.media
    frames = sorted({box.frame for box in boxes})
    step = min((after - before for before, after in pairwise(frames)), default=1)
    last = max([_length(manifest) - 1, *frames, 0])
    root = ET.Element("annotations")
    _add(root, "version", "1.1")
    task = _add(_add(root, "meta"), "task")
    for name, text in (("name", found.name), ("size", last + 1), ("mode", "interpolation"), ("overlap", 0)):
        _add(task, name, text)
    for name, text in (("start_frame", 0), ("stop_frame", last), ("frame_filter", "")):
        _add(task, name, text)
    labels = _add(task, "labels")
    for name in class_names(boxes):
        label = _add(labels, "label")
        _add(label, "name", name)
        _add(label, "attributes")
    size = _add(task, "original_size")
    _add(size, "width", media.width)
    _add(size, "height", media.height)
    for number, track in enumerate(_tracks(boxes)):
        kept = ET.SubElement(root, "track", id=str(number), label=_xml(track[0].class_name), source="auto")
        for box, after in zip(track, [*track[1:], None], strict=True):
            _add_box(kept, box.frame, box, outside=0)
            if box.frame + step <= last and (after is None or after.frame > box.frame + step):
                _add_box(kept, box.frame + step, box, outside=1)
    ET.indent(root)
    yield '<?xml version="1.0" encoding="utf-8"?>\n'
    yield ET.tostring(root, encoding="unicode")
    yield "\n"


def _tracks(boxes: Sequence[Box]) -> list[list[Box]]:
    tracks: dict[tuple[int, int], list[Box]] = {}
    for place, box in enumerate(boxes):
        tracks.setdefault((box.track_id, place if box.track_id == NO_TRACK else 0), []).append(box)
    return list(tracks.values())


def _add(parent: ET.Element, name: str, text: object = None) -> ET.Element:
    child = ET.SubElement(parent, name)
    child.text = None if text is None else _xml(str(text))
    return child


def _add_box(track: ET.Element, frame: int, box: Box, *, outside: int) -> None:
    sides = {"xtl": box.x_min, "ytl": box.y_min, "xbr": box.x_max, "ybr": box.y_max}
    numbers = {"frame": frame, "outside": outside, "occluded": 0, "keyframe": 1, **sides, "z_order": 0}
    ET.SubElement(track, "box", {name: str(value) for name, value in numbers.items()})


def _xml(text: str) -> str:
    """Return text as XML 1.0 may hold it."""
    return inert(text).replace("\ufffe", "").replace("\uffff", "")


def mot(found: ExportedResult) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the files of a sequence of MOTChallenge, by their names: `gt/gt.txt`, `gt/labels.txt` and `seqinfo.ini`.

    Frames, pixels and classes count from 1, as https://arxiv.org/abs/1603.00831 has it; the seventh is the score.

    Raises:
        ExportError: there are no tracks.
    """
    manifest, name = objects_of(found), found.name
    boxes = [box for box in boxes_of(found) if box.track_id != NO_TRACK]
    if not boxes:
        raise ExportError(f"{name} has no tracks, which MOT is made of; csv, coco and yolo need none.")
    classes, media = class_names(boxes), manifest.video.media
    frames = max(box.frame for box in boxes) + 1
    yield (
        f"{name}/gt/gt.txt",
        (
            f"{box.frame + 1},{box.track_id},{round(box.x_min + 1, DIGITS)},{round(box.y_min + 1, DIGITS)},{box.width},"
            f"{box.height},{box.score},{classes.index(box.class_name) + 1},1\n"
            for box in sorted(boxes, key=lambda box: (box.frame, box.track_id))
        ),
    )
    yield f"{name}/gt/labels.txt", (f"{' '.join(inert(each).split())}\n" for each in classes)
    length = max(frames, _length(manifest))
    yield (
        f"{name}/seqinfo.ini",
        (
            f"[Sequence]\nname={name}\nimDir=img1\nframeRate={media.frame_rate or 1}\nseqLength={length}\n",
            f"imWidth={media.width}\nimHeight={media.height}\nimExt=.jpg\n",
        ),
    )


def yolo(results: Sequence[ExportedResult]) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield the files of a YOLO data set, by their names: `data.yaml`, and in `labels/` one for each frame with boxes.

    The picture of `labels/NAME-000012.txt` is `images/NAME-000012.jpg`, frame 12 of the video, counted from 0.
    https://docs.ultralytics.com/datasets/detect/
    """
    boxes = {found.name: (objects_of(found).video.media, list(boxes_of(found))) for found in results}
    names = list(dict.fromkeys(name for _, each in boxes.values() for name in class_names(each)))
    listed = (f"  {number}: {json.dumps(inert(name), ensure_ascii=False)}\n" for number, name in enumerate(names))
    yield "data.yaml", ["path: .\ntrain: images\nval: images\nnames:\n", *listed]
    for name, (media, each) in boxes.items():
        for frame, of_frame in groupby(each, key=lambda box: box.frame):
            yield f"labels/{name}-{frame:06d}.txt", [_yolo_line(box, media, names) for box in of_frame]


def _yolo_line(box: Box, media: MediaFacts, names: Sequence[str]) -> str:
    left, top, right, bottom = box.within(media)
    numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)
    return f"{names.index(box.class_name)} {' '.join(f'{number:.9f}' for number in numbers)}\n"
