"""A trained classifier: its predictions, and its two files, `classifier.json` and `model.safetensors`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tasks.classifier.config import METADATA_NAME, TrainConfig
from tasks.classifier.models import build_model
from tasks.classifier.sequence import VIDEOS_AT_ONCE, Ragged, context_windows
from tasks.contracts.errors import FeatureSpaceError, ModelError
from tasks.contracts.features import YT8M, FeatureSpace, SpaceName
from tasks.contracts.files import appearing, file_digest, write_text
from tasks.contracts.model import FrozenModel, Sha256

WEIGHTS_NAME = "model.safetensors"


class ClassifierMetadata(FrozenModel):
    """What `classifier.json` holds: all that the weights do not say."""

    format_version: int = Field(default=1, ge=1, le=1)
    config: TrainConfig
    label_ids: tuple[int, ...] = Field(min_length=1)
    label_names: tuple[str, ...]
    has_match: bool = Field(description="the last output says whether a video matches the dataset at all")
    dataset_id: str
    feature_space: SpaceName = Field(description="what it looks at")
    space: FeatureSpace | None = Field(default=None, description="all of it; None: that of YouTube-8M")
    clips: tuple[Sha256, ...] = Field(
        default=(),
        exclude_if=lambda clips: not clips,
        description="SHA-256 of the files of the dataset, the first 1,000; left out where it is of YouTube-8M",
    )
    weights_sha256: Sha256

    @model_validator(mode="after")
    def _labels_are_a_list(self) -> Self:
        if len(self.label_ids) != len(self.label_names) or len(set(self.label_ids)) != len(self.label_ids):
            msg = f"{len(self.label_ids)} label ids, {len(set(self.label_ids))} distinct, {len(self.label_names)} names"
            raise ValueError(msg)
        return self


def read_metadata(path: Path) -> ClassifierMetadata:
    """Read `classifier.json`.

    Raises:
        ModelError: it is missing, or is not metadata.
        FeatureSpaceError: it looks at other features than those available here.
    """
    try:
        metadata = ClassifierMetadata.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(
            f"No classifier at {path.parent}: it has no {METADATA_NAME}. Train one: `reelsift train`."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"{path} is not a classifier's metadata: {where}: {first['msg']}. Train it again.") from error
    if metadata.feature_space != (metadata.space or YT8M).name:
        raise FeatureSpaceError(
            f"The classifier at {path.parent} has the feature_space {metadata.feature_space!r} and does not say what "
            "that is: its answers would mean nothing. Train a model with this release."
        )
    return metadata


def read_weights(path: Path, metadata: ClassifierMetadata, module: nn.Module) -> dict[str, Tensor]:
    """Read `model.safetensors`, which must be the metadata's, and hold the tensors that the module has.

    Raises:
        ModelError: it cannot be read, or does not fit.
    """
    try:
        digest = file_digest(path)
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"The weights {path} cannot be read: {error}. Train the model again.") from error
    if digest != metadata.weights_sha256:
        raise ModelError(
            f"The weights {path} have sha256 {digest}, but {METADATA_NAME} beside them names "
            f"{metadata.weights_sha256}: they do not belong together. Copy the folder again."
        )
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if found != wanted:
        raise ModelError(f"The weights {path} have the tensors {found}, the {metadata.config.model} model {wanted}.")
    return weights


PREDICT_ROWS = 4096  # rows a forward pass: bounds the memory of a large prediction
WINDOW_S = 5.0  # that a model over time looks at to tell what is shown at a moment
BLOCK_ELEMENTS = 4 << 20  # rows x labels at once: 17 MB in float32, of which a mixture of experts makes a dozen


def block_rows(labels: int, most: int = PREDICT_ROWS) -> int:
    """Return how many rows of so many labels are computed at once, `most` at most."""
    return max(1, min(most, BLOCK_ELEMENTS // max(1, labels)))


@dataclass(frozen=True)
class FittedClassifier:
    """Weights with what is needed to use them. Takes raw features: scaling them is part of the model.

    Where the model has learnt from background videos too (`has_match`), a label's probability holds for any
    video, and one more output is the probability that the video matches the dataset at all. Without them it
    holds for videos of the dataset alone (Cooking videos, say): of any other video it says nothing.
    """

    module: nn.Module
    label_ids: tuple[int, ...]
    label_names: tuple[str, ...]
    config: TrainConfig
    dataset_id: str
    has_match: bool = False
    space: FeatureSpace = YT8M
    clips: tuple[str, ...] = ()  # SHA-256 of the files of the dataset, where that is of a person's own videos

    @property
    def match_index(self) -> int | None:
        """The module's output that says whether a video matches at all, after those of the labels."""
        return len(self.label_ids) if self.has_match else None

    @property
    def is_over_time(self) -> bool:
        """Whether it looks at the moments of a video, one after the other, not at their mean."""
        return self.config.model.is_over_time

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the labels' probabilities (n, L), in the order of `label_ids`, of raw features (n, F) of videos.

        A model over time takes their moments instead, (n, T, F): a video that is shorter than the longest ends with
        moments of nothing but NaN, which are not looked at.

        Raises:
            ModelError: the features have another shape, or hold another NaN, or an infinity.
        """
        return self.outputs(features)[:, : len(self.label_ids)]

    def over_time(
        self, features: NDArray[np.floating], *, window_s: float = WINDOW_S, is_causal: bool = False
    ) -> NDArray[np.float32]:
        """Return the labels' probabilities (T, L) at each moment of a video, of raw features (T, F) of its moments.

        What a model over time says at a moment is what it says of the seconds around it, as of a video of their own:
        so a label comes and goes with what it names, and minutes before do not count. Cut off where the video begins
        and ends. Any other model judges each moment by itself.

        Args:
            features: one row a moment, as many a second as the feature space has.
            window_s: seconds that are looked at, the moment itself in their midst; in YouTube-8M a segment has 5.
            is_causal: look at the last seconds up to the moment, as a stream must, which tells of a change later.

        Raises:
            ModelError: the features have another shape, or hold a NaN or an infinity.
        """
        if not self.is_over_time:
            return self.predict(features)
        values = np.concatenate(list(checked_blocks(features, self.space, PREDICT_ROWS)))
        moments = max(1, round(window_s * self.space.rate_hz))
        after = 0 if is_causal else moments // 2
        windows, offsets = context_windows(len(values), moments - 1 - after, after)
        made = [np.zeros((0, len(self.label_ids)), np.float32)]
        for first in range(0, len(values), VIDEOS_AT_ONCE):  # all windows at once are five times the features
            ends = offsets[first : first + VIDEOS_AT_ONCE + 1]
            outputs = self.outputs_of_moments(values[windows[ends[0] : ends[-1]]], ends - ends[0])
            made.append(outputs[:, : len(self.label_ids)])
        return np.concatenate(made)

    def outputs_of_moments(self, values: NDArray[np.generic], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return all outputs (n, O) for videos whose moments (P, F) stand one after the other, of a model over time.

        Those of video i are `offsets[i]` to `offsets[i + 1]`; uint8 are codes as YouTube-8M publishes them. After the
        labels' probabilities comes the one of a match, where the model has it.
        """
        device, made = next(self.module.parameters()).device, list[Tensor]()
        self.module.eval()
        with torch.inference_mode():
            for first in range(0, len(offsets) - 1, VIDEOS_AT_ONCE):
                ends = offsets[first : first + VIDEOS_AT_ONCE + 1]
                made.append(self.module(Ragged.of(values[ends[0] : ends[-1]], ends - ends[0], device)).cpu())
        return torch.cat(made).numpy() if made else np.zeros((0, len(self.label_ids) + self.has_match), np.float32)

    def predict_match(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the probabilities (n,) that videos match the dataset at all, of raw features as `predict` takes them.

        Raises:
            ModelError: as for `predict`, and where the model was trained without background videos.
        """
        if self.match_index is None:
            raise ModelError(
                f"The {self.config.model} model of {self.dataset_id} was trained on matching videos alone and cannot "
                "tell whether a video matches. Build a dataset with `reelsift dataset build --background all`, and "
                "train a model with `use_background`, e.g. `reelsift train --model gated`."
            )
        return self.outputs(features)[:, self.match_index]

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and, when that is whole, `classifier.json` into the folder."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.module.state_dict().items()}
        with appearing(folder / WEIGHTS_NAME) as temporary:
            save_file(weights, temporary)
        metadata = ClassifierMetadata(
            config=self.config,
            label_ids=self.label_ids,
            label_names=self.label_names,
            has_match=self.has_match,
            dataset_id=self.dataset_id,
            feature_space=self.space.name,
            space=None if self.space == YT8M else self.space,
            clips=self.clips,
            weights_sha256=file_digest(folder / WEIGHTS_NAME),
        )
        write_text(folder / METADATA_NAME, metadata.model_dump_json(indent=2, exclude_none=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, onto the CPU.

        Raises:
            ModelError: a file is missing, is not what `save` writes, or the two do not belong together.
        """
        metadata = read_metadata(folder / METADATA_NAME)
        space = metadata.space or YT8M
        module = build_model(metadata.config, len(metadata.label_ids) + metadata.has_match, space)
        module.load_state_dict(read_weights(folder / WEIGHTS_NAME, metadata, module))
        module.eval()
        return cls(
            module=module,
            label_ids=metadata.label_ids,
            label_names=metadata.label_names,
            config=metadata.config,
            dataset_id=metadata.dataset_id,
            has_match=metadata.has_match,
            space=space,
            clips=metadata.clips,
        )

    @torch.inference_mode()
    def outputs(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return all outputs (n, O) for raw features as `predict` takes them: the labels', then that of a match.

        Raises:
            ModelError: as for `predict`.
        """
        if self.is_over_time:
            return self.outputs_of_moments(*checked_moments(features, self.space))
        device, rows = next(self.module.parameters()).device, block_rows(len(self.label_ids))
        self.module.eval()
        blocks = checked_blocks(features, self.space, rows)
        return torch.cat([self.module(torch.from_numpy(block).to(device)).cpu() for block in blocks]).numpy()


def checked_blocks(features: NDArray[np.floating], space: FeatureSpace, rows: int) -> Iterator[NDArray[np.float32]]:
    """Yield features (n, F) of a space as contiguous float32 that may be shared with a tensor, some rows at a time.

    Raises:
        ModelError: another shape, or a NaN or an infinity in it.
    """
    if features.ndim != 2 or features.shape[1] != space.size:
        parts = ", then ".join(f"{each.size} of {each.name}" for each in space.modalities)
        raise ModelError(f"features must have shape (n, {space.size}), got {features.shape}: {parts}, one row a video.")
    for first in range(0, max(1, len(features)), rows):
        block = np.require(features[first : first + rows], np.float32, ["C", "W"])
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            row = first + int(np.argmin(finite))
            raise ModelError(f"features of row {row} of {len(features)} are not finite; filter them out.")
        yield block


def checked_moments(
    features: NDArray[np.floating], space: FeatureSpace
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the moments (P, F) of videos (n, T, F), and their offsets (n + 1,), without what fills up shorter ones.

    Raises:
        ModelError: another shape, a video of no moment, or a NaN or an infinity within one.
    """
    if features.ndim != 3 or features.shape[2] != space.size:
        raise ModelError(
            f"features must have shape (n, moments, {space.size}), got {features.shape}: this model looks at the "
            "moments of each video. Shorter videos end with moments of NaN."
        )
    lengths = np.array([_length(video, row) for row, video in enumerate(features)], np.int64)
    videos = (video[:n] for video, n in zip(features, lengths, strict=True))
    values = np.concatenate([np.zeros((0, space.size), np.float32), *videos], dtype=np.float32)
    return values, np.concatenate([np.zeros(1, np.int64), lengths.cumsum()])


def _length(video: NDArray[np.floating], row: int) -> int:
    """Return how many moments a video (T, F) has before it ends."""
    is_there = ~np.isnan(video).all(axis=1)
    length = int(np.flatnonzero(is_there)[-1]) + 1 if is_there.any() else 0
    if not length or not np.isfinite(video[:length]).all():
        raise ModelError(f"features of video {row} are not finite, or there is no moment in it; leave it out.")
    return length
