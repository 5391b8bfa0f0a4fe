"""Features of many videos at once: those of each alone, bit by bit; and only of a long one it is told how far it is."""

from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.files import file_digest
from tasks.contracts.media import CACHED, DONE, FetchedVideo
from tasks.features.extractor import read_features
from tasks.features.shipped import EfficientNetExtractor
from tasks.per_video import work
from tasks.per_video.extraction import kept_features, read_kept
from tasks.per_video.fetching import Workplace
from tasks.per_video.jobs import do_each
from tasks.per_video.work import VIDEOS_AT_ONCE, ExtractWork
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.media import Tone, write_video

LENGTHS_S = (1, 5, 3, 12, 4, 2, 6)


class Heard:
    def __init__(self) -> None:
        self.totals: dict[str, float | None] = {}
        self.done: dict[str, float] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.totals[what] = total

    def advance(self, what: str, amount: float) -> None:
        self.done[what] = self.done.get(what, 0) + amount


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[FetchedVideo]:
    folder, random = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    found = list[FetchedVideo]()
    for number, length_s in enumerate(LENGTHS_S):
        images = random.integers(0, 256, (length_s, 48, 64, 3), np.uint8)
        tone = Tone(duration_s=float(length_s)) if number % 2 else None
        path = write_video(folder / f"{number}.mp4", images, times_s=[*map(float, range(length_s))], tone=tone)
        digest, size = file_digest(path), path.stat().st_size
        found.append(FetchedVideo(source=str(path), path=path, sha256=digest, size_bytes=size, title=path.stem))
    return found


def test_many_at_once_have_the_features_of_each_alone(
    videos: list[FetchedVideo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert work.LONG_S == 120
    monkeypatch.setattr(work, "LONG_S", 10.0)
    place = Workplace(
        fetched=tmp_path / "fetched",
        out=tmp_path / "features",
        fetch=FetchConfig(),
        download=DownloadConfig(),
        bounds=MediaBounds(),
        weights=WeightsStore(folder=tmp_path, table={}),
    )
    extractor, heard = EfficientNetExtractor.open(), Heard()
    job = ExtractWork(features="efficientnet-lite0").job(extractor, place, heard)
    assert job.at_once == VIDEOS_AT_ONCE > 1
    assert [each.status for each in do_each(job, videos)] == [DONE] * len(videos)
    for video in videos:
        kept = kept_features(place.out, video.sha256, extractor.space)
        assert kept
        found, alone = read_kept(*kept), read_features(video.path, place.bounds, extractor)
        for name in ("times_s", "picture", "sound", "has_sound"):
            np.testing.assert_array_equal(getattr(found, name), getattr(alone, name))
    (long,) = heard.totals
    assert long == "features of 3.mp4"
    assert heard.done[long] == pytest.approx(heard.totals[long], abs=0.1)
    assert [each.status for each in do_each(job, videos)] == [CACHED] * len(videos)
