"""Which vocabulary goes with a mirror: told by the mirror itself, whatever it is called."""

from pathlib import Path

import pytest

from tasks.contracts.errors import DownloadError, VocabularyError
from tasks.shards.config import DownloadConfig
from tasks.vocabulary.table import kept_vocabulary, load_vocabulary, vocabulary_with
from tests.support.mirror_server import MirrorServer


def mirror(folder: Path, name: str) -> Path:
    """A folder with a shard and a vocabulary whose label 22 has this name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainaa.tfrecord").touch()
    (folder / "vocabulary.csv").write_text(f"label_id,label_name\n22,{name}\n")
    return folder


def test_the_same_name_in_another_folder_is_another_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for year, name in (("2018", "Cooking"), ("2017", "Nature")):
        mirror(tmp_path / year / "shards", name)
        monkeypatch.chdir(tmp_path / year)
        vocabulary = load_vocabulary(tmp_path / "kept", DownloadConfig(mirrors=("shards",)))
        assert vocabulary.find("22").name == name
    last = kept_vocabulary(tmp_path / "kept")
    assert last is not None
    assert last.find("22").name == "Nature"
    right = vocabulary_with(tmp_path / "kept", {22: "Cooking"})
    assert right is not None
    assert vocabulary_with(tmp_path / "kept", {22: "Cooking", 26: "Nature"}) is None


def test_what_a_server_changes_is_seen(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "served", "Cooking")
    with MirrorServer(folder) as server:
        config = DownloadConfig(mirrors=(server.url,), attempts=1)
        assert load_vocabulary(tmp_path / "kept", config).find("22").name == "Cooking"
        mirror(folder, "Nature")
        assert load_vocabulary(tmp_path / "kept", config).find("22").name == "Nature"


def test_a_vocabulary_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "shards", "Cooking")
    (folder / "vocabulary.csv").write_text("22,Cooking\n")
    with pytest.raises(VocabularyError, match=r"vocabulary\.csv is not a vocabulary.*line 1: no column Index"):
        load_vocabulary(tmp_path / "kept", DownloadConfig(mirrors=(str(folder),)))


def test_a_folder_without_a_vocabulary_says_what_would_be_one(tmp_path: Path) -> None:
    folder = mirror(tmp_path / "shards", "Cooking")
    (folder / "vocabulary.csv").unlink()
    with pytest.raises(DownloadError, match=r"label_id,label_name beside the shards.*`--label 22`"):
        load_vocabulary(tmp_path / "kept", DownloadConfig(mirrors=(str(folder),)))
