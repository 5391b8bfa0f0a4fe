"""The bounds of a download's config."""

import pytest
from pydantic import ValidationError

from tasks.shards.config import DownloadConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("release", 0, id="no such release"),
        pytest.param("mirrors", (), id="no mirror"),
        pytest.param("connections", 0, id="no connection"),
        pytest.param("connections", 65, id="too many connections"),
        pytest.param("attempts", 0, id="no attempt"),
        pytest.param("read_timeout_s", 0, id="no time"),
        pytest.param("backoff_max_s", -1, id="negative wait"),
        pytest.param("backoff_base_s", float("nan"), id="not a number"),
        pytest.param("reserve_bytes", -1, id="negative reserve"),
        pytest.param("conections", 4, id="a key that is none"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        DownloadConfig.model_validate({field: value})


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in DownloadConfig.model_fields.values())
