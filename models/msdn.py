"""MSDN by team VMCL_Taobao: RFDN at several scales, with large kernels in its attention.

New: the spatial attention applies large-kernel attention's depthwise convolutions, a dilated 7×7 and a 5×5 one (Guo et
al., "Visual Attention Network", arXiv:2202.09741), to max-pooled features; each block pools less than the previous one.
A block's first refinement is a wide 1×1 and a grouped 3×3 convolution, its second a plain, its last a dilated one. SiLU
throughout, and no skip connections within the steps.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import RFDNTrunk
from esr.models.blocks.upsampling import pixel_shuffle_tail

STEPS = 2
WIDENING = 2
RANGE = 255.0


class Multiplied(nn.Module):
    """The input times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x * self.factor


def large_kernel_context(channels: int, stride: int) -> nn.Sequential:
    """Features pooled over windows of `2 * stride + 1` pixels, with a receptive field of 23×23 pooled pixels."""
    return named(
        pool=nn.MaxPool2d(2 * stride + 1, stride),
        activation=nn.GELU(),
        dilated=conv(channels, channels, 7, dilation=3, groups=channels),
        depthwise=conv(channels, channels, 5, groups=channels),
        pointwise=conv(channels, channels, 1),
    )


class MSDB(FeatureDistillation):
    """A distillation block of two steps, then spatial attention with a context of large kernels."""

    def __init__(self, channels: int, distilled_channels: int, attention_channels: int, stride: int) -> None:
        wide = WIDENING * channels
        widened = nn.Sequential(conv(channels, wide, 1), nn.SiLU(inplace=True), conv(wide, channels, groups=WIDENING))
        super().__init__(
            distill=[conv(channels, distilled_channels, 1) for _ in range(STEPS)],
            refine=[widened, conv(channels, channels)],
            last=conv(channels, distilled_channels, dilation=2),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            attention=ESA(
                channels,
                attention_channels,
                context=large_kernel_context(attention_channels, stride),
                project_skip=False,
            ),
            activation=nn.SiLU(inplace=True),
            residual=False,
        )


class MSDN(RFDNTrunk):
    """Images in the range 0 to 1; internally 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        attention_channels: number of channels within the spatial attention.
        strides: stride of the pooling in each block's attention; one block per entry.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 56,
        distilled_channels: int = 28,
        attention_channels: int = 7,
        strides: Sequence[int] = (4, 3, 2),
        scale: int = 4,
    ) -> None:
        super().__init__(
            [MSDB(channels, distilled_channels, attention_channels, stride) for stride in strides],
            channels=channels,
            scale=scale,
            activation=nn.SiLU(inplace=True),
            upsampler=pixel_shuffle_tail(channels, scale).append(Multiplied(1 / RANGE)),
        )
        self.head = named(to_range=Multiplied(RANGE), conv=self.head)
