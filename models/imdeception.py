"""IMDeception by team Aselsan Research: information multi-distillation within itself.

New: the network as a whole has the structure of an IMDN block (global progressive refinement); its steps are such
blocks in turn, and each distils a quarter of the channels. Within a block each step is a grouped 3×3 convolution and a
1×1 one (grouped information distilling blocks), and the block's input is joined with the parts. Two non-local
attentions work within windows of 32×32 pixels.

Ayazoglu, "IMDeception: Grouped Information Distilling Super-Resolution Network", CVPR workshops 2022.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation, concatenate
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import pixel_shuffle_tail
from esr.models.blocks.windows import from_windows, to_windows

GROUPS = 4
STEPS = 3
PATCH = 4
"""Pixels per side of a token of the non-local attention."""
WINDOW = 8
"""Tokens per side of an attention window."""
PADDED = 64
"""Sides are padded to multiples of this many pixels, by at least one."""


def activation() -> nn.Module:
    """Activation outside the grouped convolutions."""
    return nn.LeakyReLU(0.05, inplace=True)


class ByGroups(nn.Module):
    """A grouped 3×3 convolution as separate modules, since the challenge counts their calls."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(in_channels // GROUPS, out_channels // GROUPS) for _ in range(GROUPS))

    def forward(self, x: Tensor) -> Tensor:
        """N×in_channels×H×W -> N×out_channels×H×W."""
        groups = zip(self.convs, x.chunk(GROUPS, dim=1), strict=True)
        return concatenate([convolve(group) for convolve, group in groups])


def grouped(in_channels: int, out_channels: int) -> nn.Sequential:
    """Replacement of a 3×3 convolution: N×in_channels×H×W -> N×out_channels×H×W."""
    return named(
        groups=ByGroups(in_channels, out_channels),
        activation=nn.ReLU(inplace=True),
        mix=conv(out_channels, out_channels, 1),
    )


class GIDB(SplitDistillation):
    """Grouped information distilling block.

    Args:
        in_channels: number of channels of the input.
        step_channels: number of channels of the steps' outputs.
        distilled_channels: number of channels that each step distils.
        out_channels: number of channels of the output.
    """

    def __init__(self, in_channels: int, step_channels: int, distilled_channels: int, out_channels: int) -> None:
        rest = step_channels - distilled_channels
        super().__init__(
            refine=[grouped(in_channels if step == 0 else rest, step_channels) for step in range(STEPS)],
            last=nn.Sequential(grouped(rest, distilled_channels), activation()),
            fuse=conv((STEPS + 1) * distilled_channels + in_channels, out_channels, 1),
            distilled_channels=distilled_channels,
            activation=activation(),
        )

    def join_parts(self, parts: list[Tensor], x: Tensor) -> Tensor:
        """Concatenates the input as well, which IMDN adds."""
        parts.append(x)
        fused: Tensor = self.fuse(concatenate(parts))
        return fused


class WindowedNonLocal(nn.Module):
    """Non-local attention (Wang et al., CVPR 2018, arXiv:1711.07971) among the patches of a window.

    Args:
        channels: number of channels of input and output.
        projected_channels: number of channels of each of query, key and value.
    """

    def __init__(self, channels: int, projected_channels: int) -> None:
        super().__init__()
        self.project = conv(channels, 3 * projected_channels, 1)
        self.expand = conv(projected_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        height, width = x.shape[-2:]
        padding = (0, PADDED - width % PADDED, 0, PADDED - height % PADDED)
        patches = F.pixel_unshuffle(F.pad(self.project(x), padding), PATCH)
        rows, columns = patches.shape[-2:]
        tokens = to_windows(patches.permute(0, 2, 3, 1), WINDOW)
        del patches
        query, key, value = tokens.chunk(3, dim=2)
        seen = (query @ key.transpose(1, 2)).softmax(dim=2) @ value
        del tokens, query, key, value
        seen = from_windows(seen, WINDOW, rows, columns).permute(0, 3, 1, 2)
        seen = F.pixel_shuffle(seen, PATCH)[..., :height, :width]
        return add(self.expand(seen), x)


class IMDeception(nn.Module):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features that each block makes.
        distilled_channels: number of channels that each step distils, within the blocks and between them.
        last_step_channels: number of channels of the steps' outputs in the last block.
        projected_channels: number of channels of each of query, key and value in the attention.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        distilled_channels: int = 16,
        last_step_channels: int = 48,
        projected_channels: int = 12,
        scale: int = 4,
    ) -> None:
        super().__init__()
        rest = channels - distilled_channels

        def step() -> GIDB:
            return GIDB(rest, channels, distilled_channels, channels)

        def attended_step() -> nn.Sequential:
            return named(attention=WindowedNonLocal(rest, projected_channels), block=step())

        first = GIDB(channels, channels, distilled_channels, channels)
        steps = [first, step(), attended_step(), step(), attended_step()]
        self.head = conv(3, channels)
        self.body = SplitDistillation(
            refine=steps,
            last=GIDB(rest, last_step_channels, distilled_channels, distilled_channels),
            fuse=named(
                squeeze=conv((len(steps) + 1) * distilled_channels, channels, 1),
                squeeze_activation=activation(),
                conv=conv(channels, channels),
                activation=activation(),
            ),
            distilled_channels=distilled_channels,
            activation=nn.Identity(),
        )
        self.upsampler = pixel_shuffle_tail(channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        image: Tensor = self.upsampler(self.body(self.head(x)))
        return image
