"""Weights over a real connection: whole, resumed, out of archives, and what is said when they do not come."""

import hashlib
import json
from pathlib import Path

import pytest

from tasks.contracts.errors import MissingWeightsError, WeightsError
from tasks.weights.fetch import fetch_weights
from tasks.weights.store import WeightsStore, list_weights, read_receipt
from tests.shards.conftest import Heard, quick
from tests.support.mirror_server import Fault, MirrorServer, status
from tests.weights.conftest import CONTENT, DIGEST, MEAN, VALUES, entry, write_tgz


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_comes_whole_with_its_receipt(store: WeightsStore, server: MirrorServer) -> None:
    heard = Heard()
    found = fetch_weights("net", store, quick(), heard)
    assert found.path.read_bytes() == CONTENT
    assert found.record.model_dump() == {"name": "net", "file_name": "net.onnx", "sha256": DIGEST}
    assert heard.done == {"weights net": len(CONTENT)}
    assert heard.totals["weights net"][0] == len(CONTENT)
    assert left_in(store.folder) == [".digests.json", "net.onnx", "net.onnx.fetched.json"]
    asked = len(server.log)
    fetch_weights("net", store, quick())
    assert len(server.log) == asked


def test_a_broken_connection_is_resumed(store: WeightsStore, server: MirrorServer) -> None:
    server.script("net.onnx", Fault(cut_after=100_000))
    heard = Heard()
    assert fetch_weights("net", store, quick(), heard).path.read_bytes() == CONTENT
    assert heard.done["weights net"] == len(CONTENT)


def test_a_file_of_another_digest_is_not_taken(store: WeightsStore, served: Path) -> None:
    (served / "net.onnx").write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(MissingWeightsError, match=r"net could not be fetched: .*reelsift weights fetch net") as caught:
        fetch_weights("net", store, quick())
    assert "--mirror" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (store.folder / "net.onnx").exists()


def test_the_beginning_of_a_digest_is_held_to_as_well(store: WeightsStore, server: MirrorServer) -> None:
    url = f"{server.url}/net.onnx"
    known = {"net": entry(url, "net.onnx", sha256=DIGEST[:8]), "other": entry(url, "other.onnx", sha256="0" * 8)}
    store = store.model_copy(update={"table": known})
    path = fetch_weights("net", store, quick()).path
    assert json.loads(path.with_name("net.onnx.fetched.json").read_text())["sha256"] == DIGEST
    assert [each.is_official for each in list_weights(store)] == [True, None]
    with pytest.raises(WeightsError, match=rf"other: sha256 {DIGEST}, and it should begin with 00000000\. .*deleted"):
        fetch_weights("other", store, quick())
    assert left_in(store.folder) == [".digests.json", "net.onnx", "net.onnx.fetched.json"]


def test_a_file_that_cannot_be_had_says_how_to_get_it_by_hand(store: WeightsStore, server: MirrorServer) -> None:
    server.script("net.onnx", *[status(404)] * 9)
    by_hand = f"and put it there by hand, as net.onnx, into {store.folder}"
    with pytest.raises(MissingWeightsError, match=rf"404.*get {server.url}/net.onnx in a browser, {by_hand}"):
        fetch_weights("net", store, quick())


def test_the_next_address_is_tried(store: WeightsStore, server: MirrorServer) -> None:
    url = f"{server.url}/net.onnx"
    table = {"net": entry(url, "net.onnx", urls=(f"{server.url}/moved.onnx", url), sha256=DIGEST)}
    assert fetch_weights("net", store.model_copy(update={"table": table}), quick()).path.read_bytes() == CONTENT


def test_one_archive_gives_all_its_files_and_goes_with_the_last(store: WeightsStore, server: MirrorServer) -> None:
    assert fetch_weights("mean", store, quick()).path.read_bytes() == MEAN
    assert any(name.startswith("archives/") for name in left_in(store.folder))
    asked = len(server.log)
    found = fetch_weights("values", store, quick())
    assert found.path.read_bytes() == VALUES
    assert len(server.log) == asked
    assert not (store.folder / "archives").exists()
    receipt = read_receipt(found.path)
    assert receipt
    assert receipt.sha256 == hashlib.sha256(VALUES).hexdigest()
    assert receipt.archive_sha256


def test_an_archive_without_the_file_is_told_and_not_kept(store: WeightsStore, served: Path) -> None:
    write_tgz(served / "pca.tgz", {"other.npy": MEAN})
    with pytest.raises(WeightsError, match=r"mean are not in what http.*holds no file mean.npy.*deleted: try again"):
        fetch_weights("mean", store, quick())
    assert left_in(store.folder) == []
    write_tgz(served / "pca.tgz", {"mean.npy": MEAN})
    assert fetch_weights("mean", store, quick()).path.read_bytes() == MEAN


def test_something_else_in_the_place_of_an_archive(store: WeightsStore, served: Path) -> None:
    (served / "pca.tgz").write_bytes(b"<html>sign in to this network first</html>")
    with pytest.raises(MissingWeightsError, match=r"sends a web page"):
        fetch_weights("mean", store, quick())
    (served / "pca.tgz").write_bytes(b"PK, another kind of archive")
    with pytest.raises(WeightsError, match=r"cannot be read: Not a gzipped file"):
        fetch_weights("mean", store, quick())
    assert left_in(store.folder) == []


def test_a_receipt_says_where_a_file_came_from(store: WeightsStore) -> None:
    path = fetch_weights("net", store, quick()).path
    noted = json.loads(path.with_name("net.onnx.fetched.json").read_text())
    assert noted == {"url": store.table["net"].urls[0], "sha256": DIGEST, "archive_sha256": None}
