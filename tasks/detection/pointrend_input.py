"""What PointRend's network is shown of a picture, as PixelLib shows it.

In: a picture and a speed. Out: the size, the pixels, and the tensor that the network takes. Does not know the network.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from tasks.detection.detector import Picture

SHORTER_SIDE = 800  # pixels of the network's input, unless the longer side would go beyond its bound
LONGER_SIDE = {"normal": 1333, "fast": 667, "rapid": 333}  # at most, at each speed


def input_size(width: int, height: int, speed: str) -> tuple[int, int]:
    """Return the width and height that a picture has in the network (detectron2's `ResizeShortestEdge`)."""
    scale = SHORTER_SIDE / min(width, height)
    inner_width, inner_height = (scale * width, SHORTER_SIDE) if height < width else (SHORTER_SIDE, scale * height)
    longer = max(inner_width, inner_height)
    if longer > LONGER_SIDE[speed]:
        shrink = LONGER_SIDE[speed] / longer
        inner_width, inner_height = inner_width * shrink, inner_height * shrink
    # Detectron2 rounds a side below half a pixel to none, on which Pillow then fails.
    return max(1, int(inner_width + 0.5)), max(1, int(inner_height + 0.5))


def resized(image: Picture, size: tuple[int, int]) -> Picture:
    """Return a picture of the size (width, height), by the very resampling that PixelLib uses."""
    return np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def padded(pixels_nhwc: Tensor, mean_c11: Tensor, std_c11: Tensor, step: int) -> Tensor:
    """Return what the network takes: float32 (N, 3, H, W) in BGR, normalised, channels last.

    Sides grow to multiples of `step`, by zeros at the right and bottom.
    """
    bgr_nchw = pixels_nhwc.permute(0, 3, 1, 2).flip(1).float()
    normal_nchw = (bgr_nchw - mean_c11) / std_c11
    height, width = normal_nchw.shape[-2:]
    margins = (0, -width % step, 0, -height % step)
    return functional.pad(normal_nchw, margins).contiguous(memory_format=torch.channels_last)
