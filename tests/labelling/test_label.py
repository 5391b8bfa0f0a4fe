"""A video's labels over time, and the files that are left."""

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import VideoError
from tasks.contracts.media import LABELS, FetchedVideo, LabelSegment, LabelsManifest, TimeRange
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.labelling.label import identity_of_labels, label_video
from tasks.labelling.scores import snapped
from tasks.video.config import MediaBounds, ShotOptions
from tasks.video.sources import folder_name
from tests.labelling.colours import ColourLabeller, fetched, write_clip

BOUNDS = MediaBounds()
SECONDS = ("red", "red", "green", "green", "blue", "blue")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> FetchedVideo:
    return fetched(write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", SECONDS, sound=True))


def labelled(video: FetchedVideo, folder: Path, **options: object) -> LabelsManifest:
    chosen = LabelOptions.model_validate({"window": 1, **options})
    return label_video(video, ColourLabeller(), chosen, BOUNDS, folder)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def segments(manifest: LabelsManifest) -> list[tuple[str, float, float]]:
    return [(segment.name, segment.start_s, segment.end_s) for segment in manifest.segments]


def test_a_video_has_segments_a_table_a_copy_and_a_manifest(clip: FetchedVideo, tmp_path: Path) -> None:
    made = labelled(clip, tmp_path)
    assert segments(made) == [("red", 0, 2), ("green", 2, 4), ("blue", 4, 6)]
    assert made.seconds == 6
    assert {label.name for label in made.top} == {"red", "green", "blue"}
    assert made.video.sha256 == clip.sha256
    assert made.video.corrupt_frames == 0
    assert names(tmp_path) == {"labels.json", "labels.parquet", "labelled.mp4"}
    assert LabelsManifest.model_validate_json((tmp_path / "labels.json").read_bytes()) == made
    table = pq.read_table(tmp_path / "labels.parquet").to_pandas()
    assert list(table.groupby("time_s").first()["name"]) == list(SECONDS)


class Told:
    """A listener that adds up."""

    def __init__(self) -> None:
        self.totals: dict[str, float | None] = {}
        self.done: dict[str, float] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.totals[what] = total
        assert unit == "s"

    def advance(self, what: str, amount: float) -> None:
        self.done[what] = self.done.get(what, 0.0) + amount


def test_progress_is_told_in_seconds_of_the_video(clip: FetchedVideo, tmp_path: Path) -> None:
    told = Told()
    label_video(clip, ImagenetLabeller.open(), LabelOptions(), BOUNDS, tmp_path, told)
    assert told.totals == {"labels of clip.mp4": pytest.approx(6), "drawing clip.mp4": pytest.approx(6)}
    assert told.done == {name: pytest.approx(total) for name, total in told.totals.items()}


def test_the_causal_mean_lags_and_the_centred_one_does_not(clip: FetchedVideo, tmp_path: Path) -> None:
    causal = labelled(clip, tmp_path, window=3, centred=False, annotate=False)
    centred = labelled(clip, tmp_path, window=3, annotate=False)
    assert segments(causal) == [("red", 0, 3), ("green", 3, 5), ("blue", 5, 6)]
    assert segments(centred) == [("red", 0, 2), ("green", 2, 4), ("blue", 4, 6)]
    assert causal.identity != centred.identity
    assert (causal.smoothing, centred.smoothing) == ("causal mean", "centred mean")
    assert labelled(clip, tmp_path, annotate=False).smoothing == "none"


def is_drawn(frame: np.ndarray) -> bool:
    """Say whether the upper left corner of an RGB frame is of more than one colour."""
    return frame[:20, :60].std(axis=(0, 1)).max() > 20


def test_the_copy_shows_labels_while_they_hold_and_no_others(clip: FetchedVideo, tmp_path: Path) -> None:
    """The mean of green, with other colours before and after it, is never sure enough: nothing is drawn over it."""
    labelled(clip, tmp_path, window=3, enter=0.99, leave=0.9)
    with av.open(str(tmp_path / "labelled.mp4")) as copy:
        drawn = [is_drawn(frame.to_ndarray(format="rgb24")) for frame in copy.decode(video=0)]
    found = [index for index, (before, after) in enumerate(pairwise(drawn), 1) if before != after]
    assert (drawn[0], found) == (True, [20, 40])


def test_the_copy_lasts_as_long_and_keeps_the_sound(clip: FetchedVideo, tmp_path: Path) -> None:
    labelled(clip, tmp_path)
    with av.open(str(clip.path)) as source, av.open(str(tmp_path / "labelled.mp4")) as copy:
        assert copy.duration == pytest.approx(source.duration, abs=0.1 * av.time_base)  # one frame
        assert len(copy.streams.audio) == 1
        frames = [frame.to_ndarray(format="rgb24") for frame in copy.decode(video=0)]
    assert len(frames) == 60
    below = [frame[-20:].mean(axis=(0, 1)).argmax() for frame in frames]
    assert below == [0] * 20 + [1] * 20 + [2] * 20  # each frame is still there, in its place
    assert all(map(is_drawn, frames))  # and has something drawn in its corner


def test_the_scored_frames_are_kept_where_they_are_wanted(clip: FetchedVideo, tmp_path: Path) -> None:
    made = labelled(clip, tmp_path, keep_frames=True, annotate=False, rate_hz=2)
    assert made.seconds == 12
    assert names(tmp_path / "frames") == {f"{moment:06d}.jpg" for moment in range(12)}
    assert made.annotated_video is None
    labelled(clip, tmp_path, annotate=False)
    assert names(tmp_path) == {"labels.json", "labels.parquet"}


def test_a_picture_has_one_moment_and_a_labelled_picture(clip: FetchedVideo, tmp_path: Path) -> None:
    with av.open(str(clip.path)) as container:
        next(container.decode(video=0)).to_image().save(tmp_path / "red.png")
    made = labelled(fetched(tmp_path / "red.png"), tmp_path / "out")
    assert segments(made) == [("red", 0, 0)]
    assert made.annotated_video == "labelled.png"
    assert names(tmp_path / "out") == {"labels.json", "labels.parquet", "labelled.png"}


def test_the_identity_is_of_content_model_and_options(clip: FetchedVideo) -> None:
    labeller, options = ColourLabeller(), LabelOptions()
    identity = identity_of_labels(clip, labeller, options)
    assert identity == identity_of_labels(clip.model_copy(update={"title": "another"}), labeller, options)
    other = ColourLabeller()
    other.record = labeller.record.model_copy(update={"name": "another"})
    changed = [
        identity_of_labels(clip.model_copy(update={"sha256": "1" * 64}), labeller, options),
        identity_of_labels(clip, other, options),
        identity_of_labels(clip, labeller, LabelOptions(window=7)),
    ]
    assert len({identity, *changed}) == 4


@pytest.mark.parametrize("missing", ["labels.json", "labels.parquet", "labelled.mp4", "frames"])
def test_an_answer_is_found_only_while_it_is_whole(missing: str, clip: FetchedVideo, tmp_path: Path) -> None:
    made = labelled(clip, tmp_path, keep_frames=True)
    assert LABELS.find(tmp_path, made.identity) == made
    assert LABELS.find(tmp_path, "0" * 64) is None
    with (next((tmp_path / missing).iterdir()) if missing == "frames" else tmp_path / missing).open("r+b") as file:
        file.write(b"\xff\xff\xff")
    assert LABELS.find(tmp_path, made.identity) is None
    (tmp_path / missing).rename(tmp_path / "gone")
    assert LABELS.find(tmp_path, made.identity) is None


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"identity": 1}), "\0"], ids=["empty", "object", "other", "nul"])
def test_what_is_no_manifest_is_no_answer(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(text)
    assert LABELS.find(tmp_path, "0" * 64) is None


def test_a_broken_frame_is_counted_and_costs_no_more(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", SECONDS)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][25]
        place, size = packet.pos, packet.size
    assert place is not None
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * size)
    made = labelled(fetched(path), tmp_path / "out")
    assert made.video.corrupt_frames == 1
    assert segments(made) == [("red", 0, 2), ("green", 2, 4), ("blue", 4, 6)]


def test_a_file_that_is_no_video_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("no video at all")
    with pytest.raises(VideoError, match=r"notes\.mp4"):
        labelled(fetched(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_part_is_labelled_in_the_video_s_own_time_and_is_another_answer(clip: FetchedVideo, tmp_path: Path) -> None:
    part = clip.model_copy(update={"part": TimeRange(start_s=1.0, end_s=4.5)})
    made = labelled(part, tmp_path, shortest_s=0)
    assert segments(made) == [("red", 1, 2), ("green", 2, 4), ("blue", 4, 4.5)]
    assert made.seconds == 4
    assert set(pq.read_table(tmp_path / "labels.parquet")["time_s"].to_pylist()) == {1.0, 2.0, 3.0, 4.0}
    assert (made.video.part, made.video.media.duration_s) == (part.part, pytest.approx(6))
    with av.open(str(tmp_path / "labelled.mp4")) as copy:
        assert (copy.duration or 0) / 1e6 == pytest.approx(3.5, abs=0.05)
        shown = [frame.to_ndarray(format="rgb24")[-1, -1] for frame in copy.decode(video=0)]
    assert len(shown) == 35
    assert [int(np.argmax(each)) for each in (shown[0], shown[9], shown[10], shown[29], shown[30])] == [0, 0, 1, 1, 2]
    options = LabelOptions(window=1, shortest_s=0)
    assert made.identity == identity_of_labels(part, ColourLabeller(), options)
    assert made.identity != identity_of_labels(clip, ColourLabeller(), options)
    assert folder_name(part) == f"{folder_name(clip)}-1-4.5"
    answer = LABELS.find(tmp_path, made.identity)
    assert answer == made


def test_labels_begin_and_end_with_shots_where_they_are_asked_for(clip: FetchedVideo, tmp_path: Path) -> None:
    """Sampled at 0.4 s, 1.4 s, ..., a label is seen to come after the cut with which it came."""
    part = clip.model_copy(update={"part": TimeRange(start_s=0.4)})
    options = LabelOptions(window=1, shortest_s=0)
    shots = ShotOptions(detector="content", threshold=15)  # of one plain colour after another only the hue changes

    def made(shots: ShotOptions | None) -> LabelsManifest:
        return label_video(part, ColourLabeller(), options, BOUNDS, tmp_path, shots=shots)

    loose = made(shots.model_copy(update={"snap": False}))
    assert segments(loose) == [("red", 0.4, 2.4), ("green", 2.4, 4.4), ("blue", 4.4, 6)]
    assert loose.shots
    assert [(shot.start_s, shot.end_s) for shot in loose.shots.shots] == [(0.4, 2), (2, 4), (4, 6)]
    snug = made(shots)
    assert segments(snug) == [("red", 0.4, 2), ("green", 2, 4), ("blue", 4, 6)]
    with av.open(str(tmp_path / "labelled.mp4")) as copy:  # a caption comes and goes with its label
        corners = [frame.to_ndarray(format="rgb24")[:20, :60] for frame in copy.decode(video=0)]
    assert (
        np.abs(corners[15].astype(int) - corners[14]).mean() < 10 < np.abs(corners[16].astype(int) - corners[15]).mean()
    )
    identities = {each.identity for each in (loose, snug, made(None))}
    assert len(identities) == 3
    assert '"shots"' not in (tmp_path / "labels.json").read_text()


def test_an_edge_snaps_to_the_nearest_cut_within_a_step_unless_nothing_would_be_left() -> None:
    def moved(*spans_s: tuple[float, float]) -> list[tuple[float, float]]:
        held = [LabelSegment(start_s=start_s, end_s=end_s, label_id=1, name="a", score=1) for start_s, end_s in spans_s]
        return [(each.start_s, each.end_s) for each in snapped(held, (3.2, 3.9, 10.0), 1.0)]

    assert moved((0, 3), (4, 9), (5, 8.5)) == [(0, 3.2), (3.9, 10.0), (5, 8.5)]
    assert moved((9.5, 10.5)) == [(9.5, 10.5)]
    assert snapped([], (), 1.0) == ()
