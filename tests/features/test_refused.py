"""Files that are not the weights that their names promise: one line each, and nothing of them is run."""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.errors import WeightsError
from tasks.features.picture_network import ACTIVATIONS
from tasks.features.shipped import load_yt8m
from tests.features.conftest import store_of
from tests.support.feature_weights import write_vggish
from tests.support.late_tensorflow import tf

GRAPH, CHECKPOINT, PCA = "classify_image_graph_def.pb", "vggish_model.ckpt", "vggish_pca_params.npz"


@pytest.fixture
def folder(tmp_path: Path, weights_folder: Path) -> Path:
    """Links to the small weights, to break one of them."""
    (tmp_path / "given").mkdir()
    for file in weights_folder.iterdir():
        (tmp_path / "given" / file.name).symlink_to(file)
    return tmp_path / "given"


def refusal(folder: Path, name: str, write: Callable[[Path], object]) -> str:
    """Put another file in the place of one, and return how it is refused."""
    (folder / name).unlink()
    write(folder / name)
    with pytest.raises(WeightsError) as caught:
        load_yt8m(store_of(folder, folder.parent)).of_frames([np.zeros((4, 6, 3), np.uint8)])
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / name) in message
    assert "`reelsift weights fetch " in message
    return message


def graph_that(make: Callable[[Any], Any]) -> Callable[[Path], object]:
    """Return what writes a graph with the two tensors, and between them what `make` makes."""

    def write(path: Path) -> None:
        with tf.Graph().as_default() as graph:
            frame = tf.compat.v1.placeholder(tf.uint8, (None, None, 3), name="DecodeJpeg")
            tf.identity(make(frame), name="pool_3/_reshape")
        path.write_bytes(graph.as_graph_def().SerializeToString())

    return write


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(lambda: b"", "DecodeJpeg:0 and pool_3/_reshape:0: .*DecodeJpeg", id="empty"),
        pytest.param(lambda: b"<html>no graph</html>", "are no graph of TensorFlow's", id="web-page"),
        pytest.param(
            lambda: tf.Graph().as_graph_def().SerializeToString(), "no graph .* DecodeJpeg", id="without-tensors"
        ),
    ],
)
def test_a_graph_that_is_none(folder: Path, content: Callable[[], bytes], message: str) -> None:
    assert re.search(message, refusal(folder, GRAPH, lambda path: path.write_bytes(content())))


def test_a_graph_of_another_size(folder: Path) -> None:
    write = graph_that(lambda _: tf.constant(0.0, shape=(1, 1008)))
    assert "give activations of shape (1008,), not (2048,)" in refusal(folder, GRAPH, write)


def test_a_graph_that_cannot_be_run(folder: Path) -> None:
    write = graph_that(lambda frame: tf.reshape(tf.cast(frame, tf.float32), (7, 11)))
    assert "cannot be run on uint8 of shape (4, 6, 3)" in refusal(folder, GRAPH, write)


def test_a_graph_that_writes_files_is_not_run(folder: Path) -> None:
    canary = folder.parent / "canary"

    def make(frame: Any) -> Any:
        with tf.control_dependencies([tf.raw_ops.WriteFile(filename=str(canary), contents="seen")]):
            return tf.zeros((1, ACTIVATIONS)) + tf.cast(tf.reduce_mean(frame), tf.float32)

    assert "(Fill, WriteFile)" in refusal(folder, GRAPH, graph_that(make))
    assert not canary.exists()


def test_a_graph_that_hides_what_it_does_in_a_function(folder: Path) -> None:
    hidden = tf.function(lambda frame: tf.zeros((1, ACTIVATIONS)) + tf.cast(tf.reduce_mean(frame), tf.float32))
    assert "PartitionedCall" in refusal(folder, GRAPH, graph_that(hidden))


class Canary:
    """Whoever unpickles it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def hostile_npz(path: Path, value: object) -> None:
    """Write an .npz of pickles under the names that are looked for."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("pca_eigen_vectors", "pca_means"):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.array([value], object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        pytest.param("mean.npy", lambda path, value: path.write_bytes(pickle.dumps(value)), id="bare"),
        pytest.param("mean.npy", lambda path, value: np.save(path, np.array([value], object)), id="npy"),
        pytest.param(PCA, lambda path, value: path.write_bytes(pickle.dumps(value)), id="bare-npz"),
        pytest.param(PCA, hostile_npz, id="npz"),
    ],
)
def test_a_pickle_in_an_array_s_clothes_runs_nothing(
    folder: Path, name: str, write: Callable[[Path, object], object]
) -> None:
    canary = folder.parent / "canary"
    assert "are no arrays of NumPy's" in refusal(folder, name, lambda path: write(path, Canary(canary)))
    assert not canary.exists()


def cut(path: Path) -> None:
    np.save(path, np.zeros((ACTIVATIONS, 1), np.float32))
    path.write_bytes(path.read_bytes()[:-100])


def vast(path: Path) -> None:
    """Write a header that promises 16 TB, and nothing else."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 42,)})


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        pytest.param("mean.npy", lambda path: path.write_bytes(b"\x93NUMPY"), "no arrays of NumPy's", id="cut-header"),
        pytest.param("mean.npy", cut, "no arrays of NumPy's", id="cut-values"),
        pytest.param("eigenvals.npy", vast, "no arrays of NumPy's", id="header-of-16-TB"),
        pytest.param(
            "eigenvecs.npy",
            lambda path: np.save(path, np.zeros((1024, 128), np.float32)),
            "must have shape (2048, 2048) of floats, got (1024, 128) of float32",
            id="shape",
        ),
        pytest.param(
            "mean.npy", lambda path: np.save(path, np.zeros((2048, 1), np.int32)), "got (2048, 1) of int32", id="type"
        ),
        pytest.param(
            "mean.npy", lambda path: np.save(path, np.full((2048, 1), np.nan, np.float32)), "not finite", id="nan"
        ),
        pytest.param(
            "eigenvals.npy",
            lambda path: np.save(path, np.full((2048, 1), -3, np.float32)),
            "variances below 0, the least -3",
            id="variances",
        ),
        pytest.param(PCA, lambda path: path.write_bytes(b"PK\x03\x04 no more"), "no arrays of NumPy's", id="cut-zip"),
        pytest.param(PCA, lambda path: np.savez(path, other=np.zeros(3)), "hold no pca_eigen_vectors", id="other-zip"),
        pytest.param(
            PCA,
            lambda path: np.savez_compressed(path, pca_eigen_vectors=np.zeros(1 << 24), pca_means=np.zeros(1)),
            "bytes, over 67,108,864",
            id="zip-bomb",
        ),
    ],
)
def test_arrays_that_are_none(folder: Path, name: str, write: Callable[[Path], object], message: str) -> None:
    assert message in refusal(folder, name, write)


def cut_checkpoint(path: Path) -> None:
    write_vggish(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoilt_checkpoint(path: Path) -> None:
    """Overwrite values in the middle, whose checksum is then wrong."""
    write_vggish(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda path: path.write_bytes(b""), "are no checkpoint of VGGish", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"none at all" * 99), "are no checkpoint of VGGish", id="text"),
        pytest.param(cut_checkpoint, "are no checkpoint of VGGish", id="cut"),
        pytest.param(spoilt_checkpoint, "are no checkpoint of VGGish", id="spoilt"),
        pytest.param(
            lambda path: write_vggish(path, prefix="other/"), "it has no vggish/conv1/weights, nor 17", id="other-names"
        ),
        pytest.param(
            lambda path: write_vggish(path, fc2=(32, 64)), "fc2 must have shape (32, 128), got (32, 64)", id="shape"
        ),
        pytest.param(
            lambda path: write_vggish(path, fill=np.nan), "vggish/conv1 with values that are not finite", id="nan"
        ),
    ],
)
def test_checkpoints_that_are_none(folder: Path, write: Callable[[Path], object], message: str) -> None:
    assert message in refusal(folder, CHECKPOINT, write)
