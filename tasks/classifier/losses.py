"""The loss: cross-entropy summed over the labels, as in the starter code.

In: probabilities and targets of a batch. Out: a scalar. Does not know the model.

Shapes: M members, B videos of the batch, O outputs.
"""

# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

import torch
from torch import Tensor, nn

EPSILON = 1e-5  # as in the starter code; keeps log(0) finite


def cross_entropy(probabilities_MBO: Tensor, targets_BO: Tensor, weights_BO: Tensor) -> Tensor:
    """Return the cross-entropy summed over outputs, averaged over the videos, summed over the members.

    The members' losses share no parameter, so their sum trains each as if it were alone.
    """
    hit_MBO = targets_BO * (probabilities_MBO + EPSILON).log()
    miss_MBO = (1 - targets_BO) * (1 - probabilities_MBO + EPSILON).log()
    return -((hit_MBO + miss_MBO) * weights_BO).sum() / targets_BO.shape[0]


def l2_penalty(module: nn.Module, factor: float) -> Tensor:
    """Return `factor` times half the sum of all squared weights, biases left out, as TensorFlow's slim does."""
    weights = [weight for name, weight in module.named_parameters() if not name.endswith("bias")]
    return factor / 2 * torch.stack([weight.square().sum() for weight in weights]).sum()
