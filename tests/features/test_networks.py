"""The networks on small weights of the real form."""

from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import MissingWeightsError
from tasks.features.shipped import Yt8mExtractor, load_yt8m
from tasks.features.sound_network import EXAMPLE_SAMPLES, examples
from tasks.weights.config import NEEDED_WEIGHTS
from tests.features.conftest import store_of
from tests.support.feature_weights import write_feature_weights
from tests.support.late_tensorflow import tf


def test_a_frame_goes_through_graph_pca_and_eight_bits(extractor: Yt8mExtractor, weights_folder: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    activations = extractor.picture.activations([frame])[0]
    mean, values, vectors = (np.load(weights_folder / f"{name}.npy") for name in ("mean", "eigenvals", "eigenvecs"))
    whitened = (activations - mean[:, 0]) @ vectors.T[:, :1024] / np.sqrt(values[:1024, 0] + 1e-4)
    np.testing.assert_allclose(extractor.picture.project(activations[None])[0], whitened, rtol=2e-3, atol=2e-4)
    features = extractor.of_frames([frame])[0]
    assert features.shape == (1024,)
    assert np.abs(features - np.clip(whitened, -2, 2)).max() <= 2 / 255 + 4 / 512 + 1e-3


def test_frames_of_any_size_and_each_by_itself(extractor: Yt8mExtractor) -> None:
    random = np.random.default_rng(1)
    frames = [random.integers(0, 256, size, np.uint8) for size in ((48, 64, 3), (33, 17, 3))]
    together = extractor.of_frames(frames)
    np.testing.assert_array_equal(together[1], extractor.of_frames(frames[1:])[0])


def test_sound_goes_through_the_network_of_the_checkpoint(extractor: Yt8mExtractor, weights_folder: Path) -> None:
    """The same network, put together by Keras's layers."""
    windows = np.random.default_rng(2).standard_normal((2, EXAMPLE_SAMPLES)).astype(np.float32) * 0.1
    reader = tf.train.load_checkpoint(str(weights_folder / "vggish_model.ckpt"))
    flow = tf.constant(examples(windows)[..., None])
    for name in ("conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2"):
        kernel, bias = (reader.get_tensor(f"vggish/{name}/{part}") for part in ("weights", "biases"))
        layer = tf.keras.layers.Conv2D(kernel.shape[-1], 3, padding="same", activation="relu")
        layer.build(flow.shape)
        layer.set_weights([kernel, bias])
        flow = layer(flow)
        if name in {"conv1", "conv2", "conv3/conv3_2", "conv4/conv4_2"}:
            flow = tf.keras.layers.MaxPooling2D(2, padding="same")(flow)
    flow = tf.keras.layers.Flatten()(flow)
    for name, activation in (("fc1/fc1_1", "relu"), ("fc1/fc1_2", "relu"), ("fc2", None)):
        kernel, bias = (reader.get_tensor(f"vggish/{name}/{part}") for part in ("weights", "biases"))
        layer = tf.keras.layers.Dense(kernel.shape[-1], activation=activation)
        layer.build(flow.shape)
        layer.set_weights([kernel, bias])
        flow = layer(flow)
    embedded = extractor.sound.embed(windows)
    np.testing.assert_allclose(embedded, flow.numpy(), rtol=1e-3, atol=1e-4)
    assert (embedded < 0).any()  # before the ReLU
    assert extractor.of_sound(windows).shape == (2, 128)


def test_every_file_is_named_with_its_digest(extractor: Yt8mExtractor) -> None:
    assert tuple(record.name for record in extractor.records) == NEEDED_WEIGHTS


def test_a_missing_file_is_named_before_the_first_is_read(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"classify_image_graph_def.pb .*weights fetch inception-2015.*tgz"):
        load_yt8m(store_of(tmp_path, tmp_path))


def test_the_small_weights_are_always_the_same(tmp_path: Path, weights_folder: Path) -> None:
    again = write_feature_weights(tmp_path / "again")
    for name in ("mean.npy", "eigenvecs.npy"):
        assert (again / name).read_bytes() == (weights_folder / name).read_bytes()
