"""`reelsift shards` and `reelsift weights`: what can be downloaded, and downloading it."""

from typing import TYPE_CHECKING, Annotated

import typer

from conf.forms import parse_part
from reelsift.console import note, print_error, print_json, print_table, progress_shown, say
from reelsift.options import PARTITIONS, AsJson, Limit, MirrorName, Partitions, Share, Yes, confirm_size
from reelsift.session import Session
from tasks.contracts.progress import scaled

if TYPE_CHECKING:
    from tasks.contracts.datasets import PlannedShard
    from tasks.shards.download import DownloadReport
    from tasks.weights.store import WeightsState

shards_app = typer.Typer(help="Shards of a mirror: what there is, and fetching them.", no_args_is_help=True)

SHOWN = 20


@shards_app.command("plan")
def plan(
    context: typer.Context,
    partition: Partitions = None,
    mirror: MirrorName = None,
    shards: Share = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List the shards that a download would take, with their digests."""
    chosen = _selected(context.obj, partition, mirror, shards, limit)
    if as_json:
        print_json({"files": len(chosen), "shards": [shard.model_dump(mode="json") for shard in chosen]})
        return
    from tasks.shards.plan import saved_name

    rows = ((shard.partition, shard.name, saved_name(shard.name), shard.md5) for shard in chosen[:SHOWN])
    print_table(f"{len(chosen):,} shards", ("partition", "name", "saved as", "md5"), rows)
    if len(chosen) > SHOWN:
        note(f"The first {SHOWN} are shown; --json shows all.")


@shards_app.command("download")
def download(
    context: typer.Context,
    partition: Partitions = None,
    mirror: MirrorName = None,
    shards: Share = None,
    limit: Limit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch shards, verified by their md5; files on the disk are kept, interrupted downloads resumed."""
    session: Session = context.obj
    chosen = _selected(session, partition, mirror, shards, limit)
    config = session.settings.download_from(mirror)
    confirm_size(partition or PARTITIONS, config, is_bounded=bool(limit or shards), yes=yes)

    from tasks.shards.download import download_shards

    with progress_shown() as progress:
        report = download_shards(chosen, session.settings.paths.shards, config, progress)
    _show(report, len(chosen), session, as_json=as_json)
    if report.failed:
        raise typer.Exit(1)


def _selected(
    session: Session, partitions: list[str] | None, mirror: str | None, shards: str | None, limit: int | None
) -> tuple["PlannedShard", ...]:
    from tasks.shards.plan import selected_shards

    config = session.settings.download_from(mirror)
    return selected_shards(partitions or PARTITIONS, config, part=parse_part(shards), limit=limit)


def _show(report: "DownloadReport", wanted: int, session: Session, *, as_json: bool) -> None:
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    rate = scaled(report.bytes_fetched / max(report.seconds, 1e-9), "B")
    say(
        f"{len(report.shards):,} of {wanted:,} shards are in {session.settings.paths.shards}: "
        f"{report.fetched:,} fetched ({scaled(report.bytes_fetched, 'B')} in {report.seconds:.1f} s, {rate}/s), "
        f"{report.skipped:,} were there, {report.resumed:,} resumed, {report.retried:,} retries, "
        f"{len(report.failed):,} failed."
    )
    for failed in report.failed:
        print_error(f"{failed.name}: {failed.reason}")


weights_app = typer.Typer(help="Files of weights: list, fetch.", no_args_is_help=True)


@weights_app.command("list")
def list_all(context: typer.Context, as_json: AsJson = False) -> None:
    """List every file of weights: what it is for, whether it is here, and where it comes from."""
    from flows.dataset_requests import weights_of
    from tasks.weights.store import list_weights

    session: Session = context.obj
    store = weights_of(session.settings)
    states = list_weights(store)
    if as_json:
        print_json({"weights": [state.model_dump(mode="json") for state in states]})
        return
    rows = ((each.name, _state(each), each.used_for, _size(each), each.licence) for each in states)
    print_table(f"Weights in {store.folder}", ("name", "state", "for", "size", "licence"), rows)
    note("`reelsift weights fetch NAME` gets one; a folder of your own in REELSIFT_WEIGHTS goes first.")


@weights_app.command("fetch")
def fetch(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As `reelsift weights list` has them, or all.")],
    as_json: AsJson = False,
) -> None:
    """Fetch files of weights, resumed and checked; what is here already is not fetched again."""
    from flows.dataset_requests import weights_of
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
