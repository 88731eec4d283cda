"""Convolutions that keep height and width."""

from typing import Any

from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` with less overhead per call.

    >>> import torch
    >>> Conv2d(3, 8, 3, padding=1)(torch.zeros(1, 3, 4, 5)).shape
    torch.Size([1, 8, 4, 5])
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d calls it so
        """N×in_channels×H×W -> N×out_channels×H'×W'."""
        # `self.weight` goes through nn.Module.__getattr__: 1 µs per call, 0.5 % of a small network's pass
        own: Any = self._parameters
        output: Tensor = self._conv_forward(input, own["weight"], own["bias"])
        return output


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 3,
    *,
    dilation: int = 1,
    groups: int = 1,
    bias: bool = True,
) -> Conv2d:
    """A convolution that keeps height and width; `kernel_size`, in either direction, is odd."""
    height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    padding = (dilation * (height // 2), dilation * (width // 2))
    return Conv2d(in_channels, out_channels, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=bias)
