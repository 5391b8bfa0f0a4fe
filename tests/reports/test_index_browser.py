"""The page of all videos in a real browser: searched, sorted and filtered, and opened by keys."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tasks.contracts.media import LABELS_NAME, OBJECTS_NAME
from tasks.reports.video_report import refresh_index, write_index
from tests.reports.test_video_report import HOSTILE
from tests.reports.test_video_report_browser import until
from tests.support.browser import open_chromium
from tests.support.reports import video_record, write_labels, write_objects

Opener = Callable[..., Page]
# title, labels, objects, when it was made
VIDEOS = {
    "harbour": ("Harbour at night", ("espresso", "volcano"), 3, 4),
    "cafe": ("Café 10", ("espresso", "wok"), 0, 1),
    "cafe-2": ("Café 9", ("pizza",), 9, 3),
    "hostile": (HOSTILE, (HOSTILE,), 0, 2),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    for name, (title, labels, objects, made_s) in VIDEOS.items():
        record = video_record(title=title, source=f"/films/{name}.mp4")
        write_labels(out / name, record, names=labels, annotate=False)
        if objects:
            write_objects(out / name, record, annotate=False, tracks=objects)
        for manifest in (LABELS_NAME, OBJECTS_NAME):
            if (out / name / manifest).exists():
                os.utime(out / name / manifest, (made_s, made_s))
    write_labels(out / "picture", video_record("picture", title="A picture of a wok"), names=["wok"])
    write_index(out)
    return out


@pytest.fixture
def opened(browser: Browser, out: Path) -> Iterator[Opener]:
    """Open the index; at the end, nothing may have been complained of, and nothing asked for beyond the disk."""
    complaints, asked = [], []

    def open_page(mark: str = "") -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((out / "index.html").as_uri() + mark)
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("file:")] == []


def titles(page: Page) -> list[str]:
    return [title[:12] for title in page.locator("#cards li:not([hidden]) a").all_text_contents()]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        pytest.param("cafe", ["Café 9", "Café 10"], id="without the accent, in the order of numbers"),
        pytest.param("ESPRESSO night", ["Harbour at n"], id="all words, label and title"),
        pytest.param("person", ["Café 9"], id="a class of objects"),
        pytest.param("cafe-2.mp4", ["Café 9"], id="the source"),
        pytest.param("</title>", ["</title></sc"], id="markup is text"),
        pytest.param("nowhere", [], id="nothing"),
    ],
)
def test_the_list_answers_while_typing(typed: str, found: list[str], opened: Opener) -> None:
    page = opened()
    page.keyboard.press("/")
    page.keyboard.type(typed)
    assert titles(page) == found
    expect(page.get_by_role("status")).to_have_text(f"{len(found)} of 5 videos")
    expect(page.get_by_text("No video is like that.")).to_be_visible(visible=not found)
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("5 videos")


def test_it_is_sorted_and_filtered_and_the_address_keeps_that(opened: Opener) -> None:
    page = opened()
    page.get_by_label("Sort by").select_option("newest")
    newest = titles(page)
    assert newest[0] == "A picture of"
    assert newest[1:] == ["Harbour at n", "Café 9", "</title></sc", "Café 10"]
    page.get_by_label("Sort by").select_option("most objects")
    assert titles(page)[:2] == ["Café 9", "Harbour at n"]
    page.get_by_label("Shows").select_option("wok")
    assert titles(page) == ["A picture of", "Café 10"]
    page.get_by_label("Only").select_option("pictures")
    assert titles(page) == ["A picture of"]
    assert page.url.endswith("#names=wok&only=picture&order=things")
    again = opened("#query=wok&only=video")
    assert titles(again) == ["Café 10"]
    again.get_by_role("button", name="Clear").click()
    assert len(titles(again)) == 5
    expect(again.get_by_label("Search")).to_be_focused()


def test_on_a_phone_no_line_is_cut(opened: Opener) -> None:
    page = opened()
    page.set_viewport_size({"width": 390, "height": 844})
    lines = page.locator(".says").evaluate_all(
        "all => all.map(each => each.clientHeight / parseFloat(getComputedStyle(each).lineHeight))"
    )
    assert lines
    assert {round(count) for count in lines} <= {1, 2, 3}
    assert lines == pytest.approx([round(count) for count in lines], abs=0.1)


def test_cards_are_reached_and_opened_by_keys(opened: Opener) -> None:
    page = opened("#query=cafe")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Café 9")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("link", name="Café 10")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Café 9")
    page.go_back()
    until(page, "document.querySelectorAll('#cards li:not([hidden])').length === 2")  # what was asked is still there


def test_it_is_brought_up_to_date_without_reading_results_again(out: Path, tmp_path: Path) -> None:
    """A page that is there keeps its bytes; one that is older than its answer, or has no card, is written again."""
    results = tmp_path / "videos"
    write_labels(results / "one", video_record(title="One"), annotate=False)
    assert refresh_index(results) is None  # of one video there is nothing to choose
    write_labels(results / "two", video_record(title="Two"), annotate=False)
    index = refresh_index(results)
    assert index is not None
    assert index == results / "index.html"
    pages = [results / name / "index.html" for name in ("one", "two")]
    written = [page.stat().st_mtime_ns for page in pages]
    write_labels(results / "two", video_record(title="Two, again"), annotate=False)
    later_s = pages[1].stat().st_mtime + 5
    os.utime(results / "two" / LABELS_NAME, (later_s, later_s))
    refresh_index(results)
    assert pages[0].stat().st_mtime_ns == written[0]
    assert "Two, again" in index.read_text(encoding="utf-8")
    pages[0].write_text("of an earlier release", encoding="utf-8")
    refresh_index(results)
    assert ">One</a>" in index.read_text(encoding="utf-8")
    assert not list(results.glob(".*"))
