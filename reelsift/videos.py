"""`reelsift label`, `detect`, `report` and `id`: commands over videos."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from conf.forms import ClipsForm, DetectObjectsForm, LabelVideosForm, MirrorForm, ShotsForm, SourcesForm, VideosForm
from reelsift.console import note, print_error, print_json, print_table, print_warning, progress_shown, say
from reelsift.options import AsJson, with_form
from reelsift.session import Session
from tasks.contracts.files import check_folder
from tasks.contracts.text import clock

if TYPE_CHECKING:
    from tasks.contracts.media import ModelLabels, VideoOutcome, VideoRecord

OneForm = LabelVideosForm | DetectObjectsForm
FormT = TypeVar("FormT", bound=SourcesForm)
STANDARD_INPUT = "-"
InFlow = Annotated[
    bool, typer.Option("--flow", help="Run as a flow of Prefect's; so too where PREFECT_API_URL is set.")
]


def collected(outcomes: "Iterable[VideoOutcome]") -> "list[VideoOutcome]":
    """Let the work be done, and say of each video that it is."""
    done = []
    for outcome in outcomes:
        if outcome.answer:  # why a video failed is said at the end, where it is not overlooked
            note(f"{outcome.source}: {outcome.answer}{_pace(outcome)}")
        done.append(outcome)
    return done


def print_outcomes(outcomes: "list[VideoOutcome]", print_answer: "Callable[[VideoOutcome], None]") -> None:
    """Print what was found in each video and where its report lies; the failures come last.

    Raises:
        typer.Exit: with 1, where a video failed.
    """
    from tasks.contracts.media import REPORT_NAME

    for outcome in outcomes:
        if outcome.status != "failed":
            print_answer(outcome)
            say(f"Report: {outcome.report}")
    reports = [outcome.report for outcome in outcomes if outcome.report]
    if len(reports) > 1 and (index := reports[0].parents[1] / REPORT_NAME).is_file():
        say(f"All reports: {index}")
    print_failures(outcomes)


def print_failures(outcomes: "list[VideoOutcome]") -> None:
    """Print what is missing in answers, then why videos failed.

    Raises:
        typer.Exit: with 1, where one did.
    """
    from tasks.contracts.media import FAILED, told

    failures = [outcome for outcome in outcomes if outcome.status == FAILED]
    for outcome in outcomes:
        if outcome.warning:
            print_warning(told(outcome))
    for outcome in failures:
        print_error(told(outcome))
    if failures:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Kind:
    """What sets `label` and `detect` apart, beside their options."""

    flow: str
    print_answer: "Callable[[VideoOutcome], None]"
    manifest_name: str


def _work(kind: _Kind, form: OneForm, session: Session, *, in_flow: bool, as_json: bool) -> None:
    """Work on videos, in this process or through the flow, and print what was made.

    Raises:
        typer.Exit: with 1, where a video failed.
    """
    if form.out:
        check_folder(form.out.expanduser())
    form = with_typed_list(form)
    is_flow = in_flow or session.has_prefect_server
    made = _through_flow(session, kind.flow, form) if is_flow else done_here(form, session)
    if is_flow:
        note_chosen(made)
    print_made(made, kind.print_answer, kind.manifest_name, as_json=as_json)


def with_typed_list(form: FormT) -> FormT:
    """Put the sources that the standard input lists in the place of `-`.

    Raises:
        SourceError: what comes there is no list.
    """
    if STANDARD_INPUT not in form.sources:
        return form
    from tasks.video.sources import read_list

    typed = read_list(sys.stdin.buffer)
    sources = dict.fromkeys(each for named in form.sources for each in (typed if named == STANDARD_INPUT else [named]))
    return form.model_copy(update={"sources": tuple(sources)})


def done_here(form: OneForm, session: Session) -> dict[str, Any]:
    """Call the stages here, without any server, and answer as the flow does."""
    from flows.dataset_requests import weights_of
    from flows.video_requests import do_here, sources_of, work_of
    from tasks.contracts.media import DetectorRecord
    from tasks.per_video.work import DetectWork, LabelWork

    sources, work = sources_of(form), work_of(form, session.settings)
    if isinstance(work, LabelWork):
        note(f"Labelling {len(sources):,} with {_models_in_words(work.said)} ...")
        _note_left_out(work.said)
    elif isinstance(form, DetectObjectsForm):
        note(f"Detecting in {len(sources):,} with {form.detector} ...")
    with progress_shown() as progress:
        job, outcomes = do_here(form, work, sources, session.settings, progress)
        if isinstance(job.record, DetectorRecord):
            note(f"The detector is {job.record.name}, on {job.record.device}.")
        said = work.said if isinstance(work, LabelWork) else {"detector": job.made_by}
        if isinstance(work, DetectWork):
            said |= work.said(weights_of(session.settings))
            note_chosen(said)
        videos = collected(outcomes)
    return said | {"videos": [outcome.model_dump(mode="json") for outcome in videos]}


def _models_in_words(said: "Mapping[str, Any]") -> str:
    """Name the models, and say why they were taken where that was left to us."""
    if not said["why"]:
        return said["model"]
    return said["why"] if len(said["models"]) == 1 else f"{said['model']} ({said['why']})"


def note_chosen(made: "Mapping[str, Any]") -> None:
    """Say of an answer which model or detector was taken and why, and which could not be, or would be better."""
    if made.get("why"):
        note(f"Labelled with {_models_in_words(made)}." if "models" in made else f"auto took {made['why']}.")
    if made.get("better"):
        note(made["better"])
    _note_left_out(made)


def _note_left_out(said: "Mapping[str, Any]") -> None:
    for champion in said.get("left_out", ()):
        note(champion)


def _through_flow(session: Session, name: str, form: VideosForm) -> dict[str, Any]:
    """Run a flow over videos, and return its answer also where every video failed."""
    from tasks.contracts.errors import VideosFailedError

    try:
        return session.run_flow(name, form)
    except VideosFailedError as error:
        return error.made


def print_made(
    made: dict[str, Any], print_answer: "Callable[[VideoOutcome], None]", manifest_name: str, *, as_json: bool
) -> None:
    """Print what a run made: for people, or as one JSON object with the manifest of each video.

    Raises:
        typer.Exit: with 1, where a video failed.
    """
    outcomes = read_outcomes(made)
    if not as_json:
        print_outcomes(outcomes, print_answer)
        return
    rows = zip(
        made["videos"], outcomes, strict=True
    )  # a row of a pool says more than an outcome: who did it, and where
    print_json(made | {"videos": [row | _found(outcome, manifest_name) for row, outcome in rows]})
    print_failures(outcomes)


def manifest_bytes(outcome: "VideoOutcome", name: str) -> bytes:
    """Read a manifest of a video that did not fail."""
    assert outcome.folder is not None
    from tasks.contracts.files import locked

    with locked(outcome.folder):
        return (outcome.folder / name).read_bytes()


def _found(outcome: "VideoOutcome", name: str) -> dict[str, Any]:
    return {Path(name).stem: json.loads(manifest_bytes(outcome, name))} if outcome.folder else {}


def read_outcomes(made: dict[str, Any]) -> "list[VideoOutcome]":
    """Read the outcomes in a flow's answer, without what a pool adds to them."""
    from tasks.contracts.media import VideoOutcome

    names = VideoOutcome.model_fields.keys()
    return [VideoOutcome.model_validate({name: row[name] for name in row.keys() & names}) for row in made["videos"]]


def _pace(outcome: "VideoOutcome") -> str:
    if outcome.status == "cached":
        return " (cached; `--again` recomputes it)"
    return f" ({outcome.seconds:.1f} s)" if outcome.status == "done" else ""


SHOWN_TRACKS = 40  # tracks of a video that are printed; the report has them all


@with_form
def detect(
    context: typer.Context,
    form: DetectObjectsForm,
    on_pool: Annotated[
        bool, typer.Option("--pool", help="In batches on the workers of the pool gpu; `reelsift up` has some.")
    ] = False,
    in_flow: InFlow = False,
    as_json: AsJson = False,
) -> None:
    """Find the objects in videos and pictures, and follow each one: boxes, tracks, an annotated video, and a report."""
    from tasks.contracts.media import OBJECTS_NAME

    form = form.model_copy(update={"where": "pool" if on_pool else "here"})
    detecting = _Kind("detect_objects", print_objects, OBJECTS_NAME)
    _work(detecting, form, context.obj, in_flow=in_flow or on_pool, as_json=as_json)


def print_objects(outcome: "VideoOutcome") -> None:
    """Print the names of what was found, how many of each, and from when to when."""
    from tasks.contracts.media import OBJECTS_NAME, ObjectsManifest

    made = ObjectsManifest.model_validate_json(manifest_bytes(outcome, OBJECTS_NAME))
    say(f"{made.video.title}: {[track.class_name for track in made.tracks[:SHOWN_TRACKS]]}")
    if made.video.media.kind == "picture":
        rows = [(track.class_name, track.score) for track in made.tracks]
        print_table("Objects", ("what", "score"), rows[:SHOWN_TRACKS])
    else:
        rows = [
            (
                f"{track.class_name} {track.track_id}",
                f"{clock(track.start_s)}-{clock(track.end_s)}",
                track.boxes,
                track.score,
            )
            for track in made.tracks
        ]
        print_table(
            f"{len(rows):,} objects followed through {made.boxes:,} boxes",
            ("what", "when", "boxes", "score"),
            rows[:SHOWN_TRACKS],
        )
    if len(rows) > SHOWN_TRACKS:
        note(f"... and {len(rows) - SHOWN_TRACKS:,} more: the report has them all.")
    if made.detector_ms is not None and outcome.status == "done":
        note(f"{made.detector.name} took {made.detector_ms:,.3g} ms a frame, on {made.detector.device}.")
    say("In all: " + (", ".join(f"{count:,} {name}" for name, count in made.counts.items()) or "nothing known"))


SHOWN_SEGMENTS = 40  # segments of a video that are printed; the report has them all


@with_form
def label(context: typer.Context, form: LabelVideosForm, in_flow: InFlow = False, as_json: AsJson = False) -> None:
    """Say what videos show, second by second: labels over time, a copy with the label drawn, and a report."""
    from tasks.contracts.media import LABELS_NAME

    labelling = _Kind("label_videos", print_labels, LABELS_NAME)
    _work(labelling, form, context.obj, in_flow=in_flow, as_json=as_json)


def print_labels(outcome: "VideoOutcome") -> None:
    """Print a video's segments, and what it shows as a whole, as each model has it."""
    from tasks.contracts.media import LABELS_NAME, LabelsManifest

    made = LabelsManifest.model_validate_json(manifest_bytes(outcome, LABELS_NAME))
    media = made.video.media
    lasts = "a picture" if media.kind == "picture" else _lasting(made.video)
    for name, answer in made.by_model.items():
        say(f"{made.video.title}: {lasts}, labelled by {name}")
        _print_answer(answer)
    if made.shots:
        cuts = [clock(cut_s) for cut_s in made.shots.cuts_s]
        more = ", ..." if len(cuts) > SHOWN_SEGMENTS else ""
        say(f"Cuts at {', '.join(cuts[:SHOWN_SEGMENTS])}{more}." if cuts else "It is one shot, without a cut.")


def _lasting(video: "VideoRecord") -> str:
    """Say how long a video lasts, and which part of it was looked at."""
    whole_s = video.media.duration_s or 0.0
    if video.part is None:
        return clock(whole_s)
    return f"{clock(video.part.start_s)}-{clock(video.part.start_s + (video.length_s or 0.0))} of {clock(whole_s)}"


def _print_answer(answer: "ModelLabels") -> None:
    if answer.is_silent:
        note("Its sound could not be used: the model saw the picture alone.")
    rows = [(f"{clock(each.start_s)}-{clock(each.end_s)}", each.name, each.score) for each in answer.segments]
    if rows:
        print_table("What it shows when", ("when", "label", "score"), rows[:SHOWN_SEGMENTS])
    if len(rows) > SHOWN_SEGMENTS:
        note(f"... and {len(rows) - SHOWN_SEGMENTS:,} more: the report has them all.")
    say("As a whole: " + ", ".join(f"{each.name} {each.score:.2f}" for each in answer.top))


MadeT = TypeVar("MadeT")


def _split(found: "Iterable[MadeT | VideoOutcome]") -> "tuple[list[MadeT], list[VideoOutcome]]":
    """Return what was made of videos, and why others failed."""
    from tasks.contracts.media import VideoOutcome

    made, failures = list[MadeT](), list[VideoOutcome]()
    for each in found:
        if isinstance(each, VideoOutcome):
            failures.append(each)
        else:
            made.append(each)
    return made, failures


@with_form
def shots(context: typer.Context, form: ShotsForm, as_json: AsJson = False) -> None:
    """Find where videos cut: each shot with its times, and a contact sheet of their first pictures."""
    from flows.video_requests import find_shots_here
    from tasks.video.shots import SHEET_NAME

    session: Session = context.obj
    with progress_shown() as progress:
        made, failures = _split(find_shots_here(with_typed_list(form), session.settings, progress))
    if as_json:
        rows = [{"folder": str(folder)} | each.model_dump(mode="json") for folder, each in made]
        print_json({"videos": [*rows, *(each.model_dump(mode="json") for each in failures)]})
    for folder, each in () if as_json else made:
        say(f"{each.video.title}: {_lasting(each.video)}, by {each.found.detector}")
        spans = [(number, f"{clock(one.start_s)}-{clock(one.end_s)}") for number, one in enumerate(each.found.shots, 1)]
        count = f"{len(spans):,} {'shot' if len(spans) == 1 else 'shots'}"
        print_table(count, ("shot", "when"), spans[:SHOWN_SEGMENTS])
        if len(spans) > SHOWN_SEGMENTS:
            note(f"... and {len(spans) - SHOWN_SEGMENTS:,} more: `--json` has them all.")
        say(f"Contact sheet: {folder / SHEET_NAME}")
    print_failures(failures)


@with_form
def clip(context: typer.Context, form: ClipsForm, as_json: AsJson = False) -> None:
    """Cut out of videos what was found in them: a file for each stretch of a label, and a sheet of their pictures."""
    from flows.video_requests import clip_here
    from tasks.per_video.clips import SHEET_NAME

    session: Session = context.obj
    with progress_shown() as progress:
        made, failures = _split(clip_here(with_typed_list(form), session.settings, progress, note))
    if as_json:
        rows = [
            {"source": each.source, "folder": str(each.folder), "sheet": SHEET_NAME}
            | {"clips": [one.model_dump(mode="json") for one in each.clips]}
            for each in made
        ]
        print_json({"videos": [*rows, *(each.model_dump(mode="json") for each in failures)]})
    for each in () if as_json else made:
        cells = [
            (f"{clock(one.start_s)}-{clock(one.end_s)}", one.label, "copied" if one.is_copy else "encoded", one.file)
            for one in each.clips
        ]
        count = f"{len(cells):,} {'clip' if len(cells) == 1 else 'clips'} of {each.title}"
        print_table(count, ("when", "shows", "pictures", "file"), cells)
        say(f"Contact sheet: {each.folder / SHEET_NAME}")
    print_failures(failures)


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of one video, or one with a folder for each video.")
    ],
    beside: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Another result of the same video, to be shown side by side."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the page that shows what was found; it opens in any browser, with no network."""
    from tasks.reports.facts import is_video_folder
    from tasks.reports.video_report import write_comparison, write_index, write_report

    if beside:
        page = write_comparison(folder, beside)
    else:
        page = (write_report if is_video_folder(folder) else write_index)(folder)
    if as_json:
        print_json({"report": str(page)})
    else:
        say(str(page))


@with_form
def youtube_id(
    context: typer.Context,
    video_id: Annotated[str, typer.Argument(metavar="ID", help="Four letters or digits, like ZU9H.")],
    form: MirrorForm,
    as_json: AsJson = False,
) -> None:
    """Print the YouTube id and the address of a video of YouTube-8M; a withdrawn one is said to be."""
    from tasks.video.youtube import resolve_yt8m_id

    session: Session = context.obj
    found = resolve_yt8m_id(video_id, session.settings.download_from(form.mirror))
    address = f"https://www.youtube.com/watch?v={found}"
    if as_json:
        print_json({"yt8m_id": video_id, "youtube_id": found, "address": address})
    else:
        say(f"{found}  {address}")
