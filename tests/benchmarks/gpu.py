"""`make bench-gpu`: what a GPU matters for, measured in under nine minutes without a network, in one table.

Each part runs in a process of its own and has a limit: one that fails, or takes too long, leaves the others be, and its
row says why. Made-up weights and videos stand in for real ones, so that nothing has to be fetched; where the home has
weights of its own, nothing changes. `--tiny` runs the same code at a size that a CPU does in seconds: `make bench-gpu
TINY=--tiny`. Its figures mean nothing.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from reelsift.results import LabelledVideo, VideoAnswers
    from tasks.datasets.load import Videos

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Scale:
    """How much each part has to do."""

    device: str
    frames: int  # that PointRend and Mask R-CNN see
    size: tuple[int, int]
    speeds: tuple[str, ...]
    clips: int  # that are labelled, and whose features are extracted
    clip_s: int
    rounds: int
    labels: int
    videos: int  # that are learnt from, by their means
    over_time: int  # videos of 300 frames that models over time learn from
    side: int  # of what Mask R-CNN makes of a frame, in pixels
    proposals: int  # that it looks at again


FULL = Scale("cuda", 60, (640, 480), ("normal", "rapid"), 16, 10, 3, 4716, 300_000, 960, 800, 1000)
TINY = Scale("cpu", 2, (96, 64), ("rapid",), 2, 2, 1, 30, 2000, 16, 64, 10)
BATCH = 8  # pictures that Mask R-CNN sees at once
LABELLED_HZ = 10.0  # sampled frames a second
CPU_SHARE = 60  # one so manieth of the videos is learnt from on the CPU, for comparison


def detection(scale: Scale) -> Iterator[Row]:
    """PointRend in our loop beside PixelLib's `process_video`, from file to file."""
    from tests.benchmarks.bench_pointrend import Trial, rows

    yield from rows(Trial(scale.frames, scale.size, scale.speeds, repeats=1))


def mask_rcnn(scale: Scale) -> Iterator[Row]:
    """torchvision's Mask R-CNN on the same frames: the network alone, of random weights, in half precision on a GPU."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    from tests.benchmarks.bench_pointrend import wandering

    options = {"min_size": scale.side, "rpn_post_nms_top_n_test": scale.proposals}
    model = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, **options).eval().to(scale.device)
    frames = [torch.from_numpy(each).permute(2, 0, 1).float() / 255 for each in wandering(scale.frames, scale.size)]
    batches = [frames[first : first + BATCH] for first in range(0, len(frames), BATCH)]

    def look() -> None:
        for batch in batches:
            model([each.to(scale.device) for each in batch])

    with torch.inference_mode(), torch.autocast(scale.device, torch.float16, enabled=scale.device == "cuda"):
        taken_s = timed(look, scale)
    width, height = scale.size
    what = f"Mask R-CNN ResNet-50 FPN v2, the network alone, {scale.frames} frames of {width}x{height}"
    yield what, f"{scale.frames / taken_s:.1f} frames/s", ""


def timed(work: Callable[[], object], scale: Scale) -> float:
    """Return the best of a few rounds in seconds, after one that does not count; a GPU is waited for."""
    import torch

    taken_s = []
    for _ in range(1 + scale.rounds):
        started_s = time.perf_counter()
        work()
        if scale.device == "cuda":
            torch.cuda.synchronize()
        taken_s.append(time.perf_counter() - started_s)
    return min(taken_s[1:])


def labelling(scale: Scale) -> Iterator[Row]:
    """Several clips labelled by one model, in batches of frames, from the files to the folders of results."""
    import reelsift
    from tests.benchmarks.bench_features import clips_in

    with TemporaryDirectory() as name:
        clips = clips_in(Path(name), scale.clips, scale.clip_s, scale.clips)
        home = Path(name, "home")

        def label(some: Sequence[Path]) -> "VideoAnswers[LabelledVideo]":
            return reelsift.label([*some], model="imagenet", rate_hz=LABELLED_HZ, annotate=False, again=True, home=home)

        label(clips[:1])  # whatever is done once
        started_s = time.perf_counter()
        answers = label(clips)
        taken_s = time.perf_counter() - started_s
        frames = sum(answer.to_pandas().time_s.nunique() for answer in answers)
    yield f"labelling {len(clips)} clips by imagenet, end to end", f"{frames / taken_s:,.0f} frames/s", ""


def features(scale: Scale) -> Iterator[Row]:
    """Features extracted end to end, beside the bare network."""
    from tests.benchmarks.bench_features import rows

    yield from rows(scale.rounds, scale.clips, scale.clip_s, scale.clips)


def vocabulary(scale: Scale) -> Iterator[Row]:
    """Candidates for the whole vocabulary learn from made-up videos, as many labels as there are."""
    import numpy as np

    from conf.settings import load_settings
    from tasks.classifier.train import fit

    validate = _made_videos(max(500, scale.videos // 100), scale.labels, seed=1)
    train = _made_videos(scale.videos, scale.labels, seed=0)
    part = train.take(np.arange(len(train)) < max(1000, scale.videos // CPU_SHARE))
    for name, config in load_settings().candidates(whole_vocabulary=True).items():
        costs = []
        for device, videos in (("cpu", part), (scale.device, train)):
            once = config.model_copy(update={"epochs": 1, "device": device})
            trained = fit(videos, validate, label_names={}, target_label_ids=(), config=once, dataset_id="ds-benchmark")
            assert trained.cost is not None
            costs.append(trained.cost)
        cpu, ours = costs
        speed = f"{ours.videos_per_s:,.0f} videos/s, {ours.peak_mb:,.0f} MB"
        measured = f"{speed}; {ours.videos_per_s / cpu.videos_per_s:.1f} x the CPU"
        yield f"`{name}` learns {scale.labels:,} labels of {len(train):,} videos", measured, ""


def _made_videos(count: int, labels: int, seed: int) -> "Videos":
    """Make videos of random features in half precision, whose labels are as uneven as the real ones."""
    import numpy as np

    from tasks.contracts.features import YT8M
    from tasks.datasets.load import Videos
    from tests.benchmarks.bench_vocabulary import label_ends

    rng = np.random.default_rng(seed)
    blocks = [
        rng.standard_normal((min(50_000, count - first), YT8M.size), dtype=np.float32).astype(np.float16)
        for first in range(0, count, 50_000)
    ]
    chosen = np.sort(np.searchsorted(label_ends(labels), rng.random((count, 3))), axis=1)
    is_new = np.concatenate([np.ones((count, 1), bool), np.diff(chosen, axis=1) > 0], axis=1)
    return Videos(
        video_ids=np.array([f"{number:06d}" for number in range(count)], np.object_),
        features=np.concatenate(blocks),
        label_offsets=np.concatenate([[0], is_new.sum(axis=1).cumsum()]).astype(np.int64),
        label_ids=chosen[is_new].astype(np.int32),
        is_match=np.ones(count, np.bool_),
    )


def over_time(scale: Scale) -> Iterator[Row]:
    """Models over time learn from videos of 300 frames, read from Parquet as they are asked for."""
    from tests.benchmarks.bench_streaming import MODELS, learnt_by, shown, written

    with TemporaryDirectory() as name:
        written(Path(name), 1, scale.over_time)
        found = learnt_by(Path(name), scale.over_time, MODELS, scale.over_time, scale.device)
    for kind in MODELS:
        yield f"`{kind}` learns from {scale.over_time:,} videos of 300 frames", shown(found[kind]), ""


PARTS: dict[str, tuple[Callable[[Scale], Iterator[Row]], float]] = {  # and the seconds that each has
    "detection": (detection, 140),
    "mask-rcnn": (mask_rcnn, 40),
    "labelling": (labelling, 60),
    "features": (features, 60),
    "vocabulary": (vocabulary, 120),
    "over-time": (over_time, 100),
}


# Where each part's process is forked from: PyTorch, which all of them need, is imported once, and has met no GPU there.
FORKS = multiprocessing.get_context("forkserver")


def measured(part: str, is_tiny: bool) -> list[Row]:
    """Run a part in a process of its own, and return its rows, and why there are no more."""
    rows, limit_s = list[Row](), PARTS[part][1]
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_measure, args=(part, is_tiny, there), daemon=False)
    process.start()
    there.close()
    ends_s = time.monotonic() + limit_s
    why = f"it took more than {limit_s:.0f} s"
    try:
        while here.poll(max(0.0, ends_s - time.monotonic())):
            row, why = here.recv()
            if row is None:
                break
            rows.append(row)
    except EOFError:
        process.join()
        why = f"its process ended with {process.exitcode}"
    process.kill()
    process.join()
    return [*rows, (part, f"not measured: {why}", "")] if why else rows


def _measure(part: str, is_tiny: bool, there: "Connection") -> None:
    """Send each row of a part, then why there are no more, or nothing; what libraries print goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    why = ""
    try:
        for row in PARTS[part][0](TINY if is_tiny else FULL):
            there.send((row, f"it took more than {PARTS[part][1]:.0f} s"))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other parts are measured
        why = f"{type(error).__name__}: {error}".splitlines()[0]
    there.send((None, why))


def main() -> None:
    """Measure everything, or one part."""
    parser = argparse.ArgumentParser(prog="make bench-gpu")
    parser.add_argument("--tiny", action="store_true", help="on the CPU, so small that the figures mean nothing")
    asked = parser.parse_args()
    name = "the CPU, tiny" if asked.tiny else gpu()
    if name is None:
        print("No GPU here, so there is nothing to measure; `make bench-gpu TINY=--tiny` tries it all on the CPU.")
        return
    from reelsift.console import note, print_table

    FORKS.set_forkserver_preload(["torch", "numpy"])
    found = list[tuple[str, str, str, str]]()
    for part in PARTS:
        note(f"Measuring {part} ...")
        found += [(part, *row) for row in measured(part, asked.tiny)]
    print_table(f"On {name}", ("part", "what", "measured", "required"), found)


def gpu() -> str | None:
    """Return the name of the first GPU."""
    if find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


if __name__ == "__main__":
    main()
