"""Feature spaces of one's own: what they share, layers pooled and sound, and ONNX files with one picture input."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from tasks.contracts.errors import ConfigError, WeightsError, did_you_mean
from tasks.contracts.features import FeatureSpace, Modality, SpaceWeights
from tasks.contracts.media import WeightsRecord
from tasks.features.batches import FrameNetwork, NetworkThreads
from tasks.features.shipped import PICTURE, SOUND
from tasks.features.sound_network import STATISTICS_SAMPLES, STATISTICS_SIZE, band_statistics
from tasks.weights.config import Backbone
from tasks.weights.store import Weights
from tasks.weights.untrusted import first_words, open_session, usable_cores

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

VERSION = 1  # raise by hand when the same backbone gives other features


def section(name: str) -> str:
    """Return how a message names the settings of a space."""
    return f"[feature_spaces.{name}]"


@dataclass(frozen=True)
class BackboneExtractor:
    """A network of one's own, and the statistics of the sound where they are wanted."""

    space: FeatureSpace
    records: tuple[WeightsRecord, ...]
    network: FrameNetwork
    mean_s: float | None = None

    @property
    def sound_samples(self) -> int:
        """Samples that describe a moment; 0 without sound."""
        return STATISTICS_SAMPLES if len(self.space.modalities) > 1 else 0

    def frame_network(self) -> FrameNetwork:
        """Return the network."""
        return self.network

    def of_sound(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean over time of each of the 64 bands, then the deviations: (n, 128)."""
        return band_statistics(windows)


def extractor_of(
    name: str, backbone: Backbone, weights: Weights, network: FrameNetwork, words: str
) -> BackboneExtractor:
    """Put a network and the sound together; `words` say all that the features depend on beside the weights.

    Raises:
        ConfigError: the network gives more values than a space may have.
    """
    sound = "; mean and deviation of 64 log-mel bands" if backbone.sound else ""
    try:
        space = FeatureSpace(
            name=name,
            modalities=(
                Modality(name=PICTURE, size=network.columns),
                *([Modality(name=SOUND, size=STATISTICS_SIZE)] if backbone.sound else []),
            ),
            rate_hz=backbone.rate_hz,
            extractor=f"{words}{sound}; {VERSION}",
            weights=(SpaceWeights(name=weights.record.name, sha256=weights.record.sha256),),
        )
    except ValidationError as error:
        raise ConfigError(
            f"{section(name)}: the network gives {network.columns:,} values for a picture, more than a feature space "
            "may have: name a later layer or output, after a pooling."
        ) from error
    return BackboneExtractor(space, (weights.record,), network)


def pooled(values: NDArray[Any], places: tuple[int, ...]) -> NDArray[np.float32]:
    """Return what a layer says of n pictures, (n, columns), averaged over places.

    Args:
        values: (n, columns), (n, tokens, columns), or with two axes of places and one of columns.
        places: axes of the places, of four.
    """
    axes = {2: (), 3: (1,), 4: places}[values.ndim]
    return values.mean(axis=axes, dtype=np.float32) if axes else values.astype(np.float32)


def check_values(values: NDArray[Any], count: int, what: str) -> None:
    """See that a layer or output describes each of `count` pictures by numbers.

    Raises:
        ConfigError: it has another shape, or holds what is not finite.
    """
    if values.ndim not in {2, 3, 4} or len(values) != count or values.dtype.kind != "f" or not values.size:
        raise ConfigError(
            f"{what} gives {values.dtype} of shape {values.shape} for {count} pictures, and not floats of shape "
            "(n, values), (n, places, values) or (n, values, height, width): name another."
        )
    if not np.isfinite(values).all():
        raise ConfigError(f"{what} gives values that are not finite for a black picture: its weights are damaged.")


INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
OUTPUT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)")
COLOURS = 3
LARGEST_SIDE, LARGEST_BATCH = 4096, 256
MOST_AT_ONCE = 8  # threads, or pictures of a batch


@dataclass(frozen=True)
class PictureInput:
    """What a network takes: n pictures, of one size and one order of axes."""

    name: str
    dtype: Any
    is_last: bool  # whether the colours are the last axis
    batch: int | None  # pictures that must come together; None: as many as one likes
    height: int
    width: int

    @property
    def places(self) -> tuple[int, int]:
        """Axes of places, of an output with four: in the order of the input."""
        return (1, 2) if self.is_last else (2, 3)


def open_onnx(name: str, backbone: Backbone, weights: Weights) -> BackboneExtractor:
    """Open a network.

    Raises:
        ConfigError: the file wants other inputs, or has no such output, or an output that gives no features.
        WeightsError: it is no network that can be run.
    """
    session = open_session(weights.path, f"give {section(name)} the right file.")
    taken = _picture_input(name, backbone, weights.path, session)
    output = _output(name, backbone, weights.path, session)
    what = f"{section(name)} output: {output} of {weights.path.name}"

    def prepare(image: NDArray[np.uint8]) -> NDArray[Any]:
        return _prepared(image, taken, backbone)

    def run_whole(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
        try:
            made: Any = session.run([output], {taken.name: _filled(images, taken)})[0]
        # ONNX Runtime's exceptions have no base but Exception.
        except Exception as error:
            raise WeightsError(f"{weights.path} does not run ({first_words(error)}).") from error
        return made[: len(images)] if np.ndim(made) else made

    black = prepare(np.zeros((taken.height, taken.width, COLOURS), np.uint8))
    count = taken.batch or 1
    found = run_whole([black] * count)
    check_values(found, count, what)
    on_gpu = "CUDAExecutionProvider" in session.get_providers()
    network = FrameNetwork(
        prepare=prepare,
        run=lambda images: pooled(run_whole(images), taken.places),
        columns=pooled(found, taken.places).shape[1],
        batch_size=taken.batch or (MOST_AT_ONCE if on_gpu else 1),
        threads=NetworkThreads(1 if on_gpu else min(MOST_AT_ONCE, usable_cores())),
    )
    values = f"scale {backbone.scale:g}, mean {backbone.mean}, std {backbone.std}, " if taken.dtype != np.uint8 else ""
    words = f"onnx {output}, of {taken.width}x{taken.height}, {values}{backbone.colours}"
    return extractor_of(name, backbone, weights, network, words)


def _picture_input(name: str, backbone: Backbone, path: Path, session: "InferenceSession") -> PictureInput:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        found = ", ".join(f"{each.name} {_shape(each)}" for each in inputs) or "none"
        raise ConfigError(f"{section(name)}: {path.name} should have one input, a picture, and has {found}.")
    (only,) = inputs
    if only.type not in INPUT_TYPES or len(only.shape) != 4 or COLOURS not in (only.shape[1], only.shape[3]):
        raise ConfigError(
            f"{section(name)}: {path.name} should take pictures, floats or uint8 of shape (n, 3, height, width) or "
            f"(n, height, width, 3), and its input {only.name} is {only.type} {_shape(only)}."
        )
    is_last = only.shape[1] != COLOURS
    batch, *sides = (only.shape[0], *(only.shape[1:3] if is_last else only.shape[2:4]))
    if backbone.side is not None and any(isinstance(side, int) and side != backbone.side for side in sides):
        raise ConfigError(f"{section(name)} side: {path.name} takes {_shape(only)}, and {backbone.side} was set.")
    known = [side if isinstance(side, int) else backbone.side for side in sides]
    if None in known:
        raise ConfigError(
            f"{section(name)}: {path.name} leaves the size of its pictures open, {_shape(only)}: set `side`, e.g. "
            "side = 224."
        )
    height, width = (int(side or 0) for side in known)
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise ConfigError(f"{section(name)}: {path.name} takes pictures of {width}x{height}: no network for pictures.")
    fixed = batch if isinstance(batch, int) else None
    if fixed is not None and not 0 < fixed <= LARGEST_BATCH:
        raise ConfigError(f"{section(name)}: {path.name} takes {fixed} pictures at once: no network for pictures.")
    return PictureInput(only.name, INPUT_TYPES[only.type], is_last, fixed, height, width)


def _output(name: str, backbone: Backbone, path: Path, session: "InferenceSession") -> str:
    outputs = {each.name: each for each in session.get_outputs()}
    there = ", ".join(f"{each.name} {each.type} {_shape(each)}" for each in outputs.values())
    if backbone.output is None and len(outputs) != 1:
        raise ConfigError(f"{section(name)}: {path.name} has the outputs {there}: name one as `output`.")
    wanted = backbone.output or next(iter(outputs))
    if wanted not in outputs:
        raise ConfigError(
            f"{section(name)} output: {path.name} has no {wanted!r}.{did_you_mean(wanted, outputs)} There is {there}."
        )
    if outputs[wanted].type not in OUTPUT_TYPES:
        raise ConfigError(f"{section(name)} output: {path.name} gives {there}, and features are floats.")
    return wanted


def _shape(value: Any) -> str:  # noqa: ANN401 - ONNX Runtime's own
    return f"({', '.join('?' if side is None else str(side) for side in value.shape)})"


def _prepared(image: NDArray[np.uint8], taken: PictureInput, backbone: Backbone) -> NDArray[Any]:
    """Return the middle of a picture as the network takes it: as large as fits in, resized (bilinear, smoothed)."""
    height, width = image.shape[:2]
    scale = min(height / taken.height, width / taken.width)
    kept_height, kept_width = max(1, round(taken.height * scale)), max(1, round(taken.width * scale))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    middle = Image.fromarray(image[top : top + kept_height, left : left + kept_width])
    pixels = np.asarray(middle.resize((taken.width, taken.height), Image.Resampling.BILINEAR))
    if taken.dtype != np.uint8:
        mean, std = (np.array(each, np.float32) for each in (backbone.mean, backbone.std))
        pixels = ((pixels.astype(np.float32) * np.float32(backbone.scale) - mean) / std).astype(taken.dtype)
    pixels = pixels[:, :, ::-1] if backbone.colours == "bgr" else pixels
    return np.ascontiguousarray(pixels if taken.is_last else pixels.transpose(2, 0, 1))


def _filled(images: Sequence[NDArray[Any]], taken: PictureInput) -> NDArray[Any]:
    """Return the pictures as one array; a batch of a fixed size is filled up with black ones."""
    stacked = np.stack(images)
    if taken.batch is None or len(stacked) == taken.batch:
        return stacked
    full = np.zeros((taken.batch, *stacked.shape[1:]), stacked.dtype)
    full[: len(stacked)] = stacked
    return full
