"""HTML reports without network access: the page of one video, and the index of many."""

import hashlib
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from tasks.contracts.errors import OutputError, ReportError
from tasks.contracts.files import check_no_link, locked, write_text
from tasks.contracts.media import (
    FILMSTRIP_NAME,
    LABELS_NAME,
    LABELS_TABLE_NAME,
    OBJECTS_NAME,
    OBJECTS_TABLE_NAME,
    REPORT_NAME,
    LabelsManifest,
    ModelLabels,
    ObjectsManifest,
    VideoRecord,
)
from tasks.contracts.model import FrozenModel
from tasks.reports.charts import LaneGroup, ScoreChart, lane_groups, score_charts
from tasks.reports.facts import (
    VideoFolder,
    behind,
    is_video_folder,
    joined_labels,
    joined_scores,
    read_beside,
    read_folder,
    stages,
    warnings,
)
from tasks.reports.player import (
    FALLBACK_RATE,
    classes_of,
    filmstrip_of,
    held_by,
    is_partly_followed,
    left_out_of,
    original_of,
    overlay_of,
    poster_of,
    views_of,
)
from tasks.reports.words import (
    beside,
    each_in_words,
    length_s,
    link,
    objects_in_words,
    percent,
    shown,
    size,
    ticks,
    timestamp,
)

MOST_NAMES = 60  # labels and classes by which a card is found


class Card(FrozenModel):
    """What the index shows of a video; the page of the video holds it, so that many are read without their results."""

    title: str
    kind: str
    source: str
    picture: str | None  # file beside the page of the video
    film: str | None  # a video whose first frame stands where there is no picture
    duration_s: float | None
    answers: tuple[tuple[str, str], ...]
    names: tuple[str, ...]  # labels and classes
    things: int
    has: tuple[str, ...]  # labels, objects
    warning: str | None

    @classmethod
    def of(cls, found: VideoFolder) -> "Card":
        """Return the card of one video."""
        labels, objects, media = found.labels, found.objects, found.video.media
        held = [each.name for answer in (labels.by_model if labels else {}).values() for each in answer.segments]
        best = [each.name for answer in (labels.by_model if labels else {}).values() for each in answer.top[:1]]
        classes = list(objects.counts) if objects else []
        return cls(
            title=shown(found.video.title),
            kind=media.kind,
            source=shown(found.video.source),
            picture=poster_of(found.folder) or _thumbnail(found),
            film=(objects.annotated if objects else None) or (labels.annotated_video if labels else None),
            duration_s=media.duration_s,
            answers=tuple(_answers(labels, [objects] if objects else [])),
            names=tuple(dict.fromkeys(map(shown, [*classes, *held, *best])))[:MOST_NAMES],
            things=len(objects.tracks) if objects else 0,
            has=tuple(name for name, made in (("labels", labels), ("objects", objects)) if made),
            warning=" ".join(warnings(found)) or None,
        )


def _thumbnail(found: VideoFolder) -> str | None:
    """Return the annotated picture, or the thumbnail of the object that is surest."""
    if not found.objects:
        return None
    if found.video.media.kind == "picture" and found.objects.annotated:
        return found.objects.annotated
    seen = [track for track in found.objects.tracks if track.thumbnail]
    return max(seen, key=lambda track: (track.score, -track.track_id)).thumbnail if seen else None


TEMPLATES = Path(__file__).with_name("templates")
STYLE_NAME = "report.css"
SCRIPTS = {"video.html": ("overlay.js", "film.js", "report.js"), "cards.html": ("cards.js",)}
# Places and colours of bars are attributes of style; they are numbers and checked colours, and run nothing.
POLICY = (
    "default-src 'none'; img-src 'self' file:; media-src 'self' file:; style-src-elem {style}; "
    "style-src-attr 'unsafe-inline'; script-src {script}; base-uri 'none'; form-action 'none'"
)


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - each template has its own values
    """Return a page; every value is escaped, and one that the template has and nobody gave is an error."""
    style, script = _source(STYLE_NAME), Markup("\n").join(map(_source, SCRIPTS[template]))
    policy = POLICY.format(style=_digest(style), script=_digest(script))
    return _templates().get_template(template).render(style=style, script=script, policy=policy, **values)


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"shown": shown, "beside": beside, "link": link, "size": size, "timestamp": timestamp}
    return templates


@cache
def _source(name: str) -> Markup:
    """Return a file of ours as it stands; it holds no "</", which would end its element."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - ours, not a stranger's


def _digest(source: Markup) -> str:
    """Return what a policy calls a piece of style or script: https://www.w3.org/TR/CSP3/#external-hash."""
    return f"'sha256-{b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


DATA_NAMES = (LABELS_NAME, LABELS_TABLE_NAME, OBJECTS_NAME, OBJECTS_TABLE_NAME)
COMPARISON_NAME = "beside.html"
MOST_TABLE_ROWS = 1000
MOST_CUTS = 500  # marks on the axis, of two pixels each
MOST_CHOICES = 100  # labels and classes to choose from on the index
LEAST_INDEXED = 2  # videos
MOST_COPIES = 24  # videos on the page of cards: browsers play no more than some 75 at once, and each is opened


def write_report(folder: Path) -> Path:
    """Write index.html into the folder of one video atomically, and return where.

    The same folder gives the same bytes. Raises `ReportError` as `read_folder` and `read_scores` do.
    """
    with locked(folder) if folder.is_dir() else nullcontext():  # another process may be replacing an answer
        page = _page_of(read_folder(folder))
        write_text(folder / REPORT_NAME, page)
    return folder / REPORT_NAME


def write_comparison(folder: Path, other: Path) -> Path:
    """Write a page of two results of one video, side by side, into the folder of the first, and return where.

    Raises `ReportError` as `write_report`, and where they are not of one video.
    """
    first = read_folder(folder)
    with locked(folder):
        write_text(folder / COMPARISON_NAME, _page_of(first, read_beside(first, other)))
    return folder / COMPARISON_NAME


LARGEST_EMBEDDED_BYTES = 32 << 20  # of all pictures and copies together: a notebook keeps the page in its file
MEDIA_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".png": "image/png",
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp",
}  # fmt: skip
MEDIA_ATTRIBUTE = re.compile(r'(?P<attribute> (?:src|value))="(?P<name>[^":]+)"')


def embedded_report(folder: Path) -> str:
    """Return the report of one video as a page that holds its pictures and copies, to be shown within another page.

    What does not fit into `LARGEST_EMBEDDED_BYTES` is left out, the last ones first. Raises `ReportError` as
    `write_report`.
    """
    left, original = LARGEST_EMBEDDED_BYTES, original_of(folder)

    def embedded(found: re.Match[str]) -> str:
        nonlocal left
        path = folder / unquote(found["name"])
        media_type = MEDIA_TYPES.get(path.suffix.lower())
        is_ours = path.name == original or path.resolve().is_relative_to(folder.resolve())
        if media_type is None or not is_ours or not path.is_file():
            return found[0]
        if path.stat().st_size > left:
            return f'{found["attribute"]}=""'
        content = path.read_bytes()
        left -= len(content)
        return f'{found["attribute"]}="data:{media_type};base64,{b64encode(content).decode()}"'

    with locked(folder) if folder.is_dir() else nullcontext():
        page = _page_of(read_folder(folder))
        return MEDIA_ATTRIBUTE.sub(embedded, page.replace("&#39;self&#39; file:", "data:", 2))


@dataclass(frozen=True)
class IndexEntry:
    """A card on the index, with the folder that its page lies in."""

    folder: str
    card: Card
    made_s: int  # seconds since 1970

    def beside(self, name: str) -> str:
        """Name a file of its folder from the index."""
        return f"{self.folder}/{name}"


def write_index(folder: Path, *, rewrite: bool = True) -> Path:
    """Write the report of each video's folder below this one, and a page with a card for each.

    Unless `rewrite`, reports stay that are newer than what they report on. A folder that cannot be reported on is named
    with the reason. Raises `ReportError` where there is none, or where no folder can be reported on.
    """
    below = _below(folder)
    if not below:
        raise ReportError(f"No folder of a video in {folder}: give the folder that `reelsift label` or `detect` wrote")
    entries, faults = _entries(below, rewrite=rewrite)
    if not entries:
        raise ReportError(f"None of the {len(below)} folders in {folder} can be reported on: {faults[0][1]}")
    names = Counter(name for entry in entries for name in entry.card.names)
    page = render(
        "cards.html",
        entries=entries,
        faults=faults,
        name=folder.resolve().name,
        page=REPORT_NAME,
        names=names.most_common(MOST_CHOICES),
        most_copies=MOST_COPIES,
    )
    write_text(folder / REPORT_NAME, page)
    return folder / REPORT_NAME


def refresh_index(folder: Path) -> Path | None:
    """Bring the index of a folder of results up to date, and return where it lies; of less than two there is none."""
    if len(_below(folder)) < LEAST_INDEXED:
        return None
    with locked(folder), suppress(ReportError, OSError):  # what was found is there all the same
        return write_index(folder, rewrite=False)
    return None


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_video_folder(path)) if folder.is_dir() else []


def _entries(folders: list[Path], *, rewrite: bool) -> tuple[list[IndexEntry], list[tuple[str, str]]]:
    """Return the cards, and of the folders that can have none their names with the reasons."""
    entries, faults = [], []
    for folder in folders:
        try:
            check_no_link(folder)
            known = None if rewrite else _known_card(folder)
            if known is None:
                write_report(folder)
            card = known or Card.of(read_folder(folder))
            entries.append(IndexEntry(folder.name, card, round(_made_s(folder))))
        except (OutputError, ReportError) as error:
            faults.append((folder.name, str(error)))
    return entries, faults


def _made_s(folder: Path) -> float:
    """Return when the newest answer in a folder was made."""
    return max((folder / name).stat().st_mtime for name in (LABELS_NAME, OBJECTS_NAME) if (folder / name).is_file())


CARD = re.compile(r'<meta name="reelsift-card" content="([^"]*)">')
CARD_BYTES = 64 << 10  # of a page, in which its card stands


def _known_card(folder: Path) -> Card | None:
    """Return the card that a page holds; None where the page is older than what it reports on, or names other files."""
    try:
        with (folder / REPORT_NAME).open("rb") as page:
            found = CARD.search(page.read(CARD_BYTES).decode("utf-8", "replace"))
        is_new = (folder / REPORT_NAME).stat().st_mtime >= _made_s(folder)
        card = Card.model_validate_json(unescape(found[1])) if found and is_new else None
    except (OSError, ValidationError):
        return None
    names = [name for name in (card.picture, card.film) if name] if card else []
    return card if all((folder / name).is_file() and ".." not in name for name in names) else None


def _page_of(*results: VideoFolder) -> str:
    """Return the page of a result, or of two of one video; the files are those of the first one's folder."""
    found, labels, scores = results[0], joined_labels(results), joined_scores(results)
    detected = [(each.folder, each.objects) for each in results if each.objects]
    whole_s = max(length_s(each.labels, each.objects) for each in results)
    is_picture = found.video.media.kind == "picture"
    charts = score_charts(labels, scores, whole_s) if labels and scores is not None else {}
    lanes = [
        LanesView(number, shown(made.detector.name) if len(detected) > 1 else "", lane_groups(made, whole_s))
        for number, (_, made) in enumerate(detected)
    ]
    views = views_of(found)
    film = None if is_picture else filmstrip_of(found.folder)
    is_drawn = bool(film or any(view.draws_boxes or view.draws_labels for view in views))
    layers = [overlay_of(folder, made) for folder, made in detected] if is_drawn else []
    held = held_by(labels) if labels and is_drawn else []
    return render(
        "video.html",
        card=Card.of(found).model_dump_json(),
        video=found.video,
        labels=labels,
        models=_model_views(labels, charts) if labels else [],
        lanes=lanes,
        is_picture=is_picture,
        whole_s=whole_s,
        answers=_answers(labels, [made for _, made in detected]),
        warnings=list(dict.fromkeys(words for each in results for words in warnings(each))),
        views=views,
        film=film,
        film_name=FILMSTRIP_NAME,
        layers=layers,
        held=held,
        classes=classes_of(layers),
        has_unsure=any(is_partly_followed(layer) for layer in layers),
        left_out=[words for layer in layers for words in left_out_of(layer)],
        stages=stages(found.objects) if found.objects else [],
        ticks=list(ticks(whole_s)),
        cuts=[percent(cut_s, whole_s) for cut_s in _cuts_s(labels)],
        behind=[*behind(found), *(part for other in results[1:] for part in behind(other)[1:])],
        files=[(name, (found.folder / name).stat().st_size) for name in _data_files(found)],
        most_rows=MOST_TABLE_ROWS,
        data=_for_script(whole_s, charts, lanes, found.video)
        | {"views": [asdict(view) for view in views], "layers": layers, "held": held, "film": film and asdict(film)},
    )


@dataclass(frozen=True)
class LanesView:
    """The objects of one detector, as the page shows them."""

    number: int
    name: str  # of the detector, where there are two
    groups: list[LaneGroup]


def _cuts_s(labels: LabelsManifest | None) -> tuple[float, ...]:
    """Return the cuts that the page marks, where shots were found; of more than can be told apart, none."""
    cuts_s = labels.shots.cuts_s if labels and labels.shots else ()
    return cuts_s if len(cuts_s) <= MOST_CUTS else ()


def _answers(labels: LabelsManifest | None, detected: Sequence[ObjectsManifest]) -> list[tuple[str, str]]:
    """Return what is shown and which objects there are, each with its heading."""
    said = each_in_words(labels) if labels else {}
    answers = list(said.items()) if len(said) > 1 else [("Shows", words) for words in said.values()]
    headings = ["Objects"] if len(detected) == 1 else [f"Objects, {shown(made.detector.name)}" for made in detected]
    return answers + list(zip(headings, map(objects_in_words, detected), strict=True))


def _data_files(found: VideoFolder) -> list[str]:
    names = [*DATA_NAMES, *(view.name for view in views_of(found))]
    return [name for name in dict.fromkeys(names) if (found.folder / name).is_file()]


@dataclass(frozen=True)
class ModelView:
    """What one model says, as the page shows it."""

    number: int  # from 1; names the style of its curves
    name: str
    of: str  # ", by NAME" where there are several
    answer: ModelLabels
    chart: ScoreChart
    first: int  # place of its first curve among those of all models


def _model_views(labels: LabelsManifest, charts: Mapping[str, ScoreChart]) -> list[ModelView]:
    views, first = list[ModelView](), 0
    for number, (name, answer) in enumerate(labels.by_model.items(), start=1):
        of = f", by {name}" if labels.others else ""
        views.append(ModelView(number, name, of, answer, charts[name], first))
        first += len(charts[name].rows)
    return views


def _for_script(
    whole_s: float, charts: Mapping[str, ScoreChart], lanes: Sequence[LanesView], video: VideoRecord
) -> dict[str, Any]:
    """Return what the script needs to say what is there at any time; the curves of all models in one list."""
    rows = [(number, row) for number, chart in enumerate(charts.values()) for row in chart.rows]
    return {
        "whole_s": round(whole_s, 3),
        "from_s": video.part.start_s if video.part else 0,
        "frame_s": 1 / (video.media.frame_rate or FALLBACK_RATE),
        "aspect": round(video.media.width / video.media.height, 4),
        "codec": shown(video.media.codec),
        "times_s": [chart.times_s for chart in charts.values()],
        "scores": [row.values for _, row in rows],
        "labels": [shown(row.name) for _, row in rows],
        "models": [shown(name) for name in charts],
        "of": [number for number, _ in rows],
        "classes": [
            {"name": shown(group.name), "spans": [[lane.track.start_s, lane.track.end_s] for lane in group.lanes]}
            for group in (lanes[0].groups if lanes else ())
        ],
    }
