"""Chromium without a window, as this machine has it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Counts in `drawn` how often the overlay of a report is drawn anew.
COUNT_DRAWN = """() => {
    window.drawn = 0;
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    CanvasRenderingContext2D.prototype.clearRect = function (...box) {
        if (this.canvas.className === "overlay") window.drawn++;
        return clear.apply(this, box);
    };
}"""


@contextmanager
def open_chromium(*options: str) -> Iterator[Browser]:
    """Run Chromium, or skip the test where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *options])
        yield browser
        browser.close()
