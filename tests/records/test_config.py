"""What a filter can be asked for."""

import pytest
from pydantic import ValidationError

from tasks.contracts.datasets import FilterConfig


def test_labels_are_kept_in_order_and_once() -> None:
    config = FilterConfig(label_ids=(29, 22, 29), exclude_ids=(5, 1))
    assert (config.label_ids, config.exclude_ids) == ((22, 29), (1, 5))


REFUSED = {
    "no label": ({"label_ids": ()}, "at least 1 item"),
    "label beyond the vocabulary": (
        {"label_ids": (3862,)},
        "label 3862 is not in the vocabulary; allowed are 0 to",
    ),
    "negative label": ({"label_ids": (22,), "exclude_ids": (-1,)}, "label -1 is not in the vocabulary"),
    "wanted and excluded": ({"label_ids": (22, 3), "exclude_ids": (3,)}, r"labels \[3\] are both wanted and excluded"),
    "negative background": ({"label_ids": (22,), "background": -1}, "background must be `all` or 0 and more"),
    "background in words": ({"label_ids": (22,), "background": "some"}, "background"),
    "unknown way to match": ({"label_ids": (22,), "match": "none"}, "'any' or 'all'"),
    "unknown option": ({"label_ids": (22,), "colour": 1}, "colour"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterConfig.model_validate(options)


def test_a_larger_vocabulary_allows_more_labels() -> None:
    assert FilterConfig(label_ids=(4715,), vocabulary_size=4716).label_ids == (4715,)
