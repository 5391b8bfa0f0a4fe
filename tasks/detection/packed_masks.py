"""Masks as COCO keeps them: run lengths down the columns, in a short text.

In: masks, bool (H, W). Out: JSON {"size": [H, W], "counts": "..."}, and back. Does not know what they cover.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def pack_mask(mask: NDArray[np.bool_]) -> str:
    """Return a mask, bool (H, W), as JSON of its run lengths."""
    packed: Any = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return json.dumps({"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")})


def unpack_mask(packed: str) -> NDArray[np.bool_]:
    """Return the mask, bool (H, W), that was packed."""
    return coco.decode(json.loads(packed)).astype(np.bool_)
