"""HNCT by team mju_mnu: the fewest activations of all networks, since those of transformers do not count.

New in it: RFDN with convolutions and transformers in one block, without distillation. A block weighs the pixels,
lets them attend to each other within windows, plain and shifted, convolves, and ends in enhanced spatial
attention. The transformers normalise nothing but the block's features.

Fang, Lin, Chen and Zeng, "A Hybrid Network of CNN and Transformer for Lightweight Image Super-Resolution", CVPR
workshops 2022. 35th in the main track, 26th and 27th in the sub-tracks.
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
    """Two window transformers after one normalisation, on features mirrored to whole windows."""

    def __init__(self, channels: int, heads: int, hidden: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.layers = swin_pair(channels, heads, hidden, window, normalize=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        height, width = x.shape[-2:]
        below, right = -height % self.window, -width % self.window
        if (
            torch.compiler.is_compiling() or below or right
        ):  # when exported always, so that the size stays free
            x = F.pad(x, (0, right, 0, below), mode="reflect")
        x = self.layers(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x[:, :, :height, :width]


class HNCT(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks, a multiple of `heads`.
        heads: of the attention within windows.
        hidden: channels within the transformers' networks for each pixel.
        window: side of the windows, pixels.
        attention: channels within the enhanced spatial attention.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 50,
        heads: int = 5,
        hidden: int = 100,
        window: int = 8,
        attention: int = 12,
        blocks: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            [
                named(
                    spatial=SpatialAttention(),
                    transformer=NormalizedTransformer(channels, heads, hidden, window),
                    refine=conv(channels, channels),
                    attention=ESA(channels, attention),
                )
                for _ in range(blocks)
            ],
            channels=channels,
            scale=scale,
        )
