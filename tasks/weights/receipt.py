"""What is noted when a file of weights is fetched, to hold it to that from then on.

In: a path. Out: a receipt beside it. Does not fetch.
"""

from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.artifacts import Sha256
from tasks.contracts.errors import WeightsError
from tasks.contracts.files import write_text
from tasks.contracts.model import FrozenModel


class Receipt(FrozenModel):
    """Where a file came from and what it was."""

    url: str
    sha256: Sha256  # of the file itself
    archive_sha256: Sha256 | None = None  # of the archive that it was in


def receipt_path(path: Path) -> Path:
    """Return where the receipt of a file lies."""
    return path.with_name(f"{path.name}.fetched.json")


def read_receipt(path: Path) -> Receipt | None:
    """Return the receipt of a file; None where a person put it there.

    Raises:
        WeightsError: the receipt is damaged.
    """
    try:
        return Receipt.model_validate_json(receipt_path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise WeightsError(f"{receipt_path(path)} cannot be read: delete it and the file beside it.") from error


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Note what a file is."""
    write_text(receipt_path(path), receipt.model_dump_json(indent=2) + "\n")
