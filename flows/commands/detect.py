"""`reelsift detect`: the objects in videos and pictures, and when."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.forms import DetectObjectsForm
from flows.commands.bars import progress_shown
from flows.commands.console import note, print_table, say
from flows.commands.options import AsJson, checked_form
from flows.commands.session import Session
from flows.commands.videos import (
    AgainVideos,
    Annotate,
    DetectorOption,
    InFlow,
    Out,
    Rate,
    Sources,
    clock,
    collected,
    manifest_bytes,
    print_made,
    through_flow,
    typed_sources,
)
from tasks.contracts.files import check_folder
from tasks.contracts.objects import OBJECTS_NAME, ObjectsManifest

if TYPE_CHECKING:
    from tasks.contracts.outcomes import VideoOutcome

SHOWN = 40  # tracks of a video that are printed; the report has them all


def detect(
    context: typer.Context,
    source: Sources,
    detector: DetectorOption = "auto",
    speed: Annotated[
        str, typer.Option(metavar="S", help="normal, fast or rapid: how large a picture pointrend sees.")
    ] = "normal",
    fps: Rate = None,
    every: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Detect on every N-th frame; tracks carry boxes between.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only things of these classes, e.g. bottle,cup.")
    ] = None,
    min_score: Annotated[float | None, typer.Option(min=0, max=1, help="Scores below this do not count.")] = None,
    annotate: Annotate = None,
    out: Out = None,
    again: AgainVideos = False,
    on_pool: Annotated[
        bool, typer.Option("--pool", help="In batches on the workers of the pool gpu; `reelsift up` has some.")
    ] = False,
    in_flow: InFlow = False,
    as_json: AsJson = False,
) -> None:
    """Find the objects in videos and pictures, and follow each one: boxes, tracks, a drawn copy, and a report."""
    session: Session = context.obj
    form = checked_form(
        DetectObjectsForm,
        sources=typed_sources(source),
        detector=detector,
        speed=speed,
        rate_hz=fps,
        every=every,
        classes=tuple(name.strip() for name in classes.split(",")) if classes else None,
        min_score=min_score,
        annotate=annotate,
        out=out,
        again=again,
        where="pool" if on_pool else "here",
    )
    if out:
        check_folder(out.expanduser())
    is_flow = in_flow or on_pool or session.has_prefect_server
    made = through_flow(session, "detect_objects", form) if is_flow else detect_directly(form, session)
    print_made(made, print_objects, OBJECTS_NAME, as_json=as_json)


def detect_directly(form: DetectObjectsForm, session: Session) -> dict[str, Any]:
    """Call the stages here, without any server, and answer as the flow does."""
    from flows.video_request import detect_options, sources_of, workplace_of

    sources = sources_of(form)
    note(f"Detecting in {len(sources):,} with {form.detector} ...")
    from tasks.detection.detector import open_detector
    from tasks.per_video.each import do_each
    from tasks.per_video.fetching import fetch_each
    from tasks.per_video.objects import objects_job
    from tasks.video_storage import through_storage

    workplace = workplace_of(form, session.settings)
    options = detect_options(form, session.settings)
    with progress_shown() as progress:
        weights, min_score = workplace.weights, options.min_score
        detector = open_detector(form.detector, speed=form.speed, weights=weights, min_score=min_score)
        note(f"The detector is {detector.record.name}, on {detector.record.device}.")
        videos = fetch_each(sources, workplace, progress)
        job = through_storage(objects_job(detector, options, workplace, progress), workplace.storage, progress)
        outcomes = collected(do_each(job, videos, again=form.again))
    return {"detector": detector.record.name, "videos": [outcome.model_dump(mode="json") for outcome in outcomes]}


def print_objects(outcome: "VideoOutcome") -> None:
    """Print the names of what was found, how many of each, and from when to when."""
    made = ObjectsManifest.model_validate_json(manifest_bytes(outcome, OBJECTS_NAME))
    say(f"{made.video.title}: {[track.class_name for track in made.tracks[:SHOWN]]}")
    if made.video.media.kind == "picture":
        rows = [(track.class_name, track.score) for track in made.tracks]
        print_table("Objects", ("what", "score"), rows[:SHOWN])
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
            rows[:SHOWN],
        )
    if len(rows) > SHOWN:
        note(f"... and {len(rows) - SHOWN:,} more: the report has them all.")
    say("In all: " + (", ".join(f"{count:,} {name}" for name, count in made.counts.items()) or "nothing known"))
