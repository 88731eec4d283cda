"""Attention that rescales features by a map of factors between 0 and 1."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add, gate


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def pooled_context(
    channels: int, convolutions: int = 3, *, activation: Callable[[], nn.Module] = _relu
) -> nn.Sequential:
    """What ESA looks at: features shrunk by a strided convolution and a wide pooling, then refined.

    Args:
        channels: of input and output.
        convolutions: 3×3 convolutions after the pooling, with an activation between each two.
        activation: makes one such activation.

    Returns:
        N×channels×H×W -> N×channels×h×w with `h = ((H - 3) // 2 - 6) // 3 + 1`; H and W are at least 15.
    """
    refine = nn.Sequential(conv(channels, channels))
    for _ in range(convolutions - 1):
        refine.extend([activation(), conv(channels, channels)])
    return named(
        downsample=nn.Conv2d(channels, channels, kernel_size=3, stride=2),
        pool=nn.MaxPool2d(kernel_size=7, stride=3),
        refine=refine,
    )


class ESA(nn.Module):
    """Enhanced spatial attention (RFANet, Liu et al., CVPR 2020): a wide view at a low cost.

    The features are squeezed to few channels, seen at a low resolution and spread back to their own; the
    squeezed features themselves are added, so that the map keeps its detail.

    Args:
        channels: of input and output.
        squeezed: channels within.
        context: maps the squeezed features to their low-resolution view; by default
            `pooled_context(squeezed)`.
        project_skip: whether the squeezed features pass a 1×1 convolution before they are added.
    """

    def __init__(
        self, channels: int, squeezed: int, *, context: nn.Module | None = None, project_skip: bool = True
    ) -> None:
        super().__init__()
        self.squeeze = conv(channels, squeezed, 1)
        self.context = context if context is not None else pooled_context(squeezed)
        self.skip = conv(squeezed, squeezed, 1) if project_skip else nn.Identity()
        self.expand = conv(squeezed, channels, 1)

    def logits(self, x: Tensor) -> Tensor:
        """The map before it is squashed to factors, of the shape of `x`."""
        squeezed = self.squeeze(x)
        context = F.interpolate(
            self.context(squeezed), size=x.shape[-2:], mode="bilinear", align_corners=False
        )
        context = add(context, self.skip(squeezed))
        del squeezed
        logits: Tensor = self.expand(context)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.logits(x))


def mean_and_contrast(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel: what contrast-aware channel attention looks at (IMDN).

    N×C×H×W -> twice N×C×1×1; the deviation is the population's, without Bessel's correction.

    >>> mean, contrast = mean_and_contrast(torch.tensor([[[[1.0, 3.0], [1.0, 3.0]]]]))
    >>> mean.item(), contrast.item()
    (2.0, 1.0)
    """
    mean = x.mean(dim=(2, 3), keepdim=True)
    # four times as fast on a CPU as torch.std_mean, which does not vectorise over two dimensions
    norm = torch.linalg.vector_norm(x - mean, dim=(2, 3), keepdim=True)
    return mean, norm / math.sqrt(x.shape[2] * x.shape[3])
