"""RLCSR by team IMGWLH: weight-normalised RFDN blocks whose outputs are fused twice, at once and one by one.

New: six blocks, all but the first with a skip connection; a fusion of all their outputs with layer attention (HAN, Niu
et al., ECCV 2020) beside a chain of fusions with interleaved channels; channel and spatial attention over both (CBAM,
Woo et al., ECCV 2018); convolutions outside the blocks that sum a 1×3, a 3×1 and a 3×3 kernel without merging them;
self-normalising activations. The network predicts a residual to the bicubically upscaled image.
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
    """Adds to the features of each layer those of the layers least like it, with a learned weight.

    The network has a single layer, which gets all attention: a multiplication by 1 + `weight`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """N×layers×C×H×W -> the same shape."""
        layers = x.flatten(2)
        likeness = layers @ layers.transpose(1, 2)
        weights = (likeness.amax(dim=-1, keepdim=True) - likeness).softmax(dim=-1)
        return add(rescale(weights @ layers, self.weight), layers).view(x.shape)


def distillation_block(channels: int, distilled_channels: int, attention_channels: int) -> nn.Module:
    """N×channels×H×W -> the same shape."""
    refine = nn.Sequential(
        Residual(nn.Sequential(conv(attention_channels, attention_channels), nn.SiLU(inplace=True))),
        Residual(nn.Sequential(conv(attention_channels, attention_channels), nn.SiLU(inplace=True))),
        Residual(conv(attention_channels, attention_channels)),
    )
    return weight_normalised(
        FeatureDistillation(
            distill=[conv(channels, distilled_channels, 1) for _ in range(STEPS)],
            refine=[conv(channels, channels) for _ in range(STEPS)],
            last=conv(channels, distilled_channels),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            attention=ESA(channels, attention_channels, context=pooled_context(attention_channels, refine=refine)),
            activation=nn.SELU(inplace=True),
        )
    )


class RLCSR(nn.Module):
    """Images in the range 0 to 255.

    `unused` holds modules that never run but count among the published parameters.

    Args:
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        attention_channels: number of channels within the spatial attention of a block.
        final_attention_channels: number of channels within the channel attention after the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 32,
        distilled_channels: int = 16,
        attention_channels: int = 8,
        final_attention_channels: int = 10,
        num_blocks: int = 6,
        scale: int = 4,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = AsymmetricConv(3, channels)
        first, *others = (
            distillation_block(channels, distilled_channels, attention_channels) for _ in range(num_blocks)
        )
        self.blocks = numbered([first, *map(Residual, others)])
        self.fuse = named(conv=conv(num_blocks * channels, channels, 1), activation=nn.SELU(inplace=True))
        self.layer_attention = LayerAttention()
        self.refine = AsymmetricConv(channels, channels)
        self.reduce = numbered(WeightNormConv2d(2 * channels, channels, 1) for _ in range(num_blocks - 1))
        self.channel_factors = ChannelFactors(2 * channels, final_attention_channels)
        self.spatial_attention = SpatialAttention(bias=False)
        self.narrow = AsymmetricConv(2 * channels, channels)
        self.upsampler = named(expand=AsymmetricConv(channels, 3 * scale**2, bias=True), shuffle=PixelShuffle(scale))
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
