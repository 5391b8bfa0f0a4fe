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

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the labels' probabilities (n, L), in the order of `label_ids`, of raw features (n, F).

        Raises:
            ModelError: the features have another shape, or hold a NaN or an infinity.
        """
        return self._outputs(features)[:, : len(self.label_ids)]

    def predict_match(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the probabilities (n,) that videos of raw features (n, F) match the dataset at all.

        Raises:
            ModelError: as for `predict`, and where the model was trained without background videos.
        """
        if self.match_index is None:
            raise ModelError(
                f"The {self.config.model} model of {self.dataset_id} was trained on matching videos alone and cannot "
                "tell whether a video matches. Build a dataset with `reelsift dataset build --background all`, and "
                "train a model with `use_background`, e.g. `reelsift train --model gated`."
            )
        return self._outputs(features)[:, self.match_index]

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
    def _outputs(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
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
