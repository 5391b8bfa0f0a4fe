"""Masks as COCO keeps them: run lengths down the columns, in a short text.

In: masks, bool (H, W). Out: JSON {"size": [H, W], "counts": "..."}, and back. Does not know what they cover.
Source of the format: `rleFrString` in https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

FIRST_CHARACTER = 48  # "0" stands for 0: each character holds five bits of a count, the lowest first
BITS, MORE, SIGN = 5, 0x20, 0x10


def pack_mask(mask: NDArray[np.bool_]) -> str:
    """Return a mask, bool (H, W), as JSON of its run lengths."""
    packed: Any = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return json.dumps({"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")})


def unpack_mask(packed: str) -> NDArray[np.bool_]:
    """Return the mask, bool (H, W), that was packed.

    pycocotools' own `decode` is not used: it warns with every call under NumPy 2, and warnings cannot be silenced in
    one thread alone.
    """
    fields = json.loads(packed)
    height, width = fields["size"]
    counts = _counts(fields["counts"])
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return runs.reshape(width, height).T


def _counts(text: str) -> list[int]:
    """Return the lengths of the runs, of zeros first; from the fourth on, the text has the change from two before."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - FIRST_CHARACTER
        value |= (bits & ~MORE) << shift
        shift += BITS
        if bits & MORE:
            continue
        if bits & SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
