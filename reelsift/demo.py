"""`reelsift demo`: the whole path on the best mirror and video available."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conf.forms import DetectObjectsForm, LabelVideosForm, PipelineForm
from reelsift.console import note, print_json, progress_shown, say
from reelsift.demo_clips import find_clips, show_clips, train_on_clips
from reelsift.options import AsJson, Yes, option
from reelsift.pipeline import print_outcome
from reelsift.session import Session
from reelsift.videos import done_here, print_labels, print_objects, read_outcomes
from tasks.contracts.errors import MissingWeightsError, ReelsiftError, WeightsError
from tasks.contracts.progress import scaled
from tasks.labelling.config import IMAGENET
from tasks.weights.config import YT8M_GROUP

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.contracts.media import VideoOutcome


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as the public hosts keep them
    disable_nagle_algorithm = True  # else small answers on a kept connection wait 40 ms for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's own signature
        """Keep quiet: a demonstration's output is not a server's log."""


@contextmanager
def served_on_loopback(folder: Path) -> Iterator[str]:
    """Serve `folder` on a free port of 127.0.0.1 while the block runs, and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="mirror", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


CLIP_NAME = "coffee-motorcycle.mp4"
WIDTH, HEIGHT, FRAME_RATE = 480, 320, 15.0
SECONDS_EACH = 5
MARGIN = 1.15  # how much larger than the view a picture is: the room to move in


def made_clip(folder: Path) -> Path:
    """Write a clip of a cup of coffee, then a motorcycle, once, and return its path."""
    path = folder / CLIP_NAME
    if path.is_file():
        return path
    from skimage import data

    from tasks.video.writing import open_writer

    with open_writer(path, width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE, sound_of=None) as writer:
        count = round(SECONDS_EACH * FRAME_RATE)
        for place, picture in enumerate((data.coffee(), data.stereo_motorcycle()[0])):
            large = _scaled(picture)
            for step in range(count):
                writer.write(_view(large, step / count), (place * count + step) / FRAME_RATE)
    return path


def _scaled(picture: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Scale RGB uint8 (H, W, 3) so that the view fits into it with a margin."""
    import cv2
    import numpy as np

    factor = MARGIN * max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _view(large: "NDArray[np.uint8]", share: float) -> "NDArray[np.uint8]":
    """Cut the view (320, 480, 3) out of the picture, `share` of the way across it."""
    top = round((large.shape[0] - HEIGHT) * share)
    left = round((large.shape[1] - WIDTH) * share)
    return large[top : top + HEIGHT, left : left + WIDTH].copy()


# Real data kept beside the checkout, for machines that cannot reach the public hosts.
DATA_BESIDE_CHECKOUT = Path(__file__).parents[2] / "shared" / "data"
SAMPLE = DATA_BESIDE_CHECKOUT / "media" / "videos" / "food_mix_with_audio.mp4"
WEIGHTS = DATA_BESIDE_CHECKOUT / "weights"
DETECTOR_WEIGHTS = "yolox-nano"
CLIPS = DATA_BESIDE_CHECKOUT / "clips"
SYNTHETIC_CHAMPION = "it has learnt from made-up videos, and would say nothing of a real one."
MASKS_WEIGHTS = "pointrend-resnet50"
BRIEFLY = {"attempts": 1, "connect_timeout_s": 5.0, "read_timeout_s": 10.0}


@dataclass
class Looked:
    """What was found in the video, and what was left out."""

    made: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print the labels, the objects, and where the report lies."""
        labels, objects = self._outcome("labels"), self._outcome("objects")
        if labels:
            print_labels(labels)
        if objects:
            print_objects(objects)
        for reason in self.left_out:
            say(f"Left out: {reason}")
        last = objects or labels
        if last:
            say(f"Report: {last.report}")

    def _outcome(self, what: str) -> "VideoOutcome | None":
        found = read_outcomes(self.made[what]) if what in self.made else []
        for outcome in found:
            if outcome.status == "failed":
                self.left_out.append(f"{what} of {outcome.source}: {outcome.reason}")
                return None
        return found[0] if found else None


def look_at_video(session: Session, champion: str | None, left_out: Sequence[str] = ()) -> Looked:
    """Label the sample video, or a clip made here, with imagenet, and with a champion where it can; then detect in it.

    `left_out` says what else could not be shown, and why.
    """
    looked = Looked(left_out=list(left_out))
    video = (str(SAMPLE if SAMPLE.is_file() else made_clip(session.settings.paths.root / "demo")),)
    models = (IMAGENET, champion) if champion else (IMAGENET,)
    looked.made["labels"] = done_here(LabelVideosForm(sources=video, model=models), session)
    try:
        _have_weights(session)
        looked.made["objects"] = done_here(DetectObjectsForm(sources=video, detector="yolox-nano"), session)
    except WeightsError as error:
        looked.left_out.append(f"the detector yolox-nano. {error}")
    looked.left_out += _not_for_this_machine(session)
    return looked


def offer_weights(session: Session, *, yes: bool) -> str | None:
    """Ask once whether to fetch the weights of YouTube-8M's features, where they are missing and can be reached.

    Returns:
        Why a model of these features cannot label here; None where it can.
    """
    from flows.dataset_requests import weights_of
    from tasks.features.spaces import missing_for
    from tasks.weights.fetch import estimate_fetch, fetch_weights

    store = weights_of(session.settings)
    missing = missing_for(YT8M_GROUP, store)
    if not missing:
        return None
    how = f"`reelsift weights fetch {YT8M_GROUP}`"
    if not _is_public_reachable(session):
        return f"the weights of its features are not here, and their hosts cannot be reached. {how} fetches them."
    estimate = estimate_fetch(missing, store)
    size = scaled(estimate.known_bytes, "B")
    note(f"The features of YouTube-8M need {len(missing)} files of weights, {size}, from {', '.join(estimate.hosts)}.")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Download them?", err=True)):
        return f"the weights of its features, {size}, are not here. {how} fetches them."
    try:
        with progress_shown() as progress:
            for name in missing:
                fetch_weights(name, store, session.settings.download, progress)
    except ReelsiftError as error:
        return f"the weights of its features could not be fetched. {error}"
    return None


def _not_for_this_machine(session: Session) -> list[str]:
    """Name the detector that was not tried, and why."""
    from flows.video_requests import weights_of
    from tasks.detection.detector import has_gpu
    from tasks.weights.store import missing_weights

    reasons = [] if has_gpu() else ["it wants a GPU, and there is none here"]
    if missing_weights([MASKS_WEIGHTS], weights_of(session.settings)):
        reasons.append(f"its weights are not here (`reelsift weights fetch {MASKS_WEIGHTS}`)")
    return [f"the detector pointrend, which gives masks: {' and '.join(reasons)}."] if reasons else []


def _have_weights(session: Session) -> None:
    """Look for the detector's weights, and try briefly to fetch them."""
    from flows.video_requests import weights_of
    from tasks.weights.fetch import fetch_weights
    from tasks.weights.store import find_weights

    store = weights_of(session.settings)
    try:
        find_weights(DETECTOR_WEIGHTS, store)
    except MissingWeightsError:
        note(f"Fetching the weights of {DETECTOR_WEIGHTS} ...")
        fetch_weights(DETECTOR_WEIGHTS, store, session.settings.download.model_copy(update=BRIEFLY))


LABEL = "Cooking"
# A mirror kept beside the checkout, for machines that cannot reach the public one.
BESIDE_CHECKOUT = DATA_BESIDE_CHECKOUT / "yt8m-mirror"
PUBLIC_SHARDS = 40  # of each partition: 250 MB, a minute on a fast line
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class DemoMirror:
    """The mirror that the demonstration takes."""

    mirror: str
    what: str  # in words, for people
    limit: int | None = None
    is_synthetic: bool = False


def demo(
    context: typer.Context,
    label: Annotated[str, option("--label", metavar="LABEL", help="What to learn.")] = LABEL,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """From the name of a label to a champion, then from labelled clips to a model that labels another, in minutes."""
    session: Session = context.obj
    if session.settings.weights is None and WEIGHTS.is_dir():
        session = replace(session, weights=WEIGHTS)
    clips = find_clips(session, CLIPS)
    with _found_mirror(session) as found:
        note(f"Mirror: {found.what}.")
        note(f"Clips: {clips.what}.")
        why_not = SYNTHETIC_CHAMPION if found.is_synthetic else offer_weights(session, yes=yes)
        # Made-up videos must not meet real ones: neither as versions of a dataset nor as a champion's rivals.
        there = replace(session, home=session.settings.paths.root / "synthetic")
        of_shards, of_clips = (there if each.is_synthetic else session for each in (found, clips))
        made = of_shards.run_flow("pipeline", PipelineForm(labels=(label,), mirror=found.mirror, limit=found.limit))
    champion = f"{made['dataset']['slug']}@champion"
    left_out = [f"{champion}, as {why_not}"] if why_not else []
    looked = look_at_video(session, None if why_not else champion, left_out)
    of_the_clips = train_on_clips(of_clips, clips)
    if as_json:
        known = {"mirror": found.what, "synthetic": found.is_synthetic, "clips": of_the_clips}
        print_json(made | looked.made | known | {"left_out": looked.left_out})
        return
    if found.is_synthetic:
        say("SYNTHETIC DATA: these videos were made up. The figures say that the path works, and nothing about videos.")
    print_outcome(made)
    _print_next(of_shards)
    looked.show()
    show_clips(of_the_clips)


@contextmanager
def _found_mirror(session: Session) -> Iterator[DemoMirror]:
    """Yield the mirror that is set, else the one beside the checkout, else the public one, else a made-up one."""
    chosen = session.settings.mirror
    if chosen:
        yield DemoMirror(chosen, f"{chosen}, as REELSIFT_MIRROR or the settings name it")
    elif BESIDE_CHECKOUT.is_dir():
        with served_on_loopback(BESIDE_CHECKOUT) as url:
            yield DemoMirror(url, f"{BESIDE_CHECKOUT}, real shards served at {url}")
    elif _is_public_reachable(session):
        yield DemoMirror("us", f"YouTube-8M's public hosts, {PUBLIC_SHARDS} shards of each partition", PUBLIC_SHARDS)
    else:
        folder = _synthetic_mirror(session.settings.paths.root / "synthetic" / "mirror")
        with served_on_loopback(folder) as url:
            yield DemoMirror(url, "SYNTHETIC shards, made here, as no real ones can be reached", is_synthetic=True)


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
