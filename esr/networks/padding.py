"""Networks that take multiples of a window alone: their inputs are padded, their outputs cropped."""

from contextlib import suppress
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from esr.config.schema import SCALE
from esr.networks.devices import is_out_of_memory

MULTIPLES = (2, 4, 8, 16, 24, 32, 48, 64)


class Padding:
    """A network's `forward` that tries again on padded inputs; a copy of the network copies it, too."""

    def __init__(self, network: nn.Module) -> None:
        self.original = network.forward
        self.multiple: int | None = None
        """The least that the sizes seen so far needed."""

    def __call__(self, lr: Any, *args: Any, **kwargs: Any) -> Any:
        """A pass over any size that the network takes, or takes once padded."""
        try:
            if self.multiple is not None and isinstance(lr, Tensor):
                return self._padded(lr, self.multiple)
            return self.original(lr, *args, **kwargs)
        except (RuntimeError, ValueError, AssertionError) as error:
            if is_out_of_memory(error) or not isinstance(lr, Tensor) or lr.dim() != 4:  # noqa: PLR2004 - N×3×H×W
                raise
            for multiple in MULTIPLES:
                if multiple > (self.multiple or 1) and any(side % multiple for side in lr.shape[-2:]):
                    with suppress(RuntimeError, ValueError, AssertionError):
                        output = self._padded(lr, multiple)
                        self.multiple = multiple
                        return output
            raise

    def _padded(self, lr: Tensor, multiple: int) -> Tensor:
        height, width = lr.shape[-2:]
        padded = F.pad(lr, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        output: Tensor = self.original(padded)
        return output[..., : SCALE * height, : SCALE * width].contiguous()


def pad_on_failure(network: nn.Module) -> None:
    """Lets a network that fails on a size try again on the next multiples of 2 to 64, and keep to those that it takes.

    The padding repeats the border; nothing changes for a network that takes every size.
    """
    network.forward = Padding(network)


def multiple(network: nn.Module) -> int | None:
    """The multiple to which a network's inputs are padded; `None`: they are not."""
    return network.forward.multiple if isinstance(network.forward, Padding) else None
