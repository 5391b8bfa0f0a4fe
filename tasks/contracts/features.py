"""A feature space: which values describe a video or a second of it, and what computes them."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.contracts.errors import FeatureSpaceError
from tasks.contracts.model import FrozenModel, Sha256

RGB_SIZE = 1024  # floats of mean_rgb
AUDIO_SIZE = 128  # floats of mean_audio
LOWEST, HIGHEST = -2.0, 2.0  # between which YouTube-8M's features were cut off before they were quantised to 8 bits
RANGE = HIGHEST - LOWEST
CODE_STEP, CODE_ZERO = RANGE / 255.0, RANGE / 512.0 + LOWEST  # a code q means q * step + zero: starter code, utils.py
YT8M_FEATURE_SPACE = "yt8m-video-2018"  # mean_rgb then mean_audio of the release of 2018, not normalised


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name):
        raise ValueError("must be small letters, digits and hyphens, 64 at most, e.g. my-network")
    return name


SpaceName = Annotated[str, AfterValidator(_checked_name)]


class Modality(FrozenModel):
    """One kind of features: of the picture, or of the sound."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$", description="the column of its means in a dataset's Parquet")
    size: int = Field(ge=1, le=65_536, description="values a second, and a video")


class SpaceWeights(FrozenModel):
    """A file of weights that features depend on."""

    name: str
    sha256: Sha256


class FeatureSpace(FrozenModel):
    """What a dataset's features are, and what a classifier that was trained on them looks at.

    Two spaces are the same if all of this is the same: features of one mean nothing to a classifier of another.
    """

    name: SpaceName
    modalities: tuple[Modality, ...] = Field(min_length=1, description="in the order in which they are concatenated")
    rate_hz: float = Field(default=1.0, gt=0, le=100, description="moments a second that are looked at")
    extractor: str = Field(description="the networks and their preprocessing, with a version")
    weights: tuple[SpaceWeights, ...] = Field(default=(), description="empty where a dataset came with its features")
    scaling: Literal["l2", "standard"] = Field(
        default="standard",
        description="what a classifier does first. l2: each video's vector to length 1, as the starter code does with "
        "whitened features; standard: each feature to mean 0 and variance 1 over the training videos",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [modality.name for modality in self.modalities]
        if len(set(names)) < len(names):
            msg = f"two modalities have one name: {', '.join(names)}"
            raise ValueError(msg)
        return self

    @property
    def size(self) -> int:
        """How many values describe a video: those of all modalities."""
        return sum(modality.size for modality in self.modalities)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each modality stands in a concatenated vector."""
        found, begin = {}, 0
        for modality in self.modalities:
            found[modality.name] = slice(begin, begin + modality.size)
            begin += modality.size
        return found

    def check_same(self, other: "FeatureSpace", *, who: str, what: str) -> None:
        """Refuse to use features of another space.

        `who` has this space, `what` the other one.

        Raises:
            FeatureSpaceError: they are not the same.
        """
        if self.name != other.name:
            raise FeatureSpaceError(
                f"{who} has the feature space {self.name!r}, and {what} {other.name!r}: its answers would mean nothing."
            )
        if self != other:
            raise FeatureSpaceError(
                f"{who} and {what} both name the feature space {self.name!r}, but {self._difference(other)}: its "
                "answers would mean nothing. Extract the features again, or give one of them another name."
            )

    def _difference(self, other: "FeatureSpace") -> str:
        fields = [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]
        return f"they differ in {', '.join(fields)}"


# Of the release of 2018. Its `weights` are those of its makers; `conf/weights.toml` has the published ones.
YT8M = FeatureSpace(
    name=YT8M_FEATURE_SPACE,
    modalities=(Modality(name="mean_rgb", size=RGB_SIZE), Modality(name="mean_audio", size=AUDIO_SIZE)),
    extractor="inception-2015 and vggish, each with pca, 8 bits",
    scaling="l2",
)
