"""Prefect's pages as a person uses them, in a real browser.

`python -m tests.support.prefect_pages FILE.png` takes the picture of a form for the docs, beside a stack that runs.
"""

import base64
import re
import sys
from pathlib import Path

from playwright.sync_api import Page, Response, expect

from conf.settings import load_settings
from conf.stack_state import PREFECT_SERVER, home_credentials, running_part
from tests.support.browser import open_chromium

LOAD_MS = 30_000
SUBMISSIONS = 3
HEIGHT = 925  # of the picture for the docs: down to the window


class PrefectPages:
    """The pages of one server, version 1 of them."""

    def __init__(self, page: Page, url: str, auth_string: str | None = None) -> None:
        self._page = page
        self._url = url
        page.set_default_timeout(LOAD_MS)
        self._refusals: list[str] = []
        page.on("response", self._note)
        if auth_string:  # as the page of the login keeps it
            word = base64.b64encode(auth_string.encode()).decode()
            page.add_init_script(f"localStorage.setItem('prefect-password', '{word}')")

    def open_form(self, deployment: str) -> None:
        """Go from the list of deployments to the form of a run, as somebody does who looks for it."""
        self._page.goto(f"{self._url}/deployments")
        self._page.get_by_role("link", name=deployment).first.click()
        self._page.get_by_role("button", name="Run", exact=True).click()
        self._page.get_by_text("Custom run").click()
        expect(self._page.get_by_text("Run Name")).to_be_visible(timeout=LOAD_MS)

    def add_source(self, source: str) -> None:
        """Add an item to the first list of the form."""
        fields = self._page.locator("textarea")
        before = fields.count()
        self._page.get_by_role("button", name="Add item").first.click()
        expect(fields).to_have_count(before + 1)
        fields.first.fill(source)
        fields.first.blur()
        expect(fields.first).to_have_value(source)

    def submit(self) -> None:
        """Start the run; a server that is busy for a moment is asked again, as a person would."""
        for _ in range(SUBMISSIONS):
            self._page.get_by_role("button", name="Submit").click()
            try:
                self._page.wait_for_url(re.compile(r"tab=Runs"), timeout=10_000)
            except Exception:  # noqa: BLE001 - Playwright's own kind of time-out
                continue
            return
        raise AssertionError(f"the form was not taken: {self._refusals}")

    def _note(self, response: Response) -> None:
        """Note what the server refused, for whoever has to find out why a page did not go on."""
        if response.status >= 400:
            self._refusals.append(f"{response.status} {response.request.method} {response.url}")

    def open_run(self, run_id: str) -> None:
        """Go to the page of a run."""
        self._page.goto(f"{self._url}/runs/flow-run/{run_id}")

    def expect_state(self, name: str, within_s: float) -> None:
        """Wait until the page itself shows the state; nobody reloads it."""
        expect(self._page.get_by_text(name, exact=True).first).to_be_visible(timeout=within_s * 1000)


def take(path: Path) -> None:
    """Photograph the form of label-videos, begun, on the page of the home's stack."""
    home = load_settings().paths
    server, credentials = running_part(home, PREFECT_SERVER), home_credentials(home)
    assert server, "`reelsift up` first"
    assert server.address
    with open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": HEIGHT})
        pages = PrefectPages(page, server.address, credentials.auth_string if credentials else None)
        pages.open_form("label-videos")
        pages.add_source("https://www.youtube.com/watch?v=dQw4w9WgXcQ")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=path)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
