"""The account of a batch: rows survive their writer, and a heartbeat tells that it lives."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.contracts.errors import BatchError
from tasks.contracts.media import BatchRequest, BatchRow, BatchVideo
from tasks.fan_out.batching import read_manifest, write_manifest
from tasks.fan_out.ledger import Ledger, open_request, write_request

REQUEST = BatchRequest(
    id="0123456789ab",
    videos=(BatchVideo(place=0, source="a.mp4"), BatchVideo(place=3, source="b.mp4")),
    form={"detector": "yolox-nano"},
    expected_s=2.0,
)


def row(place: int, status: str = "done", **about: object) -> BatchRow:
    return BatchRow.model_validate({"source": f"{place}.mp4", "status": status, "place": place, **about})


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = write_request(tmp_path, REQUEST)
    assert open_request(ledger.request_path) == (REQUEST, ledger)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("0123456789ab.json", None, "Every worker of a pool needs the same REELSIFT_HOME", id="missing"),
        pytest.param("0123456789ab.json", "{", "is not a batch of videos", id="cut-off"),
        pytest.param("0123456789ab.json", '{"id": "../../x"}', "is not a batch of videos", id="hostile"),
        pytest.param("ffffffffffff.json", REQUEST.model_dump_json(), "a batch is never renamed", id="renamed"),
    ],
)
def test_what_is_no_batch_is_refused(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BatchError, match=message):
        open_request(tmp_path / name)


def test_what_went_well_counts_whichever_run_wrote_it_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, REQUEST.id)
    ledger.add("run-1", row(0, "failed", reason="no line"))
    ledger.add("run-1", row(3))
    ledger.add("run-2", row(0, worker="gpu-1"))
    ledger.add("run-2", row(3, "failed", reason="too late"))
    assert {place: each.status for place, each in ledger.rows().items()} == {0: "done", 3: "done"}
    assert ledger.rows()[0].worker == "gpu-1"


def test_a_line_that_a_kill_cut_off_is_none(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, REQUEST.id)
    ledger.add("run-1", row(0))
    path = tmp_path / f"{REQUEST.id}.run-1.rows.jsonl"
    path.write_bytes(path.read_bytes() + row(3).model_dump_json().encode()[:40])
    assert list(ledger.rows()) == [0]
    assert ledger.lines() == 1
    ledger.add("run-2", row(3))
    assert list(ledger.rows()) == [0, 3]


WRITER = """
import sys, time
from pathlib import Path
from tasks.contracts.media import BatchRow
from tasks.fan_out.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "0123456789ab")
with ledger.beating("run-1"):
    for place in range(10**6):
        ledger.begin("run-1", place)
        ledger.add("run-1", BatchRow(source=f"{place}.mp4", status="done", place=place))
        print(place, flush=True)
        time.sleep(0.01)
"""


def test_a_killed_writer_leaves_whole_rows_the_place_it_was_at_and_a_pulse_that_stands_still(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    ledger = Ledger(tmp_path, REQUEST.id)
    last = max(int(writer.stdout.readline()) for _ in range(20))
    assert ledger.heartbeat("run-1") != ""
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    places = sorted(ledger.rows())
    assert places == list(range(len(places)))
    assert len(places) > last
    assert ledger.at("run-1") in {len(places) - 1, len(places)}
    stood = ledger.heartbeat("run-1")
    time.sleep(0.3)
    assert ledger.heartbeat("run-1") == stood
    assert ledger.heartbeat("another") == ""
    assert ledger.at("another") is None


def test_the_manifest_holds_every_row_for_any_reader_of_parquet(tmp_path: Path) -> None:
    rows = [row(0, seconds=1.5, video_s=4.0, worker="gpu-0", device="0"), row(3, "failed", reason="no video")]
    path = write_manifest(tmp_path, rows)
    assert read_manifest(path) == rows
    import pandas as pd

    table = pd.read_parquet(path)
    assert table["status"].tolist() == ["done", "failed"]
    assert table["place"].tolist() == [0, 3]
    assert json.loads(rows[0].model_dump_json())["device"] == table["device"][0]
