"""What a page's player draws over a video: boxes and masks as short columns of numbers, and pictures of its time."""

import os
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from tasks.contracts.columns import mask_runs, memory_of
from tasks.contracts.errors import ReportError
from tasks.contracts.media import (
    FILMSTRIP_NAME,
    OBJECTS_TABLE_NAME,
    ORIGINAL_STEM,
    POSTER_NAME,
    LabelsManifest,
    ObjectsManifest,
)
from tasks.reports.facts import VideoFolder, remake
from tasks.reports.words import shown

MOST_BOXES = 200_000  # of one page, 16 bytes each; of more, whole frames are left out, and those between move along
MASK_BYTES = 6 << 20  # of one page; of more, the smallest masks are left out
MASK_ERROR_PX = 1.0  # by which the outline of a mask may be simpler than the mask
FULL = 65_535  # what a width, a height or a score of 1 is drawn as
FALLBACK_RATE = 25.0  # frames a second of a video that names none
BOXES = pa.schema(
    [("time_s", pa.float64()), ("track_id", pa.int32()), ("class_name", pa.string()), ("score", pa.float32())]
    + [(name, pa.float32()) for name in ("x_min", "y_min", "x_max", "y_max")]
    + [("mask", pa.string())]
)  # fmt: skip

Numbers = NDArray[Any]


def packed(values: Numbers, kind: str) -> str:
    """Return numbers as base64 of little-endian values, which a script reads as a typed array."""
    return b64encode(np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()).decode("ascii")


def read_boxes(folder: Path, *, with_masks: bool) -> pa.Table:
    """Read the boxes of objects.parquet, by time.

    Raises `ReportError` where it is no such table.
    """
    path, wanted = folder / OBJECTS_TABLE_NAME, BOXES if with_masks else BOXES.remove(len(BOXES) - 1)
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=wanted.names).select(wanted.names).cast(wanted)
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"{path} is no table of objects ({reason}); {remake('detect')}") from error
    is_whole = reduce(and_, (pc.field(name).is_valid() for name in wanted.names if name != "mask"))
    return table.filter(is_whole).sort_by("time_s")


@dataclass(frozen=True)
class Outlines:
    """The outlines of masks: of each row its rings, of each ring its points, and how many masks were left out."""

    rings: list[list[NDArray[np.uint16]]]  # of each row; each (P, 2) in shares of the width and height of 0 to FULL
    left_out: int


def overlay_of(folder: Path, manifest: ObjectsManifest) -> dict[str, Any]:
    """Return the boxes and masks of a result as the script of a page draws them.

    Columns are base64: `times` (F) float64, `counts` (F) uint16 rows of each time; of the N rows `tracks` uint16,
    places in `things`, `scores` uint16 and `boxes` (N, 4) uint16, in shares of 1, of the width and of the height;
    `rings` (N) uint16 outlines of each row, `points` uint16 numbers of each outline, and `outline` (P, 2) uint16.

    Raises `ReportError` as `read_boxes`.
    """
    media = manifest.video.media
    table = read_boxes(folder, with_masks=manifest.detector.has_masks)
    table, step = _thinned(table)
    times_s, counts = np.unique(memory_of(table["time_s"]), return_counts=True)
    things, places = _things(manifest, table)
    corners = np.stack([memory_of(table[name]) for name in ("x_min", "y_min", "x_max", "y_max")], axis=1)
    size = np.array([media.width, media.height] * 2, np.float64)
    try:
        outlines = _outlines(table, media.width, media.height) if manifest.detector.has_masks else Outlines([], 0)
    except ValueError as error:
        raise ReportError(
            f"{folder / OBJECTS_TABLE_NAME} is no table of objects ({error}); {remake('detect')}"
        ) from error
    rings = [ring for each in outlines.rings for ring in each]
    return {
        "name": shown(manifest.detector.name),
        "size": [media.width, media.height],
        "look_s": round(step * _look_step_s(manifest), 6),
        "frame_s": round(1 / (media.frame_rate or FALLBACK_RATE), 6),
        "things": things,
        "times": packed(times_s, "f8"),
        "counts": packed(counts, "u2"),
        "tracks": packed(places, "u2"),
        "scores": packed(_shares(memory_of(table["score"])), "u2"),
        "boxes": packed(_shares(corners / size), "u2"),
        "rings": packed(np.array([len(each) for each in outlines.rings]), "u2"),
        "points": packed(np.array([ring.size for ring in rings]), "u2"),
        "outline": packed(np.concatenate(rings) if rings else np.zeros(0), "u2"),
        "every": step,
        "masks_left_out": outlines.left_out,
    }


def _shares(values: Numbers) -> Numbers:
    """Return shares of 1 as whole numbers up to `FULL`."""
    return np.round(FULL * np.clip(np.nan_to_num(values), 0, 1))


def _thinned(table: pa.Table) -> tuple[pa.Table, int]:
    """Leave out frames where there are too many boxes for a page; return also which one of so many is left."""
    step = -(-max(table.num_rows, 1) // MOST_BOXES)
    if step == 1:
        return table, 1
    _, frame = np.unique(memory_of(table["time_s"]), return_inverse=True)
    return table.filter(pa.array(frame % step == 0)), step


def _look_step_s(manifest: ObjectsManifest) -> float:
    """Return the usual time from one frame that was looked at to the next."""
    rate_hz = manifest.video.media.frame_rate or FALLBACK_RATE
    wanted = manifest.options.get("rate_hz")
    return 1 / min(rate_hz, wanted) if isinstance(wanted, (int, float)) and wanted > 0 else 1 / rate_hz


def _things(manifest: ObjectsManifest, table: pa.Table) -> tuple[list[dict[str, Any]], Numbers]:
    """Return what a box can be of, each track and each class of boxes without one, and the place of each row's."""
    is_picture = manifest.video.media.kind == "picture"
    things = [
        {"of": shown(track.class_name), "id": track.track_id, "colour": track.colour, "until_s": track.end_s}
        | {"says": shown(track.class_name if is_picture else f"{track.class_name} {track.track_id}")}
        for track in manifest.tracks
    ]
    places = {track.track_id: place for place, track in enumerate(manifest.tracks)}
    known = {track.class_name: track.colour for track in reversed(manifest.tracks)}
    rows = list[int]()
    loose = dict[str, int]()
    for track_id, name in zip(table["track_id"].to_pylist(), table["class_name"].to_pylist(), strict=True):
        place = places.get(track_id)
        if place is None:
            place = loose.get(name)
        if place is None:
            place = loose[name] = len(things)
            colour = known.get(name, LOOSE_COLOURS[len(loose) % len(LOOSE_COLOURS)])
            things.append({"of": shown(name), "id": None, "colour": colour, "until_s": None, "says": shown(name)})
        rows.append(place)
    return things, np.array(rows, np.int64)


def classes_of(layers: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the classes of all layers, commonest first, each with how many tracks each layer has of it."""
    tracks = [Counter(thing["of"] for thing in layer["things"] if thing["id"] is not None) for layer in layers]
    names = dict.fromkeys(thing["of"] for layer in layers for thing in layer["things"])
    ordered = sorted(names, key=lambda name: (-sum(counts[name] for counts in tracks), name))
    return [(name, " / ".join(f"{counts[name]:,}" for counts in tracks)) for name in ordered]


def is_partly_followed(layer: dict[str, Any]) -> bool:
    """Say whether some boxes belong to tracks and others do not: these were never sure enough."""
    return len({thing["id"] is None for thing in layer["things"]}) > 1


def left_out_of(layer: dict[str, Any]) -> list[str]:
    """Say what does not fit on a page."""
    words = []
    if layer["every"] > 1:
        words.append(
            f"Of so many boxes, one frame of {layer['every']} is drawn here; {OBJECTS_TABLE_NAME} has them all."
        )
    if layer["masks_left_out"]:
        count = layer["masks_left_out"]
        words.append(f"The {count:,} smallest masks are left out here; {OBJECTS_TABLE_NAME} has them.")
    return words


LOOSE_COLOURS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#bfef45")


def _outlines(table: pa.Table, width: int, height: int) -> Outlines:
    """Return the outlines of all masks, the smallest left out where all would be too much."""
    found = [_rings(mask) if mask else [] for mask in table["mask"].to_pylist()]
    sizes = np.array([sum(ring.nbytes for ring in each) for each in found])
    left_out = 0
    if sizes.sum() > MASK_BYTES:
        areas = np.array([sum(map(_area, each)) for each in found])
        order = np.argsort(-areas, kind="stable")
        dropped = order[np.cumsum(sizes[order]) > MASK_BYTES]
        left_out = int(np.count_nonzero(sizes[dropped]))
        for place in dropped:
            found[place] = []
    full = np.array([FULL / width, FULL / height])
    return Outlines([[np.round(ring * full).astype(np.uint16) for ring in each] for each in found], left_out)


def _area(ring: NDArray[np.float32]) -> float:
    return float(cv2.contourArea(ring))


def _rings(mask: str) -> list[NDArray[np.float32]]:
    """Return the outlines of a mask, packed as COCO's run lengths, holes among them: each (P, 2), x and y in pixels.

    Only the columns that it touches are unpacked. Outlines run through the middles of pixels, so they are those of the
    mask at twice its size: a quarter of a pixel within its edge.
    """
    height, runs = mask_runs(mask)
    ends = np.cumsum(runs)
    starts, stops = ends[0:-1:2], ends[1::2]
    if not len(stops):
        return []
    first, last = int(starts[0] // height), int((stops[-1] - 1) // height)
    flat = np.zeros((last - first + 1) * height + 1, np.int8)
    np.add.at(flat, starts - first * height, 1)
    np.add.at(flat, stops - first * height, -1)
    bits = np.cumsum(flat[:-1], dtype=np.int8).reshape(-1, height).T
    rows = np.flatnonzero(bits.any(axis=1))
    top = int(rows[0])
    twice = cv2.resize(np.ascontiguousarray(bits[top : rows[-1] + 1], np.uint8), None, fx=2, fy=2, interpolation=0)
    contours, _ = cv2.findContours(twice, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(2 * first, 2 * top))
    simple = (cv2.approxPolyDP(each, 2 * MASK_ERROR_PX, closed=True)[:, 0] for each in contours)
    return [((ring + 0.5) / 2).astype(np.float32) for ring in simple if len(ring) > 2]


@dataclass(frozen=True)
class Filmstrip:
    """Small pictures of a video on one sheet, row by row, and when each is shown."""

    width: int  # pixels of one
    height: int
    columns: int
    times_s: list[float]


TIMES = TypeAdapter(Filmstrip)


def filmstrip_of(folder: Path) -> Filmstrip | None:
    """Return what is on the filmstrip beside a page, as it says itself; None where there is none."""
    try:
        with Image.open(folder / FILMSTRIP_NAME) as image:
            return TIMES.validate_json(image.info.get("comment", b""))
    except (OSError, ValidationError):
        return None


def poster_of(folder: Path) -> str | None:
    """Return the name of the picture that stands for the video, where there is one."""
    return POSTER_NAME if (folder / POSTER_NAME).is_file() else None


def original_of(folder: Path) -> str | None:
    """Return the name of the link to the video itself, while it leads to a file."""
    links = (path for path in folder.glob(f"{ORIGINAL_STEM}.*") if path.is_symlink() and path.is_file())
    return next((path.name for path in sorted(links)), None)


SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


def link_original(folder: Path, path: Path) -> None:
    """Link to the video from beside its page, by a relative path: both may be moved together.

    Raises:
        OSError: the file system has no links.
    """
    for old in folder.glob(f"{ORIGINAL_STEM}.*"):
        if old.is_symlink():
            old.unlink()
    suffix = path.suffix.lower() if SUFFIX.fullmatch(path.suffix) else ".mp4"
    (folder / f"{ORIGINAL_STEM}{suffix}").symlink_to(os.path.relpath(path.resolve(), folder.resolve()))


def sheet_of(pictures: Sequence[NDArray[np.uint8]], times_s: Sequence[float], columns: int) -> tuple[Numbers, bytes]:
    """Return pictures of one size, RGB (H, W, 3), side by side on a sheet, and the comment that tells what is on it."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height, min(columns, len(pictures)) * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    about = Filmstrip(width, height, columns, [round(time_s, 3) for time_s in times_s])
    return sheet, TIMES.dump_json(about)


MOST_HELD = 5000  # stretches of labels that are drawn
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class View:
    """A file that the player can show, and what is drawn over it; what a copy has drawn in is not drawn again."""

    what: str
    name: str
    is_picture: bool
    offset_s: float  # the page's time of its time 0
    draws_boxes: bool
    draws_labels: bool
    drawn: str  # for those who do not see it: what is to be seen on it


def views_of(found: VideoFolder) -> list[View]:
    """Return the video itself, where it can be reached, and its annotated copies."""
    labels, objects, original = found.labels, found.objects, original_of(found.folder)
    start_s = found.video.part.start_s if found.video.part else 0.0
    views = list[View]()
    if original:
        both = " and ".join(name for name, made in (("labels", labels), ("objects", objects)) if made)
        is_picture = found.video.media.kind == "picture"
        views.append(View("Original", original, is_picture, 0.0, True, True, f" with its {both} drawn over it"))
    if labels and (name := labels.annotated_video):
        drawn = " with its labels drawn"
        views.append(View("Labels", name, _is_picture(name), start_s, bool(objects), False, drawn))
    if objects and (name := objects.annotated):
        drawn = " with its objects drawn"
        views.append(View("Objects", name, _is_picture(name), start_s, False, bool(labels), drawn))
    return views


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURE_SUFFIXES


def held_by(labels: LabelsManifest) -> list[list[Any]]:
    """Return the stretches of the labels of all models: place of the model, start, end, name and score."""
    held = [
        [number, round(each.start_s, 3), round(each.end_s, 3), shown(each.name), round(each.score, 3)]
        for number, answer in enumerate(labels.by_model.values())
        for each in answer.segments
    ]
    return held[:MOST_HELD]
