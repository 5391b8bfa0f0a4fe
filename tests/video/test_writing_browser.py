"""What is written plays in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.support.browser import open_chromium
from tests.support.media import Tone, shades, write_video
from tests.video.test_writing import copy

PLAY = """async () => {
    const video = document.querySelector('video');
    await video.play();
    await new Promise(done => { video.ontimeupdate = () => video.currentTime > 0.3 && done(); });
    video.pause();
    // The picture may come after the event, as on a busy machine: what was there before would be drawn.
    const shown = new Promise(done => {
        const look = (_, frame) => frame.mediaTime > 1 ? done() : video.requestVideoFrameCallback(look);
        video.requestVideoFrameCallback(look);
        setTimeout(done, 10000);
    });
    video.currentTime = 1.5;
    await new Promise(done => { video.onseeked = done; });
    await shown;
    const canvas = document.createElement('canvas');
    canvas.getContext('2d').drawImage(video, 0, 0);
    return {
        duration: video.duration, width: video.videoWidth, height: video.videoHeight, time: video.currentTime,
        heard: video.webkitAudioDecodedByteCount, shade: canvas.getContext('2d').getImageData(10, 10, 1, 1).data[0],
    };
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Chromium, closed with this module."""
    options = ["--autoplay-policy=no-user-gesture-required", "--allow-file-access-from-files"]
    with open_chromium(*options) as browser:
        yield browser.new_context(offline=True).new_page()


@pytest.mark.parametrize(
    ("name", "tone"),
    [
        pytest.param("clip.mp4", Tone(2.5), id="aac"),
        pytest.param("clip.mp4", Tone(2.5, layout="5.1"), id="5.1 aac"),
        pytest.param("clip.mp4", Tone(2.5, codec="libmp3lame"), id="mp3"),
        pytest.param("clip.ts", Tone(2.5), id="aac out of a transport stream"),
        pytest.param("clip.mkv", Tone(2.5, codec="ac3", layout="5.1"), id="ac3"),
        pytest.param("clip.mp4", None, id="silent"),
    ],
)
def test_a_browser_plays_and_seeks_it(page: Page, tmp_path: Path, name: str, tone: Tone | None) -> None:
    source = write_video(tmp_path / name, shades(25, 63, 47), pix_fmt="yuv444p", tone=tone)
    copy(source, tmp_path / "copy.mp4")
    (tmp_path / "index.html").write_text('<video src="copy.mp4"></video>')
    page.goto((tmp_path / "index.html").as_uri())
    seen = page.evaluate(PLAY)
    assert seen["duration"] == pytest.approx(2.5, abs=0.06)
    assert (seen["width"], seen["height"], seen["time"]) == (64, 48, 1.5)
    assert bool(seen["heard"]) == (tone is not None)
    assert seen["shade"] == pytest.approx(20 + 15 * 6, abs=7)
