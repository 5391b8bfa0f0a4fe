"""`reelsift label`: what videos show over time."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.forms import LabelVideosForm
from flows.commands.bars import progress_shown
from flows.commands.console import note, print_table, say
from flows.commands.options import AsJson, checked_form
from flows.commands.session import Session
from flows.commands.videos import (
    AgainVideos,
    Annotate,
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
from tasks.contracts.labels import LABELS_NAME, LabelsManifest

if TYPE_CHECKING:
    from tasks.contracts.outcomes import VideoOutcome

SHOWN = 40  # segments of a video that are printed; the report has them all


def label(
    context: typer.Context,
    source: Sources,
    model: Annotated[
        str,
        typer.Option(metavar="MODEL", help="imagenet, champion, NAME@champion, NAME/3 or a run's id."),
    ] = "imagenet",
    fps: Rate = None,
    window: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="The mean of the last K moments is the score; 1: none.")
    ] = None,
    centred: Annotated[
        bool | None, typer.Option("--centred/--causal", help="Let the mean reach as far ahead as back.")
    ] = None,
    annotate: Annotate = None,
    keep_frames: Annotated[
        bool | None, typer.Option("--keep-frames", help="Keep the annotated frames as pictures, too.")
    ] = None,
    out: Out = None,
    again: AgainVideos = False,
    in_flow: InFlow = False,
    as_json: AsJson = False,
) -> None:
    """Say what videos show, second by second: labels over time, a copy with the label drawn, and a report."""
    session: Session = context.obj
    form = checked_form(
        LabelVideosForm,
        sources=typed_sources(source),
        model=model,
        rate_hz=fps,
        window=window,
        centred=centred,
        annotate=annotate,
        keep_frames=keep_frames,
        out=out,
        again=again,
    )
    if out:
        check_folder(out.expanduser())
    is_flow = in_flow or session.has_prefect_server
    made = through_flow(session, "label_videos", form) if is_flow else label_directly(form, session)
    print_made(made, print_labels, LABELS_NAME, as_json=as_json)


def label_directly(form: LabelVideosForm, session: Session) -> dict[str, Any]:
    """Call the stages here, without any server, and answer as the flow does."""
    from flows.video_request import label_options, sources_of, workplace_of

    sources = sources_of(form)
    note(f"Labelling {len(sources):,} with {form.model} ...")
    from tasks.labelling.labeller import open_labeller
    from tasks.per_video.each import do_each
    from tasks.per_video.fetching import fetch_each
    from tasks.per_video.labels import labels_job
    from tasks.video_storage import through_storage

    workplace = workplace_of(form, session.settings)
    options = label_options(form, session.settings)
    with progress_shown() as progress:
        labeller = open_labeller(form.model, store=session.store, weights=workplace.weights)
        videos = fetch_each(sources, workplace, progress)
        job = through_storage(labels_job(labeller, options, workplace, progress), workplace.storage, progress)
        outcomes = collected(do_each(job, videos, again=form.again))
    return {"model": labeller.record.name, "videos": [outcome.model_dump(mode="json") for outcome in outcomes]}


def print_labels(outcome: "VideoOutcome") -> None:
    """Print a video's segments, and what it shows as a whole."""
    made = LabelsManifest.model_validate_json(manifest_bytes(outcome, LABELS_NAME))
    media = made.video.media
    lasts = "a picture" if media.kind == "picture" else clock(media.duration_s or 0.0)
    say(f"{made.video.title}: {lasts}, labelled by {made.model.name}")
    if made.is_silent:
        note("Its sound could not be used: the model saw the picture alone.")
    rows = [(f"{clock(each.start_s)}-{clock(each.end_s)}", each.name, each.score) for each in made.segments]
    if rows:
        print_table("What it shows when", ("when", "label", "score"), rows[:SHOWN])
    if len(rows) > SHOWN:
        note(f"... and {len(rows) - SHOWN:,} more: the report has them all.")
    say("As a whole: " + ", ".join(f"{each.name} {each.score:.2f}" for each in made.top))
