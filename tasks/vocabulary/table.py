"""The vocabulary's CSV file: found beside a mirror's shards or fetched, cached by content, and parsed."""

import codecs
import csv
import hashlib
import io
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from tasks.contracts.errors import DownloadError, MirrorError, VocabularyError
from tasks.contracts.files import appearing, file_digest
from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import PUBLIC_VOCABULARY, VOCABULARY, Mirror, resolve, shown
from tasks.vocabulary.labels import Label, Vocabulary

# What the columns are called: in the files of YouTube-8M, and in those that people have made.
INDEX, NAME = ("Index", "label_id"), ("Name", "label_name")
MAX_FILE_BYTES = 64 << 20  # the release of 2018 has 3.6 MB
MAX_LABELS = 100_000  # releases have had 3,862 to 4,800
MAX_TEXT = 400  # characters of any value but WikiDescription
DELIMITERS = ",;\t"  # spreadsheets write the last two
NUMBER = re.compile(r"[0-9]{1,9}")
GRAPH_ID = re.compile(r"/[a-z]/[0-9a-z_]{1,40}")


@dataclass(frozen=True)
class _Row:
    """One line of the file: values by column, and where it stands for the error."""

    path: Path
    line: int
    values: dict[str, str]

    def fail(self, problem: str) -> NoReturn:
        _fail(self.path, f"line {self.line}: {problem}")

    def text(self, column: str) -> str:
        # A name ends up in terminals and file names: control characters and overlong ones stop here.
        value = self.values.get(column, "").strip()
        if len(value) > MAX_TEXT or not value.isprintable():
            self.fail(f"{column} must be at most {MAX_TEXT} printable characters, got {value[:40]!r}")
        return value

    def number(self, column: str, limit: int) -> int:
        value = self.values[column].strip()
        if not NUMBER.fullmatch(value) or int(value) >= limit:
            self.fail(f"{column} must be a whole number from 0 to {limit - 1:,}, got {value[:40]!r}")
        return int(value)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary: the CSV of YouTube-8M (https://research.google.com/youtube8m/explore.html), or any with names.

    A file needs a column of indices (`Index`, `label_id`) and one of names (`Name`, `label_name`).

    Raises:
        VocabularyError: the file cannot be read or is not a vocabulary; the message names the line.
    """
    labels: list[Label] = []
    filled: dict[str, int] = {}
    seen: dict[int | str, int] = {}
    for row in _rows(path, _text(path)):
        filled = filled or dict.fromkeys(row.values, 0)
        for column, value in row.values.items():
            filled[column] += value != ""
        label = _label(row)
        for key in filter(lambda key: key != "", (label.index, label.knowledge_graph_id)):
            if key in seen:
                row.fail(f"{key!r} stands on line {seen[key]} already")
            seen[key] = row.line
        labels.append(label)
    if not labels:
        _fail(path, "it has a header and no labels")
    return Vocabulary(labels=tuple(labels), filled=filled)


def read_segment_labels(path: Path) -> tuple[int, ...]:
    """Read which labels segments are rated for, in their order: `segment_label_ids.csv`, a column `Index` of indices.

    Raises:
        VocabularyError: the file cannot be read or is not such a list; the message names the line.
    """
    first: dict[int, int] = {}
    for row in _rows(path, _text(path), (INDEX,)):
        index = row.number(_column(row.values, INDEX), MAX_LABELS)
        if first.setdefault(index, row.line) != row.line:
            row.fail(f"{index} stands on line {first[index]} already")
    if not first:
        _fail(path, "it has a header and no labels")
    return tuple(first)


def _label(row: _Row) -> Label:
    graph_id = row.text("KnowledgeGraphId")
    if "KnowledgeGraphId" in row.values and not GRAPH_ID.fullmatch(graph_id):
        row.fail(f"KnowledgeGraphId must look like '/m/01mtb', got {graph_id[:40]!r}")
    verticals = (row.text(f"Vertical{rank}") for rank in (1, 2, 3))
    return Label(
        index=row.number(_column(row.values, INDEX), MAX_LABELS),
        name=row.text(_column(row.values, NAME)),
        knowledge_graph_id=graph_id,
        verticals=tuple(dict.fromkeys(vertical for vertical in verticals if vertical)),
        train_count=row.number("TrainVideoCount", 10**9) if "TrainVideoCount" in row.values else None,
        wiki_url=row.text("WikiUrl"),
    )


def is_vocabulary(path: Path) -> bool:
    """Say whether a CSV file begins as a vocabulary does."""
    if not path.is_file():  # a pipe or a device, which may never end
        return False
    try:
        with path.open("rb") as file:
            first, _, _ = _decoded(file.read(MAX_TEXT * 2 // 4 * 4), errors="replace").partition("\n")
    except OSError:
        return False
    header = _header(first)[0]
    return bool(_column(header, INDEX) and _column(header, NAME))


def _decoded(content: bytes, errors: str = "strict") -> str:
    """Decode a file by its byte-order mark, as spreadsheets write it; without one it is UTF-8."""
    marks = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    return content.decode(marks.get(content[:2], "utf-8-sig"), errors)


def _header(line: str) -> tuple[list[str], str]:
    """Return the names of the columns, as we know them whatever their case, and the character between them."""
    delimiter = max(DELIMITERS, key=line.count)
    known = {name.casefold(): name for names in (INDEX, NAME) for name in names}
    try:
        names = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    except csv.Error:
        return [], delimiter
    return [known.get(name.strip().casefold(), name.strip()) for name in names], delimiter


def _column(header: Collection[str], names: Sequence[str]) -> str:
    """Return what a column is called in a file, or an empty text where there is none."""
    return next((name for name in names if name in header), "")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise VocabularyError(
            f"The vocabulary {path} cannot be read: {error.strerror}. `reelsift vocabulary` fetches it"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        _fail(path, f"it is larger than {MAX_FILE_BYTES >> 20} MB")
    try:
        return _decoded(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        _fail(path, f"line {line}: not UTF-8", error)


def _rows(path: Path, text: str, needed: Sequence[Sequence[str]] = (INDEX, NAME)) -> Iterator[_Row]:
    header, delimiter = _header(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        next(reader, [])
        missing = [" or ".join(names) for names in needed if not _column(header, names)]
        if missing:
            _fail(path, f"line 1: no column {', '.join(missing)} in {','.join(header)[:60]!r}")
        for values in filter(None, reader):  # blank lines say nothing
            row = _Row(path, reader.line_num, dict(zip(header, values, strict=False)))
            if len(values) != len(header):
                row.fail(f"{len(values)} values for {len(header)} columns")
            yield row
    except csv.Error as error:
        _fail(path, f"line {reader.line_num}: {error}", error)


def _fail(path: Path, problem: str, cause: Exception | None = None) -> NoReturn:
    raise VocabularyError(
        f"{path} is not a vocabulary of YouTube-8M: {problem}. Correct it; one that "
        "`reelsift vocabulary` has fetched may be deleted instead, and is fetched again"
    ) from cause


PLAIN_NAME = "vocabulary.csv"
PUBLIC = "public"  # how the name begins of that of the public hosts, which never changes: it is fetched once
KEPT_NAME = re.compile(rf"(?:{PUBLIC}-)?([0-9a-f]{{12}})")  # with the beginning of the content's SHA-256
PLACES = ("", "video", "video/train", "video/validate", "video/test")  # below the folder of a release


def load_vocabulary(folder: Path, config: DownloadConfig, progress: Progress | None = None) -> Vocabulary:
    """Return the vocabulary that goes with a mirror's shards: of several mirrors, that of the first which has one.

    A mirror's name as it was typed says nothing: the same name may mean another folder or server the next time. So the
    file is looked at each time, and a copy is kept in `folder` for those who ask without a mirror.

    Raises:
        MirrorError: no mirror has it.
        VocabularyError: what came is not one, or a folder holds several.
    """
    problems = dict[str, MirrorError]()
    for mirror in resolve(config).mirrors:
        try:
            return _of_mirror(mirror, folder, config, progress)
        except DownloadError as error:
            problems.setdefault(str(error), error)
    if len(problems) == 1:
        raise next(iter(problems.values()))
    raise DownloadError(" ".join(problems))


def kept_vocabulary(folder: Path) -> Vocabulary | None:
    """Return the vocabulary that was used last, from whichever mirror, or None."""
    kept = _kept(folder)
    return read_vocabulary(kept[-1]) if kept else None


def vocabulary_with(folder: Path, names: Mapping[int, str]) -> Vocabulary | None:
    """Return the vocabulary kept in `folder` that has all these labels by these names, or None."""
    for path in reversed(_kept(folder)):
        with suppress(VocabularyError):
            vocabulary = read_vocabulary(path)
            known = {label.index: label.shown_name for label in vocabulary.labels}
            if names and all(known.get(index) == name for index, name in names.items()):
                return vocabulary
    return None


def beside_shards(folder: Path, release: int) -> Path | None:
    """Return the vocabulary of a folder of shards: in the place that the hosts have it, else any beside the shards.

    Raises:
        VocabularyError: there are several that differ, and not one of them is `vocabulary.csv`.
    """
    if (folder / VOCABULARY).is_file():
        return folder / VOCABULARY
    places = dict.fromkeys([folder, *(folder / str(release) / place for place in PLACES)])
    files = [path for place in places for path in sorted(place.glob("*.csv")) if path.is_file()]
    # One that is named so is meant as one: what is wrong with it is said when it is read.
    found = [path for path in files if path.name == PLAIN_NAME or is_vocabulary(path)]
    plain = [path for path in found if path.name == PLAIN_NAME]
    if len(plain) == 1:
        return plain[0]
    if len({path.read_bytes() for path in found}) > 1:
        raise VocabularyError(
            f"{folder} holds several vocabularies: {', '.join(str(path.relative_to(folder)) for path in found)}. "
            f"Call the one that its shards belong to {PLAIN_NAME}, or move the others elsewhere"
        )
    return found[0] if found else None


def _of_mirror(mirror: Mirror, folder: Path, config: DownloadConfig, progress: Progress | None) -> Vocabulary:
    if isinstance(mirror.shards, Path):
        path = beside_shards(mirror.shards, config.release)
        if path is None:
            raise DownloadError(
                f"There is no vocabulary in {mirror.shards}: neither {VOCABULARY} nor a CSV file with the columns "
                "label_id,label_name beside the shards. Put one there, or name labels by their index: `--label 22`."
            )
        vocabulary = read_vocabulary(path)
        _keep(path, folder)
        return vocabulary
    is_public = mirror.vocabulary == PUBLIC_VOCABULARY
    for path in reversed(_kept(folder, f"{PUBLIC}*.csv") if is_public else []):
        vocabulary = read_vocabulary(path)
        os.utime(path)
        return vocabulary
    with TemporaryDirectory(prefix="reelsift-vocabulary-") as aside:
        path = Path(aside) / PLAIN_NAME
        _fetch(mirror, path, config, progress)
        try:
            vocabulary = read_vocabulary(path)
        except VocabularyError as error:
            raise VocabularyError(str(error).replace(str(path), f"The file at {shown(mirror.vocabulary)}")) from error
        _keep(path, folder, f"{PUBLIC}-" if is_public else "")
    return vocabulary


def _fetch(mirror: Mirror, path: Path, config: DownloadConfig, progress: Progress | None) -> None:
    # Imported here: an HTTP client takes longer to import than a vocabulary that is there to read.
    from tasks.shards.mirror import RemoteFile  # noqa: PLC0415
    from tasks.shards.transfer import fetch_file  # noqa: PLC0415

    sources = tuple(f"{mirror.vocabulary}/{name}" for name in (VOCABULARY, PLAIN_NAME))
    file = RemoteFile("the vocabulary", sources[:1] if mirror.vocabulary == PUBLIC_VOCABULARY else sources)
    fetch_file(file, path, config, progress)


def _keep(path: Path, folder: Path, prefix: str = "") -> None:
    """Keep a copy under its content; that it was used last is its time."""
    content = path.read_bytes()
    kept = folder / f"{prefix}{hashlib.sha256(content).hexdigest()[:12]}.csv"
    with suppress(OSError):  # a copy is for convenience alone
        if not _is_whole(kept):
            with appearing(kept) as temporary:
                temporary.write_bytes(content)
        os.utime(kept)


def _kept(folder: Path, names: str = "*.csv") -> list[Path]:
    """Return the vocabularies in `folder` that are as they were kept, that used last at the end."""
    return sorted(filter(_is_whole, folder.glob(names)), key=lambda path: path.stat().st_mtime)


def _is_whole(path: Path) -> bool:
    """Say whether a copy has the content that its name promises; one of an earlier release promises nothing."""
    promised = KEPT_NAME.fullmatch(path.stem)
    try:
        return path.is_file() and (promised is None or file_digest(path).startswith(promised[1]))
    except OSError:
        return False
