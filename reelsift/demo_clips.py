"""The clips of the demonstration, at hand or made: trained on, but for one of each class, which the model labels."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf.forms import ImportDatasetForm, LabelVideosForm, TrainOptions
from reelsift.console import note, print_table, progress_shown, say
from reelsift.pipeline import print_comparison, print_promotion
from reelsift.session import Session
from reelsift.videos import done_here, print_failures, print_labels, read_outcomes
from tasks.contracts.files import appearing, file_digest
from tasks.imports.plan import HELD_OUT, name_of
from tasks.imports.table import LABEL_SEPARATOR, TRAIN, VALIDATE, ClipTable, LabelledClip, read_clips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TABLE_NAME = "clips.csv"
MOST_CLIPS, MOST_CLASSES = 100, 20  # that are trained on: a minute on two cores
MOST_HELD_BACK = 5  # classes of which a clip is held back
COLUMNS = ("source", "labels", "split", "group", "start_s", "end_s")


@dataclass(frozen=True)
class DemoClips:
    """Labelled clips, and those of them that no training sees."""

    name: str  # of the dataset
    what: str  # in words
    clips: tuple[LabelledClip, ...]
    held_back: tuple[LabelledClip, ...]
    is_synthetic: bool = False


def find_clips(session: Session, beside: Path) -> DemoClips:
    """Return the clips that the settings name, else those kept beside the checkout, else some that are made here.

    Raises:
        DatasetError: those that are named are not what `dataset import` takes.
    """
    named = session.settings.clips or (beside if beside.is_dir() else None)
    if named:
        named = named.expanduser().absolute()
        table = read_clips(named / TABLE_NAME if (named / TABLE_NAME).is_file() else named)
        least = max(config.min_positives for config in session.settings.candidates(()).values())
        clips, held_back = hold_back(table, least)
        if held_back:
            name = name_of(table.path)
            return DemoClips(f"demo-{name}", f"{len(clips):,} real clips of {table.path}", clips, held_back)
        note(f"{table.path} has too few videos to learn from some and show others: made ones are taken.")
    return _made_clips(session.settings.paths.root / "synthetic" / "clips")


def hold_back(table: ClipTable, least: int) -> tuple[tuple[LabelledClip, ...], tuple[LabelledClip, ...]]:
    """Return the clips to train and judge on, and one of each class whose group, and whose file, is not among these.

    None where fewer than `least` would be left to train on, or one class alone.
    """
    counts = Counter(clip.labels for clip in table.clips)
    commonest = sorted(counts, key=lambda labels: (-counts[labels], labels))[:MOST_CLASSES]
    some = list(_some_of_each(table.clips, commonest))
    groups = _groups(some)
    classes = sorted(labels for labels in commonest if _can_be_learnt(some, [labels], groups))
    left = [clip for clip in some if clip.labels in classes]
    held = list[LabelledClip]()
    for labels in classes if len(classes) > 1 else ():
        for clip in _candidates(left, labels) if len(held) < MOST_HELD_BACK else ():
            rest = [each for each in left if groups[each] != groups[clip]]
            if _can_be_learnt(rest, classes, groups):
                left, held = rest, [*held, clip]
                break
    kept = _with_sides(left, groups)
    trained_on = sum(clip.side == TRAIN for clip in kept)
    is_enough = (
        held and trained_on >= least and _can_be_learnt(kept, classes, {clip: clip.group or "" for clip in kept})
    )
    return (tuple(kept), tuple(held)) if is_enough else ((), ())


def _with_sides(clips: Sequence[LabelledClip], groups: Mapping[LabelledClip, str]) -> list[LabelledClip]:
    """Give a fifth of the groups of each class to those that are judged on, where the table does not say which."""
    sides = dict[str, str]()
    for labels in sorted({clip.labels for clip in clips}):
        own = list(dict.fromkeys(groups[clip] for clip in clips if clip.labels == labels))
        wanted = max(1, round(HELD_OUT * len(own))) - sum(sides.get(group) == VALIDATE for group in own)
        for number, group in enumerate(group for group in own if group not in sides):
            sides[group] = VALIDATE if number < wanted else TRAIN
    return [replace(clip, group=groups[clip], side=clip.side or sides[groups[clip]]) for clip in clips]


def _groups(clips: Sequence[LabelledClip]) -> dict[LabelledClip, str]:
    """Name what must not be seen in training and held back: the group, joined with those that share a file with it."""
    digests = {clip.source: file_digest(Path(clip.source)) for clip in clips if Path(clip.source).is_file()}
    found = {clip: clip.group or digests.get(clip.source, clip.source) for clip in clips}
    by_file = dict[str, list[LabelledClip]]()
    for clip in clips:
        by_file.setdefault(digests.get(clip.source, clip.source), []).append(clip)
    for same in by_file.values():
        for one, other in pairwise(same):
            joined, gone = found[one], found[other]
            found = {clip: joined if group == gone else group for clip, group in found.items()}
    return found


def _candidates(clips: Iterable[LabelledClip], labels: tuple[str, ...]) -> list[LabelledClip]:
    """Return the clips of a class that are whole videos, first those that would be judged on anyway."""
    own = [clip for clip in clips if clip.labels == labels and clip.part == (None, None)]
    return sorted(own, key=lambda clip: (clip.side != VALIDATE, clip.group or "", clip.source))


def _can_be_learnt(
    clips: Sequence[LabelledClip], classes: Iterable[tuple[str, ...]], groups: Mapping[LabelledClip, str]
) -> bool:
    """Say whether each class has groups for both sides."""
    for labels in classes:
        own = [clip for clip in clips if clip.labels == labels]
        sides = {clip.side for clip in own}
        if not ({TRAIN, VALIDATE} <= sides or (None in sides and len({groups[clip] for clip in own}) > 1)):
            return False
    return True


def _some_of_each(clips: Sequence[LabelledClip], classes: Sequence[tuple[str, ...]]) -> Iterator[LabelledClip]:
    """Yield at most so many clips, about as many of each class, some of either side."""
    share = MOST_CLIPS // len(classes)
    for labels in classes:
        own = [clip for clip in clips if clip.labels == labels]
        for side in dict.fromkeys(clip.side for clip in own):
            of_side = [clip for clip in own if clip.side == side]
            yield from of_side[: max(2, share * len(of_side) // len(own))] if len(own) > share else of_side


SIDE_PX = (256, 192)
RATE_HZ, FRAMES = 6.0, 18  # three seconds each
EACH = 8  # clips of a class, one of which is held back
SMALLEST, LARGEST = 0.45, 0.95  # share of a picture's width and height that a view has
NOISE = (4.0, 20.0)  # standard deviation of a pixel, from the least to the most noisy clip


def _made_clips(folder: Path) -> DemoClips:
    """Make clips of five pictures of scikit-image's, a class each: views that wander and zoom, with noise."""
    from skimage import data

    pictures: dict[str, Callable[[], Any]] = {
        "astronaut": data.astronaut,
        "cat": data.chelsea,
        "coffee": data.coffee,
        "motorcycle": lambda: data.stereo_motorcycle()[0],
        "rocket": data.rocket,
    }
    clips = list[LabelledClip]()
    for label, picture in pictures.items():
        for number in range(EACH):
            path = folder / label / f"{label}-{number}.mp4"
            if not path.is_file():
                _write_clip(path, picture(), seed=[len(clips), number])
            clips.append(LabelledClip(label, str(path), path.name, (label,), group=path.stem))
    held_back = tuple(clip for clip in clips if clip.source.endswith("-0.mp4"))
    rest = tuple(clip for clip in clips if clip not in held_back)
    what = f"{len(rest):,} SYNTHETIC clips, made here from {len(pictures)} pictures of scikit-image's"
    return DemoClips("demo-synthetic", what, rest, held_back, is_synthetic=True)


def _write_clip(path: Path, picture: "NDArray[np.uint8]", seed: Sequence[int]) -> None:
    """Write a clip that goes from one view of the picture, RGB uint8 (H, W, 3), to another one."""
    import cv2
    import numpy as np

    from tasks.video.writing import open_writer

    rng = np.random.default_rng(seed)
    picture = picture[:, ::-1] if rng.random() < 0.5 else picture
    begin, end = (_view(rng, picture.shape) for _ in range(2))
    deviation = rng.uniform(*NOISE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        appearing(path) as temporary,
        open_writer(temporary, width=SIDE_PX[0], height=SIDE_PX[1], frame_rate=RATE_HZ, sound_of=None) as writer,
    ):
        for number in range(FRAMES):
            at = number / (FRAMES - 1)
            left, top, width, height = ((1 - at) * begin + at * end).astype(int)
            view = cv2.resize(picture[top : top + height, left : left + width], SIDE_PX, interpolation=cv2.INTER_AREA)
            noisy = view + deviation * rng.standard_normal(view.shape, np.float32)
            writer.write(noisy.clip(0, 255).astype(np.uint8), number / RATE_HZ)


def _view(rng: "np.random.Generator", shape: Sequence[int]) -> "NDArray[np.float64]":
    """Choose a part of a picture of this shape: left, top, width and height in pixels."""
    import numpy as np

    share = rng.uniform(SMALLEST, LARGEST)
    width, height = share * shape[1], share * shape[0]
    return np.array([rng.uniform(0, shape[1] - width), rng.uniform(0, shape[0] - height), width, height])


def train_on_clips(session: Session, found: DemoClips) -> dict[str, Any]:
    """Import the clips, train candidates, let the best through the gate, and label those that were held back."""
    from flows.dataset_requests import store_of, train_here
    from flows.import_requests import import_here
    from reelsift.results import DatasetVersion, Training

    settings = session.settings
    table = _write_table(settings.paths.root / "demo" / f"{found.name}.csv", found.clips)
    with progress_shown() as progress:
        form = ImportDatasetForm(source=table, name=found.name)
        dataset, made = import_here(form, settings, progress)
        candidates = train_here(dataset, TrainOptions(), settings, progress)
    training = Training(DatasetVersion(dataset, settings), tuple(candidates), store_of(settings))
    comparison, promotion = training.comparison, training.promote()
    form = LabelVideosForm(sources=tuple(clip.source for clip in found.held_back), model=f"{found.name}@champion")
    labels = done_here(form, session)
    return {
        "what": found.what,
        "synthetic": found.is_synthetic,
        "dataset": made,
        "comparison": comparison.model_dump(mode="json"),
        "promotion": promotion.model_dump(mode="json"),
        "labels": labels,
        "held_back": list(_judged(labels, found.held_back)),
    }


def _write_table(path: Path, clips: Sequence[LabelledClip]) -> Path:
    """Write a table for `dataset import`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for clip in clips:
            labels = LABEL_SEPARATOR.join(clip.labels)
            writer.writerow([clip.source, labels, clip.side, clip.group, clip.start_s, clip.end_s])
    return path


def _judged(labels: dict[str, Any], clips: Sequence[LabelledClip]) -> Iterator[dict[str, Any]]:
    """Say of each clip that was held back what it is, what the model says, and whether that is right."""
    from tasks.contracts.media import LABELS_NAME, LabelsManifest

    for outcome, clip in zip(read_outcomes(labels), clips, strict=True):
        if outcome.folder is None:
            continue
        best = LabelsManifest.model_validate_json((outcome.folder / LABELS_NAME).read_bytes()).top[0]
        is_right = best.name in clip.labels
        yield {
            "source": clip.source,
            "is": ", ".join(clip.labels),
            "labelled": best.name,
            "score": best.score,
            "right": is_right,
            "report": str(outcome.report),
        }


def show_clips(made: dict[str, Any]) -> None:
    """Print what was learnt from the clips, what the model says of those held back, and of the surest in full."""
    if made["synthetic"]:
        say("SYNTHETIC CLIPS: pans, zooms and noise over a picture for each class. They say that the path works.")
    dataset, held_back, labels = made["dataset"], made["held_back"], made["labels"]
    say(f"Dataset {dataset['slug']}/{dataset['id']}: {dataset['rows']:,} videos, of {made['what']}.")
    print_comparison(made["comparison"])
    print_promotion(made["promotion"])
    outcomes = read_outcomes(labels)
    if held_back:
        rows = [(Path(each["source"]).name, each["is"], each["labelled"], each["score"]) for each in held_back]
        say(f"Clips that {labels['model']} has not seen, nor others of their groups:")
        print_table("Held back", HEADS, rows)
        say(f"{sum(each['right'] for each in held_back)} of {len(held_back)} are right. The surest:")
        surest = max(held_back, key=lambda each: each["score"])["report"]
        print_labels(next(outcome for outcome in outcomes if str(outcome.report) == surest))
        say(f"Report of the video, to open in a browser: {surest}")
    print_failures(outcomes)


HEADS = ("clip", "is", "labelled as", "score")
