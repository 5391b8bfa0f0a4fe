"""A trained classifier: what it answers, and how it is kept on the disk.

In: raw features of videos, or a folder. Out: probabilities, or a folder with `model.safetensors` and
`classifier.json` (no pickle). Does not know how it was trained nor where it is registered.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from tasks.classifier.card import CARD_NAME, FEATURE_SPACE, WEIGHTS_NAME, ClassifierCard, read_card, read_weights
from tasks.classifier.config import TrainConfig
from tasks.classifier.models import build_model
from tasks.contracts.artifacts import FEATURE_SIZE
from tasks.contracts.errors import ModelError
from tasks.contracts.files import appearing, file_digest, write_text

PREDICT_ROWS = 4096  # rows a forward pass: bounds the memory of a large prediction


@dataclass(frozen=True)
class FittedClassifier:
    """Weights with what is needed to use them. Takes raw features: normalising is part of the model.

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
    feature_space: str = FEATURE_SPACE

    @property
    def match_index(self) -> int | None:
        """The module's output that says whether a video matches at all, after those of the labels."""
        return len(self.label_ids) if self.has_match else None

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the labels' probabilities (n, L), in the order of `label_ids`, of raw features (n, 1152).

        Raises:
            ModelError: the features have another shape, or hold a NaN or an infinity.
        """
        return self._outputs(features)[:, : len(self.label_ids)]

    def predict_match(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (n,) that videos of raw features (n, 1152) match the dataset at all.

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
        card = ClassifierCard(
            config=self.config,
            label_ids=self.label_ids,
            label_names=self.label_names,
            has_match=self.has_match,
            dataset_id=self.dataset_id,
            feature_space=self.feature_space,
            weights_sha256=file_digest(folder / WEIGHTS_NAME),
        )
        write_text(folder / CARD_NAME, card.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote, onto the CPU.

        Raises:
            ModelError: a file is missing, is not what `save` writes, or the two do not belong together.
        """
        card = read_card(folder / CARD_NAME)
        module = build_model(card.config, len(card.label_ids) + card.has_match)
        module.load_state_dict(read_weights(folder / WEIGHTS_NAME, card, module))
        module.eval()
        return cls(
            module=module,
            label_ids=card.label_ids,
            label_names=card.label_names,
            config=card.config,
            dataset_id=card.dataset_id,
            has_match=card.has_match,
            feature_space=card.feature_space,
        )

    @torch.inference_mode()
    def _outputs(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        checked = checked_features(features)
        device = next(self.module.parameters()).device
        self.module.eval()
        blocks = [self.module(block.to(device)).cpu() for block in torch.from_numpy(checked).split(PREDICT_ROWS)]
        return torch.cat(blocks).numpy()


def checked_features(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features (n, 1152) as contiguous float32 that may be shared with a tensor.

    Raises:
        ModelError: another shape, or a NaN or an infinity in it.
    """
    if features.ndim != 2 or features.shape[1] != FEATURE_SIZE:
        raise ModelError(
            f"features must have shape (n, {FEATURE_SIZE}), got {features.shape}: 1024 of mean_rgb, then 128 of "
            "mean_audio, one row a video."
        )
    checked = np.require(features, np.float32, ["C", "W"])
    finite = np.isfinite(checked).all(axis=1)
    if not finite.all():
        raise ModelError(f"features of row {int(np.argmin(finite))} of {len(checked)} are not finite; filter them out.")
    return checked
