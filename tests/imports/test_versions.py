"""Versions of YouTube-8M by features of today: ids to videos on loopback, features, and what is learnt from them."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import reelsift
from reelsift import DatasetVersion
from tasks.contracts.datasets import DropReason
from tasks.contracts.errors import ConfigError, DatasetError
from tasks.imports.versions import clips_of_version
from tests.support.youtube_mirror import YouTubeMirror, youtube_id_of, youtube_mirror
from tests.support.youtube_site import unplayable

LIMIT = 6  # one of the six to learn from is gone, and five is the least
GONE = unplayable("ERROR", "Video unavailable", "This video has been removed by the uploader")
LIMITED = unplayable("UNPLAYABLE", "Video unavailable", "This content isn't available, try again later.")


@dataclass(frozen=True)
class Cooking:
    """A version of YouTube-8M, and the videos that a limit takes of it."""

    mirror: YouTubeMirror
    version: DatasetVersion
    train: list[str]
    validate: list[str]


@pytest.fixture(scope="module")
def cooking(synthetic_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cooking]:
    folder = tmp_path_factory.mktemp("extract")
    shutil.copytree(synthetic_mirror, folder / "mirror")
    with youtube_mirror(folder / "mirror", folder / "site") as mirror, pytest.MonkeyPatch.context() as environment:
        for name, value in mirror.environment.items():
            environment.setenv(name, value)
        version = reelsift.build_dataset("Cooking", home=folder / "home")
        clips = clips_of_version(version.dataset, limit=LIMIT).clips
        train, validate = ([each.named for each in clips if each.side == side] for side in ("train", "validate"))
        mirror.has([*train[1:], *validate])  # the mirror does not name the first one any more
        yield Cooking(mirror, version, train, validate)


@pytest.fixture
def home(cooking: Cooking, tmp_path: Path) -> Path:
    """A home of its own with the version in it."""
    shutil.copytree(cooking.version.settings.paths.root, tmp_path / "home", symlinks=True)
    cooking.mirror.has([*cooking.train[1:], *cooking.validate])
    cooking.mirror.site.requests.clear()
    return tmp_path / "home"


def test_a_limit_takes_the_same_videos_and_others(cooking: Cooking) -> None:
    more = clips_of_version(cooking.version.dataset, limit=LIMIT + 3).clips
    assert [each.named for each in more if each.side == "train"][:LIMIT] == cooking.train
    frame: Any = cooking.version.to_pandas()
    matches = frame[frame["is_match"]].set_index("video_id")
    assert set(cooking.train) <= set(matches[matches["split"] == "train"].index)
    names = {label.index: label.name for label in cooking.version.manifest.label_counts}
    for clip in more:
        assert clip.labels == tuple(sorted(names[label] for label in matches.loc[clip.named, "labels"]))
    one_sided = clips_of_version(cooking.version.dataset, partitions=["video/validate"], limit=4).clips
    assert [(each.named, each.side) for each in one_sided] == [(each, None) for each in cooking.validate[:4]]


def test_a_version_is_extracted_and_learnt_from(cooking: Cooking, home: Path) -> None:
    mirror = cooking.mirror
    mirror.say(cooking.validate[0], GONE)
    made = reelsift.extract_dataset("cooking", limit=LIMIT, home=home)
    manifest = made.manifest
    assert (manifest.slug, manifest.space.name) == ("cooking-efficientnet-lite0", "efficientnet-lite0")
    assert manifest.options["extracted_from"] == cooking.version.reference
    assert (manifest.rows, manifest.records, manifest.drops) == (2 * LIMIT - 2, 2 * LIMIT, {DropReason.WITHDRAWN: 2})
    silent = {*sorted([*cooking.train[1:], *cooking.validate])[::2]} - {cooking.validate[0]}
    assert (manifest.label_ids, manifest.label_names, manifest.without_sound) == ((22,), ("Cooking",), len(silent))
    assert sum(f"{each} is left out (withdrawn): " in str(made.warnings) for each in cooking.train[:1]) == 1

    columns = ["video_id", "labels", "split"]
    before: Any = cooking.version.to_pandas().set_index("video_id")
    after: Any = made.to_pandas(features=True).set_index("video_id")
    assert set(after.index) == {*cooking.train[1:], *cooking.validate[1:]}
    pd.testing.assert_frame_equal(after[columns[1:]].sort_index(), before.loc[after.index, columns[1:]].sort_index())
    clip = mirror.clips / f"{cooking.train[1]}.mp4"
    own: Any = reelsift.import_dataset(write_list(home.parent, clip), home=home).to_pandas(features=True)
    (row,) = own[own["video_id"].str.startswith(f"{clip.stem}-")].itertuples()
    assert list(row.picture) == list(after.loc[clip.stem, "picture"])

    assert not list(home.glob("fetched/*/video"))
    asked = list(mirror.asked())
    left = next(home.glob("fetched/*/fetched.json")).with_name("video")
    left.write_bytes(b"left by a run that was killed between its features and this")
    again = reelsift.extract_dataset("cooking", limit=LIMIT, home=home)
    assert (again.reference, mirror.asked()) == (made.reference, asked)
    assert not left.exists()

    training = reelsift.train(made, models=["logistic"], home=home)
    assert training.candidates[0].metrics["hit_at_1"] == 1
    classifier = reelsift.load_model(training.best.reference, home=home)
    assert 22 in classifier.label_ids
    assert classifier.space == manifest.space


def write_list(folder: Path, clip: Path) -> Path:
    """List a clip and its neighbours, as videos of one's own."""
    clips = [clip, *(each for each in sorted(clip.parent.iterdir()) if each != clip)][:4]
    lines = [f"{each},{label}" for each, label in zip(clips, ["a", "b", "a", "b"], strict=True)]
    (folder / "own.csv").write_text("\n".join(["source,label", *lines]) + "\n")
    return folder / "own.csv"


def test_a_limit_of_the_host_ends_the_round_and_the_next_one_goes_on(cooking: Cooking, home: Path) -> None:
    mirror, ids = cooking.mirror, [*cooking.train[1:], *cooking.validate]
    for video_id in ids[4:-2]:
        mirror.say(video_id, LIMITED)
    with pytest.raises(DatasetError, match=r"no video to judge on \(8 of its 12.*7 rate-limited.*in an hour") as caught:
        reelsift.extract_dataset("cooking", limit=LIMIT, home=home)
    assert "\n" not in str(caught.value)
    assert mirror.asked() == [youtube_id_of(each) for each in ids[:5]]  # and none of those after it
    mirror.has(ids)
    mirror.say(ids[-1], LIMITED)
    first = reelsift.extract_dataset("cooking", limit=LIMIT, home=home)
    assert mirror.asked()[5:] == [youtube_id_of(each) for each in ids[4:]]
    assert first.manifest.drops == {DropReason.WITHDRAWN: 1, DropReason.RATE_LIMITED: 1}
    assert "run the same again in an hour (what has come is kept)" in str(first.warnings)
    mirror.has(ids)
    second = reelsift.extract_dataset("cooking", limit=LIMIT, home=home)
    assert mirror.asked()[-1] == youtube_id_of(ids[-1])
    assert len(mirror.asked()) == 5 + len(ids[4:]) + 1
    assert (second.manifest.rows - first.manifest.rows, second.id != first.id) == (1, True)


def test_what_a_person_fetched_stays(cooking: Cooking, home: Path) -> None:
    mine = cooking.train[1]
    reelsift.label(mine, annotate=False, home=home)
    reelsift.extract_dataset("cooking", limit=2, home=home)
    assert len([path for path in (home / "fetched").rglob("*") if path.name == "video"]) == 1
    reelsift.label(mine, annotate=False, home=home, again=True)
    assert cooking.mirror.asked().count(youtube_id_of(mine)) == 1
    reelsift.extract_dataset("cooking", limit=3, keep_videos=True, home=home)
    assert len([path for path in (home / "fetched").rglob("*") if path.name == "video"]) == 3


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        pytest.param({"partitions": "video/tran"}, DatasetError, "Did you mean 'video/train'", id="partition"),
        pytest.param({"features": "efficientnt"}, ConfigError, "Did you mean 'effic", id="space"),
        pytest.param({"data": "cookin"}, reelsift.ReelsiftError, "No dataset version .cookin.", id="unknown"),
    ],
)
def test_what_cannot_be_extracted_is_told(
    cooking: Cooking, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        reelsift.extract_dataset(
            **{"data": "cooking", "limit": 2, "home": cooking.version.settings.paths.root, **options}
        )
