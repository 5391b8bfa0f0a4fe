"""`reelsift weights`: the files of weights that networks need."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.bars import progress_shown
from flows.commands.console import note, print_json, print_table, say
from flows.commands.options import AsJson
from flows.commands.session import Session
from tasks.contracts.progress_lines import scaled

if TYPE_CHECKING:
    from tasks.weights.listing import WeightsState

app = typer.Typer(help="Files of weights: list, fetch.", no_args_is_help=True)


@app.command("list")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List every file of weights: what it is for, whether it is here, and from where it can be had."""
    from flows.video_request import weights_of
    from tasks.weights.listing import list_weights

    session: Session = context.obj
    store = weights_of(session.settings)
    states = list_weights(store)
    if as_json:
        print_json({"weights": [state.model_dump(mode="json") for state in states]})
        return
    rows = ((each.name, _state(each), each.used_for, _size(each), each.licence) for each in states)
    print_table(f"Weights in {store.folder}", ("name", "state", "for", "size", "licence"), rows)
    note("`reelsift weights fetch NAME` gets one; a folder of your own in REELSIFT_WEIGHTS goes first.")


@app.command("fetch")
def fetch(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As `reelsift weights list` has them, or all.")],
    as_json: AsJson = False,
) -> None:
    """Fetch files of weights, resumed and checked; what is here already is not fetched again."""
    from flows.video_request import weights_of
    from tasks.weights.fetch import fetch_weights

    session: Session = context.obj
    store = weights_of(session.settings)
    chosen = list(store.table) if names == ["all"] else names
    with progress_shown() as progress:
        found = [fetch_weights(name, store, session.settings.download, progress) for name in chosen]
    if as_json:
        print_json({"weights": [each.record.model_dump() | {"path": str(each.path)} for each in found]})
        return
    for each in found:
        say(f"{each.record.name}: {each.path}")


def _state(found: "WeightsState") -> str:
    return f"{found.state}, not the published file" if found.is_official is False else found.state


def _size(found: "WeightsState") -> str:
    return scaled(found.size_bytes, "B") if found.size_bytes else "-"
