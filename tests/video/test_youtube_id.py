"""From four letters to eleven, or to an error; never to a wrong id."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.contracts.errors import FetchError, MirrorError, WithdrawnVideoError
from tasks.shards.config import DownloadConfig
from tasks.video.youtube import resolve_yt8m_id
from tests.support.mirror_server import Fault, MirrorServer, status

ANSWER = 'i("ZU9H","dQw4w9WgXcQ");'
DENIED = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access denied.</Message></Error>'


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[MirrorServer]:
    with MirrorServer(tmp_path) as server:
        yield server


def put(folder: Path, text: str, video_id: str = "ZU9H") -> None:
    path = folder / "2" / "j" / "i" / video_id[:2] / f"{video_id}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def config(*mirrors: str) -> DownloadConfig:
    return DownloadConfig(mirrors=mirrors)


@pytest.mark.parametrize("text", [ANSWER, ANSWER + "\n", 'i("ZU9H","dQw4w9WgXcQ")'], ids=["plain", "line", "bare"])
def test_the_id_that_a_mirror_names(mirror: MirrorServer, tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    assert resolve_yt8m_id("ZU9H", config(mirror.url)) == "dQw4w9WgXcQ"


def test_the_id_that_a_folder_names(tmp_path: Path) -> None:
    (tmp_path / "2" / "download_plans").mkdir(parents=True)
    put(tmp_path, ANSWER)
    assert resolve_yt8m_id("ZU9H", config(str(tmp_path))) == "dQw4w9WgXcQ"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(404), id="404"),
        pytest.param(status(410), id="410"),
        pytest.param(Fault(status=403, body=DENIED.encode()), id="403"),
        pytest.param(Fault(body=DENIED.encode()), id="denied-with-200"),
    ],
)
def test_a_withdrawn_video_says_so(mirror: MirrorServer, tmp_path: Path, fault: Fault) -> None:
    put(tmp_path, ANSWER)
    mirror.always("*", fault)
    with pytest.raises(WithdrawnVideoError, match="The video ZU9H has been withdrawn"):
        resolve_yt8m_id("ZU9H", config(mirror.url))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('i("ABCD","dQw4w9WgXcQ");', id="of-another-video"),
        pytest.param('i("ZU9H","../../passwd");', id="no-id"),
        pytest.param('i("ZU9H","dQw4w9WgXcQ");alert(1)', id="more"),
        pytest.param("<!DOCTYPE html><title>dQw4w9WgXcQ</title>", id="page"),
        pytest.param("", id="empty"),
        pytest.param("x" * 10_000_000, id="endless"),
    ],
)
def test_what_is_no_answer_never_becomes_an_id(mirror: MirrorServer, tmp_path: Path, text: str) -> None:
    put(tmp_path, text)
    with pytest.raises(FetchError, match="gives no id of ZU9H") as caught:
        resolve_yt8m_id("ZU9H", config(mirror.url))
    assert len(str(caught.value)) < 250


def test_the_next_mirror_is_asked_where_one_fails(mirror: MirrorServer, tmp_path: Path) -> None:
    put(tmp_path, ANSWER)
    with MirrorServer(tmp_path) as broken:
        broken.always("*", status(500))
        assert resolve_yt8m_id("ZU9H", config(broken.url, mirror.url)) == "dQw4w9WgXcQ"


def test_where_no_mirror_can_be_asked_nothing_is_said_of_the_video(mirror: MirrorServer) -> None:
    mirror.always("*", status(500))
    with pytest.raises(FetchError, match=r"The YouTube id of ZU9H could not be asked for: .*500"):
        resolve_yt8m_id("ZU9H", config(mirror.url))


@pytest.mark.parametrize("video_id", ["", "ZU9", "ZU9HH", "../x", "ZU9\n"])
def test_what_is_no_id_is_not_asked_for(mirror: MirrorServer, video_id: str) -> None:
    with pytest.raises(MirrorError, match="is not an id of YouTube-8M"):
        resolve_yt8m_id(video_id, config(mirror.url))
    assert not mirror.log


def test_a_real_mirror_names_some_and_not_others(real_mirror: Path) -> None:
    known = min((real_mirror / "2" / "j" / "i").rglob("*.js")).stem
    found = resolve_yt8m_id(known, config(str(real_mirror)))
    assert len(found) == 11
    with pytest.raises(WithdrawnVideoError):
        resolve_yt8m_id("0000", config(str(real_mirror)))
