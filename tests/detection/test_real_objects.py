"""YOLOX-nano on real pictures and videos; skipped where there are none."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.contracts.media import ObjectsManifest
from tasks.detection.config import DetectOptions, canonical_class
from tasks.detection.detect import detect_objects
from tasks.detection.tracking import iou
from tasks.detection.yolox import YoloxDetector
from tasks.video.config import MediaBounds
from tasks.video.probe import probe
from tests.support.box_agreement import agreement
from tests.support.square_videos import fetched

Look = Callable[..., tuple[ObjectsManifest, list[dict[str, Any]]]]
BOTTLES = "videos/bottle-detection.mp4"  # Intel IoT DevKit, CC BY 4.0
FOOD = "videos/food_mix_with_audio.mp4"  # cut from sample videos, CC BY 4.0
BOWLS = "images/coco_train2017_000000000009"  # COCO, with its ground truth


@pytest.fixture
def look(real_data: Path, real_detector: YoloxDetector, tmp_path: Path) -> Look:
    """Detect in a file of the real media; return the manifest and the rows of the table."""

    def look_at(name: str, **options: Any) -> tuple[ObjectsManifest, list[dict[str, Any]]]:
        video = fetched(real_data / "media" / name)
        made = detect_objects(video, real_detector, DetectOptions(**options), MediaBounds(), tmp_path)
        return made, pq.read_table(tmp_path / "objects.parquet").to_pylist()

    return look_at


@dataclass(frozen=True)
class Food:
    """What was found in every frame of the food, and the annotated video."""

    made: ObjectsManifest
    rows: list[dict[str, Any]]
    drawn: Path


@pytest.fixture(scope="module")
def food(real_data: Path, real_detector: YoloxDetector, tmp_path_factory: pytest.TempPathFactory) -> Food:
    folder = tmp_path_factory.mktemp("food")
    made = detect_objects(fetched(real_data / "media" / FOOD), real_detector, DetectOptions(), MediaBounds(), folder)
    return Food(made, pq.read_table(folder / "objects.parquet").to_pylist(), folder / "detected.mp4")


def test_coffee_is_a_cup_on_a_table(look: Look) -> None:
    made, _ = look("images/coffee.png")
    assert made.counts == {"cup": 1, "dining table": 1}


def test_bottles_at_one_look_a_second(look: Look) -> None:
    made, rows = look(BOTTLES, rate_hz=1.0, annotate=False)
    assert len({row["frame"] for row in rows if row["class_name"] == "bottle"}) >= 38
    assert len({round(row["time_s"]) for row in rows}) == 40
    assert made.counts["bottle"] <= 8
    assert 4 * len(made.tracks) < made.boxes


def test_food_in_the_order_of_its_appearance_with_duration_and_sound(food: Food, real_data: Path) -> None:
    order = list(dict.fromkeys(track.class_name for track in food.made.tracks))
    assert [name for name in order if name in {"cup", "hot dog", "apple", "banana"}] == [
        "cup",
        "hot dog",
        "apple",
        "banana",
    ]
    source, drawn = (probe(path, MediaBounds()) for path in (real_data / "media" / FOOD, food.drawn))
    assert drawn.has_sound
    assert source.duration_s
    assert source.frame_rate
    assert drawn.duration_s == pytest.approx(source.duration_s, abs=1 / source.frame_rate)


@pytest.mark.parametrize("wanted", ["bowl", "broccoli"])
def test_bowls_and_broccoli_lie_where_the_ground_truth_has_them(wanted: str, look: Look, real_data: Path) -> None:
    _, rows = look(f"{BOWLS}.jpg")
    found = np.array(
        [[row[side] for side in ("x_min", "y_min", "x_max", "y_max")] for row in rows if row["class_name"] == wanted],
        np.float32,
    )
    truth = ground_truth(real_data / "media", wanted)
    assert len(found)
    # Every box that was found covers a true one.
    assert (iou(found, truth).max(axis=1) > 0.5).all()


def ground_truth(media: Path, wanted: str) -> np.ndarray[Any, Any]:
    """Return the true boxes of a class, xyxy in pixels."""
    darknet = (media / "coco.names").read_text().splitlines()
    height, width = cv2.imread(str(media / f"{BOWLS}.jpg")).shape[:2]  # pyright: ignore[reportOptionalMemberAccess]
    lines = [line.split() for line in (media / f"{BOWLS}.yolo.txt").read_text().splitlines()]
    kept = [list(map(float, line[1:])) for line in lines if canonical_class(darknet[int(line[0])]) == wanted]
    centres, sizes = np.split(np.array(kept, np.float32) * np.array([width, height] * 2), 2, axis=1)
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1).astype(np.float32)


def test_carried_boxes_agree_with_detected_ones(look: Look, food: Food) -> None:
    _, carried = look(FOOD, every=5, annotate=False)
    assert agreement(carried, food.rows, every=5) >= 0.9


CUP = (147, 8, 331, 229)  # where the cup is in cup_upright.mp4, as its README has it


@pytest.mark.parametrize("name", ["cup_upright", "cup_hflip", "cup_vflip", "cup_transpose", "cup_sar"])
def test_a_cup_is_found_where_a_player_shows_it(look: Look, name: str, tmp_path: Path) -> None:
    """The same cup, stored mirrored, transposed or squeezed; its boxes lie in the annotated video, which is upright."""
    made, rows = look(f"../faults/video/{name}.mp4")
    assert (made.video.media.width, made.video.media.height) == (480, 270)
    assert made.counts["cup"] == 1
    cups = [[row[side] for side in ("x_min", "y_min", "x_max", "y_max")] for row in rows if row["class_name"] == "cup"]
    assert iou(np.array(cups, np.float32), np.array([CUP], np.float32)).min() > 0.9
    assert probe(tmp_path / "detected.mp4", MediaBounds()).width == 480


def test_a_picture_of_16_bits_is_not_white(look: Look) -> None:
    made, _ = look("../faults/video/fruit_l16.png")
    assert made.counts == {"orange": 1}
