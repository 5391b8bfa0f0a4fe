"""`reelsift shards`: what a mirror has, and fetching it."""

from typing import TYPE_CHECKING

import typer

from conf.forms import parse_part
from flows.commands.bars import progress_shown
from flows.commands.console import note, print_error, print_json, print_table, say
from flows.commands.options import PARTITIONS, AsJson, Limit, MirrorName, Partitions, Share, Yes, confirm_size
from flows.commands.session import Session
from tasks.contracts.progress_lines import scaled

if TYPE_CHECKING:
    from tasks.contracts.artifacts import PlannedShard
    from tasks.shards.download import DownloadReport

app = typer.Typer(help="Shards of a mirror: what there is, and fetching them.", no_args_is_help=True)

SHOWN = 20


@app.command("plan")
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


@app.command("download")
def download(
    context: typer.Context,
    partition: Partitions = None,
    mirror: MirrorName = None,
    shards: Share = None,
    limit: Limit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch shards, verified by their md5; what is there already stays, what was cut off goes on."""
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
    from tasks.shards.selection import selected_shards

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
