"""Self-attention within windows, as in Swin transformers (Liu et al., ICCV 2021, arXiv:2103.14030).

Features are N×H×W×C here, with the channels last, as fully connected layers want them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.inplace import add

APART = -100.0
"""Added to the attention between pixels that only the shift made neighbours: e^-100 is nothing in float32."""


def to_windows(x: Tensor, size: int) -> Tensor:
    """Cuts N×H×W×C into squares, N·windows×size²×C, row by row; `size` divides H and W.

    >>> to_windows(torch.arange(16).view(1, 4, 4, 1), 2)[1].flatten()
    tensor([2, 3, 6, 7])
    """
    batch, height, width, channels = x.shape
    grid = x.reshape(batch, height // size, size, width // size, size, channels)
    return grid.transpose(2, 3).reshape(-1, size * size, channels)


def from_windows(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """The inverse of `to_windows`: N·windows×size²×C -> N×height×width×C.

    >>> x = torch.rand(2, 4, 6, 3)
    >>> torch.equal(from_windows(to_windows(x, 2), 2, 4, 6), x)
    True
    """
    channels = windows.shape[-1]
    grid = windows.reshape(-1, height // size, width // size, size, size, channels)
    return grid.transpose(2, 3).reshape(-1, height, width, channels)


def shift_mask(x: Tensor, size: int, shift: int) -> Tensor:
    """Keeps the pixels apart that meet in a window because a cyclic shift brought them round the border.

    Args:
        x: N×H×W×C, for its shape, type and device.
        size: of the windows, pixels.
        shift: pixels, less than `size`.

    Returns:
        N·windows×1×size²×size², to be added to the attention's logits: 0 or `APART`.

    >>> shift_mask(torch.zeros(1, 2, 2, 1), size=2, shift=1)[0, 0, 0]
    tensor([   0., -100., -100., -100.])
    """
    batch, height, width, _ = x.shape
    rows, columns = (_bands(length, size, shift, x.device) for length in (height, width))
    regions = (3 * rows[:, None] + columns).expand(batch, height, width)
    regions = to_windows(regions[..., None], size)
    apart = (regions != regions.transpose(1, 2))[:, None]
    return x.new_zeros(apart.shape).masked_fill_(apart, APART)


def _bands(length: int, size: int, shift: int, device: torch.device) -> Tensor:
    """0 up to the last window, then 1, and 2 for what the shift brought round."""
    position = torch.arange(length, device=device)
    return (position >= length - size).long() + (position >= length - shift).long()


class RelativePositionBias(nn.Module):
    """A learned summand for each head and each offset between two pixels of a window.

    >>> RelativePositionBias(window=4, heads=2)().shape
    torch.Size([1, 2, 16, 16])
    """

    index: Tensor
    """size²×size²: the row of the table that holds the offset between two pixels."""

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        offsets = 2 * window - 1
        self.table = nn.Parameter(torch.empty(offsets**2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        pixel = torch.arange(window**2)
        row, column = (place[:, None] - place + window - 1 for place in (pixel // window, pixel % window))
        self.register_buffer("index", row * offsets + column)

    def forward(self) -> Tensor:
        """1×heads×size²×size²."""
        return self.table[self.index].permute(2, 0, 1).contiguous()[None]


class WindowAttention(nn.Module):
    """Multi-head self-attention among the pixels of a window, with a skip connection around it.

    Where `window` does not divide height or width, zeros fill the last windows.

    Args:
        channels: of input and output, a multiple of `heads`.
        heads: how many.
        window: side of a window, pixels.
        norm: normalises what attends; by default nothing does.
        shift: pixels by which the windows move down and right, less than `window`.
        position: makes what is added to the logits; by default it does not matter where in a window a pixel is.
        bias: whether queries, keys and values have one.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        *,
        norm: nn.Module | None = None,
        shift: int = 0,
        position: RelativePositionBias | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.shift = shift
        self.norm = norm if norm is not None else nn.Identity()
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.position = position
        self.project = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×H×W×channels -> the same shape."""
        height, width = x.shape[1:3]
        below, right = -height % self.window, -width % self.window
        features = self.norm(x)
        if (
            torch.compiler.is_compiling() or below or right
        ):  # when exported always, so that the size stays free
            features = F.pad(features, (0, 0, 0, right, 0, below))
        mask = self._mask(features)
        features = to_windows(self._moved(features, -self.shift), self.window)
        features = self.qkv(features)
        features = self._attended(features, mask)
        del mask
        features = from_windows(self.project(features), self.window, height + below, width + right)
        features = self._moved(features, self.shift)
        return add(features[:, :height, :width], x)

    def _moved(self, x: Tensor, shift: int) -> Tensor:
        return x.roll((shift, shift), dims=(1, 2)) if shift else x

    def _mask(self, x: Tensor) -> Tensor | None:
        """What is added to the logits, if anything."""
        position = self.position() if self.position is not None else None
        if not self.shift:
            return position
        mask = shift_mask(x, self.window, self.shift)
        return mask if position is None else mask + position

    def _attended(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        """N·windows×size²×3·channels -> N·windows×size²×channels."""
        heads = qkv.view(*qkv.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Two fully connected layers for each pixel, with a skip connection around them.

    Args:
        channels: of input and output.
        hidden: channels between the layers.
        norm: normalises the layers' input; by default nothing does.
        flatten: whether the layers get the pixels as N×H·W×channels instead of N×H×W×channels; it is all the same
            to them, but the challenge's script counts them by the shape of their input.
    """

    def __init__(
        self, channels: int, hidden: int, *, norm: nn.Module | None = None, flatten: bool = True
    ) -> None:
        super().__init__()
        self.norm = norm if norm is not None else nn.Identity()
        self.flatten = flatten
        self.expand = nn.Linear(channels, hidden)
        self.activation = nn.GELU()
        self.project = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×H×W×channels -> the same shape."""
        features = self.norm(x)
        features = self.expand(features.flatten(1, 2) if self.flatten else features)
        features = self.activation(features)
        features = self.project(features)
        return add(features.view_as(x), x)


def swin_pair(
    channels: int, heads: int, hidden: int, window: int, *, normalize: bool = True
) -> nn.Sequential:
    """Two window transformers with relative positions, the second of which shifts its windows by half a side.

    Maps N×H×W×channels to the same shape; `window` divides H and W, as opposite borders meet in shifted windows.

    Args:
        channels: of input and output, a multiple of `heads`.
        heads: of the attention.
        hidden: channels within the layers for each pixel.
        window: side of a window, pixels.
        normalize: whether the channels are normalised before attention and before the layers for each pixel.
    """

    def norm() -> nn.Module:
        return nn.LayerNorm(channels) if normalize else nn.Identity()

    return nn.Sequential(
        *(
            named(
                attention=WindowAttention(
                    channels,
                    heads,
                    window,
                    norm=norm(),
                    shift=shift,
                    position=RelativePositionBias(window, heads),
                ),
                feed_forward=FeedForward(channels, hidden, norm=norm()),
            )
            for shift in (0, window // 2)
        )
    )
