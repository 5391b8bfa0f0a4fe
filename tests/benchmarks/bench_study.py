"""Rolling means and models over time on order, real clips, real cuts and real frames; fills in `docs/study.md`."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tasks.classifier.config import ModelKind
from tasks.labelling.scores import smoothed
from tests.benchmarks.study import changes, clips, cost, delay, frames, order, page
from tests.conftest import REAL_DATA

Row = tuple[str, str, str]


def rows() -> Iterator[Row]:
    """Yield what was measured: (what, measured, required); the page of the study gets the same and more."""
    places = ("media/videos/food_mix_with_audio.mp4", "clips/clips.csv", "yt8m-frame/SjJ3.npz", "yt8m-mirror")
    film, table, video, mirror = wanted = [REAL_DATA / place for place in places]
    if missing := [str(each) for each in wanted if not each.exists()]:
        yield ("study", f"not measured: no real data at {', '.join(missing)}", "")
        return
    lines = changes.lines(film)
    page.write_table("means", changes.HEADS, lines)
    yield from ((name, f"{found} found, edges off by {off}", "") for name, found, _, _, off in lines)
    orders = list(order.orders())
    for each in orders:
        required = "> 0.95" if each.kind in order.USES_ORDER else "0.5"
        yield (f"order: {each.kind}", f"{each.accuracy:.3f} right", required)
    yield from real_clips(table, orders)
    yield from real_frames(video, mirror)


def real_clips(table: Path, orders: Sequence[order.Order]) -> Iterator[Row]:
    """Judge all models on clips, then all ways on clips joined end to end."""
    with TemporaryDirectory() as name:
        place = Path(name)
        folds = list(clips.folds_of(table, place / "home"))
        models = [clips.models_of(fold) for fold in folds]
        files = {path.stem: path for path in table.parent.glob("*/*")}
        videos = [delay.joined(fold, files, place / f"{n}.mp4", n) for n, fold in enumerate(folds)]
    found = clips.qualities(folds, models)
    page.write_quality(orders, found)
    for each in found:
        yield (f"clips: {each.kind}", f"GAP {each.gap:.3f}, over the mean {each.gap_over_mean}", "")
    best = max((each for each in found if each.kind in clips.OVER_TIME), key=lambda each: each.gap)
    yield (f"clips: the best, {best.kind}", f"{best.gap_over_mean.value:+.3f} over the mean", ">= 0")
    page.write_costs(list(cost.costs(folds[0])))
    perfect = ("what always knows", delay.perfect(videos))
    for table_name, centred in (("files", True), ("live", False)):
        judged = [(way, delay.judged(videos, models, way)) for way in delay.ways(centred=centred)]
        page.write_delay(table_name, [perfect, *((way.name, each) for way, each in judged)])
        for way, each in judged:
            yield (f"{table_name}: {way.name}", f"edges off by {page.seconds(each.off_s())}", "")
    page.draw_delay(videos[0], lanes(videos[0], models[0]))


def lanes(video: delay.Joined, models: clips.Models) -> list[tuple[str, np.ndarray]]:
    """Return the best label of each moment, as some ways have it."""
    ways = [
        delay.Way("each second alone", ModelKind.MEAN, 1),
        delay.Way("centred mean, K = 3", ModelKind.MEAN, 3),
        delay.Way("centred mean, K = 15", ModelKind.MEAN, 15),
        delay.Way("causal mean, K = 5", ModelKind.MEAN, 5, centred=False),
        delay.Way("gru, 5 s around", ModelKind.GRU),
        delay.Way("gru, the last 5 s", ModelKind.GRU, centred=False),
    ]
    found = list[tuple[str, np.ndarray]]()
    for way in ways:
        classifier = models[way.kind][0].classifier
        scores = way.scores(classifier, video.features.per_second())
        best = smoothed(scores, way.window or 1, centred=way.centred).argmax(axis=1)
        found.append((way.name, np.array([video.names.index(classifier.label_names[n]) for n in best])))
    return found


def real_frames(path: Path, mirror: Path) -> Iterator[Row]:
    """Say what all ways make of the real frame-level video."""
    with (mirror / "youtube8m" / "csv" / "2" / "vocabulary.csv").open(encoding="utf-8", newline="") as file:
        names = {int(row["Index"]): row["Name"] for row in csv.DictReader(file)}
    video = frames.read_video(path)
    classifiers = frames.classifiers_of(mirror, names)
    said, whole = frames.rows_of(video, classifiers), frames.places(classifiers, video)
    page.write_frames(said, whole)
    for each in said:
        yield (f"frames: {each.name}", f"best label changes {each.changes} times, {each.lag_s} s later", "")
