"""What is published of the real networks: by them where they are here, by formulas where they are not."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.errors import MissingWeightsError
from tasks.features.picture_network import ACTIVATIONS, PictureNetwork
from tasks.features.shipped import quantise
from tasks.features.sound_network import EXAMPLE_SAMPLES, SoundNetwork
from tasks.weights.store import Weights, find_weights
from tests.features.conftest import store_of

SECONDS_OF_SILENCE = 66  # of 170, at the beginning and end of a real video


def real_weights(real_data: Path, tmp_path: Path, *names: str) -> list[Weights]:
    """Return the real files, or skip: they have 400 MB, and are not part of the sample data."""
    try:
        return [find_weights(name, store_of(real_data / "weights", tmp_path)) for name in names]
    except MissingWeightsError as error:
        pytest.skip(str(error))


def test_activations_of_a_frame(real_data: Path, weights_folder: Path, tmp_path: Path) -> None:
    graph = real_weights(real_data, tmp_path, "inception-2015")[0]
    small = store_of(weights_folder, tmp_path)
    pca = [find_weights(name, small) for name in ("yt8m-pca-mean", "yt8m-pca-eigenvals", "yt8m-pca-eigenvecs")]
    folder = real_data / "yt8m-features"
    frame = np.asarray(Image.open(folder / "AO7u7fwGzJQ_at_second_0.jpg").convert("RGB"))
    published = np.ravel(json.loads((folder / "AO7u7fwGzJQ_at_second_0_feats.json").read_text()))
    found = PictureNetwork(graph, *pca).activations([frame])[0]
    assert found @ published / np.linalg.norm(found) / np.linalg.norm(published) > 0.99


def silence_of(real_data: Path) -> np.ndarray:
    """Return the bytes (128,) that the dataset has for seconds in which nothing is heard."""
    audio = np.load(real_data / "yt8m-frame" / "SjJ3.npz", allow_pickle=False)["audio"]
    assert (audio == audio[0]).all(axis=1).sum() == SECONDS_OF_SILENCE
    return audio[0]


def test_silence_has_the_bytes_that_the_dataset_has_for_it(real_data: Path, tmp_path: Path) -> None:
    network = SoundNetwork(*real_weights(real_data, tmp_path, "vggish", "vggish-pca"))
    embedded = network.embed(np.zeros((1, EXAMPLE_SAMPLES), np.float32))
    found = quantise(network.project(embedded))[0].astype(int)
    assert np.abs(found - silence_of(real_data)).max() <= 1  # a rounding


def test_pca_values_agree_with_the_mean_and_the_eigenvalues(real_data: Path) -> None:
    """The eigenvectors are not among the sample data; what is there must fit the formula all the same."""
    folder = real_data / "yt8m-features"
    mean, values = np.load(folder / "mean.npy"), np.load(folder / "eigenvals.npy")
    assert (mean.shape, values.shape) == ((ACTIVATIONS, 1), (ACTIVATIONS, 1))
    assert (np.diff(values[:1024, 0]) <= 0).all()  # the first 1,024 are the largest
    published = np.load(folder / "sports1m_frame.npz", allow_pickle=False)
    projected = published["pca"] * np.sqrt(values[:1024, 0] + 1e-4)
    centred = published["inception"] - mean[:, 0]
    share = np.linalg.norm(projected) / np.linalg.norm(centred)
    assert 0.9 < share <= 1.001  # an orthonormal projection lengthens nothing, and this one keeps most of it


def test_with_any_eigenvectors_that_give_them_the_published_pca_values_come_out(
    real_data: Path, weights_folder: Path, tmp_path: Path
) -> None:
    """A matrix whose rows are the one direction that matters: the formula around it is what is tested."""
    folder = real_data / "yt8m-features"
    published = np.load(folder / "sports1m_frame.npz", allow_pickle=False)
    mean, values = np.load(folder / "mean.npy")[:, 0], np.load(folder / "eigenvals.npy")[:1024, 0]
    direction = published["inception"] - mean
    rows = np.zeros((ACTIVATIONS, ACTIVATIONS), np.float32)
    rows[:1024] = np.outer(published["pca"] * np.sqrt(values + 1e-4), direction / (direction @ direction))
    given = tmp_path / "given"
    given.mkdir()
    for name in ("mean.npy", "eigenvals.npy"):
        (given / name).symlink_to(folder / name)
    (given / "classify_image_graph_def.pb").symlink_to(weights_folder / "classify_image_graph_def.pb")
    np.save(given / "eigenvecs.npy", np.asfortranarray(rows))
    names = ("inception-2015", "yt8m-pca-mean", "yt8m-pca-eigenvals", "yt8m-pca-eigenvecs")
    network = PictureNetwork(*(find_weights(name, store_of(given, tmp_path)) for name in names))
    found = network.project(published["inception"][None])[0]
    np.testing.assert_allclose(found, published["pca"], atol=1e-4)
