"""`reelsift prune`: what nobody needs any more, shown, and deleted if asked for."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from reelsift.console import note, print_error, print_json, print_table, say
from reelsift.options import AsJson
from reelsift.session import Session
from tasks.contracts.progress import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.pruning.items import Bounds, Findings, Item, Kept, Outcome
    from tasks.pruning.prune import Places, PruningPlan

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
SHOWN = 40
LONGEST_NAME = 48  # characters, in a table


def _checked_age(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,5}[hdw]", text):
        raise typer.BadParameter(f"must be a number and h, d or w, e.g. 30d; got {text!r}")
    return text


OlderThan = Annotated[
    str,
    typer.Option("--older-than", metavar="AGE", callback=_checked_age, help="Since it was last used: 12h, 30d, 8w."),
]
Keep = Annotated[
    int, typer.Option("--keep", metavar="N", min=1, help="The newest N versions of each slug stay, whatever their age.")
]
WithModels = Annotated[
    bool,
    typer.Option("--models", help="Also registered models without an alias, but for the newest N, and their datasets."),
]
WithShards = Annotated[
    bool, typer.Option("--shards", help="Also shards that a part has the rows of; another label needs them again.")
]
WithFetched = Annotated[bool, typer.Option("--fetched", help="Also fetched videos; what was found in them stays.")]
Delete = Annotated[bool, typer.Option("--yes", "-y", help="Delete. Without it, nothing is changed.")]


def prune(
    context: typer.Context,
    older_than: OlderThan = "30d",
    keep: Keep = 3,
    models: WithModels = False,
    shards: WithShards = False,
    fetched: WithFetched = False,
    yes: Delete = False,
    as_json: AsJson = False,
) -> None:
    """Show what nobody needs any more: old dataset versions, parts, features, runs, logs; with --yes, delete it.

    Never what `latest`, an alias or a registered model refers to. Name the MLflow server where your models are
    registered, if there is one: what a model needs that cannot be seen, cannot be known.

    Only the local home is pruned; what lies in an object store (the setting `storage`) stays there. Flow runs are
    pruned of the Prefect server that PREFECT_API_URL names.
    """
    from tasks.pruning.items import Bounds
    from tasks.pruning.prune import Pruning, Wanted

    session: Session = context.obj
    age = int(older_than[:-1]) * UNITS[older_than[-1]]
    bounds = Bounds(now=datetime.now(UTC), older_than=age, keep=keep)
    wanted = Wanted(models=models, shards=shards, fetched=fetched)
    pruning = Pruning(_places(session), session.store, bounds, wanted)
    plan = pruning.plan()
    flow_runs = _flow_runs(session, bounds, plan)
    outcomes = [*pruning.carry_out(plan), *_removed(flow_runs)] if yes else None
    plan = plan.model_copy(update={"goes": (*plan.goes, *flow_runs.goes), "stays": (*plan.stays, *flow_runs.stays)})
    if as_json:
        print_json(_answer(plan, outcomes))
    else:
        _show(plan, outcomes, session, older_than)
    if plan.problem:
        print_error(plan.problem)
        raise typer.Exit(1)


def _places(session: Session) -> "Places":
    from tasks.pruning.prune import Places

    home, notes = session.settings.paths, session.store.notes
    return Places(
        home=home.root,
        datasets=home.datasets,
        parts=home.parts,
        shards=home.shards,
        fetched=home.fetched,
        features=home.features,
        appearing=(
            home.datasets,
            home.parts,
            home.shards,
            home.vocabulary,
            home.fetched,
            home.features,
            home.videos,
            home.weights,
            home.reports,
            home.batches,
            notes,
        ),
        downloads=(home.shards, home.weights),
        logs=(home.logs, home.stack),
    )


def _flow_runs(session: Session, bounds: "Bounds", plan: "PruningPlan") -> "Findings":
    """Look at the flow runs of the server that there is, if models can tell which of them they refer to."""
    from tasks.pruning.items import Findings

    if plan.problem or not session.has_prefect_server:
        return Findings()
    from conf.environment import apply_environment

    apply_environment(session.settings.paths)
    import httpx

    from tasks.prune_flow_runs import find_flow_runs
    from tasks.pruning.models import prefect_runs
    from tasks.tracking.registry import registered_versions

    needed = prefect_runs(registered_versions(session.store))
    try:
        return find_flow_runs(_flow_names(), bounds.now - bounds.older_than, needed)
    except httpx.HTTPError as error:
        note(f"Flow runs are left out: the Prefect server does not answer ({error}).")
        return Findings()


def _flow_names() -> set[str]:
    """Return the names that flows may have: each has that of its file, with dashes."""
    import pkgutil

    import flows

    return {module.name.replace("_", "-") for module in pkgutil.iter_modules(flows.__path__) if not module.ispkg}


def _removed(flow_runs: "Findings") -> "list[Outcome]":
    if not flow_runs.goes:
        return []
    from tasks.prune_flow_runs import remove_flow_runs

    return list(remove_flow_runs(flow_runs.goes))


def _answer(plan: "PruningPlan", outcomes: "list[Outcome] | None") -> dict[str, object]:
    answer = plan.model_dump(mode="json") | {"dry_run": outcomes is None, "freed_bytes": plan.freed_bytes}
    if outcomes is None:
        return answer
    spared = [{"kind": each.item.kind, "name": each.item.name, "why": each.spared} for each in outcomes if each.spared]
    return answer | {"freed_bytes": sum(each.freed_bytes for each in outcomes), "spared": spared}


def _show(plan: "PruningPlan", outcomes: "list[Outcome] | None", session: Session, older_than: str) -> None:
    # Parts of versions that stay are no surprise, and many; --json has them.
    stays = [each for each in plan.stays if each.kind != "part"]
    if stays:
        rows = (_row(each) for each in stays[:SHOWN])
        print_table("Stays", ("what", "name", "last used", "why"), rows)
        _note_more(stays)
    title = f"{'Goes' if outcomes is None else 'To go'}: not used for {older_than}"
    if plan.goes:
        rows = ((*_row(each), scaled(each.size_bytes, "B")) for each in plan.goes[:SHOWN])
        print_table(title, ("what", "name", "last used", "why", "frees"), rows)
        _note_more(plan.goes)
    note(f"Models were looked for at {session.store.uri}.")
    if outcomes is None:
        say(f"{len(plan.goes):,} things would go and free {scaled(plan.freed_bytes, 'B')}. Nothing was changed.")
        if plan.goes:
            note("The same with --yes deletes them.")
        return
    for each in outcomes:
        if each.spared:
            note(f"{each.item.kind} {each.item.name} stays: {each.spared}")
    gone = sum(not each.spared for each in outcomes)
    say(f"{gone:,} things are gone, which freed {scaled(sum(each.freed_bytes for each in outcomes), 'B')}.")


def _row(found: "Item | Kept") -> tuple[str, str, str, str]:
    used = f"{found.last_used:%Y-%m-%d %H:%M}" if found.last_used else "-"
    name = found.name if len(found.name) <= LONGEST_NAME else f"{found.name[: LONGEST_NAME - 1]}…"
    return str(found.kind), name, used, found.why


def _note_more(found: "Sequence[object]") -> None:
    if len(found) > SHOWN:
        note(f"The first {SHOWN} of {len(found):,} are shown; --json shows all.")
