"""Small weights of the real form, made once."""

from pathlib import Path

import pytest

from conf.settings import load_weights_table
from tasks.features.shipped import Yt8mExtractor, load_yt8m
from tasks.weights.store import WeightsStore
from tests.support.feature_weights import write_feature_weights


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_feature_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def extractor(weights_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Yt8mExtractor:
    return load_yt8m(store_of(weights_folder, tmp_path_factory.mktemp("home")))


def store_of(given: Path, folder: Path) -> WeightsStore:
    return WeightsStore(folder=folder, given=given, table=load_weights_table())
