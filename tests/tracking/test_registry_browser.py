"""MLflow's pages as a person sees them, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tasks.classifier.config import GateConfig
from tasks.tracking.candidate import log_candidate
from tasks.tracking.client import connect
from tasks.tracking.comparison import compare
from tasks.tracking.promotion import nominate, promote
from tasks.tracking.registry import ModelRow
from tasks.tracking.store import TrackingStore
from tests.support.browser import open_chromium
from tests.support.classifiers import DATASET_ID, made_up_dataset, made_up_videos, registered, trained, untrained
from tests.support.mlflow_pages import compared_runs, mlflow_page, registry_table
from tests.support.mlflow_servers import RunningMlflow

SLUG = "baking"
GATE = GateConfig(resamples=100)


@pytest.fixture(scope="module")
def page(mlflow_server: RunningMlflow) -> Iterator[Page]:
    with open_chromium() as browser, mlflow_page(browser, mlflow_server.credentials) as page:
        yield page


@pytest.fixture
def rows(remote: TrackingStore) -> list[ModelRow]:
    """Three versions: the champion, another, and the challenger."""
    rows = [registered(remote, SLUG, classifier=untrained(labels=4, seed=seed)) for seed in range(3)]
    connect(remote).update_registered_model(SLUG, "Ask **Ann** before you delete any.")
    promote(remote, rows[0].reference, made_up_videos(seed=1), dataset_id=DATASET_ID, gate=GATE)
    nominate(remote, rows[2].reference)
    return rows


def test_the_comparison_and_the_registry(remote: TrackingStore, rows: list[ModelRow], page: Page) -> None:
    named = [rows[0].reference, rows[2].reference]
    comparison = compare(remote, made_up_videos(seed=1), dataset_id=DATASET_ID, name=SLUG, gate=GATE, references=named)
    assert comparison.ui_command is None
    client = connect(remote)
    names = {row.run_id: client.get_run(row.run_id).info.run_name for row in rows}
    compared = {row.run_id: names[row.run_id] for row in (rows[0], rows[2])}
    assert compared_runs(page, comparison.compare_url) == compared
    expect(page.get_by_role("heading", name="Comparing 2 Runs from 1 Experiment")).to_be_visible()
    assert str(names[rows[1].run_id]) not in page.locator("body").inner_text()
    assert_the_registry_shows(page, comparison.registry_url, rows)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Compare champion and challenger in MLflow").click()
    assert compared_runs(opened.value, opened.value.url) == compared


def test_the_page_of_the_runs_is_the_classic_one_with_gap_map_and_match_ap_plotted(
    remote: TrackingStore, page: Page, tmp_path: Path
) -> None:
    result, validate = trained(background=40), made_up_videos(background=40, seed=1)
    candidate = log_candidate(remote, result, made_up_dataset(tmp_path, "frying"), validate)
    page.goto(remote.runs_url(candidate.experiment_id))
    expect(page.get_by_text("GAP, MAP and match AP")).to_be_visible()
    expect(page.get_by_role("link", name="logistic seed 0")).to_be_visible()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    for metric in ("epoch/gap_at_20_own_labels", "epoch/map_own_labels", "epoch/match_ap", "gap_at_20", "match_ap"):
        expect(page.get_by_text(metric, exact=True).first).to_be_attached()


# Of versions from before coverage was noted; what they would have over the same labels is not known.
FIGURES = ("logistic", "0.7500", "0.2500", "not known")


def assert_the_registry_shows(page: Page, url: str, rows: list[ModelRow]) -> None:
    table = registry_table(page, url)
    assert table["champion"][:6] == [rows[0].reference, *FIGURES, DATASET_ID]
    assert table["challenger"][:6] == [rows[2].reference, *FIGURES, DATASET_ID]
    assert table["previous champion"][0] == "none"
    seen = page.locator("body").inner_text()
    assert "Ask Ann before you delete any." in seen
    assert "There is no champion yet, so the challenger becomes it unopposed." in seen
    assert "reelsift:" not in seen  # the comments around the section
