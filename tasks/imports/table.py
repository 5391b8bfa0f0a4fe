"""Labelled videos as a person lists them: CSV, JSON lines, Parquet, or a folder with one folder for each class."""

import csv
import io
import json
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from tasks.contracts.errors import DatasetError, SourceError, did_you_mean
from tasks.contracts.text import shown
from tasks.video.sources import LIST_MARK, MEDIA_SUFFIXES, is_file, means_elsewhere, text_of_file, typed_name

TRAIN, VALIDATE = "train", "validate"
SIDES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validate", "validation", "valid", "val", "dev", "test", "testing"), VALIDATE),
}
UNDECODED = re.compile("[\ud800-\udfff]")  # a byte that is no UTF-8 stands as one of these
LABEL_SEPARATOR = "|"  # as in exports
LONGEST_LABEL = 200  # characters, as `LabelRef` of a form has
COLUMNS = ("source", "label", "labels", "split", "group", "start_s", "end_s")
OTHER_NAMES = {  # of columns in tables that were made for something else
    "source": ("path", "file", "filename", "video", "url"),
    "label": ("class",),
}
ALIKE = 0.75  # how much a column that is not read must look like one that is, to be taken for a slip of the pen
DELIMITERS = ",;\t"
PARQUET_MAGIC = b"PAR1"
WHAT = "table of labelled videos"
FORMATS = (
    "a CSV file, JSON lines or Parquet with the columns source and label, or a folder with one folder for each class"
)


@dataclass(frozen=True)
class LabelledClip:
    """A video, or a part of one, and what it shows."""

    place: str  # where it stands, e.g. `line 3`
    source: str  # as `reelsift label` takes it; a file by its whole path
    named: str  # the source as the table has it
    labels: tuple[str, ...]  # sorted, each once
    side: str | None = None  # `train` or `validate`; None: for us to choose
    group: str | None = None  # what must not be on both sides; None: the same file
    start_s: float | None = None
    end_s: float | None = None
    video_id: str | None = None  # in the version that it is of; None: the file's name and digest stand for it

    @property
    def part(self) -> tuple[float | None, float | None]:
        """From when to when, None being the beginning and the end."""
        return self.start_s, self.end_s


@dataclass(frozen=True)
class Origin:
    """The version of YouTube-8M whose videos and labels these are."""

    reference: str  # slug/id
    label_ids: tuple[int, ...]  # that make a match
    options: Mapping[str, Any]  # of the version, about its labels
    indices: Mapping[str, int]  # name -> index, of all labels of the videos


@dataclass(frozen=True)
class ClipTable:
    """All that is labelled, in its order, and what a person should know of how it was read."""

    path: Path
    clips: tuple[LabelledClip, ...]
    notes: tuple[str, ...] = ()
    origin: Origin | None = None  # None: videos of one's own

    @property
    def hint(self) -> str:
        """What to do where one side of the split has too little."""
        if self.origin:
            return "Take more with a higher `--limit`, or both partitions"
        return "Add some, or say which side each video is on in a column 'split'"

    @property
    def sources(self) -> list[str]:
        """Every source once."""
        return list(dict.fromkeys(clip.source for clip in self.clips))

    def refuse(self, problem: str) -> NoReturn:
        """Say what is wrong with it.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(f"{self.path}: {problem}")


def read_clips(path: Path) -> ClipTable:
    """Read what is labelled; no video is opened.

    Raises:
        DatasetError: it is none of what it may be, or a value in it is not; the message names the line.
    """
    path = path.expanduser().absolute()
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        what = "is a pipe or a device" if path.exists() else "there is no such file or folder"
        raise DatasetError(f"Nothing to import from {path}: {what}. Name {FORMATS}.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(PARQUET_MAGIC))
        rows = list(_parquet_rows(path) if magic == PARQUET_MAGIC else _text_rows(path))
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    except SourceError as error:
        raise DatasetError(str(error)) from error
    table = ClipTable(path, ())
    if not rows:
        table.refuse("it has no rows. Give it a line for each video, with the columns source and label.")
    columns = _columns(table, list(dict.fromkeys(name for _, row in rows for name in row)))
    return ClipTable(path, tuple(_clip(table, place, row, columns) for place, row in rows))


Row = tuple[str, Mapping[str, Any]]  # where it stands, and its values by the names of the columns


def _text_rows(path: Path) -> Iterator[Row]:
    text = text_of_file(path, WHAT)
    yield from _json_rows(path, text) if text.lstrip()[:1] in {"{", "["} else _csv_rows(path, text)


def _csv_rows(path: Path, text: str) -> Iterator[Row]:
    first = text.lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), strict=True, delimiter=max(DELIMITERS, key=first.count), skipinitialspace=True
    )
    header: list[str] = []
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if not header:
                header = _header(path, values)
                continue
            if extra := [value for value in values[len(header) :] if value.strip()]:
                raise DatasetError(
                    f"{path}: line {reader.line_num} has {len(values)} values for {len(header)} columns, {extra[0]!r} "
                    "the first too many. Put a value with a comma in double quotes."
                )
            yield f"line {reader.line_num}", dict(zip(header, values, strict=False))
    except csv.Error as error:
        raise DatasetError(f"{path}: line {reader.line_num} is no CSV: {error}.") from error


def _header(path: Path, values: Sequence[str]) -> list[str]:
    header = [value.strip().casefold() for value in values]
    twice = [name for name, times in Counter(filter(None, header)).items() if times > 1]
    if twice:
        raise DatasetError(f"{path}: it has {header.count(twice[0])} columns {twice[0]!r}. Leave one.")
    return header


def _json_rows(path: Path, text: str) -> Iterator[Row]:
    """Yield the objects of a file of JSON lines, or of one list."""
    if text.lstrip().startswith("["):
        found = _parsed(path, text, "it")
        for number, row in enumerate(found, start=1):
            yield f"row {number}", _lowered(path, row, f"row {number}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", _lowered(path, _parsed(path, line, f"line {number}"), f"line {number}")


def _parsed(path: Path, text: str, place: str) -> Any:  # noqa: ANN401 - whatever the file holds
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: {place} is no JSON: {error}.") from error


def _lowered(path: Path, row: object, place: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DatasetError(f'{path}: {place} is no object such as {{"source": "a.mp4", "label": "cooking"}}.')
    return {str(name).strip().casefold(): value for name, value in row.items()}


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa  # noqa: PLC0415 - takes a while, which a table of text need not wait for
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        names = pq.read_schema(path).names
        header = dict(zip(_header(path, names), names, strict=True))
        wanted = {*COLUMNS, *(other for others in OTHER_NAMES.values() for other in others)}
        table = pq.read_table(path, columns=[name for key, name in header.items() if key in wanted])
        values = {key: table[name].to_pylist() for key, name in header.items() if key in wanted}
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}.") from error
    for number in range(table.num_rows):
        yield f"row {number + 1}", dict.fromkeys(header) | {key: column[number] for key, column in values.items()}


def _columns(table: ClipTable, names: Sequence[str]) -> dict[str, str]:
    """Return what each column that is read is called in the table."""
    found = {name: name for name in COLUMNS if name in names}
    for name, others in OTHER_NAMES.items():
        meant = [other for other in others if other in names]
        if name not in found and meant and not (name == "label" and "labels" in found):
            found[name] = meant[0]
    has = f"It has {', '.join(map(repr, filter(None, names))) or 'none'}"
    others = [name for name in names if name and name not in found.values()]
    missing = [
        name for name in ("source", "label") if name not in found and not (name == "label" and "labels" in found)
    ]
    if missing:
        near = "".join(did_you_mean(name, others) for name in missing)
        table.refuse(f"no column {' or '.join(map(repr, missing))}. {has}.{near} Name {FORMATS}.")
    if {"label", "labels"} <= found.keys():
        table.refuse(f"both columns 'label' and 'labels'. {has}. Leave one: 'labels' takes several, with | between.")
    for name in others:
        slip = get_close_matches(name, [each for each in COLUMNS if each not in found], n=1, cutoff=ALIKE)
        if slip:
            table.refuse(f"the column {name!r} is none that is read. {has}. Did you mean {slip[0]!r}?")
    return found


def _clip(table: ClipTable, place: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> LabelledClip:
    values = {name: row.get(column) for name, column in columns.items()}
    named = _text(table, place, "source", values["source"])
    if not named:
        table.refuse(f"{place} has no source.")
    if named.startswith(LIST_MARK) and not is_file(str(table.path.parent / named)):
        table.refuse(f"{place}: {named!r} is a list of videos, which has no label of its own. Name one video.")
    start_s, end_s = (_time(table, place, name, values.get(name)) for name in ("start_s", "end_s"))
    if end_s is not None and end_s <= (start_s or 0):
        table.refuse(f"{place}: end_s must lie after start_s, got {start_s or 0:g} to {end_s:g}.")
    return LabelledClip(
        place=place,
        source=_source(table.path.parent, named),
        named=shown(named),
        labels=_labels(table, place, values),
        side=_side(table, place, values.get("split")),
        group=_text(table, place, "group", values.get("group")) or None,
        start_s=start_s or None,
        end_s=end_s,
    )


def _source(folder: Path, named: str) -> str:
    """Return a source as any folder understands it: a file beside the table goes before an address or an id."""
    beside = folder / named
    if is_file(str(beside)):
        return str(beside)
    return named if means_elsewhere(named) or Path(named).expanduser().is_absolute() else str(beside)


def _text(table: ClipTable, place: str, column: str, value: object) -> str:
    """Return a value as text; a number is written as JSON has it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        table.refuse(f"{place}: {column} must be text, got {str(value)[:40]!r}.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return typed_name(str(value)).strip()


def _labels(table: ClipTable, place: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    name = "labels" if "labels" in values else "label"
    value = values[name]
    if name == "label" and isinstance(value, str) and LABEL_SEPARATOR in value:
        table.refuse(f"{place}: label {value[:60]!r} holds a |. Call the column 'labels' if these are several.")
    if UNDECODED.search(str(value)):
        table.refuse(f"{place}: the label {str(value)[:40]!a} is no UTF-8 text. Save it as UTF-8 first.")
    each = value if isinstance(value, list) else str(_text(table, place, name, value)).split(LABEL_SEPARATOR)
    found = {unicodedata.normalize("NFC", " ".join(_text(table, place, name, one).split())) for one in each} - {""}
    for one in sorted(found):
        if len(one) > LONGEST_LABEL or LABEL_SEPARATOR in one or shown(one) != one:
            table.refuse(
                f"{place}: {one[:40]!r} cannot be a label: up to {LONGEST_LABEL} characters on one line, without |."
            )
    if not found:
        table.refuse(f"{place} has no label. Give each video one, or leave the line out.")
    return tuple(sorted(found))


def _side(table: ClipTable, place: str, value: object) -> str | None:
    text = _text(table, place, "split", value)
    if text and text.casefold() not in SIDES:
        choices = ", ".join(SIDES)
        table.refuse(f"{place}: unknown split {text[:40]!r}.{did_you_mean(text, SIDES)} There are: {choices}.")
    return SIDES[text.casefold()] if text else None


def _time(table: ClipTable, place: str, column: str, value: object) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        table.refuse(f"{place}: {column} must be seconds from 0 on, got {value}.")
    try:
        seconds = float(_text(table, place, column, value))
    except ValueError:
        table.refuse(f"{place}: {column} must be seconds, as 12.5, got {str(value)[:40]!r}.")
    if not math.isfinite(seconds) or seconds < 0:
        table.refuse(f"{place}: {column} must be seconds from 0 on, got {value}.")
    return seconds


def _read_folder(folder: Path) -> ClipTable:
    """Read a folder with one folder for each class; or one with `train` and `validate`, each such a folder."""
    table = ClipTable(folder, ())
    classes = _folders(table, folder)
    words = [path.name.casefold() for path in classes]
    sides = {SIDES.get(word) for word in words}
    notes = list[str]()
    if sides == {TRAIN, VALIDATE} and all(_folders(table, path) for path in classes):
        found = [(each, SIDES[path.name.casefold()]) for path in classes for each in _folders(table, path)]
    else:
        found = [(path, None) for path in classes]
    clips = list[LabelledClip]()
    for path, side in found:
        videos = _media_below(path, folder)
        if not videos:
            notes.append(f"The folder {path.relative_to(folder)} holds no video or picture, and is left out.")
        clips += (_of_file(table, video, path, side) for video in videos)
    if not clips:
        table.refuse("no videos in folders of their classes, as in cooking/a.mp4 and dancing/b.mp4. Put them there.")
    loose = [path for path in _entries(table, folder) if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file()]
    if loose:
        notes.append(f"{len(loose):,} videos in {folder.name} itself are of no class, and left out: {loose[0].name}.")
    return ClipTable(folder, tuple(clips), tuple(notes))


def _of_file(table: ClipTable, video: Path, folder: Path, side: str | None) -> LabelledClip:
    named = typed_name(str(video.relative_to(table.path)))
    label = _labels(table, f"the folder {shown(typed_name(folder.name))}", {"label": folder.name})
    return LabelledClip(shown(named), typed_name(str(video)), shown(named), label, side)


def _folders(table: ClipTable, folder: Path) -> list[Path]:
    return [path for path in _entries(table, folder) if path.is_dir() and not path.is_symlink()]


def _entries(table: ClipTable, folder: Path) -> list[Path]:
    """Return what is in a folder, by name; hidden files are nobody's videos."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        table.refuse(f"{folder} cannot be read: {error.strerror}.")


def _media_below(folder: Path, root: Path) -> list[Path]:
    """Return the videos and pictures below a folder; pipes, hidden files and links out of `root` do not count."""
    found = list[Path]()
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        found += (path for path in paths if path.suffix.lower() in MEDIA_SUFFIXES and path.is_file())
    home = root.resolve()
    return [path for path in found if path.resolve().is_relative_to(home)]
