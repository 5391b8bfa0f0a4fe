"""`reelsift pipeline`: the whole path in one command."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from conf.forms import PipelineForm
from reelsift.console import note, print_json, print_table, say
from reelsift.dataset import confirmed, planned
from reelsift.manifests import print_warnings
from reelsift.options import AsJson, Yes, with_form
from reelsift.session import Session

FIGURE_TITLES = {
    "gap": "GAP@20",
    "map": "MAP",
    "top_1": "top-1",
    "top_5": "top-5",
    "hit1": "Hit@1",
    "perr": "PERR",
    "match_ap": "match AP",
    "coverage": "coverage",
}


COST_TITLES = ("seconds", "M weights", "videos/s", "peak MB")  # all of training


@with_form
def pipeline(context: typer.Context, form: PipelineForm, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make a dataset version, train candidates, let the best through the gate, and look at videos with it."""
    from flows.dataset_requests import handing_on

    session: Session = context.obj
    session.settings.candidates(form.models)  # a wrong name fails at once, before any question
    session.settings.check_detector(form.detector)
    request = planned(form, session)
    form = confirmed(form, request, session, yes=yes)
    with handing_on(request, form, session.settings):
        made = session.run_flow("pipeline", form)
    print_warnings(made["dataset"])
    if as_json:
        print_json(made)
        return
    print_outcome(made)
    if form.videos:
        print_found(made)


def print_found(made: dict[str, Any]) -> None:
    """Print what was found in the videos of a pipeline.

    Raises:
        typer.Exit: with 1, where a video failed.
    """
    from reelsift.videos import note_chosen, print_labels, print_objects, print_outcomes, read_outcomes

    note_chosen(made["labels"])
    print_outcomes(read_outcomes(made["labels"]), print_labels)
    note_chosen(made["objects"])
    print_outcomes(read_outcomes(made["objects"]), print_objects)


def print_outcome(made: dict[str, Any]) -> None:
    """Print what a pipeline made: the dataset's id, the comparison, the champion, and where to look."""
    dataset, comparison, promotion = made["dataset"], made["comparison"], made["promotion"]
    say(f"Dataset {dataset['slug']}/{dataset['id']}: {dataset['matches']:,} matches in {dataset['rows']:,} rows.")
    print_comparison(comparison)
    print_promotion(promotion)
    print_ways_to_look(comparison)


def print_promotion(promotion: Mapping[str, Any]) -> None:
    """Print whether a model became the champion, and why."""
    if promotion["model"] == promotion["champion"]:
        say(promotion["reason"])  # which says that it is the champion already
        return
    outcome = "is the champion" if promotion["promoted"] else f"does not replace {promotion['champion']}"
    say(f"{promotion['model']} {outcome}: {promotion['reason']}")


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print the table of a comparison, the best model first."""
    rows = comparison["rows"]
    figures = ("gap", "map", *class_figures(rows), "hit1", "perr", "match_ap", "coverage")
    print_table(
        f"Models on {comparison['videos']:,} matching videos of {comparison['dataset_id']}",
        ("model", "kind", *(FIGURE_TITLES[name] for name in figures), "gain over champion", *COST_TITLES),
        (_row(row, figures) for row in rows),
    )


def class_figures(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the figures of a classification where any of these has them: each of its videos has one label."""
    return ("top_1", "top_5") if any(row.get("top_1") is not None for row in rows) else ()


def print_ways_to_look(comparison: dict[str, Any]) -> None:
    """Say how to see the comparison in MLflow."""
    if comparison["ui_command"]:
        note(f"To serve MLflow's pages: {comparison['ui_command']}")
    note(f"MLflow's comparison of these runs: {comparison['compare_url']}")
    note(f"Champion and challenger of {comparison['name']}: {comparison['registry_url']}")


def open_in_browser(comparison: dict[str, Any]) -> None:
    """Open MLflow's comparison of these runs; nothing is started for it.

    Raises:
        TrackingError: nothing serves that page, or there is no browser here.
    """
    import webbrowser

    from tasks.contracts.errors import TrackingError

    address = comparison["compare_url"]
    if comparison["ui_command"]:
        raise TrackingError(
            f"Nothing serves MLflow's pages of these models yet, so there is nothing to open. Start "
            f"`{comparison['ui_command']}` (or `reelsift up`), then open {address}"
        )
    if not webbrowser.open(address):
        raise TrackingError(f"No browser can be started here. Open it where there is one: {address}")


def _row(row: dict[str, Any], figures: Sequence[str]) -> tuple[object, ...]:
    gain = "champion" if "champion" in row["aliases"] else None
    if row["gain"] is not None:
        low, high = row["interval"]
        gain = f"{row['gain']:+.4f} [{low:+.4f}, {high:+.4f}]"
    return (row["model"], row["kind"], *(row[name] for name in figures), gain, *cost_cells(row))


def cost_cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a model costs, under `COST_TITLES`; nothing for what an earlier release did not measure."""
    shapes = {"parameters": (1e6, ",.2f"), "videos_per_s": (1, ",.0f"), "peak_mb": (1, ",.0f")}
    known = ((row.get(name), *shape) for name, shape in shapes.items())
    cells = (None if each is None else format(each / unit, shape) for each, unit, shape in known)
    return f"{row['seconds']:.1f}", *cells
