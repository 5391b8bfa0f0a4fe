"""How a classifier is trained and how two of them are compared."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from tasks.contracts.model import FrozenModel

METADATA_NAME = "classifier.json"  # beside the weights, whose digest it names


class ModelKind(StrEnum):
    """The architectures of `tasks/classifier/models.py`."""

    LOGISTIC = "logistic"
    MOE = "moe"
    GATED = "gated"
    CHAIN = "chain"
    # Of `tasks/classifier/sequence.py`: these look at a video's moments, not at their mean.
    MEAN = "mean"
    LSTM = "lstm"
    GRU = "gru"
    ATTENTION = "attention"
    NETVLAD = "netvlad"
    NEXTVLAD = "nextvlad"
    CONVOLUTION = "convolution"

    @property
    def is_over_time(self) -> bool:
        """Whether it looks at a video's moments, one after the other."""
        return self not in {ModelKind.LOGISTIC, ModelKind.MOE, ModelKind.GATED, ModelKind.CHAIN}


class TrainConfig(FrozenModel):
    """One training: the architecture, the recipe and the seed. The defaults are the starter code's recipe."""

    model: ModelKind = Field(description="architecture")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the initial weights, the batches and the dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")

    use_background: bool = Field(
        default=False, description="learn from background videos as well, and answer whether a video matches at all"
    )
    match_weight: float = Field(
        default=1.0, gt=0, le=1000, description="how often a matching video's labels count beside a background video's"
    )
    min_positives: int = Field(
        default=5, ge=1, description="a label is learnt if at least this many matching training videos have it"
    )

    epochs: int = Field(default=5, ge=1, le=10_000, description="passes over the training videos")
    batch_size: int = Field(default=1024, ge=1, description="videos a step")
    learning_rate: float = Field(default=0.01, gt=0, le=10, description="Adam's highest learning rate")
    schedule: Literal["staircase", "cosine"] = Field(
        default="staircase", description="staircase: x0.95 every 4 million videos; cosine: warm-up, then down to zero"
    )
    clip_norm: float = Field(default=1.0, gt=0, description="bound of each gradient tensor's l2 norm")
    l2_penalty: float = Field(default=1e-8, ge=0, description="times half the squared weights, added to the loss")
    weight_decay: float = Field(default=0.0, ge=0, le=100, description="decoupled decay of the weights, as in AdamW")
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="decay a step of the averaged weights that are judged and kept; 0: none"
    )
    patience: int = Field(
        default=0, ge=0, description="stop after this many epochs without a better validation GAP; 0: never"
    )

    experts: int = Field(
        default=2,
        ge=0,
        le=64,
        description="moe, chain: experts a label, besides the dummy; chain: 0 for a logistic regression in their place",
    )
    members: int = Field(default=1, ge=1, le=64, description="gated, chain: networks trained side by side and averaged")
    hidden_size: int = Field(
        default=512, ge=1, le=16_384, description="units of a hidden layer; logistic and moe have none"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of hidden units left out a step")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of features left out a step")
    # Left out where it is as for all other models, so that these keep the cache keys that they have always had.
    stages: int = Field(
        default=1,
        ge=1,
        le=16,
        exclude_if=lambda stages: stages == 1,
        description="chain: mixtures of experts, each of which sees what those before it predicted",
    )
    equal_modalities: bool = Field(
        default=False, exclude_if=lambda is_equal: not is_equal, description="chain: picture and sound weigh the same"
    )
    layers: int = Field(
        default=1,
        ge=1,
        le=16,
        exclude_if=lambda layers: layers == 1,
        description="lstm, gru: networks one upon the other; convolution: layers, each of which sees twice as far",
    )
    heads: int = Field(
        default=8,
        ge=1,
        le=256,
        exclude_if=lambda heads: heads == 8,
        description="attention: views of a video; nextvlad: groups of features",
    )
    clusters: int = Field(
        default=16,
        ge=1,
        le=1024,
        exclude_if=lambda clusters: clusters == 16,
        description="netvlad, nextvlad: cluster centres",
    )

    @model_validator(mode="after")
    def _a_mixture_has_experts(self) -> Self:
        if self.model is ModelKind.MOE and not self.experts:
            raise ValueError("moe is a mixture of experts, and needs one at least: experts must be 1 or more")
        return self


class GateConfig(FrozenModel):
    """When a challenger may take the champion's place."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the bootstrap interval of the gain in GAP")
    resamples: int = Field(default=1000, ge=100, le=100_000, description="bootstrap resamples of the videos")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the resamples")
    max_ap_loss: float = Field(default=0.05, ge=0, le=1, description="AP that a label may lose at most")
    min_positives: int = Field(
        default=20, ge=1, description="a label is guarded if at least this many of the videos judged on have it"
    )


def _over_time(model: ModelKind, **others: int) -> TrainConfig:
    """Return the recipe of the models over time, which is the same for all, so that the networks compare."""
    return TrainConfig(
        model=model,
        epochs=30,
        batch_size=32,
        learning_rate=1e-3,
        schedule="cosine",
        l2_penalty=0,
        weight_decay=0.01,
        ema_decay=0.9,
        patience=10,
        dropout=0.3,
        input_dropout=0.1,
        **{"hidden_size": 128, **others},  # pyright: ignore[reportArgumentType] - pydantic checks them
    )


PRESETS: Mapping[str, TrainConfig] = MappingProxyType(
    {
        "logistic": TrainConfig(model=ModelKind.LOGISTIC),
        "moe": TrainConfig(model=ModelKind.MOE),
        "gated": TrainConfig(
            model=ModelKind.GATED,
            use_background=True,
            match_weight=8,
            epochs=8,
            batch_size=512,
            learning_rate=2e-3,
            schedule="cosine",
            l2_penalty=0,
            weight_decay=0.01,
            ema_decay=0.99,
            patience=3,
            members=2,
            hidden_size=1024,
            dropout=0.5,
            input_dropout=0.2,
        ),
        "chain": TrainConfig(
            model=ModelKind.CHAIN,
            min_positives=3,
            epochs=8,
            batch_size=256,
            learning_rate=2e-3,
            schedule="cosine",
            l2_penalty=0,
            weight_decay=1.0,
            ema_decay=0.98,
            patience=3,
            experts=0,
            members=4,
            stages=2,
            equal_modalities=True,
            hidden_size=1024,
            dropout=0.4,
            input_dropout=0.25,
        ),
        "mean": _over_time(ModelKind.MEAN),
        "lstm": _over_time(ModelKind.LSTM),
        "gru": _over_time(ModelKind.GRU),
        "attention": _over_time(ModelKind.ATTENTION),
        "netvlad": _over_time(ModelKind.NETVLAD),
        "nextvlad": _over_time(ModelKind.NEXTVLAD),
        "convolution": _over_time(ModelKind.CONVOLUTION, layers=4),
    }
)
