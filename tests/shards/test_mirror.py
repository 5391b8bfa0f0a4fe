"""Where files lie on each kind of mirror."""

from pathlib import Path

import pytest

from tasks.contracts.datasets import PlannedShard
from tasks.contracts.errors import MirrorError
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import is_public, resolve, shown

SHARD = PlannedShard(name="trainpj.tfrecord", partition="video/train", md5="0" * 32)
GOOGLE = "https://storage.googleapis.com/data.yt8m.org"


def config(*mirrors: str, release: int = 2) -> DownloadConfig:
    return DownloadConfig(mirrors=mirrors, release=release)


def test_the_public_hosts_are_laid_out_as_the_official_script_knows_them() -> None:
    mirrors = resolve(config("eu"))
    assert mirrors.shard(SHARD) == (
        "http://eu.data.yt8m.org/2/video/train/trainpj.tfrecord",
        "http://us.data.yt8m.org/2/video/train/trainpj.tfrecord",
        "http://asia.data.yt8m.org/2/video/train/trainpj.tfrecord",
    )
    plan = "/2/download_plans/video_train.json"
    assert mirrors.plan("video/train") == (f"http://data.yt8m.org{plan}", f"{GOOGLE}{plan}")
    assert mirrors.vocabulary() == ("https://research.google.com/youtube8m/csv/2/vocabulary.csv",)
    assert mirrors.youtube_id("ZU9H") == ("http://data.yt8m.org/2/j/i/ZU/ZU9H.js", f"{GOOGLE}/2/j/i/ZU/ZU9H.js")


def test_a_url_has_everything_below_it_and_no_fallback() -> None:
    mirrors = resolve(config("http://localhost:8000/yt8m/", release=3))
    assert mirrors.shard(SHARD) == ("http://localhost:8000/yt8m/3/video/train/trainpj.tfrecord",)
    assert mirrors.plan("frame/validate") == ("http://localhost:8000/yt8m/3/download_plans/frame_validate.json",)
    assert mirrors.vocabulary() == ("http://localhost:8000/yt8m/youtube8m/csv/2/vocabulary.csv",)
    assert mirrors.youtube_id("ZU9H") == ("http://localhost:8000/yt8m/2/j/i/ZU/ZU9H.js",)


def test_mirrors_are_tried_in_the_order_given_and_public_ones_last(folder: Path) -> None:
    sources = resolve(config(str(folder), "asia", "https://x.org", "asia")).shard(SHARD)
    path = "2/video/train/trainpj.tfrecord"
    assert sources == (
        folder / path,
        f"http://asia.data.yt8m.org/{path}",
        f"https://x.org/{path}",
        f"http://us.data.yt8m.org/{path}",
        f"http://eu.data.yt8m.org/{path}",
    )


def test_a_folder_of_nothing_but_shards_is_a_bag(tmp_path: Path) -> None:
    (tmp_path / "trainpj.tfrecord").touch()
    mirrors = resolve(config(str(tmp_path)))
    assert mirrors.bag() == tmp_path
    assert mirrors.shard(SHARD) == (tmp_path / "trainpj.tfrecord",)
    assert mirrors.plan("video/train") == ()


def test_a_folder_with_plans_is_no_bag(folder: Path) -> None:
    assert resolve(config(str(folder))).bag() is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("uss", "no folder to read from \\(No such file", id="misspelt"),
        pytest.param("/nowhere/at/all", "no folder to read from", id="no such folder"),
        pytest.param("/etc/passwd", "no folder to read from \\(Not a directory", id="a file"),
        pytest.param("x" * 5000, "no folder to read from \\(File name too long", id="too long"),
        pytest.param("a\0b", "is no name of a folder", id="a zero byte"),
        pytest.param("", "holds neither 2/download_plans nor .tfrecord files", id="empty: the working folder"),
        pytest.param("ftp://host/x", "not an http", id="another scheme"),
        pytest.param("file:///etc", "not an http", id="a file URL"),
        pytest.param("http://", "not an http", id="no host"),
        pytest.param("http://[oops/x", "not an http", id="broken address"),
        pytest.param("http://host/x?key=1", "without a query", id="a query"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_the_choices(
    name: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MirrorError, match=rf"No mirror '.*': .*{problem}.* us, eu, asia, an http\(s\) URL"):
        resolve(config(name))


def test_compressed_shards_of_another_name_are_named(tmp_path: Path) -> None:
    (tmp_path / "train00.tfrecord.gz").touch()
    with pytest.raises(MirrorError, match=r"'train00\.tfrecord\.gz' and the like are read.*end in \.tfrecord"):
        resolve(config(str(tmp_path)))


@pytest.mark.parametrize(
    ("names", "public"),
    [
        pytest.param(("us",), True, id="by name"),
        pytest.param(("http://127.0.0.1:1", "asia"), True, id="as a fallback"),
        pytest.param(("http://eu.data.yt8m.org",), True, id="by its URL"),
        pytest.param(("https://storage.googleapis.com/data.yt8m.org/",), True, id="by its bucket"),
        pytest.param(("https://storage.googleapis.com/mine",), False, id="another bucket"),
        pytest.param(("http://127.0.0.1:1",), False, id="loopback"),
        pytest.param(("gone",), False, id="a folder that is not there"),
        pytest.param(("http://[oops",), False, id="no URL"),
        pytest.param(("https://notdata.yt8m.org.evil.com",), False, id="a host that looks like it"),
    ],
)
def test_what_is_public(names: tuple[str, ...], public: bool) -> None:
    assert is_public(config(*names)) is public


@pytest.mark.parametrize("video_id", ["ZU9", "ZU9H/", "../x", "ZU9HH", "ZÜ9H"])
def test_an_id_that_is_none_makes_no_path(video_id: str) -> None:
    with pytest.raises(MirrorError, match="is not an id of YouTube-8M"):
        resolve(config("us")).youtube_id(video_id)


def test_a_folder_is_not_public(folder: Path) -> None:
    assert not is_public(config(str(folder)))


def test_a_password_is_not_shown() -> None:
    assert shown("https://me:secret@mirror.org/2/x@y") == "https://***@mirror.org/2/x@y"
    assert shown(Path("/data/me@home")) == "/data/me@home"
    with pytest.raises(MirrorError, match=r"No mirror 'ftp://\*\*\*@host'"):
        resolve(config("ftp://me:secret@host"))
