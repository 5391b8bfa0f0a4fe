"""The two files of a trained classifier, read with suspicion: `classifier.json` and `model.safetensors`.

In: paths that may hold anything. Out: a checked card and checked weights. Does not know how they are used.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.classifier.config import TrainConfig
from tasks.contracts.artifacts import YT8M_FEATURE_SPACE, Sha256
from tasks.contracts.errors import FeatureSpaceError, ModelError
from tasks.contracts.files import file_digest
from tasks.contracts.model import FrozenModel

FEATURE_SPACE = YT8M_FEATURE_SPACE
CARD_NAME = "classifier.json"
WEIGHTS_NAME = "model.safetensors"


class ClassifierCard(FrozenModel):
    """What `classifier.json` holds: all that the weights do not say."""

    format_version: int = Field(default=1, ge=1, le=1)
    config: TrainConfig
    label_ids: tuple[int, ...] = Field(min_length=1)
    label_names: tuple[str, ...]
    has_match: bool = Field(description="the last output says whether a video matches the dataset at all")
    dataset_id: str
    feature_space: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="what it looks at; who uses it checks it")
    weights_sha256: Sha256

    @model_validator(mode="after")
    def _labels_are_a_list(self) -> Self:
        if len(self.label_ids) != len(self.label_names) or len(set(self.label_ids)) != len(self.label_ids):
            msg = f"{len(self.label_ids)} label ids, {len(set(self.label_ids))} distinct, {len(self.label_names)} names"
            raise ValueError(msg)
        return self


def read_card(path: Path) -> ClassifierCard:
    """Read `classifier.json`.

    Raises:
        ModelError: it is missing, or is not a card.
        FeatureSpaceError: it looks at other features than those that can be had here.
    """
    try:
        card = ClassifierCard.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(
            f"No classifier at {path.parent}: it has no {CARD_NAME}. Train one: `reelsift train`."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"{path} is not a classifier's card: {where}: {first['msg']}. Train it again.") from error
    if card.feature_space != FEATURE_SPACE:
        raise FeatureSpaceError(
            f"The classifier at {path.parent} has the feature_space {card.feature_space!r}, and what can be had here "
            f"is {FEATURE_SPACE!r}: its answers would mean nothing. Train a model on a dataset of this release."
        )
    return card


def read_weights(path: Path, card: ClassifierCard, module: nn.Module) -> dict[str, Tensor]:
    """Read `model.safetensors`, which must be the card's, and hold the tensors that the module has.

    Raises:
        ModelError: it cannot be read, or does not fit.
    """
    try:
        digest = file_digest(path)
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"The weights {path} cannot be read: {error}. Train the model again.") from error
    if digest != card.weights_sha256:
        raise ModelError(
            f"The weights {path} have sha256 {digest}, but {CARD_NAME} beside them names {card.weights_sha256}: "
            "they do not belong together. Copy the folder again."
        )
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if found != wanted:
        raise ModelError(f"The weights {path} have the tensors {found}, the {card.config.model} model {wanted}.")
    return weights
