"""Weights in the form of the real feature extractors: the same nodes, names and files, with fewer channels."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.features import AUDIO_SIZE
from tasks.features.picture_network import ACTIVATIONS, late_tensorflow
from tasks.features.sound_network import PCA_MEANS, PCA_VECTORS

CHANNELS = {
    "conv1": (1, 4),
    "conv2": (4, 6),
    "conv3/conv3_1": (6, 8),
    "conv3/conv3_2": (8, 8),
    "conv4/conv4_1": (8, 10),
    "conv4/conv4_2": (10, 10),
}
DENSE = {"fc1/fc1_1": (6 * 4 * 10, 32), "fc1/fc1_2": (32, 32), "fc2": (32, AUDIO_SIZE)}


def write_feature_weights(folder: Path) -> Path:
    """Write all six files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(folder / "classify_image_graph_def.pb")
    write_picture_pca(folder)
    write_vggish(folder / "vggish_model.ckpt")
    write_sound_pca(folder / "vggish_pca_params.npz")
    return folder


def write_graph(path: Path) -> None:
    """Write a frozen graph from a frame of any size to 2,048 activations, by a small picture and one product."""
    tf: Any = late_tensorflow()
    random = np.random.default_rng(1)
    product = random.standard_normal((8 * 8 * 3, ACTIVATIONS)).astype(np.float32) / 8
    graph = tf.Graph()
    with graph.as_default():
        frame = tf.compat.v1.placeholder(tf.uint8, (None, None, 3), name="DecodeJpeg")
        small = tf.image.resize(tf.cast(frame, tf.float32)[None] / 255.0, (8, 8))
        tf.reshape(tf.nn.relu(tf.reshape(small, (1, -1)) @ product), (1, ACTIVATIONS), name="pool_3/_reshape")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def write_picture_pca(folder: Path) -> None:
    """Write mean, eigenvalues and eigenvectors, in the shapes of the published files."""
    random = np.random.default_rng(2)
    np.save(folder / "mean.npy", random.random((ACTIVATIONS, 1)).astype(np.float32) / 10)
    np.save(folder / "eigenvals.npy", np.linspace(1, 0.01, ACTIVATIONS, dtype=np.float32)[:, None])
    vectors = random.standard_normal((ACTIVATIONS, ACTIVATIONS)).astype(np.float32) / 45
    np.save(folder / "eigenvecs.npy", vectors)


def write_vggish(
    path: Path, prefix: str = "vggish/", fc2: tuple[int, int] = DENSE["fc2"], fill: float | None = None
) -> None:
    """Write a checkpoint of the first format, one file, with the variables of VGGish; `fill` is for all weights."""
    tf: Any = late_tensorflow()
    random = np.random.default_rng(3)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        shapes = {name: (3, 3, *sides) for name, sides in CHANNELS.items()} | DENSE | {"fc2": fc2}
        for name, shape in shapes.items():
            fan_in = int(np.prod(shape[:-1]))
            values = random.standard_normal(shape) * np.sqrt(2 / fan_in) if fill is None else np.full(shape, fill)
            tf.compat.v1.get_variable(f"{prefix}{name}/weights", initializer=values.astype(np.float32))
            tf.compat.v1.get_variable(f"{prefix}{name}/biases", initializer=np.full(shape[-1], 0.1, np.float32))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1)
        saver.save(session, str(path), write_meta_graph=False, write_state=False)


def write_sound_pca(path: Path) -> None:
    """Write the arrays of VGGish's postprocessor."""
    random = np.random.default_rng(4)
    vectors = np.linalg.qr(random.standard_normal((AUDIO_SIZE, AUDIO_SIZE)))[0].astype(np.float32)
    means = random.random((AUDIO_SIZE, 1)).astype(np.float32)
    np.savez(path, allow_pickle=False, **{PCA_VECTORS: vectors, PCA_MEANS: means})
