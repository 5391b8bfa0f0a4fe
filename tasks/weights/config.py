"""One entry of the table of weights, and the entries that YouTube-8M's features need."""

from typing import Annotated

from pydantic import Field

from tasks.contracts.model import FrozenModel, Sha256

Address = Annotated[str, Field(pattern=r"^https?://[^\s/]+/\S+$")]


class WeightsEntry(FrozenModel):
    """One file of weights."""

    file_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="as it lies in a folder")
    urls: tuple[Address, ...] = Field(min_length=1, description="http(s) addresses, the best first")
    size_bytes: int | None = Field(default=None, ge=1, description="of what the address gives, where it is known")
    sha256: Sha256 | None = Field(default=None, description="of what the address gives, where it is known")
    licence: str = Field(description="SPDX id, or a few words")
    used_for: str = Field(description="what needs it, in a few words")
    archive_member: str | None = Field(default=None, description="the file within the .tgz at the address")


NEEDED_WEIGHTS = ("inception-2015", "yt8m-pca-mean", "yt8m-pca-eigenvals", "yt8m-pca-eigenvecs", "vggish", "vggish-pca")
