"""Weight normalisation (Salimans and Kingma, NeurIPS 2016, arXiv:1602.07868)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormConv2d(nn.Conv2d):
    """A convolution that stores each kernel as a direction and a length; by default it keeps height and width.

    In place of `weight`, it has `direction`, of the weight's shape and any scale, and `length`, out_channels×1×1×1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        if padding is None:
            padding = dilation * (kernel_size // 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        initial = self.weight.detach()
        del self.weight
        self.direction = nn.Parameter(initial)
        self.length = nn.Parameter(torch.linalg.vector_norm(initial, dim=(1, 2, 3), keepdim=True))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Conv2d calls it so
        """N×in_channels×H×W -> N×out_channels×H×W."""
        weight = torch._weight_norm(self.direction, self.length, 0)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def weight_normalised(module: nn.Module) -> nn.Module:
    """Replaces each plain convolution inside a module by a weight-normalised one of the same shape; returns the module.

    The convolutions must have square kernels, a bias, and a numeric padding.

    >>> weight_normalised(nn.Sequential(nn.Conv2d(2, 3, 1)))
    Sequential(
      (0): WeightNormConv2d(2, 3, kernel_size=(1, 1), stride=(1, 1))
    )
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.Conv2d) or isinstance(child, WeightNormConv2d):
            weight_normalised(child)
            continue
        normalised = WeightNormConv2d(
            child.in_channels,
            child.out_channels,
            child.kernel_size[0],
            stride=child.stride[0],
            padding=int(child.padding[0]),
            dilation=child.dilation[0],
            groups=child.groups,
        )
        setattr(module, name, normalised)
    return module
