"""What was found in videos on one machine is found by another in the object store, and not made again."""

import os
import shutil
from pathlib import Path

import pytest

from conf.forms import LabelVideosForm
from conf.home import Home
from flows.label_videos import label_videos
from reelsift.demo import made_clip
from tasks.contracts.errors import StorageError
from tasks.contracts.media import LABELS_NAME
from tasks.storage.object_store import open_store
from tests.support.flow_runs import run_flow
from tests.support.folders import digests
from tests.support.s3_server import S3Server


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def storage(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that the settings name."""
    uri = s3_server.new_bucket()
    monkeypatch.setenv("REELSIFT_STORAGE", uri)
    return uri


def label(home: Home, clip: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> tuple[str, dict[str, str]]:
    """Label the clip on the machine of a home; return what became of it, and all that the answer consists of."""
    monkeypatch.setenv("REELSIFT_HOME", str(home.root))
    form = LabelVideosForm.model_validate({"sources": [str(clip)], "annotate": True, **options})
    (row,) = run_flow(label_videos, form).result["videos"]
    answer = {name: digest for name, digest in digests(Path(row["folder"])).items() if not name.endswith(".html")}
    return row["status"], answer


def test_another_machine_finds_the_answer_and_a_damaged_one_is_made_again(
    clip: Path, home: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = Home(home.root.with_name("another"))
    made = label(home, clip, monkeypatch)
    assert made[0] == "done"
    assert {LABELS_NAME, "labelled.mp4", "labels.parquet"} <= made[1].keys()
    assert label(another, clip, monkeypatch) == ("cached", made[1])
    assert label(another, clip, monkeypatch, window=1)[0] == "done"  # another answer, in the place of that one
    assert label(another, clip, monkeypatch) == ("cached", made[1])

    store, third = open_store(storage), Home(home.root.with_name("third"))
    for name, size in store.sizes("videos").items():
        if name.endswith("labelled.mp4"):
            store.write(f"videos/{name}", os.urandom(size))
    assert label(third, clip, monkeypatch)[0] == "done"
    shutil.rmtree(another.videos)
    assert label(another, clip, monkeypatch)[0] == "cached"


def test_what_was_found_before_there_was_a_store_is_put_there(
    clip: Path, home: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REELSIFT_STORAGE")
    made = label(home, clip, monkeypatch, annotate=False)
    monkeypatch.setenv("REELSIFT_STORAGE", storage)
    assert label(home, clip, monkeypatch, annotate=False)[0] == "done"  # of the cached task, that is
    assert label(Home(home.root.with_name("another")), clip, monkeypatch, annotate=False) == ("cached", made[1])


def test_a_store_that_is_not_there_is_told_before_any_video(
    clip: Path, home: Home, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSIFT_STORAGE", s3_server.uri("never-made"))
    with pytest.raises(StorageError, match="no such bucket"):
        label(home, clip, monkeypatch)
    assert not home.videos.exists()
