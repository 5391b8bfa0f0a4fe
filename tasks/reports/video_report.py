"""The folder of one video → a page that shows what was found in it; the folder of many → a page of cards.

In: folders that labelling and detecting have written. Out: `index.html` in each, which opens from the disk with no
network. Does not know how labels and objects are found.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tasks.contracts.errors import OutputError, ReportError
from tasks.contracts.files import write_text
from tasks.contracts.labels import LABELS_NAME, LABELS_TABLE_NAME
from tasks.contracts.objects import OBJECTS_NAME, OBJECTS_TABLE_NAME
from tasks.contracts.staging import check_no_link, locked
from tasks.reports.video_report_card import Card, card_of
from tasks.reports.video_report_facts import behind, stages, warnings
from tasks.reports.video_report_lanes import LaneGroup, lane_groups
from tasks.reports.video_report_page import render
from tasks.reports.video_report_read import VideoFolder, is_video_folder, read_folder, read_scores
from tasks.reports.video_report_scores import ScoreChart, score_chart
from tasks.reports.video_text import shown
from tasks.reports.video_time import length_s, ticks
from tasks.reports.video_words import labels_in_words, objects_in_words

REPORT_NAME = "index.html"
DATA_NAMES = (LABELS_NAME, LABELS_TABLE_NAME, OBJECTS_NAME, OBJECTS_TABLE_NAME)
MOST_TABLE_ROWS = 1000
MOST_COPIES = 24  # videos on the page of cards: browsers play no more than some 75 at once, and each is opened
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def write_report(folder: Path) -> Path:
    """Write index.html into the folder of one video, whole or not at all, and return where.

    The same folder gives the same bytes. Raises `ReportError` as `read_folder` and `read_scores` do.
    """
    with locked(folder) if folder.is_dir() else nullcontext():  # another process may be replacing an answer
        page = _page_of(read_folder(folder))
        write_text(folder / REPORT_NAME, page)
    return folder / REPORT_NAME


def write_index(folder: Path) -> Path:
    """Write the report of each video's folder below this one anew, and a page with a card for each.

    A folder that cannot be reported on has a card that says why. Raises `ReportError` where there is none, or where
    no folder can be reported on.
    """
    below = sorted(path for path in folder.iterdir() if is_video_folder(path)) if folder.is_dir() else []
    if not below:
        raise ReportError(f"No folder of a video in {folder}: give the folder that `reelsift label` or `detect` wrote")
    cards, faults = _cards(below)
    if not cards:
        raise ReportError(f"None of the {len(below)} folders in {folder} can be reported on: {faults[0][1]}")
    name = folder.resolve().name
    page = render("cards.html", cards=cards, faults=faults, name=name, most_copies=MOST_COPIES)
    write_text(folder / REPORT_NAME, page)
    return folder / REPORT_NAME


def _cards(folders: list[Path]) -> tuple[list[Card], list[tuple[str, str]]]:
    """Return the cards, and of the folders that can have none their names with the reasons."""
    cards, faults = [], []
    for folder in folders:
        try:
            check_no_link(folder)
            write_report(folder)
            cards.append(card_of(read_folder(folder), REPORT_NAME))
        except (OutputError, ReportError) as error:
            faults.append((folder.name, str(error)))
    return cards, faults


def _page_of(found: VideoFolder) -> str:
    labels, objects = found.labels, found.objects
    whole_s = length_s(labels, objects)
    is_picture = found.video.media.kind == "picture"
    chart = score_chart(labels, read_scores(found.folder), whole_s) if labels else ScoreChart([], [])
    groups = lane_groups(objects, whole_s) if objects else []
    return render(
        "video.html",
        video=found.video,
        labels=labels,
        objects=objects,
        is_picture=is_picture,
        whole_s=whole_s,
        answers=_answers(found),
        warnings=warnings(found),
        views=_views(found),
        chart=chart,
        groups=groups,
        stages=stages(objects) if objects else [],
        ticks=list(ticks(whole_s)),
        behind=behind(found),
        files=[(name, (found.folder / name).stat().st_size) for name in _data_files(found)],
        most_rows=MOST_TABLE_ROWS,
        data=_for_script(whole_s, chart, groups),
    )


def _answers(found: VideoFolder) -> list[tuple[str, str]]:
    """Return what is shown and which objects there are, each with its heading."""
    answers = [("Shows", labels_in_words(found.labels))] if found.labels else []
    return answers + ([("Objects", objects_in_words(found.objects))] if found.objects else [])


def _views(found: VideoFolder) -> list[tuple[str, str, bool]]:
    """Return the annotated copies of the video: what is drawn, the file, and whether it is a picture."""
    copies = [("Labels", found.labels.annotated_video)] if found.labels else []
    copies += [("Objects", found.objects.annotated)] if found.objects else []
    return [(what, name, Path(name).suffix.lower() in PICTURE_SUFFIXES) for what, name in copies if name]


def _data_files(found: VideoFolder) -> list[str]:
    names = [*DATA_NAMES, *(name for _, name, _ in _views(found))]
    return [name for name in dict.fromkeys(names) if (found.folder / name).is_file()]


def _for_script(whole_s: float, chart: ScoreChart, groups: list[LaneGroup]) -> dict[str, Any]:
    """Return what the script needs to say what is there at any time."""
    return {
        "whole_s": round(whole_s, 3),
        "times_s": chart.times_s,
        "scores": [row.values for row in chart.rows],
        "labels": [shown(row.name) for row in chart.rows],
        "classes": [
            {"name": shown(group.name), "spans": [[lane.track.start_s, lane.track.end_s] for lane in group.lanes]}
            for group in groups
        ],
    }
