"""A person starts a run from Prefect's pages and sees it complete, in a real browser."""

from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from reelsift.demo import made_clip
from tests.support.browser import open_chromium
from tests.support.local_stack import LocalStack, waited
from tests.support.prefect_pages import PrefectPages


def test_label_videos_is_started_from_its_form_and_seen_to_complete(local_stack: LocalStack, tmp_path: Path) -> None:
    clip = made_clip(tmp_path)
    name = "label-videos"
    deployment = local_stack.api.get(f"/deployments/name/{name}/{name}").json()["id"]
    wanted = {"deployments": {"id": {"any_": [deployment]}}}
    with open_chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        pages = PrefectPages(page, f"http://127.0.0.1:{local_stack.prefect_port}", ":".join(local_stack.login))
        pages.open_form(name)
        for text in ("Sources", "or @FILE: a text file with one of these a line", "Sampled frames per second"):
            expect(page.get_by_text(text).first).to_be_visible()
        pages.add_source(str(clip))
        pages.submit()
        waited(lambda: bool(started(local_stack, wanted, str(clip))), 20, "the run to be there")
        (run,) = started(local_stack, wanted, str(clip))
        pages.open_run(run["id"])
        pages.expect_state("Completed", within_s=120)
    rows = local_stack.artifacts(run["id"])["labelled-videos"]
    assert "1 done" in rows["description"]
    assert "espresso" in rows["data"]


def started(stack: LocalStack, wanted: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """Return the runs whose form names this source alone; other tests start some as well."""
    runs = stack.post("/flow_runs/filter", wanted)
    return [run for run in runs if run["parameters"]["form"]["sources"] == [source]]
