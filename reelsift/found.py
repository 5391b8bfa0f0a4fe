"""`reelsift find` and `export`: what was found in videos, searched by name, handed on, or shots and clips."""

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, overload

import typer

from reelsift.console import note, print_json, print_warning, progress_shown, say
from reelsift.options import AsJson
from reelsift.session import Session
from reelsift.videos import clock

if TYPE_CHECKING:
    import pandas as pd

    from conf.settings import Settings
    from tasks.contracts.media import Shot
    from tasks.per_video.clips import Clip, ClipsOfVideo
    from tasks.results.exports import ResultFormat
    from tasks.results.search import Query, Search, SearchHit
    from tasks.video.shots import ShotsManifest

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
SHOWN_HITS = 40  # that are printed, the best ones, where no number is asked for
SHOWN_FAULTS = 10  # results that cannot be read
STDOUT = "-"


def since_of(text: str) -> datetime:
    """Return a date, `2026-11-01` or with a time, or how long ago, `12h`, `7d` or `8w`, as a time.

    Raises:
        ValueError: it is none.
    """
    if re.fullmatch(r"[0-9]{1,5}[hdw]", text):
        return datetime.now(UTC) - int(text[:-1]) * UNITS[text[-1]]
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"must be a date or an age, e.g. 2026-11-01 or 7d; got {text!r}") from error


def search_in(settings: "Settings", query: "Query", *, folder: Path | None = None, is_stored: bool = False) -> "Search":
    """Search the results of the home, of a folder, or of the storage; the index lies in the home.

    Raises:
        ConfigError: there is no storage among the settings.
        ReportError, OutputError, StorageError: as `tasks.results.search.search`.
    """
    from tasks.contracts.errors import ConfigError
    from tasks.contracts.progress import Silent, listener
    from tasks.results.search import SearchedPlace, search

    if is_stored and not settings.storage:
        raise ConfigError("There is no storage: set REELSIFT_STORAGE, e.g. to s3://BUCKET/PREFIX.")
    place = (
        SearchedPlace.of_storage(str(settings.storage))
        if is_stored
        else SearchedPlace.of_folder((folder or settings.paths.videos).expanduser().absolute())
    )
    is_home = place.root == settings.paths.videos
    name = "videos" if is_home else hashlib.sha256(place.address.encode()).hexdigest()[:16]
    return search(place, settings.paths.found / name, query, listener() or Silent())


@dataclass(frozen=True, repr=False)
class VideoShots:
    """The shots of one video, and the sheet of their first pictures."""

    manifest: "ShotsManifest"
    folder: Path

    def __repr__(self) -> str:
        """Name the video, and count its shots."""
        return f"<VideoShots {self.title!r}: {self.said}>"

    @property
    def source(self) -> str:
        """The source as it was named."""
        return self.manifest.video.source

    @property
    def title(self) -> str:
        """The title of the video, or the name of its file."""
        return self.manifest.video.title

    @property
    def shots(self) -> "tuple[Shot, ...]":
        """The shots, one after the other, each with `start_s` and `end_s`, in seconds of the video."""
        return self.manifest.found.shots

    @property
    def cuts_s(self) -> tuple[float, ...]:
        """When one shot gives way to the next."""
        return self.manifest.found.cuts_s

    @property
    def said(self) -> str:
        """How many shots there are, and what found them."""
        return f"{len(self.shots):,} {'shot' if len(self.shots) == 1 else 'shots'}, by {self.manifest.found.detector}"

    @property
    def page(self) -> Path:
        """The contact sheet."""
        return self.folder / self.manifest.sheet

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each shot: start_s and end_s."""
        return _table(self.shots)


@dataclass(frozen=True, repr=False)
class VideoClips:
    """The clips that were cut out of one video, and a sheet of their pictures."""

    made: "ClipsOfVideo"

    def __repr__(self) -> str:
        """Name the video, and count its clips."""
        return f"<VideoClips {self.title!r}: {self.said}>"

    @property
    def source(self) -> str:
        """The source as it was named."""
        return self.made.source

    @property
    def title(self) -> str:
        """The title of the video, or the name of its file."""
        return self.made.title

    @property
    def clips(self) -> "tuple[Clip, ...]":
        """The clips by their start: `label`, `start_s`, `end_s`, and the name of the `file` in `folder`."""
        return self.made.clips

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.made.folder

    @property
    def said(self) -> str:
        """How many clips there are."""
        return f"{len(self.clips):,} {'clip' if len(self.clips) == 1 else 'clips'}"

    @property
    def page(self) -> Path:
        """The contact sheet."""
        return self.folder / self.made.sheet

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each clip: label, start_s, end_s, file, is_copy and gif."""
        return _table(self.clips)


def _table(rows: "Sequence[Shot] | Sequence[Clip]") -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([row.model_dump() for row in rows])


class SearchHits(Sequence["SearchHit"]):
    """When which videos show what was looked for, the surest first."""

    def __init__(self, search: "Search") -> None:
        self._search = search

    @overload
    def __getitem__(self, index: int) -> "SearchHit": ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[SearchHit]": ...
    def __getitem__(self, index: int | slice) -> "SearchHit | Sequence[SearchHit]":
        """Return one hit, or some."""
        return self._search.hits[index]

    def __len__(self) -> int:
        """Return how many hits there are."""
        return len(self._search.hits)

    def __repr__(self) -> str:
        """Count the hits and the videos."""
        return f"<SearchHits: {len(self):,} in {self._search.videos:,} of {self._search.searched:,} videos>"

    @property
    def near(self) -> tuple[str, ...]:
        """Names that there are, where there is none that was looked for."""
        return self._search.near

    @property
    def left_out(self) -> tuple[str, ...]:
        """Results that cannot be read, and why."""
        return self._search.faults

    def to_pandas(self) -> "pd.DataFrame":
        """Return a row for each hit: video, title, source, kind, name, model, track, start_s, end_s, score and more."""
        import pandas as pd

        from tasks.results.search import SearchHit

        return pd.DataFrame(self._search.hits, columns=list(SearchHit._fields))

    def _repr_html_(self) -> str:
        """Show a table of the best hits."""
        from tasks.contracts.text import html_table

        rows = [(hit.video, _when(hit), _what(hit), f"{hit.score:.4f}", hit.link or "") for hit in self[:SHOWN_HITS]]
        return html_table(("video", "when", "what", "score", "report"), rows)


def find(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="Labels or objects, whatever their case and accents.")
    ],
    kind: Annotated[
        Literal["label", "object"] | None,
        typer.Option("--kind", metavar="label|object", help="Only labels, or only objects. \\[default: both]"),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score", metavar="S", min=0, max=1, help="Scores of at least this. \\[default: what the reports name]"
        ),
    ] = None,
    video: Annotated[
        str | None, typer.Option("--video", metavar="V", help="Part of a title, or a folder's name, an id or a source.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Made since then: 2026-11-01, or 12h, 7d, 8w ago.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="The best N. \\[default: 40; with --json, all]"),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--in", metavar="DIR", help="In the results that were written there. \\[default: the home's]"),
    ] = None,
    stored: Annotated[bool, typer.Option("--stored", help="In the results of the storage.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say when which videos show a label or an object, the surest first, with links into their reports."""
    from tasks.results.search import Query

    session: Session = context.obj
    if not all(map(str.strip, names)):
        raise typer.BadParameter("a name must not be empty", param_hint="NAME")
    try:
        made_since = since_of(since) if since else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from error
    most = limit if as_json or limit else SHOWN_HITS
    query = Query(names=tuple(names), kind=kind, min_score=min_score, video=video, since=made_since, most=most)
    with progress_shown():
        found = search_in(session.settings, query, folder=folder, is_stored=stored)
    if as_json:
        _print_found_as_json(found)
    else:
        _print_found(found, " or ".join(names))
    for fault in found.faults[:SHOWN_FAULTS]:
        print_warning(f"{fault}: it is left out.")
    if len(found.faults) > SHOWN_FAULTS:
        print_warning(f"{len(found.faults) - SHOWN_FAULTS:,} more results are left out: --json names them all.")


def _print_found_as_json(found: "Search") -> None:
    print_json(
        {
            "hits": [hit._asdict() | {"made_at": hit.made_at.isoformat()} for hit in found.hits],
            "total": found.total,
            "videos": found.videos,
            "searched": found.searched,
            "near": list(found.near),
            "left_out": list(found.faults),
        }
    )


def _print_found(found: "Search", what: str) -> None:
    times = f"{found.total:,} {'time' if found.total == 1 else 'times'}"
    say(f"{what}: {times} in {found.videos:,} of {found.searched:,} {'video' if found.searched == 1 else 'videos'}")
    for hit in found.hits:
        lines = [f"{hit.video}  {_when(hit)}  {_what(hit)}  {hit.score:.4f}"]
        lines += [f"  {place}" for place in (hit.thumbnail, hit.link) if place]
        for line in lines:
            say(" ".join(line.splitlines()))  # a name of several lines is one; its blanks stay as they are
    if found.total > len(found.hits):
        note(f"... and {found.total - len(found.hits):,} more: --limit or --json shows them.")
    if found.near:
        note(f"There are: {', '.join(found.near)}.")


def _when(hit: "SearchHit") -> str:
    return clock(hit.start_s) if hit.start_s == hit.end_s else f"{clock(hit.start_s)}-{clock(hit.end_s)}"


def _what(hit: "SearchHit") -> str:
    return hit.name if hit.track is None else f"{hit.name} {hit.track}"


def export(
    context: typer.Context,
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT", help="Folders of videos, labels.json or objects.json, or names of `find`."),
    ],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="F",
            help="csv, coco, cvat, mot, yolo, webvtt, chapters (YouTube's) or google-video-intelligence.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PATH", help="File of one result; folder of several, and of mot and yolo. \\[default: -]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write what was found in videos in the format of another tool."""
    from tasks.results.exports import RESULT_FORMATS, export_results, find_result

    name: ResultFormat | None = next((each for each in RESULT_FORMATS if each == file_format), None)
    if name is None:
        raise typer.BadParameter(
            f"must be one of {', '.join(RESULT_FORMATS)}; got {file_format!r}", param_hint="--format"
        )
    is_stdout = out is None or str(out) == STDOUT
    if is_stdout and as_json:
        raise typer.BadParameter("stdout has the JSON object: name the file by --out", param_hint="--json")
    videos = context.obj.settings.paths.videos
    found = [find_result(each, videos) for each in results]
    files = export_results(found, name, None if is_stdout else out, force=force, stdout=sys.stdout)
    if as_json:
        print_json({"format": name, "files": [str(path) for path in files]})
    elif out is not None and files:
        say(str(files[0]) if len(files) == 1 else f"{len(files):,} files in {out}")
