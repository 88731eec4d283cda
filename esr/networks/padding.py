"""Networks that take multiples of a window alone: their inputs are padded, their outputs cropped."""

import functools
from typing import Any

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from esr.config.schema import SCALE
from esr.networks.devices import is_out_of_memory

MULTIPLES = (2, 4, 8, 16, 24, 32, 48, 64)
_ATTRIBUTE = "_esr_padded_to"


def pad_on_failure(network: nn.Module) -> None:
    """Lets a network that fails on a size try again on the next multiples of 2 to 64, and keep to those that it takes.

    The padding repeats the border; nothing changes for a network that takes every size.
    """
    original = network.forward

    @functools.wraps(original)
    def forward(lr: Any, *args: Any, **kwargs: Any) -> Any:
        known = multiple(network)
        if known is not None and isinstance(lr, Tensor):
            return _padded(original, lr, known)
        try:
            return original(lr, *args, **kwargs)
        except (RuntimeError, ValueError, AssertionError) as error:
            if is_out_of_memory(error) or not isinstance(lr, Tensor) or lr.dim() != 4:  # noqa: PLR2004 - N×3×H×W
                raise
            for candidate in MULTIPLES:
                if all(side % candidate == 0 for side in lr.shape[-2:]):
                    continue
                try:
                    output = _padded(original, lr, candidate)
                except (RuntimeError, ValueError, AssertionError):
                    continue
                setattr(network, _ATTRIBUTE, candidate)
                return output
            raise

    network.forward = forward


def multiple(network: nn.Module) -> int | None:
    """The multiple to which a network's inputs are padded; `None`: they are not."""
    found = getattr(network, _ATTRIBUTE, None)
    return found if isinstance(found, int) else None


def _padded(original: Any, lr: Tensor, candidate: int) -> Tensor:
    height, width = lr.shape[-2:]
    padded = F.pad(lr, (0, -width % candidate, 0, -height % candidate), mode="replicate")
    output: Tensor = original(padded)
    return output[..., : SCALE * height, : SCALE * width].contiguous()
