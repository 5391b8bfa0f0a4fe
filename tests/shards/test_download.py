"""Many files at once."""

import hashlib
import re
import socket
import time
from pathlib import Path

import pytest

from tasks.contracts.datasets import PlannedShard
from tasks.contracts.errors import DiskSpaceError, DownloadError, MirrorError
from tasks.shards.config import DownloadConfig
from tasks.shards.download import DownloadReport, download_shards, estimate_download, fetch_shards
from tasks.shards.plan import fetch_plan, shard_path
from tests.shards.conftest import NAMES, Heard, noise, quick, shards_of, write_plan
from tests.support.mirror_server import Fault, MirrorServer, html, redirect, status

PATHS = {name: f"2/video/train/{name}.tfrecord" for name in NAMES}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def total_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "2/video/train").iterdir())


def assert_whole(report: DownloadReport, folder: Path) -> None:
    """Compare every file of the report with the mirror's, and see that nothing else lies there."""
    for shard in report.shards:
        original = folder / "2" / shard.partition / shard.name
        assert shard.path.read_bytes() == original.read_bytes()
        assert shard.size_bytes == original.stat().st_size
    places = {shard.path.parent for shard in report.shards}
    assert {path for place in places for path in place.iterdir()} == {shard.path for shard in report.shards}


def test_shards_come_under_their_saved_names(server: MirrorServer, folder: Path, out: Path) -> None:
    shards = shards_of(folder)
    heard = Heard()
    report = download_shards(shards, out, quick(server.url), heard)
    assert_whole(report, folder)
    assert [shard.name for shard in report.shards] == [shard.name for shard in shards]
    assert sorted(shard.path.name for shard in report.shards) == [
        "train0000.tfrecord",
        "train0027.tfrecord",
        "train0052.tfrecord",
        "train3815.tfrecord",
    ]
    assert (report.fetched, report.skipped, report.retried, report.resumed, report.failed) == (4, 0, 0, 0, ())
    assert report.bytes_fetched == total_bytes(folder)
    assert 0 < report.seconds < 60
    assert heard.totals["files"] == [4]
    assert heard.totals["bytes"][0] == heard.totals["bytes"][-1] == total_bytes(folder)
    assert heard.done == {"files": 4, "bytes": total_bytes(folder)}


def test_what_is_there_is_not_asked_for_again(server: MirrorServer, folder: Path, out: Path) -> None:
    shards = shards_of(folder)
    config = quick(server.url)
    download_shards(shards[:3], out, config)
    shard_path(out, shards[0], config).write_bytes(b"spoilt")
    asked = len(server.log)
    heard = Heard()
    report = download_shards(shards, out, config, heard)
    assert_whole(report, folder)
    assert (report.fetched, report.skipped) == (2, 2)
    assert heard.done["files"] == 4
    assert {line.path for line in server.log[asked:]} == {f"2/video/train/{shards[i].name}" for i in (0, 3)}
    asked = len(server.log)
    assert download_shards(shards, out, config).skipped == 4
    assert len(server.log) == asked


def test_one_that_fails_does_not_stop_the_others(server: MirrorServer, folder: Path, out: Path) -> None:
    server.always(PATHS["trainaB"], status(403))
    server.always(PATHS["train9H"], Fault(corrupt=True))
    report = download_shards(shards_of(folder), out, quick(server.url))
    assert_whole(report, folder)
    assert [shard.name for shard in report.shards] == ["traina0.tfrecord", "trainaa.tfrecord"]
    assert [failed.name for failed in report.failed] == ["train9H.tfrecord", "trainaB.tfrecord"]
    assert "sends other bytes than promised" in report.failed[0].reason
    assert "HTTP 403 (Forbidden)" in report.failed[1].reason
    server.heal()
    report = download_shards(shards_of(folder), out, quick(server.url))
    assert (report.fetched, report.skipped, report.failed) == (2, 2, ())


PAGE, STALL = html(), Fault(stall_after=1000)


@pytest.mark.parametrize(
    ("fault", "tries", "reason"),
    [
        pytest.param(status(403), 1, r"HTTP 403 \(Forbidden\)", id="refused"),
        pytest.param(status(404), 1, r"HTTP 404 \(Not Found\)", id="absent"),
        pytest.param(status(204), 1, r"HTTP 204", id="nothing"),
        pytest.param(redirect(f"/{PATHS['trainaa']}"), 1 + 5, r"leads astray: [^.]*\. What", id="led in circles"),
        pytest.param(PAGE, 3, r"sends a web page \(text/html: .*attempt 3 of 3", id="a page"),
        pytest.param(Fault(body=b""), 3, r"sends other bytes than promised: 0 of them", id="empty"),
        pytest.param(Fault(corrupt=True), 3, r"sends other bytes than promised", id="wrong bytes"),
    ],
)
def test_one_that_no_mirror_gives_is_left_out_unless_that_is_refused(
    server: MirrorServer, folder: Path, out: Path, fault: Fault, tries: int, reason: str
) -> None:
    server.always(PATHS["trainaa"], fault)
    report = fetch_shards(shards_of(folder), out, quick(server.url), strict=False)
    (failed,) = report.failed
    assert (failed.name, len(report.shards), server.gets()[PATHS["trainaa"]]) == ("trainaa.tfrecord", 3, tries)
    assert re.search(reason, failed.reason)
    assert failed.is_absent == ("404" in reason)
    with pytest.raises(DownloadError, match=rf"^trainaa\.tfrecord failed, 3 .*{reason}.*Without `--strict`"):
        fetch_shards(shards_of(folder), out, quick(server.url), strict=True)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(status(500), "HTTP 500", id="500"),
        pytest.param(status(503, retry_after="1"), "HTTP 503", id="503"),
        pytest.param(status(429), "HTTP 429", id="429"),
        pytest.param(Fault(cut_after=1000), "the connection failed", id="cut"),
        pytest.param(STALL, "it fell silent", id="stalled"),
    ],
)
def test_what_may_pass_is_tried_again_and_then_ends_the_download_strict_or_not(
    server: MirrorServer, folder: Path, out: Path, fault: Fault, reason: str
) -> None:
    config = quick(server.url, attempts=2, read_timeout_s=0.2)
    server.always(PATHS["trainaa"], fault)
    with pytest.raises(DownloadError, match=rf"^trainaa\.tfrecord failed, 3 .*{reason}.*attempt 2 of 2.*run the same"):
        fetch_shards(shards_of(folder), out, config, strict=False)
    server.heal()
    server.script(PATHS["trainaa"], fault)
    started_s = time.monotonic()
    assert fetch_shards(shards_of(folder), out, config, strict=True).retried == 1
    assert time.monotonic() - started_s >= float(fault.headers.get("Retry-After", 0))


def test_what_happened_is_counted(server: MirrorServer, folder: Path, out: Path) -> None:
    server.script(PATHS["trainaa"], status(500), Fault(cut_after=100_000))
    server.script(PATHS["traina0"], Fault(cut_after=50_000), Fault(ignore_range=True))
    heard = Heard()
    report = download_shards(shards_of(folder), out, quick(server.url), heard)
    assert_whole(report, folder)
    assert (report.fetched, report.retried, report.resumed) == (4, 3, 1)
    assert report.bytes_fetched == total_bytes(folder) + 50_000
    assert heard.done["bytes"] == total_bytes(folder)


def test_files_come_at_once_over_kept_connections(tmp_path: Path, out: Path) -> None:
    folder = tmp_path / "many"
    write_plan(folder, "video/train", {f"traina{letter}.tfrecord": noise(2000) for letter in "abcdefghijklmnopqrst"})
    with MirrorServer(folder, latency_s=0.1) as server:
        started_s = time.monotonic()
        report = download_shards(shards_of(folder), out, quick(server.url, connections=5, size_samples=5))
        elapsed_s = time.monotonic() - started_s
        assert report.fetched == 20
        assert server.busiest == 5
        assert server.connections <= 6  # a fresh one where a kept one is not quite free yet
        assert elapsed_s < 20 * 0.1


def test_one_connection_serves_them_all(server: MirrorServer, folder: Path, out: Path) -> None:
    assert download_shards(shards_of(folder), out, quick(server.url, connections=1)).fetched == 4
    assert server.connections == 1


def test_the_next_mirror_is_tried_for_what_the_first_lacks(
    server: MirrorServer, other_server: MirrorServer, folder: Path, out: Path
) -> None:
    server.always(PATHS["trainaB"], status(404))
    report = download_shards(shards_of(folder), out, quick(server.url, other_server.url))
    assert_whole(report, folder)
    assert report.fetched == 4
    assert other_server.gets() == {PATHS["trainaB"]: 1}


def test_a_mirror_that_keeps_failing_is_asked_last(
    server: MirrorServer, other_server: MirrorServer, folder: Path, out: Path
) -> None:
    server.always("*", status(500))
    report = download_shards(shards_of(folder), out, quick(server.url, other_server.url, connections=1))
    assert report.fetched == 4
    assert sum(server.gets().values()) == 3  # the attempts of the first file alone
    assert sum(other_server.gets().values()) == 4


def test_a_folder_is_read_without_a_server(folder: Path, out: Path) -> None:
    report = download_shards(shards_of(folder), out, quick(str(folder)))
    assert_whole(report, folder)
    assert report.bytes_fetched == total_bytes(folder)


def test_a_bag_is_read_like_any_mirror(tmp_path: Path, out: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "validatea0.tfrecord").write_bytes(noise(5000))
    config = quick(str(bag), release=1)
    report = download_shards(fetch_plan("video/validate", config), out, config)
    assert [shard.path for shard in report.shards] == [out / "1/video/validate/validate0052.tfrecord"]
    assert report.shards[0].path.read_bytes() == noise(5000)


def test_nothing_is_nothing(server: MirrorServer, out: Path) -> None:
    report = download_shards((), out, quick(server.url))
    assert (report.shards, report.fetched, report.failed) == ((), 0, ())
    assert server.log == ()


def test_the_same_shard_twice_is_fetched_once(server: MirrorServer, folder: Path, out: Path) -> None:
    shard = shards_of(folder)[0]
    report = download_shards((shard, shard), out, quick(server.url))
    assert [there.name for there in report.shards] == [shard.name]
    assert report.fetched == 1
    assert sum(server.gets().values()) == 1


def test_a_disk_without_room_is_noticed_before_the_start(server: MirrorServer, folder: Path, out: Path) -> None:
    config = quick(server.url, reserve_bytes=1 << 50)
    with pytest.raises(
        DiskSpaceError, match=r"No room for 4 shards in .*out: 1\.2 MB are needed, .*--limit.*REELSIFT_HOME"
    ):
        download_shards(shards_of(folder), out, config)
    assert not server.gets()
    assert not out.exists()


def test_a_mirror_that_means_nothing_is_refused(folder: Path, out: Path) -> None:
    with pytest.raises(MirrorError, match="No mirror 'uss'"):
        download_shards(shards_of(folder), out, quick("uss"))


def test_an_estimate_of_few_files_is_exact(server: MirrorServer, folder: Path) -> None:
    estimate = estimate_download(shards_of(folder), quick(server.url))
    assert (estimate.files, estimate.bytes, estimate.exact) == (4, total_bytes(folder), True)
    assert not server.gets()


def test_an_estimate_of_many_is_the_mean_of_a_sample(tmp_path: Path) -> None:
    sizes = range(1000, 1400, 10)
    write_plan(tmp_path, "video/train", {f"train{n:04}.tfrecord": noise(size) for n, size in enumerate(sizes)})
    with MirrorServer(tmp_path) as server:
        estimate = estimate_download(shards_of(tmp_path), quick(server.url, size_samples=4))
        assert len(server.log) == 4
    # Of 40 files, every tenth from the first on: 1000, 1100, 1200, 1300.
    assert (estimate.files, estimate.bytes, estimate.exact) == (40, 1150 * 40, False)


def test_an_estimate_of_a_folder_needs_no_server(folder: Path) -> None:
    assert estimate_download(shards_of(folder), quick(str(folder))).bytes == total_bytes(folder)


def test_sizes_come_from_the_mirror_that_knows_them(
    server: MirrorServer, other_server: MirrorServer, folder: Path
) -> None:
    server.always("*", status(403))
    estimate = estimate_download(shards_of(folder), quick(server.url, other_server.url))
    assert estimate.bytes == total_bytes(folder)


def test_sizes_that_nobody_tells_are_unknown_and_stop_nothing(server: MirrorServer, folder: Path, out: Path) -> None:
    for path in PATHS.values():
        server.always(path, Fault(headers={"Content-Length": "gibberish"}))
    shards = shards_of(folder)
    estimate = estimate_download(shards, quick(server.url))
    assert (estimate.files, estimate.bytes, estimate.exact) == (4, None, False)
    server.heal()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert estimate_download(shards, quick(gone)).bytes is None
    assert len(download_shards(shards, out, quick(gone)).failed) == 4


def test_a_size_that_cannot_be_is_not_believed(server: MirrorServer, folder: Path, out: Path) -> None:
    server.always(PATHS["trainaa"], Fault(length_delta=1 << 62))
    estimate = estimate_download(shards_of(folder), quick(server.url))
    assert not estimate.exact
    assert estimate.bytes is not None
    assert estimate.bytes < 2_000_000
    server.heal()
    server.script(PATHS["trainaa"], Fault(length_delta=1 << 62))
    assert download_shards(shards_of(folder), out, quick(server.url)).fetched == 4


def test_a_real_mirror_over_http(real_mirror: Path, out: Path) -> None:
    with MirrorServer(real_mirror) as server:
        config = DownloadConfig(mirrors=(server.url,), reserve_bytes=0)
        shards: tuple[PlannedShard, ...] = fetch_plan("video/train", config) + fetch_plan("video/validate", config)
        report = download_shards(shards, out, config)
        assert (report.fetched, report.failed) == (100, ())
        assert report.bytes_fetched == 135_640_965
        for shard in report.shards:
            assert hashlib.md5(shard.path.read_bytes()).hexdigest() == shard.md5
        assert download_shards(shards, out, config).skipped == 100
