"""`reelsift vocabulary`, `shards` and `weights`: what can be downloaded, and downloading it."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from conf.forms import LARGE_FETCH_VIDEOS, ExtractDatasetForm, MirrorForm, ShardsForm
from reelsift.console import note, print_error, print_json, print_table, progress_shown, say
from reelsift.options import AsJson, Commands, Yes, argument, with_form
from reelsift.session import Session
from tasks.contracts.errors import ReelsiftError
from tasks.contracts.progress import scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.contracts.datasets import PlannedShard
    from tasks.imports.table import ClipTable
    from tasks.shards.download import DownloadReport
    from tasks.vocabulary.labels import Vocabulary
    from tasks.weights.store import WeightsState, WeightsStore

SHOWN = 20


@with_form
def vocabulary(
    context: typer.Context,
    *,
    search: Annotated[str, typer.Option(metavar="TEXT", help="Labels whose name contains this.")] = "",
    vertical: Annotated[str | None, typer.Option(metavar="V", help="Labels of this vertical.")] = None,
    form: MirrorForm,
    as_json: AsJson = False,
) -> None:
    """Show the labels there are: index, name, verticals, videos in the train partition."""
    words = _load(context.obj, form.mirror)
    found = words.search(search, vertical)
    summary = words.summary()
    if as_json:
        print_json(
            {"summary": summary.model_dump(mode="json"), "labels": [label.model_dump(mode="json") for label in found]}
        )
        return
    shown = found if search or vertical else found[:SHOWN]
    print_table(
        f"{len(found):,} of {len(words.labels):,} labels",
        ("index", "name", "verticals", "train videos", "knowledge graph"),
        (
            (
                str(label.index),
                label.shown_name,
                ", ".join(label.verticals),
                label.train_count,
                label.knowledge_graph_id,
            )
            for label in shown
        ),
    )
    if len(shown) < len(found):
        note(f"The {SHOWN} commonest are shown; --search TEXT, --vertical V or --json show more.")
        _print_summary(words)


def _load(session: Session, mirror: str | None) -> "Vocabulary":
    """Take the vocabulary that is kept, unless a mirror is named; fetch it where there is none."""
    from tasks.vocabulary.table import kept_vocabulary, load_vocabulary

    settings = session.settings
    folder = settings.paths.vocabulary
    kept = None if mirror or settings.mirror else kept_vocabulary(folder)
    return kept or load_vocabulary(folder, settings.download_from(mirror))


def _print_summary(words: "Vocabulary") -> None:
    summary = words.summary()
    print_table("Columns", ("column", "non-null"), summary.non_null.items())
    if summary.train_counts:
        spread = summary.train_counts.model_dump()
        print_table("Train videos a label", list(spread), [[f"{value:,.0f}" for value in spread.values()]])
    if summary.verticals:
        print_table("Verticals", ("vertical", "labels"), summary.verticals.items())


shards_app = Commands("Shards of a mirror: what there is, and fetching them.")


@shards_app.command("plan", example="reelsift shards plan --partition video/train --limit 4")
@with_form
def plan(context: typer.Context, form: ShardsForm, as_json: AsJson = False) -> None:
    """List the shards that a download would take, with their digests."""
    chosen = _selected(context.obj, form)
    if as_json:
        print_json({"files": len(chosen), "shards": [shard.model_dump(mode="json") for shard in chosen]})
        return
    from tasks.shards.plan import saved_name

    rows = ((shard.partition, shard.name, saved_name(shard.name), shard.md5) for shard in chosen[:SHOWN])
    print_table(f"{len(chosen):,} shards", ("partition", "name", "saved as", "md5"), rows)
    if len(chosen) > SHOWN:
        note(f"The first {SHOWN} are shown; --json shows all.")


@shards_app.command("download", example="reelsift shards download --shards 1,100 --mirror eu")
@with_form
def download(context: typer.Context, form: ShardsForm, yes: Yes = False, as_json: AsJson = False) -> None:
    """Fetch shards, verified by their md5; files on the disk are kept, interrupted downloads resumed."""
    session: Session = context.obj
    chosen = _selected(session, form)
    confirm_size(chosen, form, session, yes=yes)

    from tasks.shards.download import download_shards

    config = session.settings.download_from(form.mirror)
    with progress_shown() as progress:
        report = download_shards(chosen, session.settings.paths.shards, config, progress)
    _show(report, len(chosen), session, as_json=as_json)
    if report.failed:
        raise typer.Exit(1)


def confirm_size(shards: "Sequence[PlannedShard]", form: ShardsForm, session: Session, *, yes: bool) -> None:
    """Say how much whole public partitions are, and ask; a selection or a mirror of one's own is not asked about.

    Raises:
        ReelsiftError: there is nobody to ask.
    """
    from tasks.shards.mirror import is_public

    config = session.settings.download_from(form.mirror)
    if yes or form.limit or form.shards or not is_public(config):
        return
    from tasks.shards.download import estimate_download

    estimate = estimate_download(shards, config)
    size = "of unknown size" if estimate.bytes is None else f"about {scaled(estimate.bytes, 'B')}"
    note(f"{estimate.files:,} files, {size}, from {', '.join(config.mirrors)}.")
    _ask("Add --yes, or take fewer with --limit or --shards.")


def confirm_fetches(table: "ClipTable", form: ExtractDatasetForm, session: Session, *, yes: bool) -> None:
    """Say how many videos of a version would be fetched, and ask, where no limit was chosen and they are many.

    Raises:
        ReelsiftError: there is no terminal to ask at.
    """
    from flows.import_requests import fetches_in_words, videos_to_fetch

    if yes or form.limit:
        return
    wanted = videos_to_fetch(table, form, session.settings)
    if wanted > LARGE_FETCH_VIDEOS:
        note(f"{fetches_in_words(wanted, session.settings)}.")
        _ask("Add --yes, or take fewer with --limit.")


def _selected(session: Session, form: ShardsForm) -> tuple["PlannedShard", ...]:
    from tasks.shards.plan import selected_shards

    config = session.settings.download_from(form.mirror)
    return selected_shards(form.partitions, config, part=form.part, limit=form.limit)


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


weights_app = Commands("Files of weights: list, fetch.")


@weights_app.command("list", example="reelsift weights list")
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
    rows = ((each.name, _state(each), each.group or "-", each.used_for, _size(each), each.licence) for each in states)
    print_table(f"Weights in {store.folder}", ("name", "state", "group", "for", "size", "licence"), rows)
    note(
        "`reelsift weights fetch NAME` gets one, or all files of a GROUP; a folder of your own in REELSIFT_WEIGHTS "
        "goes first."
    )


@weights_app.command("fetch", example="reelsift weights fetch yolox-nano")
def fetch(
    context: typer.Context,
    names: Annotated[
        list[str], argument("NAME", "File or group of `reelsift weights list`, or all.", choices="WEIGHTS")
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Fetch files of weights by their names or that of their group; what is here already is not fetched again."""
    from flows.dataset_requests import weights_of
    from tasks.weights.fetch import fetch_weights

    session: Session = context.obj
    store = weights_of(session.settings)
    chosen = list(dict.fromkeys(each for name in names for each in store.members(name)))
    _confirm_fetch(names, chosen, store, yes=yes)
    with progress_shown() as progress:
        found = [fetch_weights(name, store, session.settings.download, progress) for name in chosen]
    if as_json:
        print_json({"weights": [each.record.model_dump() | {"path": str(each.path)} for each in found]})
        return
    for each in found:
        say(f"{each.record.name}: {each.path}")


def _confirm_fetch(names: list[str], chosen: list[str], store: "WeightsStore", *, yes: bool) -> None:
    """Say how much is to come, and ask where the names of the files were not typed one by one."""
    from tasks.weights.fetch import estimate_fetch

    estimate = estimate_fetch(chosen, store)
    if not estimate.hosts:
        return
    known = [scaled(estimate.known_bytes, "B")] if estimate.known_bytes else []
    unknown = [f"{estimate.unknown} of unknown size"] if estimate.unknown else []
    count = f"{len(estimate.names)} {'file' if len(estimate.names) == 1 else 'files'}"
    downloads = f" in {estimate.downloads} downloads" if estimate.downloads != len(estimate.names) else ""
    note(f"{count}{downloads}, {' and '.join([*known, *unknown])}, from {', '.join(estimate.hosts)}.")
    if not yes and set(names) != set(chosen):
        _ask("Add --yes, or name the files one by one.")


def _ask(otherwise: str) -> None:
    """Ask whether to download what was shown.

    Raises:
        ReelsiftError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ReelsiftError(f"Cannot prompt: stdin is not a terminal. {otherwise}")
    if not typer.confirm("Download them?", err=True):
        raise typer.Abort


def _state(found: "WeightsState") -> str:
    return f"{found.state}, not the published file" if found.is_official is False else found.state


def _size(found: "WeightsState") -> str:
    return scaled(found.size_bytes, "B") if found.size_bytes else "-"
