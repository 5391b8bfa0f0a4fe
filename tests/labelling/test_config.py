"""What labelling can be told, and what it refuses."""

import pytest
from pydantic import ValidationError

from tasks.labelling.config import LabelOptions


def test_every_option_is_described() -> None:
    assert all(field.description for field in LabelOptions.model_fields.values())


def test_a_label_cannot_leave_above_where_it_enters() -> None:
    with pytest.raises(ValidationError, match=r"`leave` is 0\.6, over `enter` 0\.5"):
        LabelOptions(enter=0.5, leave=0.6)


@pytest.mark.parametrize(
    "field",
    [{"rate_hz": 0}, {"rate_hz": 61}, {"window": 0}, {"top_k": 0}, {"enter": 0}, {"leave": 1.5}, {"shortest_s": -1}],
    ids=lambda field: "-".join(f"{name}={value}" for name, value in field.items()),
)
def test_out_of_bounds_is_refused(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(field))):
        LabelOptions.model_validate(field)
