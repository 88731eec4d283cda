"""m_RFDN by team Multicog: RFDN with separable convolutions of several kernel sizes.

New: each 3×3 convolution within the blocks becomes parallel depthwise convolutions of 1×1, 3×3 and 5×5 (mixed depthwise
kernels as in MixConv, Tan and Le, BMVC 2019, arXiv:1907.09595) and a 1×1 convolution, each with batch normalisation.
The upsampler doubles the size twice, with pixel attention, as in PAN (Zhao et al., ECCV workshops 2020,
arXiv:2010.01073).

Not ranked: its PSNR is not on par with the baseline's.
"""

from torch import nn

from esr.models.blocks.attention import ESA, PixelAttention
from esr.models.blocks.branches import Concatenated
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import RFDNTrunk

STEPS = 3
KERNELS = (1, 3, 5)


def separable(in_channels: int, out_channels: int, kernels: tuple[int, ...] = KERNELS) -> nn.Sequential:
    """N×in_channels×H×W -> N×out_channels×H×W, with one depthwise convolution per kernel size."""
    depthwise = [conv(in_channels, in_channels, kernel, groups=in_channels) for kernel in kernels]
    seen = len(kernels) * in_channels
    return named(
        depthwise=depthwise[0] if len(kernels) == 1 else Concatenated(depthwise),
        norm=nn.BatchNorm2d(seen),
        pointwise=conv(seen, out_channels, 1),
        out_norm=nn.BatchNorm2d(out_channels),
    )


class MRFDB(FeatureDistillation):
    """Residual feature distillation block of separable convolutions."""

    def __init__(self, channels: int) -> None:
        distilled_channels = channels // 2
        super().__init__(
            distill=[separable(channels, distilled_channels, (1,)) for _ in range(STEPS)],
            refine=[separable(channels, channels) for _ in range(STEPS)],
            last=separable(channels, distilled_channels),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            attention=ESA(channels, channels // 4),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


def doubling(number: int, channels: int, out_channels: int) -> dict[str, nn.Module]:
    """A stage of the upsampler: N×channels×H×W -> N×out_channels×2H×2W."""
    stage = {
        "double": nn.Upsample(scale_factor=2),
        "conv": conv(channels, channels),
        "attention": PixelAttention(channels),
        "activation": nn.LeakyReLU(0.2, inplace=True),
        "refine": conv(channels, out_channels),
        "refine_activation": nn.LeakyReLU(0.2, inplace=True),
    }
    return {f"{name}{number}": module for name, module in stage.items()}


class MRFDN(RFDNTrunk):
    """Images in the range 0 to 1; the upscaling factor is 4.

    Args:
        channels: number of channels of the features between the blocks.
        upsampled_channels: number of channels of the features at two and four times the input's size.
        num_blocks: number of blocks.
    """

    def __init__(self, *, channels: int = 52, upsampled_channels: int = 24, num_blocks: int = 4) -> None:
        stages = doubling(1, channels, upsampled_channels) | doubling(2, upsampled_channels, upsampled_channels)
        super().__init__(
            [MRFDB(channels) for _ in range(num_blocks)],
            channels=channels,
            upsampler=named(**stages, last=conv(upsampled_channels, 3)),
        )
