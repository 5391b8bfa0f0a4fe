"""What the registry's pages say, and that a person's own text stays."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.tracking.describe import (
    BEGINS,
    DESCRIPTION_LENGTH,
    ENDS,
    GAP,
    described,
    model_section,
    version_section,
)
from tasks.tracking.registry import ModelRow

SECTION = f"Champion: 2 {BEGINS}\n\n| a | b |\n\n{ENDS}"
NEWER = SECTION.replace("2", "3")


def row(version: int, *aliases: str, **changed: Any) -> ModelRow:
    known: dict[str, Any] = {
        "name": "cooking",
        "version": version,
        "aliases": aliases,
        "kind": "gated",
        "gap": 0.87491,
        "map": 0.4265,
        "seconds": 54.71,
        "dataset_id": "ds-0123456789ab",
        "experiment_id": "7",
        "run_id": f"run{version}",
        "created_at": datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        "verdict": None,
    }
    return ModelRow(**known | changed)


def test_the_model_page_shows_who_is_what() -> None:
    since = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
    text = model_section(
        [
            row(3, "challenger", kind="moe", verdict="Kept the champion: the gain may be chance."),
            row(2, "champion", champion_since=since, coverage=0.93, verdict="The challenger is better."),
            row(1, "previous_champion", verdict="There is no champion yet."),
        ]
    )
    lines = text.replace(GAP, "").splitlines()
    assert lines[0].startswith(
        "**Champion: [cooking/2](#/models/cooking/versions/2)**, GAP@20 0.8749, MAP 0.4265, coverage 0.9300 "
    )
    assert (
        "| champion | [cooking/2](#/models/cooking/versions/2) | gated | 0.8749 | 0.4265 | 0.9300 | ds-0123456789ab "
        "| 2026-03-04 05:06 | 2026-03-05 09:30 |"
    ) in lines
    assert any(line.startswith("| challenger | [cooking/3](#/models/cooking/versions/3) | moe |") for line in lines)
    assert any(line.startswith("| previous champion | [cooking/1]") for line in lines)
    compared = "#/compare-runs?runs=%5B%22run2%22%2C%22run3%22%5D&experiments=%5B%227%22%5D"
    assert f"[Compare champion and challenger in MLflow]({compared})" in lines
    assert "The gate on [cooking/3](#/models/cooking/versions/3): Kept the champion: the gain may be chance." in lines
    assert "There is no champion yet." not in text  # that verdict is history


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        pytest.param([], "**There is no champion yet.**", id="no versions"),
        pytest.param([row(1, "challenger")], "**There is no champion yet.**", id="challenger alone"),
        pytest.param([row(1)], "**There is no champion yet.**", id="no aliases"),
        pytest.param([row(1, "champion", "challenger")], "**Champion: [cooking/1]", id="both in one"),
    ],
)
def test_what_is_not_there_is_not_compared(rows: list[ModelRow], first: str) -> None:
    text = model_section(rows).replace(GAP, "")
    assert text.startswith(first)
    assert "compare-runs" not in text
    assert "| previous champion | none |" in text


def test_the_version_page_says_where_it_came_from() -> None:
    text = version_section(row(2, flow_run_id="run-7", flow_run_url="http://127.0.0.1:4200/runs/flow-run/run-7"))
    assert text.startswith("gated, GAP@20 0.8749, MAP 0.4265 on the validate split of ds-0123456789ab <!--")
    assert (
        "- Trained 2026-03-04 05:06 UTC in 54.7 s: [the run with its curves and files](#/experiments/7/runs/run2)"
        in text
    )
    assert "- Prefect run: [run-7](http://127.0.0.1:4200/runs/flow-run/run-7)" in text
    assert "- Gate: has not judged it yet" in text
    assert "trained without Prefect" in version_section(row(2))
    assert version_section(row(2, gap=None, map=None)).startswith("gated, GAP@20 not known, MAP not known on")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://h/) [x](http://evil", "http://h/ x", ""])
def test_an_address_that_is_none_is_no_link(url: str) -> None:
    text = version_section(row(2, flow_run_id="run-7", flow_run_url=url))
    assert "- Prefect run: run-7\n" in text


def test_what_people_wrote_is_text() -> None:
    hostile = f"Forced: *now* | <script>x</script>\n# {ENDS} [a](http://b) `c` \\| {'long ' * 400}"
    text = version_section(row(2, verdict=hostile))
    assert r"Forced: \*now\* \| &lt;script&gt;x&lt;/script&gt; \# &lt;\!-- reelsift" in text
    assert r"\[a\](http\://b) \`c\` \\\|" in text
    assert text.count(ENDS) == 1
    assert len(text) < 1500
    assert described(described("mine", text), NEWER) == f"mine\n\n{NEWER}"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        pytest.param(None, NEWER, id="none"),
        pytest.param("  \n", NEWER, id="blank"),
        pytest.param("Ours.\n", f"Ours.\n\n{NEWER}", id="a person's"),
        pytest.param(SECTION, NEWER, id="the program's"),
        pytest.param(f"Above.\n\n{SECTION}\nBelow.", f"Above.\n\n{NEWER}\nBelow.", id="between"),
        pytest.param(f"A.\n{SECTION}\nB.\n{SECTION}", f"A.\n{NEWER}\nB.\n", id="copied"),
        pytest.param(f"x {BEGINS} cut off", f"x {BEGINS} cut off\n\n{NEWER}", id="without its end"),
        pytest.param(f"cut off {ENDS}", f"cut off {ENDS}\n\n{NEWER}", id="without its beginning"),
        pytest.param(f"x {BEGINS} cut\n{SECTION}", f"x {BEGINS} cut\n{NEWER}", id="damaged, then whole"),
    ],
)
def test_own_text_is_kept(was: str | None, now: str) -> None:
    assert described(was, NEWER) == now
    assert described(now, NEWER) == now


def test_where_there_is_no_room_the_own_text_stays() -> None:
    own = "o" * (DESCRIPTION_LENGTH - 5)
    assert described(own, SECTION) == own
    assert described(f"{own[:-200]}\n\n{SECTION}", "n" * 300) == own[:-200]
