"""A name that means the same model for good."""

from pathlib import Path

import pytest

from tasks.contracts.errors import UnknownModelError
from tasks.labelling.config import exact_reference
from tasks.tracking.store import tracking_store
from tests.support.classifiers import registered


def test_the_embedded_model_needs_no_registry(tmp_path: Path) -> None:
    assert exact_reference("imagenet", tracking_store(tmp_path)) == "imagenet"
    assert not list(tmp_path.iterdir())


def test_an_alias_becomes_the_version_that_it_points_to(tmp_path: Path) -> None:
    store = tracking_store(tmp_path)
    row = registered(store, alias="champion")
    assert exact_reference("champion", store) == row.reference == "cooking/1"


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="No model 'champion'"):
        exact_reference("champion", tracking_store(tmp_path))
