"""SCET by team Giantpandacv: self-calibrated convolutions, then one transformer at full resolution.

New: sixteen blocks of PAN's self-calibrated convolutions without an activation after their fusion; a transformer block
from Restormer (Zamir et al., CVPR 2022, arXiv:2111.09881), with attention among channels instead of pixels, so that its
cost is linear in the number of pixels; a second path around all of it, a pixel shuffle and one convolution of the
shallow features.

Zou et al., "Self-Calibrated Efficient Transformer for Lightweight Super-Resolution", CVPR workshops 2022,
arXiv:2204.08913.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.branches import Concatenated, Gated, Residual
from esr.models.blocks.calibration import calibration_branch
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add, rescale
from esr.models.blocks.upsampling import PixelShuffle


def calibrated_block(channels: int) -> Residual:
    """N×channels×H×W -> the same shape."""

    def activation() -> nn.Module:
        return nn.LeakyReLU(0.2, inplace=True)

    half = channels // 2
    calibrate = Gated(features=conv(half, half, bias=False), logits=conv(half, half, 1))
    plain = calibration_branch(channels, activation, bias=False)
    calibrated = calibration_branch(channels, activation, calibrate=calibrate, bias=False)
    return Residual(
        named(
            branches=Concatenated([plain, calibrated]),
            fuse=conv(channels, channels, 1, bias=False),
        )
    )


class PixelNorm(nn.Module):
    """Layer normalisation of the channels of each pixel.

    >>> PixelNorm(2)(torch.tensor([2.0, 4.0]).view(1, 2, 1, 1)).flatten()
    tensor([-1.0000,  1.0000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, channels: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        normed = rescale(centred, (variance + self.epsilon).rsqrt())
        return torch.addcmul(self.bias.view(-1, 1, 1), normed, self.weight.view(-1, 1, 1))


class ChannelSelfAttention(nn.Module):
    """Multi-head self-attention among channels, each described by all of its pixels.

    Args:
        channels: number of channels of input and output, a multiple of `num_heads`.
        num_heads: number of attention heads.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = PixelNorm(channels)
        self.qkv = conv(channels, 3 * channels, 1, bias=False)
        self.refine = conv(3 * channels, 3 * channels, groups=3 * channels, bias=False)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.project = conv(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        batch, channels, height, width = x.shape
        qkv = self.refine(self.qkv(self.norm(x)))
        qkv = qkv.reshape(batch, 3, self.num_heads, channels // self.num_heads, height * width)
        query, key = F.normalize(qkv[:, :2], dim=-1).unbind(1)
        weights = (query @ key.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        del query, key
        attended = weights @ qkv[:, 2]
        del qkv
        projected: Tensor = self.project(attended.view(x.shape))
        return projected


class GatedFeedForward(nn.Module):
    """Convolutions that widen the channels and gate one half of the result by the other.

    Args:
        channels: number of channels of input and output.
        hidden_channels: number of channels of either half.
    """

    def __init__(self, channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.expand = conv(channels, 2 * hidden_channels, 1, bias=False)
        self.refine = conv(2 * hidden_channels, 2 * hidden_channels, groups=2 * hidden_channels, bias=False)
        self.project = conv(hidden_channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        widened = self.expand(self.norm(x))
        factors, features = self.refine(widened).chunk(2, dim=1)
        del widened
        projected: Tensor = self.project(rescale(F.gelu(factors), features))
        return projected


class SCET(nn.Module):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features, a multiple of `num_heads` and of `scale²`.
        num_blocks: number of self-calibrated blocks.
        num_heads: number of attention heads.
        hidden_channels: number of channels within the transformer's feed-forward part.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        num_blocks: int = 16,
        num_heads: int = 8,
        hidden_channels: int = 170,
        scale: int = 4,
    ) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.blocks = nn.Sequential(*(calibrated_block(channels) for _ in range(num_blocks)))
        self.transformer = named(
            attention=Residual(ChannelSelfAttention(channels, num_heads)),
            pixelwise=Residual(GatedFeedForward(channels, hidden_channels)),
        )
        self.after_blocks = conv(channels, channels)
        self.upsampler = self._upsampler(channels, scale)
        self.shallow_upsampler = self._upsampler(channels, scale)

    @staticmethod
    def _upsampler(channels: int, scale: int) -> nn.Sequential:
        return named(shuffle=PixelShuffle(scale), conv=conv(channels // scale**2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        shallow = self.head(x)
        deep = shallow
        for module in (*self.blocks, *self.transformer, self.after_blocks):
            deep = module(deep)
        image: Tensor = self.upsampler(deep)
        return add(image, self.shallow_upsampler(shallow))
