"""Names that strangers chose, on Prefect's pages in a real browser: they are seen as text, and fetch nothing."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import open_chromium
from tests.support.local_stack import LocalStack
from tests.support.prefect_pages import PrefectPages

EVIL = "evil.example"
# Each fetches a picture where its text is taken for Markdown or HTML. A browser takes `\` for `/` in an address, so a
# file may have the names of the second half.
HOSTILE = (
    f"![x](http://{EVIL}/markdown.png)",
    f"# <img src=http://{EVIL}/element.png>",
    f"[![x](http://{EVIL}/linked.png)](javascript:alert)",
    f"`a` | ![x][b] <svg><image href=//{EVIL}/svg.png /></svg>",
    rf"<img src=\\{EVIL}\file.png>.mp4",
)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with open_chromium() as browser:
        yield browser.new_page(viewport={"width": 1400, "height": 1000})


@pytest.fixture
def fetched(page: Page) -> list[str]:
    """The addresses of the stranger's that the page asked for; none is reached."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if EVIL in request.url else None)
    page.route(f"**/{EVIL}/**", lambda route: route.abort())
    return asked


@pytest.fixture
def url(local_stack: LocalStack, page: Page) -> str:
    PrefectPages(page, f"http://127.0.0.1:{local_stack.prefect_port}", ":".join(local_stack.login))
    return f"http://127.0.0.1:{local_stack.prefect_port}"


def test_without_escaping_the_page_fetches_a_strangers_pictures(
    local_stack: LocalStack, page: Page, url: str, fetched: list[str]
) -> None:
    rows = json.dumps([{"source": HOSTILE[0]}])
    body = {"key": "unescaped", "type": "table", "data": rows, "description": f"![x](http://{EVIL}/description.png)"}
    page.goto(f"{url}/artifacts/artifact/{local_stack.post('/artifacts/', body)['id']}")
    wait_for(page, lambda: len(fetched) == 2)
    assert {address.rpartition("/")[2] for address in fetched} == {"markdown.png", "description.png"}


def test_a_strangers_names_are_text_on_the_pages_of_a_run(
    local_stack: LocalStack, page: Page, url: str, fetched: list[str]
) -> None:
    run = local_stack.start("label-videos", {"sources": list(HOSTILE)})
    ended = local_stack.ended(run, 120)
    assert HOSTILE[0] in ended["state"]["message"]
    artifact = local_stack.artifacts(run)["labelled-videos"]
    page.goto(f"{url}/artifacts/artifact/{artifact['id']}")
    for text in HOSTILE:
        expect(page.get_by_text(text, exact=True).first).to_be_visible()
    page.goto(f"{url}/runs/flow-run/{run}")
    for tab, seen in (
        ("Artifacts", "labelled-videos"),
        ("Task Runs", f"label {len(HOSTILE)} videos: {HOSTILE[0]}"),
    ):
        page.get_by_text(tab, exact=True).first.click()
        expect(page.get_by_text(seen).first).to_be_visible()
    assert fetched == []


def test_names_tags_and_messages_of_runs_are_text_to_prefect(
    local_stack: LocalStack, page: Page, url: str, fetched: list[str]
) -> None:
    """They reach the page as they are: were Prefect to render them one day, they would have to be escaped as well."""
    flow = local_stack.post("/flows/", {"name": "named-by-a-stranger"})["id"]
    name, tag, message = (f"![{each}](http://{EVIL}/{each}.png)" for each in ("name", "tag", "message"))
    state = {"type": "FAILED", "name": "Failed", "message": f"{message} <img src=http://{EVIL}/state.png>"}
    body = {"flow_id": flow, "name": name, "tags": [tag], "state": state}
    run = local_stack.post("/flow_runs/", body)["id"]
    page.goto(f"{url}/runs/flow-run/{run}")
    for text in (name, tag):
        expect(page.get_by_text(text).first).to_be_visible()
    page.get_by_text("Details", exact=True).first.click()
    expect(page.get_by_text(message).first).to_be_visible()
    page.goto(f"{url}/runs")
    expect(page.get_by_text(name).first).to_be_visible()
    assert fetched == []


def wait_for(page: Page, is_so: Callable[[], bool]) -> None:
    """Let the page go on until something is so, for 20 s at the most."""
    for _ in range(100):
        if is_so():
            return
        page.wait_for_timeout(200)
