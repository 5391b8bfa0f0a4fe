"""The labeller that needs no download."""

import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tasks.contracts.errors import VideoError, WeightsError
from tasks.contracts.media import LabelsManifest
from tasks.features import shipped as embedded
from tasks.features.batches import check_samples
from tasks.features.shipped import prepare
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.labelling.label import label_video
from tasks.labelling.labeller import open_labeller
from tasks.tracking.store import tracking_store
from tasks.video.config import MediaBounds
from tasks.video.writing import open_writer
from tasks.weights.store import WeightsStore
from tests.labelling.colours import fetched, write_clip

ROOT = Path(__file__).parents[2]


def test_it_is_opened_by_name_and_says_what_it_is(tmp_path: Path) -> None:
    weights = WeightsStore(folder=tmp_path, given=None, table={})
    labeller = open_labeller("imagenet", store=tracking_store(tmp_path), weights=weights)
    assert labeller.record.name == "imagenet"
    assert labeller.record.feature_space == "imagenet-frames"
    (file,) = labeller.record.weights
    assert file.name == "efficientnet-lite0"
    assert file.sha256.startswith("57934424")  # the file's own name ends with the beginning of its digest
    assert len(labeller.label_names) == len(labeller.label_ids) == 1000


@pytest.mark.parametrize(("height", "width"), [(360, 640), (640, 360), (100, 100), (1, 5), (1080, 1920)])
def test_the_middle_is_cut_out_as_after_a_resize_to_256(height: int, width: int) -> None:
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([255 * rows / height, 255 * columns / width, 0 * rows], axis=2).astype(np.uint8)
    scale = 256 / min(height, width)
    resized = Image.fromarray(image).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    left, top = (resized.width - 224) // 2, (resized.height - 224) // 2
    wanted = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    assert np.abs(prepare(image).astype(int) - wanted).mean() < 2


def test_sampled_frames_of_a_video_are_scored_and_counted(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ["red", "blue", "green"])
    scored = ImagenetLabeller.open().score(clip, MediaBounds(), LabelOptions(rate_hz=2))
    assert scored.times_s == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    assert scored.scores.shape == (6, 1000)
    assert scored.scores.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert scored.video_scores == pytest.approx(scored.scores.mean(axis=0))
    assert scored.frames_read == 6
    assert scored.is_silent is scored.match_score is None


def test_no_memory_of_the_network_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives are views of its own memory; one kept for each moment holds 208 kB of it."""
    labeller, given, alive = ImagenetLabeller.open(), [], []
    classify = labeller._net.classify

    def watched(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        alive.append(sum(each() is not None for each in given))
        found = classify(images)
        given.append(weakref.ref(found))
        return found

    monkeypatch.setattr(labeller._net, "classify", watched)
    clip = write_clip(tmp_path / "clip.mp4", ["red", "blue"], rate=10)
    scored = labeller.score(clip, MediaBounds(), LabelOptions(rate_hz=10))
    assert len(alive) == 5
    assert max(alive) <= 1  # the latest alone
    owner = scored.scores
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert owner.base is None
    assert owner.nbytes <= 2 * max(scored.scores.nbytes, 64 * 4000)


def test_more_samples_than_memory_holds_are_refused_with_a_rate_that_would_do() -> None:
    check_samples(Path("film.mp4"), 6.9, 7200)
    check_samples(Path("film.mp4"), 60, None)
    with pytest.raises(VideoError, match=r"film\.mp4 would be sampled at over 50,000 frames, 30 a second for 7,200 s"):
        check_samples(Path("film.mp4"), 30, 7200)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match=r"the package no-such-package carries them"):
        ImagenetLabeller.open()


def test_opening_it_imports_nothing_heavy() -> None:
    heavy = {"torch", "torchvision", "mlflow", "tensorflow", "prefect", "pandas"}
    code = (
        "import sys; from tasks.labelling.imagenet import ImagenetLabeller; import tasks.labelling.label; "
        "ImagenetLabeller.open(); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(run.stdout.split())


@pytest.fixture(scope="session")
def food_mix(real_data: Path) -> Path:
    """18.8 s: a cup of coffee, a hot dog, an apple, a banana, fruit, bottles; with sound."""
    return real_data / "media" / "videos" / "food_mix_with_audio.mp4"


@pytest.mark.parametrize("options", [{"centred": False}, {"window": 1}], ids=["causal", "unsmoothed"])
def test_food_is_espresso_then_hotdog_then_banana(food_mix: Path, tmp_path: Path, options: dict) -> None:
    chosen = LabelOptions.model_validate({"annotate": False, **options})
    made = label_video(fetched(food_mix), ImagenetLabeller.open(), chosen, MediaBounds(), tmp_path)
    check_order(made)


def check_order(made: LabelsManifest) -> None:
    wanted = ["espresso", "hotdog", "banana"]
    assert [segment.name for segment in made.segments if segment.name in wanted] == wanted
    assert [segment.name for segment in made.segments][:2] == wanted[:2]


def test_segments_begin_and_end_where_the_picture_changes(food_mix: Path, tmp_path: Path) -> None:
    options = LabelOptions(rate_hz=2, annotate=False)
    made = label_video(fetched(food_mix), ImagenetLabeller.open(), options, MediaBounds(), tmp_path)
    assert [each.name for each in made.segments] == ["espresso", "hotdog", "banana", "water bottle"]
    found = [time_s for each in made.segments for time_s in (each.start_s, each.end_s)]
    assert found == pytest.approx([0, 2, 2, 4, 6, 8, 14.7, 18.8], abs=0.5)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cup of coffee until 3.2 s, a cat until 6.7 s, a motorcycle until 10.9 s."""
    cuts_s = [0.0, 3.2, 6.7, 10.9]
    pictures = [cv2.resize(each, (320, 240)) for each in (data.coffee(), data.chelsea(), data.stereo_motorcycle()[0])]
    path = tmp_path_factory.mktemp("cuts") / "cuts.mp4"
    with open_writer(path, width=320, height=240, frame_rate=10, sound_of=None) as writer:
        for frame in range(109):
            shown = int(np.searchsorted(cuts_s, frame / 10, side="right")) - 1
            writer.write(np.asarray(pictures[shown], np.uint8), frame / 10)
    return path


@pytest.mark.parametrize("window", [3, 5])
def test_labels_change_with_the_picture_between_sampled_frames(window: int, cuts: Path, tmp_path: Path) -> None:
    """At two frames a second."""
    options = LabelOptions(rate_hz=2, window=window, annotate=False)
    made = label_video(fetched(cuts), ImagenetLabeller.open(), options, MediaBounds(), tmp_path / "out")
    found = {each.name: (each.start_s, each.end_s) for each in made.segments}
    assert found["espresso"] == pytest.approx((0.0, 3.2), abs=0.5)
    assert found["moped"] == pytest.approx((6.7, 10.9), abs=0.5)


def test_the_labelled_copy_of_the_food_lasts_as_long_and_has_its_sound(food_mix: Path, tmp_path: Path) -> None:
    check_order(label_video(fetched(food_mix), ImagenetLabeller.open(), LabelOptions(), MediaBounds(), tmp_path))
    with av.open(str(food_mix)) as source, av.open(str(tmp_path / "labelled.mp4")) as copy:
        assert copy.duration == pytest.approx(source.duration, abs=av.time_base / 15)  # one frame
        assert copy.streams.video[0].frames == source.streams.video[0].frames == 282
        sounds = [sum(packet.size for packet in each.demux(audio=0)) for each in (source, copy)]
    assert sounds[0] == sounds[1] > 0


def test_the_first_sign_of_life_does_not_wait_for_torch(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", ["red"])
    code = """
import sys
from pathlib import Path
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.video.config import MediaBounds

class Told:
    def begin(self, what, total, unit):
        print("begin", what, "torch" in sys.modules)
        raise SystemExit

ImagenetLabeller.open().score(Path(sys.argv[1]), MediaBounds(), LabelOptions(), Told())
"""
    command = [sys.executable, "-c", code, str(clip)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "begin labels of clip.mp4 False\n"
