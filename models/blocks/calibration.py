"""Self-calibrated convolutions with pixel attention.

Zhao et al., "Efficient Image Super-Resolution Using Pixel Attention", ECCV workshops 2020, arXiv:2010.01073: a
block has two branches with half of its channels each, one of which rescales its features by a map of themselves.
"""

from collections.abc import Callable

from torch import nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv


def calibration_branch(
    channels: int,
    activation: Callable[[], nn.Module],
    *,
    calibrate: nn.Module | None = None,
    bias: bool = True,
) -> nn.Sequential:
    """One of the two branches: N×channels×H×W -> N×(channels // 2)×H×W.

    Args:
        channels: number of channels of the block, even.
        activation: creates one; used after the squeezing and at the end.
        calibrate: rescales the squeezed features in one of the two branches.
        bias: True if the 3×3 convolution has a bias.
    """
    half = channels // 2
    modules = {"squeeze": conv(channels, half, 1, bias=False), "squeeze_activation": activation()}
    if calibrate is not None:
        modules["calibrate"] = calibrate
    return named(**modules, refine=conv(half, half, bias=bias), activation=activation())
