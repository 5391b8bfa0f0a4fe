"""`reelsift demo`: the whole path on the best mirror and video that can be had, and what it made."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from conf.forms import PipelineForm
from flows.commands.console import note, print_json, say
from flows.commands.demo_video import DATA_BESIDE_CHECKOUT, look_at_video
from flows.commands.options import AsJson
from flows.commands.pipeline import print_outcome
from flows.commands.session import Session

LABEL = "Cooking"
# A mirror kept beside the checkout, for machines that cannot reach the public one.
BESIDE_CHECKOUT = DATA_BESIDE_CHECKOUT / "yt8m-mirror"
PUBLIC_SHARDS = 40  # of each partition: 250 MB, a minute on a fast line
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Found:
    """The mirror that the demonstration takes."""

    mirror: str
    what: str  # in words, for people
    limit: int | None = None
    is_synthetic: bool = False


def demo(
    context: typer.Context,
    label: Annotated[str, typer.Option(metavar="NAME", help="What to learn.")] = LABEL,
    as_json: AsJson = False,
) -> None:
    """From the name of a label to a champion, and on to a video labelled with its objects, in minutes."""
    session: Session = context.obj
    with _found_mirror(session) as found:
        note(f"Mirror: {found.what}.")
        if found.is_synthetic:
            # Made-up videos must not meet real ones: neither as versions of a dataset nor as a champion's rivals.
            session = replace(session, home=session.settings.paths.root / "synthetic")
        made = session.run_flow("pipeline", PipelineForm(labels=(label,), mirror=found.mirror, limit=found.limit))
    looked = look_at_video(session, made["dataset"]["slug"])
    if as_json:
        print_json(made | looked.made | {"mirror": found.what, "synthetic": found.is_synthetic})
        return
    if found.is_synthetic:
        say("SYNTHETIC DATA: these videos were made up. The figures say that the path works, and nothing about videos.")
    print_outcome(made)
    _print_next(session)
    looked.show()


@contextmanager
def _found_mirror(session: Session) -> Iterator[Found]:
    """Yield the mirror that is set, else the one beside the checkout, else the public one, else a made-up one."""
    from tasks.shards.serve import served_on_loopback

    chosen = session.settings.mirror
    if chosen:
        yield Found(chosen, f"{chosen}, as REELSIFT_MIRROR or the settings name it")
    elif BESIDE_CHECKOUT.is_dir():
        with served_on_loopback(BESIDE_CHECKOUT) as url:
            yield Found(url, f"{BESIDE_CHECKOUT}, real shards served at {url}")
    elif _is_public_reachable(session):
        yield Found("us", f"YouTube-8M's public hosts, {PUBLIC_SHARDS} shards of each partition", PUBLIC_SHARDS)
    else:
        folder = _synthetic_mirror(session.settings.paths.root / "synthetic" / "mirror")
        with served_on_loopback(folder) as url:
            yield Found(url, "SYNTHETIC shards, made here, as no real ones can be reached", is_synthetic=True)


def _is_public_reachable(session: Session) -> bool:
    from tasks.contracts.errors import MirrorError
    from tasks.shards.plan import fetch_plan

    patience = {
        "attempts": 1,
        "connect_timeout_s": PROBE_TIMEOUT_S,
        "read_timeout_s": PROBE_TIMEOUT_S,
    }
    note("Looking for YouTube-8M's public hosts ...")
    try:
        fetch_plan("video/validate", session.settings.download_from("us").model_copy(update=patience))
    except MirrorError:
        return False
    return True


def _synthetic_mirror(folder: Path) -> Path:
    """Write a mirror of made-up videos, once."""
    from tasks.records.synthetic import write_mirror

    if not (folder / "2" / "download_plans" / "video_validate.json").is_file():
        note("Making synthetic shards ...")
        write_mirror(folder, train_shards=12, validate_shards=4, videos_per_shard=300)
    return folder


def _print_next(session: Session) -> None:
    home = session.settings.paths.root
    option = "" if home == Path(".reelsift").absolute() else f" --home {home}"
    say("Look further (with `source .venv/bin/activate`):")
    for command in ("dataset show latest", "models list", "models evaluate champion", "vocabulary --search cook"):
        say(f"  reelsift{option} {command}")
