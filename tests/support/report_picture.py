"""The picture of a video's report for the docs: `python -m tests.support.report_picture FILE.png`.

Needs the detector's weights in the home, or in the folder that REELSIFT_WEIGHTS names.
"""

import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import ViewportSize
from skimage import data

import reelsift
from tasks.video.writing import open_writer
from tests.support.browser import open_chromium

WIDTH, HEIGHT, FRAME_RATE, CHANGE_S = 480, 320, 10, 5
PAGE = ViewportSize(width=1280, height=760)
COLOURS = 128


def write_clip(path: Path) -> Path:
    """Write ten seconds: a cup of coffee, then a motorcycle."""
    pictures = [cv2.resize(each, (WIDTH, HEIGHT)) for each in (data.coffee(), data.stereo_motorcycle()[0])]
    with open_writer(path, width=WIDTH, height=HEIGHT, frame_rate=FRAME_RATE, sound_of=None) as writer:
        for frame in range(2 * CHANGE_S * FRAME_RATE):
            shown = pictures[frame // (CHANGE_S * FRAME_RATE)]
            writer.write(np.asarray(shown, np.uint8), frame / FRAME_RATE)
    return path


def take(path: Path) -> None:
    """Label and detect, and photograph the report."""
    path = path.resolve()
    with tempfile.TemporaryDirectory() as folder, chdir(folder), open_chromium() as browser:
        clip = write_clip(Path("coffee-motorcycle.mp4"))
        reelsift.label(clip, model="imagenet", home=folder)
        report = reelsift.detect(clip, detector="yolox-nano", home=folder).report
        page = browser.new_page(viewport=PAGE)
        page.goto(Path(report).as_uri())
        page.wait_for_timeout(2000)  # until the video has drawn its first frame
        page.screenshot(path=path)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS)
    small.save(path, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
