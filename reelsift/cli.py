"""The command line: `reelsift`.

A command imports what it needs when it runs, so `--help` answers at once.
"""

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from conf.environment import spare_loopback_proxies
from reelsift import config, dataset, demo, downloads, found, models, pipeline, prune, stack, videos
from reelsift.console import ERR, can_print, print_error, print_json, printing
from reelsift.options import Commands
from reelsift.session import Session
from reelsift.signals import leave
from tasks.contracts.errors import ReelsiftError
from tasks.contracts.files import FULL
from tasks.video.sources import YOUTUBE_ID

# What the system says of disks and folders, and SQLite of the same.
REFUSALS = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
USAGE_ERROR = 2  # exit code
SQLITE = ("disk is full", "readonly database", "unable to open database file", "disk I/O error")

app = Commands(
    "What videos show: from the name of a label to a trained classifier, and any video labelled with its objects.",
    name="reelsift",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo", example="reelsift demo --label Game")(demo.demo)
app.command("pipeline", example="reelsift pipeline --label Cooking --limit 4 --model logistic")(pipeline.pipeline)
app.command("vocabulary", example="reelsift vocabulary --search cook")(downloads.vocabulary)
app.add_typer(downloads.shards_app, name="shards")
app.add_typer(dataset.app, name="dataset")
app.command("train", example="reelsift train --dataset latest --model gated --seed 1")(models.train)
app.add_typer(models.app, name="models")
app.command("label", example="reelsift label holiday.mp4 --model champion --fps 2")(videos.label)
app.command("detect", example="reelsift detect holiday.mp4 --classes person,dog --every 5")(videos.detect)
app.command("shots", example="reelsift shots holiday.mp4 --detector transnetv2")(videos.shots)
app.command("clip", example="reelsift clip holiday.mp4 --label bottle --pad 1 --gif")(videos.clip)
app.command("report", example="reelsift report .reelsift/videos")(videos.report)
app.command("find", example="reelsift find bottle --kind object --min-score 0.8 --since 7d")(found.find)
app.command("export", example="reelsift export coffee-motorcycle-2294a64d --format webvtt > coffee.vtt")(found.export)
app.command("id", example="reelsift id ZU9H")(videos.youtube_id)
app.add_typer(downloads.weights_app, name="weights")
app.command("prune", example="reelsift prune --older-than 8w --shards")(prune.prune)
app.add_typer(config.app, name="config")
app.command("doctor", example="reelsift doctor --json")(config.doctor)

STACK = "The local stack"
app.command("up", example="reelsift up --cpu-runs 2", rich_help_panel=STACK)(stack.up)
app.command("status", example="reelsift status --json", rich_help_panel=STACK)(stack.status)
app.command("logs", example="reelsift logs gpu-0 --follow", rich_help_panel=STACK)(stack.logs)
app.command("down", example="reelsift down", rich_help_panel=STACK)(stack.down)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("reelsift"))
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="TOML settings; `smoke` and `full` are there.", envvar="REELSIFT_CONFIG"
        ),
    ] = None,
    home: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Where everything is written. \\[default: .reelsift]")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the runs' logs.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    context.obj = Session(config=config_file, home=home, debug=debug)


def _refusal_of_system(error: BaseException) -> str | None:
    """Say in words that the system refused to write, or that the run's server has gone; None: it is another error."""
    while error.__cause__ and not isinstance(error, OSError):
        error = error.__cause__
    if isinstance(error, OSError) and error.errno in (REFUSALS if error.filename else FULL):
        where = error.filename or "A file in the home or in the temporary folder cannot be written"
        return f"{where}: {error.strerror}. Make room, or make it writable, and run the same command again."
    said = str(error).strip()
    if type(error).__module__.partition(".")[0] in {"sqlite3", "sqlalchemy"} and any(word in said for word in SQLITE):
        return f"A database in the home cannot be written to: {said.splitlines()[0]}. Make room, or make it writable."
    if type(error).__module__.partition(".")[0] in {"httpx", "httpcore"}:
        return (
            f"The Prefect server does not answer any more ({said or type(error).__name__}). Run the same command again."
        )
    return None


def _advice(arguments: Sequence[str]) -> str | None:
    """Return how to write a source that was taken for an option; None where there is none."""
    if "--" in arguments:
        return None
    for text in arguments:
        if not text.startswith("-"):
            continue
        with suppress(OSError, ValueError):
            if Path(text).is_file():
                return f"{text} is taken for an option. To name the file, write ./{text}"
        if YOUTUBE_ID.fullmatch(text) and not text.startswith("--"):
            return f"{text} is taken for an option. To name the video, write it last, behind --: -- {text}"
    return None


def _fail(error: BaseException, message: str) -> NoReturn:
    """Say in one line why the command failed, and exit with 1."""
    print_error(message)
    _print_failure(error, message)
    sys.exit(1)


def _print_failure(error: BaseException, message: str) -> None:
    """Print with `--json` why the command failed, as one object on stdout."""
    before_sources = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    if "--json" not in before_sources or not can_print():
        return
    with suppress(OSError):
        print_json({"error": {"type": type(error).__name__, "message": message}})
        sys.stdout.flush()


def _print_usage_error(error: SystemExit) -> None:
    """Add advice to what Typer has said of a command line that it cannot use, and print the whole with `--json`."""
    advice = _advice(sys.argv[1:]) if error.code == USAGE_ERROR else None
    if advice:
        print_error(advice)
    cause = error.__context__  # Typer has caught and printed it, and exits
    message = getattr(cause, "format_message", lambda: "Aborted." if isinstance(cause, typer.Abort) else "")()
    if cause and message:
        _print_failure(cause, f"{message} {advice or ''}".rstrip())


def run() -> None:
    """Run a command, with signals caught; an expected error is one line, and so is what a signal makes of the work."""
    debug = "--debug" in sys.argv
    spare_loopback_proxies()
    try:
        with printing():
            app()
    except BaseException as error:
        if code := leave():  # however the unwinding ended
            sys.exit(code)
        if isinstance(error, SystemExit):
            _print_usage_error(error)
            raise
        if not isinstance(error, ReelsiftError):
            if debug or not (refused := _refusal_of_system(error)):
                _print_failure(error, f"{type(error).__name__}: {error}")
                raise
            _fail(error, refused)
        if debug:
            ERR.print_exception()
        _fail(error, " ".join([str(error), *getattr(error, "__notes__", [])]))
    finally:
        leave()
