"""Batches through a network side by side, answers in order."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError, WeightsError
from tasks.contracts.media import MediaFacts
from tasks.features.batches import FrameNetwork, NetworkThreads, sampled_rows
from tasks.video.frames import Frame, FrameReader
from tests.shards.conftest import Heard

FACTS = MediaFacts(kind="video", width=2, height=2, duration_s=9.0, frame_rate=1, codec="h264", has_sound=False)
SHOWN = (0, 0, 1, 2, 2, 2, 2, 2, 3)  # which frame is on show at each sample


def reader(shown: Sequence[int] = SHOWN) -> FrameReader:
    def frames() -> Iterator[Frame]:
        for second, index in enumerate(shown):
            yield Frame(index, float(second), np.full((2, 2, 3), 10 * index, np.uint8), 1.0)

    return FrameReader(FACTS, frames(), path=Path("clip.mp4"))


def network(seen: list[int], threads: NetworkThreads, *, batch_size: int = 2, columns: int = 2) -> FrameNetwork:
    """Each row is a frame's mean after preparing, and the same negative."""

    def run(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        seen.append(len(images))
        means = np.array([image.mean() for image in images], np.float32)
        return np.stack([means, -means], axis=1)

    return FrameNetwork(lambda image: image.astype(np.float32) + 1, run, columns, batch_size, threads)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_each_sample_has_the_row_of_the_frame_on_show_and_no_frame_is_looked_at_twice(
    count: int, batch_size: int
) -> None:
    seen, heard = list[int](), Heard()
    opened = network(seen, NetworkThreads(count), batch_size=batch_size)
    times_s, rows = sampled_rows(reader(), 1.0, lambda: opened, "features", heard)
    assert times_s.tolist() == list(range(9))
    assert rows.tolist() == [[10 * index + 1, -10 * index - 1] for index in SHOWN]
    assert sum(seen) == 4
    assert max(seen) <= batch_size
    assert heard.done["features of clip.mp4"] == pytest.approx(9)


def test_batches_are_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=20)

    def run(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        together.wait()  # would time out if one came after the other
        return np.zeros((len(images), 1), np.float32)

    opened = FrameNetwork(lambda image: image, run, 1, 1, NetworkThreads(2))
    assert len(sampled_rows(reader(range(4)), 1.0, lambda: opened, "features")[1]) == 4


@pytest.mark.parametrize("count", [1, 2])
def test_what_goes_wrong_in_the_network_is_raised(count: int) -> None:
    def run(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        raise WeightsError(f"not {len(images)}")

    opened = FrameNetwork(lambda image: image, run, 1, 2, NetworkThreads(count))
    with pytest.raises(WeightsError, match="not 2"):
        sampled_rows(reader(range(9)), 1.0, lambda: opened, "features")


def test_a_video_that_shows_nothing_is_refused() -> None:
    with pytest.raises(VideoError, match=r"clip\.mp4 shows no frame at any time"):
        sampled_rows(reader(()), 1.0, lambda: network([], NetworkThreads(1)), "features")


def test_too_many_samples_are_refused_before_the_network_is_loaded() -> None:
    with pytest.raises(VideoError, match=r"over 50,000 frames, 6000 a second for 9 s: .* in the feature space"):
        sampled_rows(reader(), 6000.0, lambda: pytest.fail("loaded"), "features", advice="in the feature space")


@pytest.mark.parametrize(
    ("seconds", "threads", "sizes"),
    [(6, 2, [3, 3]), (9, 1, [3, 3, 3]), (9, 2, [3, 3, 3]), (16, 2, [4, 4, 4, 4]), (3, 1, [3])],
)
def test_a_short_video_is_shared_evenly(seconds: int, threads: int, sizes: list[int]) -> None:
    seen = list[int]()
    opened = network(seen, NetworkThreads(threads), batch_size=4)
    source = reader(range(seconds))
    source.facts = FACTS.model_copy(update={"duration_s": float(seconds)})
    sampled_rows(source, 1.0, lambda: opened, "features")
    assert sorted(seen) == sorted(sizes)
