"""What settings say of weights: an entry of their table, and the networks of one's own that are made of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from tasks.contracts.features import YT8M_FEATURE_SPACE
from tasks.contracts.model import FrozenModel

# Whole, or its beginning: torchvision's own files carry the first eight digits in their names.
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")]
DIGITS = 64  # of a whole one
Address = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")]


class WeightsEntry(FrozenModel):
    """One file of weights."""

    file_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="as it lies in a folder")
    urls: tuple[Address, ...] = Field(
        default=(),
        min_length=1,
        description="http(s) addresses, the best first; left out: a person puts the file into the folder",
    )
    size_bytes: int | None = Field(default=None, ge=1, description="of what the address gives, where it is known")
    sha256: Digest | None = Field(
        default=None, description="of what the address gives, where it is known; its first 8 digits or more will do"
    )
    licence: str = Field(default="not stated", description="SPDX id, or a few words")
    used_for: str = Field(default="a feature space of your own", description="what needs it, in a few words")
    archive_member: str | None = Field(default=None, description="the file within the .tgz at the address")
    group: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="name under which files that are needed together are fetched",
    )

    @property
    def whole_sha256(self) -> str | None:
        """The digest, where all of it is known."""
        return self.sha256 if self.sha256 and len(self.sha256) == DIGITS else None

    def is_it(self, sha256: str) -> bool:
        """Say whether what the address gives may have this digest."""
        return self.sha256 is None or sha256.startswith(self.sha256)


NEEDED_WEIGHTS = ("inception-2015", "yt8m-pca-mean", "yt8m-pca-eigenvals", "yt8m-pca-eigenvecs", "vggish", "vggish-pca")
YT8M_GROUP = "yt8m"  # of these files, and the short name of the feature space
EFFICIENTNET_LITE0 = "efficientnet-lite0"  # the weights that a package carries, and the feature space of them
SHIPPED_SPACES = (EFFICIENTNET_LITE0, YT8M_GROUP, YT8M_FEATURE_SPACE)  # the last two are one

Colours = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
OF_TORCHVISION, OF_ONNX = ("layer", "preprocessing"), ("output", "side", "scale", "mean", "std", "colours")


class OnnxDetector(FrozenModel):
    """A detector of one's own: an ONNX file of COCO's classes that puts out what D-FINE, RT-DETR or RF-DETR do."""

    weights: str = Field(description="name of the file in the table of weights or in `[weight_files]`")
    side: int | None = Field(
        default=None, ge=32, le=4096, description="pixels of a side, where the file leaves them open"
    )
    mean: Colours | None = Field(
        default=None,
        description="of red, green and blue: the network takes (pixel / 255 - mean) / std; none: as its outputs tell",
    )
    std: Colours | None = Field(default=None, description="of red, green and blue; goes with `mean`")

    @model_validator(mode="after")
    def _mean_goes_with_std(self) -> Self:
        if (self.mean is None) != (self.std is None):
            msg = "`mean` and `std` go together"
            raise ValueError(msg)
        if self.std is not None and min(self.std) <= 0:
            msg = "`std` must be above 0"
            raise ValueError(msg)
        return self


class Backbone(FrozenModel):
    """A feature space of one's own: a model of torchvision up to a layer, or an ONNX file with one picture input."""

    weights: str = Field(description="name of the file in the table of weights or in `[weight_files]`")
    model: str | None = Field(default=None, description="torchvision's name, e.g. resnet50; none: the file is ONNX")
    layer: str | None = Field(
        default=None, description="of the model: its output, averaged over places, is the features"
    )
    preprocessing: str | None = Field(
        default=None,
        description="weights of torchvision's whose preprocessing is used, e.g. IMAGENET1K_V1; default: the best",
    )
    output: str | None = Field(default=None, description="of an ONNX file that has several")
    side: int | None = Field(
        default=None, ge=8, le=4096, description="pixels of a side, where an ONNX file leaves them open"
    )
    scale: float = Field(
        default=1 / 255,
        gt=0,
        allow_inf_nan=False,
        description="an ONNX file of floats takes (pixel * scale - mean) / std, pixel 0 to 255",
    )
    mean: Colours = Field(default=(0.0, 0.0, 0.0), description="of red, green and blue")
    std: Colours = Field(default=(1.0, 1.0, 1.0), description="of red, green and blue")
    colours: Literal["rgb", "bgr"] = Field(default="rgb", description="order in which an ONNX file takes them")
    sound: bool = Field(default=True, description="also 128 values of the sound: means and deviations of log-mel bands")
    rate_hz: float = Field(default=1.0, ge=0.01, le=60, description="moments a second that are looked at")

    @model_validator(mode="after")
    def _settings_are_of_its_kind(self) -> Self:
        kind, others = ("an ONNX file", OF_TORCHVISION) if self.model is None else ("a model of torchvision", OF_ONNX)
        if wrong := [name for name in others if name in self.model_fields_set]:
            msg = f"`{wrong[0]}` is no setting of {kind} (`model` names one of torchvision's)"
            raise ValueError(msg)
        if self.model is not None and self.layer is None:
            msg = f"`layer` must name one of {self.model}, e.g. avgpool"
            raise ValueError(msg)
        if min(self.std) <= 0:
            msg = "`std` must be above 0"
            raise ValueError(msg)
        return self
