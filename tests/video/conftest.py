"""Fixtures of the video stage's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mirror_server import MirrorServer
from tests.support.video_server import VIDEO, write_clip
from tests.video.fetching import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with one clip, `clip.mp4`; no proxy of this machine stands between."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    folder = tmp_path / "site"
    folder.mkdir()
    write_clip(folder / "clip.mp4")
    with MirrorServer(folder) as server:
        server.always("clip.mp4", VIDEO)
        yield Site(server, folder, tmp_path / "cache")
