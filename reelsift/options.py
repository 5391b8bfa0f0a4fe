"""Options that several commands share, and the question before a large download."""

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from conf.forms import SHARE_PATTERN
from reelsift.console import note
from tasks.contracts.errors import ReelsiftError
from tasks.contracts.progress import scaled

if TYPE_CHECKING:
    from tasks.shards.config import DownloadConfig


def _checked_share(text: str | None) -> str | None:
    """Refuse what is not X,Y before anything is done."""
    if text is not None and not re.match(SHARE_PATTERN, text):
        raise typer.BadParameter(f"must be X,Y with X from 1 to Y, e.g. 1,10; got {text!r}")
    return text


AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
MirrorName = Annotated[
    str | None, typer.Option("--mirror", metavar="M", help="us, eu, asia, a URL, or a folder of shards.")
]
Partitions = Annotated[
    list[str] | None, typer.Option("--partition", metavar="P", help="video/train, video/validate; may be repeated.")
]
Share = Annotated[
    str | None,
    typer.Option(
        "--shards", metavar="X,Y", callback=_checked_share, help="The X-th of Y shares, as in the official script."
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many shards of each partition.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a large download.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="PRESET", help="logistic, moe, gated or your own; may be repeated."),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of every candidate.")]
Again = Annotated[bool, typer.Option("--again", help="Train again, ignoring cached models.")]

Labels = Annotated[
    list[str],
    typer.Option("--label", "-l", metavar="NAME", help="By name, index or knowledge-graph id; may be repeated."),
]
Match = Annotated[str, typer.Option("--match", metavar="any|all", help="Whether one of several labels is enough.")]
Excluded = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="NAME", help="A video with this label does not match.")
]
Background = Annotated[
    str | None, typer.Option("--background", metavar="N|all", help="Unmatched videos kept for each match.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail on a damaged shard instead of reporting it.")]
DiscardShards = Annotated[bool, typer.Option("--discard-shards", help="Delete each shard once its rows are kept.")]
Runner = Annotated[
    str | None,
    typer.Option(
        "--runner", metavar="local|dask", help="Threads here, or processes of a Dask cluster, download and filter."
    ),
]
DaskAddress = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="tcp://HOST:PORT", help="Dask scheduler \\[default: a cluster made for the run]."
    ),
]
DatasetRef = Annotated[
    str, typer.Argument(metavar="REF", help="SLUG/ID, an id, the beginning of one, a slug, or latest.")
]

FormT = TypeVar("FormT", bound=BaseModel)

PARTITIONS = ("video/train", "video/validate")


def checked_form(kind: type[FormT], **values: Any) -> FormT:  # noqa: ANN401 - options of any kind
    """Check options as the form of the flow does.

    Raises:
        typer.BadParameter: an option is not what the form allows.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{where}: {first['msg']}, got {first['input']!r}") from error


def confirm_size(partitions: "Sequence[str]", config: "DownloadConfig", *, is_bounded: bool, yes: bool) -> None:
    """Say how much whole public partitions are, and ask; a selection or a mirror of one's own is not asked about.

    Raises:
        ReelsiftError: there is nobody to ask.
    """
    from tasks.shards.mirror import is_public

    if yes or is_bounded or not is_public(config):
        return
    from tasks.shards.download import estimate_download
    from tasks.shards.plan import selected_shards

    estimate = estimate_download(selected_shards(partitions, config, part=None, limit=None), config)
    size = "of unknown size" if estimate.bytes is None else f"about {scaled(estimate.bytes, 'B')}"
    note(f"{estimate.files:,} files, {size}, from {', '.join(config.mirrors)}.")
    if not sys.stdin.isatty():
        raise ReelsiftError(
            "Cannot prompt: stdin is not a terminal. Add --yes, or take fewer with --limit or --shards."
        )
    if not typer.confirm("Download them?", err=True):
        raise typer.Abort
