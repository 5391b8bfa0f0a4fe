"""Labelled videos of one's own imported by the installed command, beside a real Prefect server."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from tests.imports.made import write_class_clip, write_classes, write_table
from tests.reelsift.test_cli import reelsift

pytestmark = pytest.mark.usefixtures("prefect_server")


def typed(*arguments: object, home: Path) -> Any:
    return reelsift(*arguments, home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))


def test_an_import_is_typed_told_and_found_again(tmp_path: Path) -> None:
    home, clips = tmp_path / "home", write_classes(tmp_path / "clips", each=3)
    (clips / "warm" / "broken.mp4").write_bytes(b"no video")
    table = write_table(clips)
    run = typed(
        "dataset", "import", table.relative_to(tmp_path), "--features", "efficientnet-lite0", "--name", "kitchen",
        "--again", "--json", home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert (made["slug"], made["rows"], made["extracted"], made["cached"]) == ("kitchen", 6, 6, 0)
    assert (made["drops"], made["dropped"][0]["source"]) == ({"broken-video": 1}, "warm/broken.mp4")
    assert "warning: warm/broken.mp4 is left out (broken-video): " in run.stderr
    with get_client(sync_client=True) as client:
        (flow_run,) = [
            each for each in client.read_flow_runs() if each.parameters.get("form", {}).get("name") == "kitchen"
        ]
        assert flow_run.state is not None
        assert (flow_run.state.name, "6 of 7 done, 1 failed: " in str(flow_run.state.message)) == (
            "Partly failed",
            True,
        )
        shown = {each.key: each for each in client.read_artifacts() if each.flow_run_id == flow_run.id}
        assert shown.keys() == {"dataset-kitchen", "dataset-kitchen-labels", "imported-videos"}
        assert "| dropped: broken-video | 1 |" in str(shown["dataset-kitchen"].data)
        assert "broken" in str(shown["imported-videos"].data)

    (clips / "warm" / "broken.mp4").unlink()
    write_class_clip(clips / "cool" / "one more.mp4", "cool", 99)
    more = typed("dataset", "import", clips, "--name", "kitchen", home=home)
    assert "1 video extracted in efficientnet-lite0, 6 cached." in more.stdout
    again = typed("dataset", "import", clips, "--name", "kitchen", home=home)
    assert again.returncode == 0, again.stderr
    assert "Already built: kitchen/ds-" in again.stderr
    assert "0 videos extracted in efficientnet-lite0, 7 cached." in again.stdout
    assert "7 of 7 videos, by their features in efficientnet-lite0." in again.stdout
    difference = typed("dataset", "diff", made["id"], "kitchen", home=home)
    assert "Shards gained: 1 (import/" in difference.stdout
    assert "Shards lost: 1 (import/" in difference.stdout


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        pytest.param("a,b\nc,d\n", (), "no column 'source' or 'label'. It has 'a', 'b'", id="columns"),
        pytest.param(
            "source,label\na,x\nb,x\nc,y\nd,y\n", ("--features", "efficientnt"), "Did you mean 'effi", id="space"
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path: Path, rows: str, more: tuple[str, ...], said: str) -> None:
    (tmp_path / "t.csv").write_text(rows)
    run = typed("dataset", "import", "t.csv", *more, home=tmp_path / "home")
    assert (run.returncode, run.stdout) == (1, "")
    assert said in run.stderr
    assert run.stderr.count("error: ") == len(run.stderr.splitlines()) == 1
