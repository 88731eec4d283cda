"""PRRN by team GDUT_SR: sixteen self-calibrated blocks, each fused with the shallow features.

New: PAN's self-calibrated block (Zhao et al., "Efficient Image Super-Resolution Using Pixel Attention", ECCV workshops
2020, arXiv:2010.01073) with a calibration map that uses pixel and channel attention, and with channel attention at its
end; the shallow features are fused into the output of every block.

Wen et al., "Progressive Representation Recalibration for Lightweight Super-Resolution", Neurocomputing 2022.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ChannelAttention
from esr.models.blocks.branches import Concatenated, Gated, Residual
from esr.models.blocks.calibration import calibration_branch
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import concatenate
from esr.models.blocks.inplace import add, rescale
from esr.models.blocks.trunk import ConvTrunk


class PixelAndChannelAttention(nn.Module):
    """Rescales the input by the sum of a factor for each pixel and channel and a factor for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pixel_map = conv(channels, channels, 1)
        self.channel = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        factors = add(self.pixel_map(x).sigmoid(), self.channel.factors(x))
        return rescale(factors, x)


def calibration(channels: int) -> Gated:
    """Features rescaled by a map that is itself rescaled: N×channels×H×W -> the same shape."""
    guide = nn.Sequential(PixelAndChannelAttention(channels), conv(channels, channels, 1))
    return Gated(
        features=conv(channels, channels),
        logits=Gated(features=conv(channels, channels), logits=guide),
    )


def calibrated_block(channels: int) -> Residual:
    """N×channels×H×W -> the same shape."""

    def activation() -> nn.Module:
        return nn.SiLU(inplace=True)

    calibrated = calibration_branch(channels, activation, calibrate=calibration(channels // 2))
    return Residual(
        named(
            branches=Concatenated([calibrated, calibration_branch(channels, activation)]),
            fuse=conv(channels, channels, 1, bias=False),
            activation=activation(),
            attention=ChannelAttention(channels),
        )
    )


class PRRN(ConvTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks, even.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 40, num_blocks: int = 16, scale: int = 4) -> None:
        super().__init__(
            numbered(calibrated_block(channels) for _ in range(num_blocks)), channels=channels, scale=scale
        )
        self.remind = numbered(conv(2 * channels, channels, 1) for _ in range(num_blocks))

    def deepened(self, shallow: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        deep = shallow
        for block, remind in zip(self.blocks, self.remind, strict=True):
            deep = block(deep)
            deep = concatenate([shallow, deep])
            deep = remind(deep)
        return deep
