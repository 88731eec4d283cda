"""RLCSR by team IMGWLH: weight-normalised RFDN blocks whose outputs are fused twice, at once and one by one.

New in it: six blocks, all but the first with a skip connection; a fusion of all their outputs with layer
attention (HAN, Niu et al., ECCV 2020) beside a chain of fusions with interleaved channels; channel and spatial
attention over both (CBAM, Woo et al., ECCV 2018); convolutions outside the blocks that add a 1×3, a 3×1 and a
3×3 kernel without being merged into one; self-normalising activations. The network learns what the bicubically
enlarged image lacks.

19th in the main track, 17th in both sub-tracks.
"""

import torch
from torch import Tensor, nn

from esr.models.blocks.attention import ESA, ChannelFactors, SpatialAttention, pooled_context
from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation, chain, concatenate, interleave
from esr.models.blocks.inplace import add, rescale
from esr.models.blocks.upsampling import PixelShuffle, bicubic
from esr.models.blocks.weight_norm import WeightNormConv2d, weight_normalised

STEPS = 3


class AsymmetricConv(nn.Module):
    """A 3×3 convolution plus one along the rows and one along the columns: N×in×H×W -> N×out×H×W."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = False) -> None:
        super().__init__()
        self.square = conv(in_channels, out_channels, bias=bias)
        self.horizontal = conv(in_channels, out_channels, (1, 3), bias=bias)
        self.vertical = conv(in_channels, out_channels, (3, 1), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """N×in_channels×H×W -> N×out_channels×H×W."""
        features = add(self.vertical(x), self.horizontal(x))
        return add(features, self.square(x))


class LayerAttention(nn.Module):
    """Adds to the features of each layer those of the layers unlike it, with a learned weight.

    The network here has a single layer, to which it gives all attention: a multiplication by 1 + `weight`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """N×layers×C×H×W -> the same shape."""
        layers = x.flatten(2)
        likeness = layers @ layers.transpose(1, 2)
        attention = (likeness.amax(dim=-1, keepdim=True) - likeness).softmax(dim=-1)
        return add(rescale(attention @ layers, self.weight), layers).view(x.shape)


def distillation_block(channels: int, distilled: int, attention: int) -> nn.Module:
    """N×channels×H×W -> the same shape."""
    refine = nn.Sequential(
        Residual(nn.Sequential(conv(attention, attention), nn.SiLU(inplace=True))),
        Residual(nn.Sequential(conv(attention, attention), nn.SiLU(inplace=True))),
        Residual(conv(attention, attention)),
    )
    return weight_normalised(
        FeatureDistillation(
            distill=[conv(channels, distilled, 1) for _ in range(STEPS)],
            refine=[conv(channels, channels) for _ in range(STEPS)],
            last=conv(channels, distilled),
            fuse=conv((STEPS + 1) * distilled, channels, 1),
            attention=ESA(channels, attention, context=pooled_context(attention, refine=refine)),
            activation=nn.SELU(inplace=True),
        )
    )


class RLCSR(nn.Module):
    """Images in the range 0 to 255.

    Modules that never run are in `unused`: the published count of parameters includes them.

    Args:
        channels: of the features between the blocks.
        distilled: channels that each step of a block distils.
        attention: channels within the spatial attention of a block.
        squeezed: channels within the channel attention after the blocks.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 32,
        distilled: int = 16,
        attention: int = 8,
        squeezed: int = 10,
        blocks: int = 6,
        scale: int = 4,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = AsymmetricConv(3, channels)
        first, *others = (distillation_block(channels, distilled, attention) for _ in range(blocks))
        self.blocks = numbered([first, *map(Residual, others)])
        self.fuse = named(conv=conv(blocks * channels, channels, 1), activation=nn.SELU(inplace=True))
        self.layer_attention = LayerAttention()
        self.refine = AsymmetricConv(channels, channels)
        self.reduce = numbered(WeightNormConv2d(2 * channels, channels, 1) for _ in range(blocks - 1))
        self.channel_factors = ChannelFactors(2 * channels, squeezed)
        self.spatial_attention = SpatialAttention(bias=False)
        self.narrow = AsymmetricConv(2 * channels, channels)
        self.upsampler = named(
            expand=AsymmetricConv(channels, 3 * scale**2, bias=True), shuffle=PixelShuffle(scale)
        )
        self.unused = _unused(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        deep = self.narrow(self._rescaled(self._fused(chain(self.blocks, self.head(x)))))
        image: Tensor = self.upsampler(deep)
        return add(image, bicubic(x, self.scale))

    def _fused(self, outputs: list[Tensor]) -> Tensor:
        """Both fusions of the blocks' outputs side by side, N×2·channels×H×W; empties the list."""
        reduced, *others = outputs
        for reduce, output in zip(self.reduce, others, strict=True):
            reduced = reduce(interleave([reduced, output]))
        del others, output
        fused = self.layer_attention(self.fuse(concatenate(outputs))[:, None])[:, 0]
        return concatenate([self.refine(fused), reduced])

    def _rescaled(self, x: Tensor) -> Tensor:
        """Overwrites its argument, N×2·channels×H×W."""
        channel, pixel = self.channel_factors(x), self.spatial_attention.factors(x)
        return rescale(rescale(x, channel), pixel)


def _unused(channels: int) -> nn.ModuleDict:
    def weight() -> nn.Module:
        return nn.ParameterList([torch.ones(1)])

    return nn.ModuleDict(
        {
            "after_blocks": WeightNormConv2d(channels, channels),
            "last": conv(channels, channels),
            "narrow": conv(2 * channels, channels),
            "merge_images": conv(6, 3),
            "inner_weight": weight(),
            "skip_weight": weight(),
        }
    )
