"""Search over what was found: when which videos show a label or an object, best first."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from tasks.contracts.errors import ReportError
from tasks.contracts.media import REPORT_NAME
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress
from tasks.results.index import PREFIX, ResultBundles, ResultFolders, Results, open_index
from tasks.vocabulary.labels import fold

Kind = Literal["label", "object"]
SUGGESTIONS = 3
MOST_ROWS = 2**63 - 1  # that DuckDB counts
JOINED_STEPS = 1.5  # samples of one stretch are a step apart, but for the rounding of their times


class Query(FrozenModel):
    """What is looked for."""

    names: tuple[str, ...] = Field(min_length=1, description="of labels and objects, whatever their case and accents")
    kind: Kind | None = Field(default=None, description="only labels, or only objects")
    min_score: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="stretches at which a label's score is at least this, and tracks of such a score; none: what the "
        "reports name",
    )
    video: str | None = Field(default=None, description="part of a title, or a folder's name, an id or a source")
    since: datetime | None = Field(default=None, description="only results that were made since then")
    most: int | None = Field(default=None, ge=1, description="of the hits, the best ones; none: all")


class SearchHit(NamedTuple):
    """A stretch of time in which a video shows what was looked for."""

    video: str  # name of its folder
    title: str
    source: str
    kind: Kind
    name: str
    model: str  # or detector
    track: int | None  # number of an object's track
    start_s: float
    end_s: float
    score: float  # mean over the stretch
    thumbnail: str | None  # file with a picture of an object, or its address in the storage
    link: str | None  # address that opens the report at that second; None: there is no report here
    made_at: datetime  # of the result


@dataclass(frozen=True)
class Search:
    """What a search has found."""

    hits: list[SearchHit]
    total: int  # hits, of which the best may be all that is asked for
    videos: int  # that they are of
    searched: int  # videos
    near: tuple[str, ...]  # names that are there, where none is the one looked for
    faults: tuple[str, ...]  # results that could not be read, and why


@dataclass(frozen=True)
class SearchedPlace:
    """Where results lie, and what addresses of files there begin with."""

    where: Results
    address: str
    root: Path | None  # of the folders with reports

    @classmethod
    def of_folder(cls, root: Path) -> "SearchedPlace":
        """Return that of a folder with a folder for each video."""
        return cls(ResultFolders(root), str(root), root)

    @classmethod
    def of_storage(cls, uri: str) -> "SearchedPlace":
        """Return that of an object store.

        Raises:
            StorageError: it cannot be used.
        """
        from tasks.storage.object_store import open_store  # noqa: PLC0415 - imports pyarrow

        return cls(ResultBundles(open_store(uri)), f"{uri.partition('?')[0].rstrip('/')}/{PREFIX}", None)


def search(place: SearchedPlace, index: Path, query: Query, progress: Progress | None = None) -> Search:
    """Return the hits at which videos show what is looked for, best first.

    Args:
        place: where the results lie.
        index: folder of the index of that place, which is brought up to date before.
        query: what is looked for.
        progress: reports the results that are read into the index.

    Raises:
        ReportError: there are no results.
        OutputError: the index cannot be written.
        StorageError: the storage cannot be read.
    """
    with open_index(index, place.where, progress) as (connection, faults):
        searched = connection.execute("select count(distinct folder) from results").fetchall()[0][0]
        if not searched:
            why = f" ({faults[0]})" if faults else ""
            raise ReportError(f"No results in {place.address}{why}: `reelsift label` and `reelsift detect` make them.")
        known: list[tuple[int, str]] = connection.execute("select id, name from names").fetchall()
        wanted = {fold(name) for name in query.names}
        ids = [number for number, name in known if fold(name) in wanted]
        near = () if ids else _near(wanted, (name for _, name in known))
        rows = _rows(connection, ids, query) if ids else []
    hits = list(_hits(place, rows))
    total, videos = rows[0][-2:] if rows else (0, 0)
    return Search(hits, total, videos, searched, near, tuple(faults))


def _near(wanted: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that contain what is looked for, then those that are spelt like it."""
    folded = {fold(name): name for name in names}
    within = [key for key in sorted(folded) for each in wanted if each and each in key]
    similar = [key for each in wanted for key in difflib.get_close_matches(each, folded, n=SUGGESTIONS)]
    return tuple(folded[key] for key in dict.fromkeys([*within, *similar]))[:SUGGESTIONS]


# What reports name, and stretches of samples that are at least as sure as is asked for. There are samples of labels,
# and of objects that have no tracks.
FOUND = f"""
with chosen as (
    select * from results
    where ($kind is null or kind = $kind) and ($since is null or made_s >= $since)
    and ($folders is null or id in (select unnest($folders)))
),
hits as (
    select samples.*, kind, step_s, end_s as whole_s,
        time_s - lag(time_s) over (partition by result, name, model order by time_s) as gap_s
    from samples join chosen on chosen.id = result
    where name in (select unnest($names)) and score >= coalesce($min_score, 0)::float
    and ($min_score is not null or kind = 'object')
),
numbered as (
    select *, count(*) filter (gap_s is null or gap_s > {JOINED_STEPS} * step_s)
        over (partition by result, name, model order by time_s) as stretch
    from hits
),
found as (
    select result, name, model, null as track, min(time_s) as start_s,
        case when kind = 'object' then max(time_s)
            else greatest(min(time_s), least(max(time_s) + any_value(step_s), coalesce(any_value(whole_s), 'inf'))) end
            as end_s,
        avg(score) as score, null as thumbnail
    from numbered group by result, name, model, stretch, kind
    union all
    select spans.* from spans join chosen on chosen.id = result
    where name in (select unnest($names)) and score >= coalesce($min_score, 0)
    and ($min_score is null or kind = 'object')
),
counted as (select count(*) as total, count(distinct folder) as videos from found join chosen on chosen.id = result)
select place, folder, title, source, kind, names.name, model, track, start_s, found.end_s, score, thumbnail, made_s,
    total, videos
from found join chosen on chosen.id = result join names on names.id = found.name cross join counted
order by score desc, folder, start_s, names.name, model, track limit $most
"""  # noqa: S608 - ours


def _rows(connection: Any, ids: Sequence[int], query: Query) -> list[tuple[Any, ...]]:  # noqa: ANN401
    values = {
        "names": list(ids),
        "kind": query.kind,
        "min_score": query.min_score,
        "since": query.since.timestamp() if query.since else None,
        "folders": _of_video(connection, query.video) if query.video is not None else None,
        "most": min(query.most or MOST_ROWS, MOST_ROWS),
    }
    return connection.execute(FOUND, values).fetchall()


def _of_video(connection: Any, text: str) -> list[int]:  # noqa: ANN401
    """Return the results of the videos that a text means."""
    wanted = fold(text)
    rows = connection.execute("select id, folder, title, source, ids from results").fetchall()
    return [
        number
        for number, folder, title, source, ids in rows
        if wanted in fold(title) or text in (folder, source, *ids.split())
    ]


def _hits(place: SearchedPlace, rows: Iterable[Sequence[Any]]) -> Iterator[SearchHit]:
    """Yield rows as hits; whether there is a report is looked up once for each video."""
    reports: dict[str, str | None] = {}
    for manifest, folder, *about, start_s, end_s, score, thumbnail, made_s, _, _ in rows:
        if folder not in reports:
            reports[folder] = report_address(place.root / folder) if place.root else None
        address = reports[folder]
        picture = f"{place.address}/{manifest.rpartition('/')[0]}/{thumbnail}" if thumbnail else None
        link = f"{address}#t={_second(start_s)}" if address else None
        made_at = datetime.fromtimestamp(made_s, UTC)
        yield SearchHit._make((folder, *about, start_s, end_s, score, picture, link, made_at))


def _second(time_s: float) -> str:
    return f"{time_s:.3f}".rstrip("0").rstrip(".")


def report_address(folder: Path) -> str | None:
    """Return the address of the report of a video, behind which `#t=12.4` names a second; None where there is none."""
    report = folder.absolute() / REPORT_NAME
    return report.as_uri() if report.is_file() else None
