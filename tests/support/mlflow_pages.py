"""MLflow's pages in a real browser: opened, read and photographed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect

from conf.stack_state import Credentials

WIDTH = 1400
PATIENCE_MS = 30_000  # the pages are 20 MB of script


@contextmanager
def mlflow_page(browser: Browser, credentials: Credentials | None, height: int = 1000) -> Iterator[Page]:
    """Open a page that shows the user's password where it is asked for."""
    shown = {"username": credentials.user, "password": credentials.password} if credentials else None
    viewport = ViewportSize(width=WIDTH, height=height)
    context = browser.new_context(viewport=viewport, http_credentials=shown)  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def compared_runs(page: Page, url: str) -> dict[str, str]:
    """Open a comparison and return the names of the runs that it shows, by id."""
    page.goto(url)
    row = page.get_by_role("row").filter(has_text="Run ID:")
    expect(row).to_be_visible(timeout=PATIENCE_MS)
    ids = [link.inner_text() for link in row.get_by_role("link").all()]
    names = page.get_by_role("row").filter(has_text="Run Name:").locator("td").all_inner_texts()
    return dict(zip(ids, (name.strip() for name in names), strict=True))


def registry_table(page: Page, url: str) -> dict[str, list[str]]:
    """Open a registered model's page and return the rows of the table in its description, by their first cells."""
    page.goto(url)
    table = page.get_by_role("table").filter(has_text="champion since")
    expect(table).to_be_visible(timeout=PATIENCE_MS)
    rows = [[cell.strip() for cell in row.locator("td").all_inner_texts()] for row in table.get_by_role("row").all()]
    return {cells[0]: cells[1:] for cells in rows if cells}


def photograph(page: Page, path: Path) -> None:
    """Write a picture of what the window shows, without MLflow's assistant."""
    close = page.get_by_role("button", name="Close").first
    if close.is_visible():
        close.click()
    page.wait_for_timeout(1500)  # the curves move into their places
    page.screenshot(path=path)
