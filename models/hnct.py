"""HNCT by team mju_mnu: the fewest activations of all networks, since those of transformers do not count.

New: RFDN with convolutions and transformers in one block, without distillation. A block weights the pixels, applies
self-attention within plain and shifted windows, convolves, and ends in enhanced spatial attention. Only the block's
features are normalised, not those within the transformers.

Fang, Lin, Chen and Zeng, "A Hybrid Network of CNN and Transformer for Lightweight Image Super-Resolution", CVPR
workshops 2022.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.attention import ESA, SpatialAttention
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.trunk import RFDNTrunk
from esr.models.blocks.windows import swin_pair


class NormalizedTransformer(nn.Module):
    """Two window transformers after one normalisation, on features padded by reflection to whole windows."""

    def __init__(self, channels: int, num_heads: int, hidden_channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.layers = swin_pair(channels, num_heads, hidden_channels, window, normalize=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        height, width = x.shape[-2:]
        below, right = -height % self.window, -width % self.window
        if torch.compiler.is_compiling() or below or right:  # always on export, so that the size stays dynamic
            x = F.pad(x, (0, right, 0, below), mode="reflect")
        x = self.layers(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x[:, :, :height, :width]


class HNCT(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks, a multiple of `num_heads`.
        num_heads: number of attention heads.
        hidden_channels: number of channels within the transformers' networks for each pixel.
        window: window side in pixels.
        attention_channels: number of channels within the enhanced spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        num_heads: int = 5,
        hidden_channels: int = 100,
        window: int = 8,
        attention_channels: int = 12,
        num_blocks: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            [
                named(
                    spatial=SpatialAttention(),
                    transformer=NormalizedTransformer(channels, num_heads, hidden_channels, window),
                    refine=conv(channels, channels),
                    attention=ESA(channels, attention_channels),
                )
                for _ in range(num_blocks)
            ],
            channels=channels,
            scale=scale,
        )
