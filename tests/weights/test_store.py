"""Which file of weights is taken, and what is said where there is none."""

import hashlib
import os
from pathlib import Path

import pytest

from tasks.contracts.errors import MissingWeightsError, WeightsError
from tasks.contracts.files import file_digest
from tasks.weights import store as digests
from tasks.weights.fetch import fetch_weights
from tasks.weights.store import WeightsState, WeightsStore, find_weights, list_weights, missing_weights, receipt_path
from tests.shards.conftest import quick
from tests.weights.conftest import CONTENT, DIGEST

OWN = b"a network of one's own"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A person's own folder, with another file under the name of the published one."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(OWN)
    return folder


def with_given(store: WeightsStore, given: Path) -> WeightsStore:
    return store.model_copy(update={"given": given})


def state_of(store: WeightsStore, name: str = "net") -> WeightsState:
    return next(state for state in list_weights(store) if state.name == name)


def test_a_missing_file_says_which_how_large_from_where_and_where_to(store: WeightsStore) -> None:
    url = store.table["net"].urls[0]
    with pytest.raises(MissingWeightsError, match=rf"net.onnx is not here.*weights fetch net` \(200 kB from {url}\)"):
        find_weights("net", store)
    with pytest.raises(
        MissingWeightsError, match=f"mean.npy out of its archive there by hand.*into {store.folder}, or "
    ):
        find_weights("mean", store)
    assert missing_weights(["net", "mean"], store) == ["net", "mean"]


def test_a_given_folder_that_is_none_is_told(store: WeightsStore, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"absent .as REELSIFT_WEIGHTS names it, which is no folder"):
        find_weights("net", with_given(store, tmp_path / "absent"))


def test_a_name_that_is_not_in_the_table(store: WeightsStore) -> None:
    with pytest.raises(
        WeightsError, match=r"No weights 'nett'\. Did you mean 'net'\? There are net, unknown, .*weights list"
    ):
        find_weights("nett", store)
    grouped = store.model_copy(update={"table": {"net": store.table["net"].model_copy(update={"group": "nets"})}})
    with pytest.raises(WeightsError, match=r"No weights 'netz'\. Did you mean .*'nets'.* There are all, nets, net: "):
        grouped.members("netz")


def test_a_given_file_goes_first_and_is_used_as_it_is(store: WeightsStore, given: Path) -> None:
    fetch_weights("net", store, quick())
    found = find_weights("net", with_given(store, given))
    assert found.path == given / "net.onnx"
    assert found.record.sha256 == hashlib.sha256(OWN).hexdigest()
    state = state_of(with_given(store, given))
    assert (state.state, state.is_official, state.size_bytes) == ("given", False, len(OWN))


def test_a_given_file_is_not_held_to_a_receipt(store: WeightsStore, given: Path) -> None:
    receipt_path(given / "net.onnx").write_text("nonsense")
    assert find_weights("net", with_given(store, given)).path.parent == given


def test_a_file_that_was_put_here_by_hand_is_used_as_it_is(store: WeightsStore) -> None:
    store.folder.mkdir()
    (store.folder / "net.onnx").write_bytes(OWN)
    assert find_weights("net", store).record.sha256 == hashlib.sha256(OWN).hexdigest()
    assert (state_of(store).state, state_of(store).is_official) == ("here", False)


def test_a_fetched_file_that_has_changed_is_refused(store: WeightsStore) -> None:
    path = fetch_weights("unknown", store, quick()).path
    assert find_weights("unknown", store).record.sha256 == DIGEST
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(WeightsError, match=rf"but {DIGEST} when they were fetched.*weights fetch unknown"):
        find_weights("unknown", store)
    assert state_of(store, "unknown").state == "damaged"


def test_a_damaged_receipt_is_told(store: WeightsStore) -> None:
    path = fetch_weights("net", store, quick()).path
    receipt_path(path).write_text("{}")
    with pytest.raises(WeightsError, match=r"fetched.json cannot be read: delete it and the file beside it"):
        find_weights("net", store)


def test_states_of_all(store: WeightsStore) -> None:
    fetch_weights("net", store, quick())
    net, unknown, mean, _ = list_weights(store)
    assert (net.state, net.is_official, net.sha256, net.size_bytes) == ("here", True, DIGEST, len(CONTENT))
    assert (unknown.state, unknown.path, unknown.sha256, unknown.size_bytes) == ("missing", None, None, None)
    assert (mean.file_name, mean.url, mean.licence) == ("mean.npy", store.table["mean"].urls[0], "Apache-2.0")


def test_a_digest_is_worked_out_once_until_the_file_changes(
    store: WeightsStore, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[Path] = []

    def counted(path: Path) -> str:
        worked_out.append(path)
        return file_digest(path)

    monkeypatch.setattr(digests, "file_digest", counted)
    ours = with_given(store, given)
    first = find_weights("net", ours).record.sha256
    assert find_weights("net", ours).record.sha256 == first
    assert len(worked_out) == 1
    before = (given / "net.onnx").stat()
    (given / "net.onnx").write_bytes(OWN[::-1])
    os.utime(given / "net.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy that keeps times has it
    assert find_weights("net", ours).record.sha256 != first
    (store.folder / digests.MEMORY_NAME).write_text("[nonsense")
    assert find_weights("net", ours).record.sha256 == hashlib.sha256(OWN[::-1]).hexdigest()


def test_a_folder_that_cannot_be_written_to_does_not_stop_it(store: WeightsStore, given: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way of a folder")
    shut = store.model_copy(update={"folder": tmp_path / "file" / "home", "given": given})
    assert find_weights("net", shut).record.sha256 == hashlib.sha256(OWN).hexdigest()
