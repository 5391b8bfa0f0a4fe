"""Results exported to the formats of other tools: which one is meant, what it can be exported to, and the files."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal, TextIO, get_args

from tasks.contracts.errors import ExportError, OutputError, did_you_mean
from tasks.contracts.files import appearing, check_folder, locked, temporary_folder
from tasks.contracts.media import LABELS_NAME, OBJECTS_NAME
from tasks.contracts.text import free_name, in_csv, one_line
from tasks.reports.facts import VideoFolder, is_video_folder, read_folder
from tasks.results.boxes import NO_TRACK, ExportedResult, boxes_of, coco, cvat, mot, yolo
from tasks.results.index import is_finite
from tasks.results.times import chapters, google_video_intelligence, webvtt

ResultFormat = Literal["csv", "coco", "cvat", "mot", "yolo", "webvtt", "chapters", "google-video-intelligence"]
RESULT_FORMATS: tuple[ResultFormat, ...] = get_args(ResultFormat)
CSV_COLUMNS = (
    "video", "kind", "name", "model", "start_s", "end_s", "score", "track", "frame", "x_min", "y_min", "x_max", "y_max",
    "carried",
)  # fmt: skip


def find_result(name: str, videos: Path) -> VideoFolder:
    """Read a result by its folder, by one of its manifests, or by its name below `videos`, or the beginning of that.

    Raises:
        ExportError: there is none, or the beginning is that of several.
        ReportError: it is damaged.
    """
    path = Path(name).expanduser()
    if path.name in (LABELS_NAME, OBJECTS_NAME) and path.is_file():
        found = _read(path.absolute().parent)
        is_labels = path.name == LABELS_NAME
        return replace(found, labels=found.labels if is_labels else None, objects=None if is_labels else found.objects)
    if path.is_dir() and is_video_folder(path):
        return _read(path.resolve())
    known = sorted(entry.name for entry in videos.iterdir() if is_video_folder(entry)) if videos.is_dir() else []
    meant = [name] if name in known else [each for each in known if each.startswith(name)]
    if len(meant) > 1:
        raise ExportError(f"{len(meant):,} results begin with {name!r}, e.g. {', '.join(meant[:3])}: name one in full.")
    if not meant:
        raise ExportError(
            f"No result {name!r}: name a folder with {LABELS_NAME} or {OBJECTS_NAME}, or one in {videos}."
            f"{did_you_mean(name, known)}"
        )
    return _read(videos / meant[0])


def _read(folder: Path) -> VideoFolder:
    with locked(folder):
        found = read_folder(folder)
    if not all(is_finite(manifest) for manifest in (found.labels, found.objects) if manifest):
        raise ExportError(f"{folder} is damaged: a time or a score is no number, or too large.")
    return found


def csv_rows(found: ExportedResult) -> Iterator[str]:
    """Yield a table with a row for each segment of a label, and of a picture for each label; and for each box."""
    video, line = in_csv(found.name), io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in chain([CSV_COLUMNS], _label_rows(found), _box_rows(found)):
        writer.writerow(row if row is CSV_COLUMNS else (video, *row))
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _label_rows(found: ExportedResult) -> Iterator[tuple[object, ...]]:
    for model, answer in found.labels.by_model.items() if found.labels else ():
        for each in answer.segments:
            yield "label", in_csv(each.name), in_csv(model), each.start_s, each.end_s, each.score, *[""] * 7
        for each in answer.top if found.video.media.kind == "picture" else ():
            yield "label", in_csv(each.name), in_csv(model), 0.0, 0.0, each.score, *[""] * 7


def _box_rows(found: ExportedResult) -> Iterator[tuple[object, ...]]:
    if found.objects is None:
        return
    detector = in_csv(found.objects.detector.name)
    for box in boxes_of(found):
        track = "" if box.track_id == NO_TRACK else box.track_id
        sides = (box.x_min, box.y_min, box.x_max, box.y_max)
        about = ("object", in_csv(box.class_name), detector, box.time_s, box.time_s, box.score)
        yield *about, track, box.frame, *sides, str(box.carried).lower()


@dataclass(frozen=True)
class FileFormat:
    """A format that has one file for each result."""

    suffix: str
    write: Callable[[ExportedResult], Iterable[str]]


FILE_FORMATS = {
    "csv": FileFormat(".csv", csv_rows),
    "coco": FileFormat(".coco.json", coco),
    "cvat": FileFormat(".cvat.xml", cvat),
    "webvtt": FileFormat(".vtt", webvtt),
    "chapters": FileFormat(".chapters.txt", chapters),
    "google-video-intelligence": FileFormat(".google.json", google_video_intelligence),
}


def export_results(
    results: Sequence[VideoFolder],
    name: ResultFormat,
    out: Path | None = None,
    *,
    force: bool = False,
    stdout: TextIO | None = None,
) -> list[Path]:
    """Write results in a format, and return the files: none where they went to `stdout`.

    Args:
        results: one or several.
        name: of the format.
        out: the file of one result, and the folder of several, and of `mot` and `yolo`, which have several files; None:
            one file goes to `stdout`.
        force: overwrite what is there.
        stdout: where one file goes if `out` names none.

    Raises:
        ExportError: a result does not hold what the format needs, or nothing says where several files go.
        OutputError: a file is there, or cannot be written.
    """
    named, kind = _named(results), FILE_FORMATS.get(name)
    if out is None:
        if kind is None or len(named) > 1 or stdout is None:
            some = f"{len(named):,} results have" if len(named) > 1 else f"{name} has"
            raise ExportError(f"{some} several files: name a folder for them by --out.")
        stdout.writelines(list(kind.write(named[0])))  # all or nothing: what is refused half-way was not written
        return []
    if kind and len(named) == 1 and not out.is_dir():
        check_folder(out.parent)
        _refuse_present([out], force=force)
        with appearing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(kind.write(named[0]))
        return [out]
    return _write_folder(_files(named, name), out, force=force)


def _named(results: Sequence[VideoFolder]) -> list[ExportedResult]:
    """Give each result a name of its own, also on a disk that takes no notice of case."""
    taken: set[str] = set()
    named = []
    for found in results:
        folder = one_line(found.folder.name)  # which files of lines name, too
        name = folder + free_name(folder.casefold(), taken)[len(folder.casefold()) :]
        taken.add(name.casefold())
        named.append(ExportedResult(found.folder, found.labels, found.objects, name))
    return named


def _files(results: Sequence[ExportedResult], name: ResultFormat) -> Iterator[tuple[str, Iterable[str]]]:
    if name == "yolo":
        yield from yolo(results)
        return
    for found in results:
        if name == "mot":
            yield from mot(found)
        else:
            kind = FILE_FORMATS[name]
            yield f"{found.name}{kind.suffix}", kind.write(found)


def _write_folder(files: Iterable[tuple[str, Iterable[str]]], out: Path, *, force: bool) -> list[Path]:
    """Write files into a folder: none appears before all are written."""
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    with temporary_folder(out, ".making-") as stage:
        names = []
        for name, lines in files:
            names.append(name)
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            with (stage / name).open("w", encoding="utf-8") as file:
                file.writelines(lines)
        _refuse_present([out / name for name in names], force=force)
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(out / name)
    return [out / name for name in names]


def _refuse_present(paths: Sequence[Path], *, force: bool) -> None:
    present = next((path for path in paths if path.exists()), None)
    if present and not force:
        raise OutputError(f"{present} is there: `--force` overwrites it.")
