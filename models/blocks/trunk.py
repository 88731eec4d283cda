"""The structure of most networks: head, blocks, a long skip connection, upsampler."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import pixel_shuffle_tail


def parts_of(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of an `nn.Sequential`, or any other module itself."""
    if isinstance(module, nn.Sequential):
        yield from module
    else:
        yield module


class ChainedTrunk(nn.Module):
    """Blocks in a chain, and a long skip connection around them.

    A block or upsampler that is an `nn.Sequential` runs part by part: a call would keep its input alive until its last
    part returns.

    Args:
        head: from the image to shallow features.
        blocks: run in a chain.
        after_blocks: last module before the shallow features are added.
        upsampler: from LR features to the SR image.
    """

    def __init__(
        self, *, head: nn.Module, blocks: nn.Sequential, after_blocks: nn.Module, upsampler: nn.Module
    ) -> None:
        super().__init__()
        self.head = head
        self.blocks = blocks
        self.after_blocks = after_blocks
        self.upsampler = upsampler

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        shallow = self.head(x)
        deep: Tensor = self.after_blocks(self.deepened(shallow))
        deep = add(deep, shallow)
        del shallow
        for part in parts_of(self.upsampler):
            deep = part(deep)
        return deep

    def deepened(self, shallow: Tensor) -> Tensor:
        """Applies the blocks to the shallow features, which must not be overwritten; for overrides."""
        deep = shallow
        for block in self.blocks:
            for part in parts_of(block):
                deep = part(deep)
        return deep


class ConvTrunk(ChainedTrunk):
    """A chained trunk with a 3×3 convolution before and after its blocks, and a pixel shuffle.

    Args:
        blocks: run in a chain.
        channels: number of channels of the features between the blocks.
        scale: upscaling factor.
    """

    def __init__(self, blocks: nn.Sequential, *, channels: int, scale: int = 4) -> None:
        super().__init__(
            head=conv(3, channels),
            blocks=blocks,
            after_blocks=conv(channels, channels),
            upsampler=pixel_shuffle_tail(channels, scale),
        )


class FusedTrunk(ChainedTrunk):
    """A chained trunk that fuses the outputs of all its blocks (IMDN's and RFDN's hierarchical features).

    Args:
        fuse: from the concatenated outputs to features of one block's width.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        blocks: nn.Sequential,
        fuse: nn.Module,
        after_blocks: nn.Module,
        upsampler: nn.Module,
    ) -> None:
        super().__init__(head=head, blocks=blocks, after_blocks=after_blocks, upsampler=upsampler)
        self.fuse = fuse

    def deepened(self, shallow: Tensor) -> Tensor:
        """The fusion of all blocks' outputs."""
        fused: Tensor = self.fuse(concatenate(chain(self.blocks, shallow)))
        return fused


class RFDNTrunk(FusedTrunk):
    """RFDN without its blocks, as shared by its descendants.

    Args:
        blocks: N×channels×H×W -> the same shape, each.
        channels: number of channels of the features between the blocks.
        scale: upscaling factor.
        bias: True if the 3×3 convolutions outside the blocks have a bias.
        activation: after the fusion; by default RFDN's LeakyReLU.
        after_blocks: last module before the shallow features are added; by default a convolution.
        upsampler: from LR features to the SR image; by default a convolution and a pixel shuffle.
    """

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        *,
        channels: int,
        scale: int = 4,
        bias: bool = True,
        activation: nn.Module | None = None,
        after_blocks: nn.Module | None = None,
        upsampler: nn.Module | None = None,
    ) -> None:
        row = numbered(blocks)
        if activation is None:
            activation = nn.LeakyReLU(0.05, inplace=True)
        if after_blocks is None:
            after_blocks = conv(channels, channels, bias=bias)
        if upsampler is None:
            upsampler = pixel_shuffle_tail(channels, scale, bias=bias)
        super().__init__(
            head=conv(3, channels, bias=bias),
            blocks=row,
            fuse=nn.Sequential(conv(len(row) * channels, channels, 1), activation),
            after_blocks=after_blocks,
            upsampler=upsampler,
        )
