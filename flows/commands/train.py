"""`reelsift train`: candidates for a dataset version that is there."""

from typing import Annotated, Any

import typer

from conf.forms import TrainClassifierForm
from flows.commands.console import note, print_json, print_table
from flows.commands.options import Again, AsJson, Models, Seed
from flows.commands.session import Session


def train(
    context: typer.Context,
    dataset: Annotated[str, typer.Option(metavar="REF", help="SLUG/ID, an id, a slug, or latest.")] = "latest",
    model: Models = None,
    seed: Seed = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Train candidates, log them to MLflow, and register them under the dataset's slug."""
    session: Session = context.obj
    form = TrainClassifierForm(dataset=dataset, models=tuple(model or ()), seed=seed, again=again)
    session.settings.candidates(form.models)  # a wrong name is told at once, before any server starts
    session.open_dataset(dataset)
    trained = session.run_flow("train_classifier", form)
    for warning in trained["warnings"]:
        note(f"Warning: {warning}")
    if as_json:
        print_json(trained)
        return
    print_table(
        f"Candidates on {trained['slug']}/{trained['dataset']}, judged on its validate split",
        ("model", "kind", "GAP@20", "MAP", "Hit@1", "PERR", "match AP", "coverage", "seconds"),
        (_row(candidate) for candidate in trained["candidates"]),
    )
    note("`reelsift models compare` sets them beside the champion; `reelsift models promote` asks the gate.")


def _row(candidate: dict[str, Any]) -> tuple[object, ...]:
    metrics = candidate["metrics"]
    figures = (metrics.get(name) for name in ("gap_at_20", "map", "hit_at_1", "perr", "match_ap", "coverage"))
    return (f"{candidate['name']}/{candidate['version']}", candidate["kind"], *figures, f"{candidate['seconds']:.1f}")
