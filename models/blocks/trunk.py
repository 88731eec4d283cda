"""How most of the networks are put together: head, blocks, a long skip connection, upsampler."""

from collections.abc import Iterator

from torch import Tensor, nn

from esr.models.blocks.distillation import concatenate
from esr.models.blocks.inplace import add


class ChainedTrunk(nn.Module):
    """Blocks in a chain, and a long skip connection around them.

    A block that is an `nn.Sequential` is run part by part: a call would keep its input alive until its last
    part ends.

    Args:
        head: from the image to shallow features.
        blocks: each gets the output of the one before.
        after_blocks: the last module before the shallow features are added.
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
        deep = shallow
        for part in self._parts():
            deep = part(deep)
        deep = add(self.after_blocks(deep), shallow)
        del shallow
        image: Tensor = self.upsampler(deep)
        return image

    def _parts(self) -> Iterator[nn.Module]:
        for block in self.blocks:
            yield from block if isinstance(block, nn.Sequential) else (block,)


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

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        shallow = self.head(x)
        outputs: list[Tensor] = []
        deep = shallow
        for block in self.blocks:
            deep = block(deep)
            outputs.append(deep)
        deep = self.fuse(concatenate(outputs))
        deep = add(self.after_blocks(deep), shallow)
        del shallow
        image: Tensor = self.upsampler(deep)
        return image
