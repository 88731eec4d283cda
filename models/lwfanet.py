"""LWFANet by team Just Try: four branches of growing depth per block, and three maps that rescale them.

New: a block's branches squeeze its input to a quarter of the channels each and refine it by one, two, three and four
3×3 convolutions. Their result is rescaled by channel attention over mean and maximum (as in CBAM, Woo et al., ECCV
2018, arXiv:1807.06521) plus spatial attention; the block's input, which is added, by spatial attention of its own. The
size is doubled twice by repeating pixels.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ChannelFactors
from esr.models.blocks.branches import Concatenated
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add_product, rescale
from esr.models.blocks.trunk import ChainedTrunk

BRANCHES = 4


def activation() -> nn.Module:
    """Activation after all convolutions but those at the ends and in the attention."""
    return nn.LeakyReLU(0.2, inplace=True)


def branch(channels: int, squeezed_channels: int, depth: int) -> nn.Sequential:
    """N×channels×H×W -> N×squeezed_channels×H×W, with `depth` 3×3 convolutions."""
    modules: dict[str, nn.Module] = {
        "conv1": conv(channels, squeezed_channels, 1),
        "activation1": activation(),
    }
    for number in range(2, depth + 2):
        modules[f"conv{number}"] = conv(squeezed_channels, squeezed_channels)
        modules[f"activation{number}"] = activation()
    return named(**modules)


class LWFABlock(nn.Module):
    """Sum of rescaled parallel branches and the rescaled input."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        squeezed_channels = channels // BRANCHES
        self.branches = Concatenated(branch(channels, squeezed_channels, depth) for depth in range(1, BRANCHES + 1))
        self.channel_factors = ChannelFactors(channels, attention_channels)
        self.map = conv(channels, 1, 1)
        self.input_map = conv(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = self.branches(x)
        factors = self.channel_factors(features) + self.map(features).sigmoid()
        rescaled = rescale(factors, features)
        del features
        return add_product(rescaled, x, self.input_map(x).sigmoid())


class LWFANet(ChainedTrunk):
    """Images in the range 0 to 1; the upscaling factor is 4.

    Args:
        channels: number of channels of the features between the blocks, a multiple of 4.
        attention_channels: number of channels within the channel attention.
        upsampled_channels: number of channels of the features at two and four times the input's size.
        num_blocks: number of blocks.
    """

    def __init__(
        self,
        *,
        channels: int = 96,
        attention_channels: int = 6,
        upsampled_channels: int = 64,
        num_blocks: int = 10,
    ) -> None:
        super().__init__(
            head=conv(3, channels),
            blocks=numbered(LWFABlock(channels, attention_channels) for _ in range(num_blocks)),
            after_blocks=conv(channels, channels),
            upsampler=named(
                squeeze=conv(channels, upsampled_channels, 1),
                double1=nn.Upsample(scale_factor=2),
                conv1=conv(upsampled_channels, upsampled_channels),
                activation1=activation(),
                double2=nn.Upsample(scale_factor=2),
                conv2=conv(upsampled_channels, upsampled_channels),
                activation2=activation(),
                refine=conv(upsampled_channels, upsampled_channels),
                refine_activation=activation(),
                last=conv(upsampled_channels, 3),
            ),
        )
