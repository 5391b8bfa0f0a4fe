"""The shipped table."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.settings import load_weights_table
from tasks.contracts.errors import WeightsError
from tasks.weights.config import NEEDED_WEIGHTS, WeightsEntry
from tasks.weights.store import WeightsStore


def test_it_names_what_the_networks_need() -> None:
    table = load_weights_table()
    assert {"yolox-nano", "pointrend-resnet50", "pointrend-resnet101", *NEEDED_WEIGHTS} <= table.keys()
    assert len({entry.file_name for entry in table.values()}) == len(table)  # they share a folder


def test_what_is_known_of_a_file_is_there() -> None:
    vggish = load_weights_table()["vggish"]
    assert vggish.size_bytes == 291_108_469
    assert vggish.sha256 == "0962b1914e3e053922d957c45bc84a78c985765641dc6bceeeb3a7d8dfecfdf6"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("file_name", "../net.onnx", id="path"),
        pytest.param("file_name", ".hidden", id="hidden"),
        pytest.param("urls", (), id="no-address"),
        pytest.param("urls", ("file:///etc/passwd",), id="file-address"),
        pytest.param("urls", ("http://host",), id="no-path"),
        pytest.param("sha256", "abc", id="digest"),
        pytest.param("sha256", "73CBD019", id="digest-in-capitals"),
        pytest.param("size_bytes", 0, id="size"),
        pytest.param("licence_", "MIT", id="unknown-field"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(field: str, value: object) -> None:
    entry = load_weights_table()["yolox-nano"].model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        WeightsEntry.model_validate(entry)


def test_files_that_are_needed_together_are_a_group_whose_name_is_no_file() -> None:
    store = WeightsStore(folder=Path(), table=load_weights_table())
    assert store.groups["yt8m"] == store.members("yt8m") == NEEDED_WEIGHTS
    assert store.groups["pointrend"] == ("pointrend-resnet50", "pointrend-resnet101")
    assert sorted(name for members in store.groups.values() for name in members) == sorted(store.table)
    assert not set(store.groups) & {*store.table, "all"}
    assert store.members("all") == tuple(store.table)
    assert store.members("vggish") == ("vggish",)
    with pytest.raises(WeightsError, match=r"No weights 'yt9m'\. Did you mean 'yt8m'"):
        store.members("yt9m")
