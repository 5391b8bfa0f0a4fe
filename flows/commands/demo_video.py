"""The video of the demonstration: labelled, looked at by a detector, and shown in a report.

In: the session after the pipeline. Out: what was found, and what was left out and why. Does not train anything.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.forms import DetectObjectsForm, LabelVideosForm
from flows.commands.console import note, say
from flows.commands.demo_clip import made_clip
from flows.commands.detect import detect_directly, print_objects
from flows.commands.label import label_directly, print_labels
from flows.commands.session import Session
from flows.commands.videos import read_outcomes
from tasks.contracts.errors import MissingWeightsError, WeightsError

if TYPE_CHECKING:
    from tasks.contracts.outcomes import VideoOutcome

# Real data kept beside the checkout, for machines that cannot reach the public hosts.
DATA_BESIDE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"
SAMPLE = DATA_BESIDE_CHECKOUT / "media" / "videos" / "food_mix_with_audio.mp4"
WEIGHTS = DATA_BESIDE_CHECKOUT / "weights"
DETECTOR_WEIGHTS = "yolox-nano"
MASKS_WEIGHTS = "pointrend-resnet50"
BRIEFLY = {"attempts": 1, "connect_timeout_s": 5.0, "read_timeout_s": 10.0}


@dataclass
class Looked:
    """What was found in the video, and what was left out."""

    made: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Print the labels, the objects, and last of all where the report lies."""
        labels, objects = self._outcome("labels"), self._outcome("objects")
        if labels:
            print_labels(labels)
        if objects:
            print_objects(objects)
        for reason in self.left_out:
            say(f"Left out: {reason}")
        last = objects or labels
        if last:
            say(f"Report of the video, to open in a browser: {last.report}")

    def _outcome(self, what: str) -> "VideoOutcome | None":
        found = read_outcomes(self.made[what]) if what in self.made else []
        for outcome in found:
            if outcome.status == "failed":
                self.left_out.append(f"{what} of {outcome.source}: {outcome.reason}")
                return None
        return found[0] if found else None


def look_at_video(session: Session, slug: str) -> Looked:
    """Label the sample video, or a clip made here, with the champion of `slug` where it can; then detect in it."""
    from flows.video_request import video_model

    if session.settings.weights is None and WEIGHTS.is_dir():
        session = replace(session, weights=WEIGHTS)
    looked = Looked()
    video = (str(SAMPLE if SAMPLE.is_file() else made_clip(session.settings.paths.root / "demo")),)
    model, why = video_model("auto", f"{slug}@champion", session.settings)
    if why:
        looked.left_out.append(why)
    looked.made["labels"] = label_directly(LabelVideosForm(sources=video, model=model), session)
    try:
        _have_weights(session)
        looked.made["objects"] = detect_directly(DetectObjectsForm(sources=video, detector="yolox-nano"), session)
    except WeightsError as error:
        looked.left_out.append(f"the detector yolox-nano. {error}")
    looked.left_out += _not_for_this_machine(session)
    return looked


def _not_for_this_machine(session: Session) -> list[str]:
    """Name the detector that was not tried, and why."""
    from flows.video_request import weights_of
    from tasks.detection.detector import has_gpu
    from tasks.weights.store import missing_weights

    reasons = [] if has_gpu() else ["it wants a GPU, and there is none here"]
    if missing_weights([MASKS_WEIGHTS], weights_of(session.settings)):
        reasons.append(f"its weights are not here (`reelsift weights fetch {MASKS_WEIGHTS}`)")
    return [f"the detector pointrend, which gives masks: {' and '.join(reasons)}."] if reasons else []


def _have_weights(session: Session) -> None:
    """Look for the detector's weights, and try briefly to fetch them."""
    from flows.video_request import weights_of
    from tasks.weights.fetch import fetch_weights
    from tasks.weights.store import find_weights

    store = weights_of(session.settings)
    try:
        find_weights(DETECTOR_WEIGHTS, store)
    except MissingWeightsError:
        note(f"Fetching the weights of {DETECTOR_WEIGHTS} ...")
        fetch_weights(DETECTOR_WEIGHTS, store, session.settings.download.model_copy(update=BRIEFLY))
