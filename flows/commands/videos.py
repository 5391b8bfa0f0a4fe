"""What `reelsift label` and `reelsift detect` share: options, the direct way, and what they print of each video."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.forms import SOURCES
from flows.commands.console import note, print_error, print_json, print_warning, say
from flows.commands.session import Session

if TYPE_CHECKING:
    from tasks.contracts.outcomes import VideoOutcome

Sources = Annotated[list[str], typer.Argument(metavar="SOURCE...", help=SOURCES + ".", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder with one folder for each video.")]
Rate = Annotated[
    float | None, typer.Option("--fps", metavar="R", min=0.001, help="Moments or frames a second that are looked at.")
]
Annotate = Annotated[
    bool | None, typer.Option("--annotate/--no-annotate", help="Write a copy of each video with the answer drawn.")
]
AgainVideos = Annotated[bool, typer.Option("--again", help="Do anew what was done before with the same options.")]
DetectorOption = Annotated[
    str,
    typer.Option("--detector", metavar="NAME", help="auto, pointrend, pointrend-resnet101 (with masks) or yolox-nano."),
]
InFlow = Annotated[
    bool, typer.Option("--flow", help="Run as a flow of Prefect's; so too where PREFECT_API_URL is set.")
]


def typed_sources(sources: Iterable[str]) -> tuple[str, ...]:
    """Return sources as a form can hold them, whatever the bytes that were typed."""
    from tasks.video.sources import typed_name

    return tuple(map(typed_name, sources))


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
    for outcome in outcomes:
        if outcome.status != "failed":
            print_answer(outcome)
            say(f"Report: {outcome.report}")
    print_failures(outcomes)


def print_failures(outcomes: "list[VideoOutcome]") -> None:
    """Print what is missing in answers, then why videos failed.

    Raises:
        typer.Exit: with 1, where one did.
    """
    from tasks.contracts.outcomes import FAILED, told

    failures = [outcome for outcome in outcomes if outcome.status == FAILED]
    for outcome in outcomes:
        if outcome.warning:
            print_warning(told(outcome))
    for outcome in failures:
        print_error(told(outcome))
    if failures:
        raise typer.Exit(1)


def through_flow(session: Session, name: str, form: Any) -> dict[str, Any]:  # noqa: ANN401 - a form of videos
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
    from tasks.contracts.staging import locked

    with locked(outcome.folder):
        return (outcome.folder / name).read_bytes()


def _found(outcome: "VideoOutcome", name: str) -> dict[str, Any]:
    return {Path(name).stem: json.loads(manifest_bytes(outcome, name))} if outcome.folder else {}


def read_outcomes(made: dict[str, Any]) -> "list[VideoOutcome]":
    """Read the outcomes in a flow's answer, without what a pool adds to them."""
    from tasks.contracts.outcomes import VideoOutcome

    names = VideoOutcome.model_fields.keys()
    return [VideoOutcome.model_validate({name: row[name] for name in row.keys() & names}) for row in made["videos"]]


def clock(seconds: float) -> str:
    """Write a time in a video as people do: `0:07`, `1:02:03`; tenths where there are any."""
    whole, tenths = divmod(round(seconds * 10), 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return f"{text}.{tenths}" if tenths else text


def _pace(outcome: "VideoOutcome") -> str:
    if outcome.status == "cached":
        return " (was there already; `--again` does it anew)"
    return f" ({outcome.seconds:.1f} s)" if outcome.status == "done" else ""
