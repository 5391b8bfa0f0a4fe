"""Which detector the workers of a pool have found themselves to be.

In: what a form calls a detector, and the record of the one that a worker opened. Out: that record, for whoever has no
GPU and wants to know whether a video was looked at already. Does not open any.
"""

from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.objects import DetectorRecord
from tasks.fan_out.memory import recalled, remember

DETECTORS_NAME = "detectors.json"


def known_detector(folder: Path, name: str, speed: str) -> DetectorRecord | None:
    """Return what a detector was when it was last opened by a worker; None where none has opened it yet."""
    try:
        return DetectorRecord.model_validate(recalled(folder / DETECTORS_NAME).get(f"{name} {speed}"))
    except ValidationError:
        return None


def keep_detector(folder: Path, name: str, speed: str, record: DetectorRecord) -> None:
    """Remember what a detector is."""
    if known_detector(folder, name, speed) != record:
        remember(folder / DETECTORS_NAME, f"{name} {speed}", record.model_dump(mode="json"))
