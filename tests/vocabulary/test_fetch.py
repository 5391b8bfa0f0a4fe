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


def test_a_copy_that_differs_from_its_digest_is_not_taken(tmp_path: Path) -> None:
    folder, kept = tmp_path / "shards", tmp_path / "kept"
    folder.mkdir()
    (folder / "a.tfrecord").touch()
    (folder / "vocabulary.csv").write_text("label_id,label_name\n0,Nature\n1,Cooking\n")
    config = DownloadConfig(mirrors=(str(folder),))
    load_vocabulary(kept, config)
    (copy,) = kept.iterdir()
    copy.write_text("label_id,label_name\n0,Nature\n1,Cooling\n")
    assert kept_vocabulary(kept) is None
    assert vocabulary_with(kept, {1: "Cooling"}) is None
    load_vocabulary(kept, config)
    found = kept_vocabulary(kept)
    assert found is not None
    assert [label.name for label in found.labels] == ["Nature", "Cooking"]


def test_that_of_the_public_hosts_is_fetched_once_and_again_when_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public host is not reachable from here, so a server on loopback passes for it."""
    place = tmp_path / "hosts" / "youtube8m" / "csv" / "2" / "vocabulary.csv"
    place.parent.mkdir(parents=True)
    place.write_text("Index,Name\n0,Nature\n1,Cooking\n")
    with MirrorServer(tmp_path / "hosts") as server:
        for module in ("tasks.shards.mirror", "tasks.vocabulary.table"):
            monkeypatch.setattr(f"{module}.PUBLIC_VOCABULARY", server.url)
        config = DownloadConfig(mirrors=("us",), reserve_bytes=0)
        for _ in range(2):
            assert [label.name for label in load_vocabulary(tmp_path / "kept", config).labels] == ["Nature", "Cooking"]
        assert sum(server.gets().values()) == 1
        (copy,) = (tmp_path / "kept").iterdir()
        copy.write_text("Index,Name\n0,Nature\n1,Cooling\n")
        assert [label.name for label in load_vocabulary(tmp_path / "kept", config).labels] == ["Nature", "Cooking"]
        assert sum(server.gets().values()) == 2
        assert "Cooking" in copy.read_text()
