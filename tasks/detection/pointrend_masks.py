"""PointRend's masks, refined for the classes that were found and for no others.

In: the features of pictures, and boxes with classes. Out: a soft mask for each box. Does not know pictures.

PixelLib refines the masks of all 80 classes at every box, up to 224 x 224, and then throws 79 of them away; for a
picture of 20 things these are 320 MB, over and over. The steps are the same here, with one class a box (Kirillov et
al., PointRend, 2020, section 3.1; in PixelLib `PointRendMaskHead._subdivision_inference`).

R boxes, C classes, P points, S pixels a side of a mask, s of a coarse one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def add_masks(head: Any, features: Mapping[str, Tensor], instances: Sequence[Any]) -> None:  # noqa: ANN401 - untyped
    """Give each of the instances of each picture its `pred_masks`, float (R, 1, S, S) in [0, 1].

    Args:
        head: PixelLib's `PointRendMaskHead`.
        features: maps (pictures, channels, height, width), among them those that the head takes.
        instances: PixelLib's `Instances` of each picture, with `pred_boxes` and `pred_classes`.
    """
    boxes = [each.pred_boxes for each in instances]
    classes_r = torch.cat([each.pred_classes for each in instances])
    masks_r1ss = _refined(head, features, boxes, classes_r).sigmoid()
    for each, masks in zip(instances, masks_r1ss.split([len(each) for each in instances]), strict=True):
        each.pred_masks = masks


def _refined(head: Any, features: Mapping[str, Tensor], boxes: Sequence[Any], classes_r: Tensor) -> Tensor:  # noqa: ANN401
    """Return logits (R, 1, S, S): a coarse grid, doubled a few times with its least certain points looked at again."""
    # PixelLib's package costs seconds, and is there by now.
    from pixellib.torchbackend.instance.point_rend import point_features as points  # noqa: PLC0415

    side = head.mask_point_subdivision_init_resolution
    if len(classes_r) == 0:
        return torch.zeros(0, 1, side, side, device=classes_r.device)
    coarse_rcss = head.coarse_head(head._roi_pooler(features, boxes))
    places_rp2 = points.generate_regular_grid_point_coords(len(classes_r), side, classes_r.device)
    logits_r1ss = _logits(head, features, boxes, classes_r, coarse_rcss, places_rp2).reshape(-1, 1, side, side)
    for _ in range(head.mask_point_subdivision_steps):
        logits_r1ss = functional.interpolate(logits_r1ss, scale_factor=2, mode="bilinear", align_corners=False)
        chosen_rp, places_rp2 = points.get_uncertain_point_coords_on_grid(
            -logits_r1ss.abs(), head.mask_point_subdivision_num_points
        )
        logits_r1p = _logits(head, features, boxes, classes_r, coarse_rcss, places_rp2)
        logits_r1ss = logits_r1ss.flatten(2).scatter_(2, chosen_rp[:, None], logits_r1p).view_as(logits_r1ss)
    return logits_r1ss


def _logits(
    head: Any,  # noqa: ANN401 - PixelLib has no types
    features: Mapping[str, Tensor],
    boxes: Sequence[Any],
    classes_r: Tensor,
    coarse_rcss: Tensor,
    places_rp2: Tensor,
) -> Tensor:
    """Return logits (R, 1, P) of each box's own class at places of the box, in [0, 1]."""
    fine = head._point_pooler(features, boxes, places_rp2)
    logits_rcp = head._get_point_logits(fine, places_rp2, coarse_rcss)
    return logits_rcp[torch.arange(len(classes_r), device=classes_r.device), classes_r][:, None].float()
