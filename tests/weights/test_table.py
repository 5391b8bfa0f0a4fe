"""The shipped table."""

import pytest
from pydantic import ValidationError

from conf.settings import load_weights_table
from tasks.weights.config import NEEDED_WEIGHTS, WeightsEntry


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
        pytest.param("size_bytes", 0, id="size"),
        pytest.param("licence_", "MIT", id="unknown-field"),
    ],
)
def test_an_entry_that_cannot_be_is_refused(field: str, value: object) -> None:
    entry = load_weights_table()["yolox-nano"].model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        WeightsEntry.model_validate(entry)
