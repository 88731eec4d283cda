"""Attention that rescales features by a map of factors between 0 and 1."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import Conv2d, conv
from esr.models.blocks.inplace import add, gate, rescale


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _pointwise(in_channels: int, out_channels: int) -> nn.Module:
    return conv(in_channels, out_channels, 1)


def pooled_context(
    channels: int,
    convolutions: int = 3,
    *,
    activation: Callable[[], nn.Module] = _relu,
    layer: Callable[[int, int], nn.Module] = conv,
    refine: nn.Module | None = None,
) -> nn.Sequential:
    """ESA's low-resolution view: features reduced by a strided convolution and a wide pooling, then refined.

    Args:
        channels: number of channels of input and output.
        convolutions: number of 3×3 convolutions after the pooling, with activations in between.
        activation: creates one such activation.
        layer: creates one such convolution from its numbers of input and output channels.
        refine: follows the pooling in place of these convolutions.

    Returns:
        N×channels×H×W -> N×channels×h×w with `h = ((H - 3) // 2 - 6) // 3 + 1`; H and W are at least 15.
    """
    if refine is None:
        refine = nn.Sequential(layer(channels, channels))
        for _ in range(convolutions - 1):
            refine.extend([activation(), layer(channels, channels)])
    return named(
        downsample=Conv2d(channels, channels, kernel_size=3, stride=2),
        pool=nn.MaxPool2d(kernel_size=7, stride=3),
        refine=refine,
    )


class ESA(nn.Module):
    """Enhanced spatial attention (RFANet, Liu et al., CVPR 2020): a wide view at a low cost.

    The features are squeezed to a few channels, refined at a low resolution and expanded again; the squeezed features
    themselves are added, so that the map keeps its detail.

    Args:
        channels: number of channels of input and output.
        squeezed_channels: number of channels within the attention.
        context: maps the squeezed features to their low-resolution view; by default
            `pooled_context(squeezed)`.
        project_skip: True if the squeezed features pass a 1×1 convolution before they are added.
        pointwise: creates one 1×1 convolution from its numbers of input and output channels.
    """

    def __init__(
        self,
        channels: int,
        squeezed_channels: int,
        *,
        context: nn.Module | None = None,
        project_skip: bool = True,
        pointwise: Callable[[int, int], nn.Module] = _pointwise,
    ) -> None:
        super().__init__()
        self.squeeze = pointwise(channels, squeezed_channels)
        self.context = context if context is not None else pooled_context(squeezed_channels)
        self.skip = pointwise(squeezed_channels, squeezed_channels) if project_skip else nn.Identity()
        self.expand = pointwise(squeezed_channels, channels)

    def logits(self, x: Tensor) -> Tensor:
        """The map before the sigmoid, in the shape of `x`."""
        squeezed = self.squeeze(x)
        context = F.interpolate(self.context(squeezed), size=x.shape[-2:], mode="bilinear", align_corners=False)
        context = add(context, self.skip(squeezed))
        del squeezed
        logits: Tensor = self.expand(context)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.logits(x))


class PixelAttention(nn.Module):
    """A factor for each channel of each pixel, from that pixel alone (PAN, Zhao et al., ECCV workshops 2020).

    >>> PixelAttention(2)(torch.zeros(1, 2, 4, 4)).shape
    torch.Size([1, 2, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.map(x))


class SpatialAttention(nn.Module):
    """A factor for each pixel, from mean and maximum over its channels (CBAM, Woo et al., ECCV 2018).

    >>> SpatialAttention()(torch.zeros(1, 2, 8, 8)).shape
    torch.Size([1, 2, 8, 8])
    """

    def __init__(self, kernel_size: int = 7, *, bias: bool = True) -> None:
        super().__init__()
        self.map = conv(2, 1, kernel_size, bias=bias)

    def factors(self, x: Tensor) -> Tensor:
        """N×C×H×W -> N×1×H×W, between 0 and 1."""
        statistics = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        factors: Tensor = self.map(statistics).sigmoid()
        return factors

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        return x * self.factors(x)


class ChannelFactors(nn.Module):
    """A factor for each channel, from its mean and its maximum by the same two 1×1 convolutions.

    The channel attention of CBAM (Woo et al., ECCV 2018).

    >>> ChannelFactors(4, 2)(torch.zeros(1, 4, 8, 8)).shape
    torch.Size([1, 4, 1, 1])
    """

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.shared = named(
            squeeze=conv(channels, squeezed_channels, 1, bias=False),
            activation=nn.ReLU(inplace=True),
            expand=conv(squeezed_channels, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> N×channels×1×1, between 0 and 1."""
        mean, most = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
        factors: Tensor = (self.shared(mean) + self.shared(most)).sigmoid()
        return factors


class ChannelAttention(nn.Module):
    """A factor for each channel, from the means of all by a 1×1 convolution.

    >>> ChannelAttention(2)(torch.zeros(1, 2, 4, 4)).shape
    torch.Size([1, 2, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = conv(channels, channels, 1)

    def factors(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> N×channels×1×1, between 0 and 1."""
        factors: Tensor = self.map(x.mean(dim=(2, 3), keepdim=True)).sigmoid()
        return factors

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return x * self.factors(x)


def mean_and_contrast(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, the input of contrast-aware channel attention (IMDN).

    N×C×H×W -> two tensors N×C×1×1; the deviation is the population's, without Bessel's correction.

    >>> mean, contrast = mean_and_contrast(torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]))
    >>> mean.item(), contrast.item()
    (2.0, 1.0)
    """
    # rows first, as published: in an untrained AALN, rounding in another order grows to 1e-4 of the output
    centred = x - _mean_row_by_row(x)
    return x.mean(dim=(2, 3), keepdim=True), _mean_row_by_row(rescale(centred, centred)).sqrt()


def _mean_row_by_row(x: Tensor) -> Tensor:
    return x.sum(dim=3, keepdim=True).sum(dim=2, keepdim=True) / (x.shape[2] * x.shape[3])
