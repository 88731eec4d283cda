"""From an 8-bit LR image to an 8-bit SR image: range, tiles, rounding.

The conversion is the challenge's: input / 255 · range; output round(clamp(y, 0, range) / range · 255), half to even.
"""

from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from esr.config.schema import SCALE, TileConf
from esr.config.tiles import tile_starts
from esr.errors import DataError, NetworkError
from esr.networks.devices import is_out_of_memory
from esr.networks.facts import facts_of
from esr.text import described


def to_tensor(lr: npt.NDArray[np.uint8], data_range: float, device: torch.device | str = "cpu") -> Tensor:
    """An 8-bit H×W×3 image as a float32 1×3×H×W tensor with values from 0 to `data_range`."""
    planar = torch.from_numpy(np.ascontiguousarray(lr.transpose(2, 0, 1)))
    return planar.to(device, torch.float32).div_(255.0 / data_range)[None]


def to_image(sr: Tensor, data_range: float) -> npt.NDArray[np.uint8]:
    """A 1×3×H×W tensor with values from 0 to `data_range` as an 8-bit H×W×3 image."""
    scaled = sr[0].permute(1, 2, 0).float().clamp(0, data_range).div(data_range).mul(255.0).round()
    values: npt.NDArray[np.uint8] = scaled.to(torch.uint8).contiguous().cpu().numpy()
    return values


def to_levels(sr: Tensor, data_range: float, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Grey levels at some positions of `to_image(sr, data_range).reshape(-1)`, neither clamped nor rounded."""
    pixel, channel = np.divmod(positions, sr.shape[1])
    # Not from a flat copy, which an output in another memory format would have to be made into, on the clock.
    index = torch.from_numpy(np.stack([channel, *np.divmod(pixel, sr.shape[3])])).to(sr.device)
    picked: npt.NDArray[np.float32] = sr[0][index[0], index[1], index[2]].float().cpu().numpy()
    return picked * np.float32(255.0 / data_range)


def forward(network: nn.Module, lr: Tensor, tile: TileConf | None = None) -> Tensor:
    """One pass of the network: N×3×H×W to N×3×4H×4W, whole or in overlapping tiles.

    Tiles are square, no larger than the image's shorter side, and laid from the top left with a stride of
    size − overlap, the last one flush with the border; where they overlap, outputs are summed and divided by their
    count (the challenge's own tiled protocol).
    """
    height, width = lr.shape[-2:]
    if tile is None or tile.size is None:
        output: Tensor = network(lr)
        return output
    side = min(tile.size, height, width)
    total = lr.new_zeros(*lr.shape[:-2], height * SCALE, width * SCALE)
    count = torch.zeros_like(total)
    for row, column in product(tile_starts(height, side, tile.overlap), tile_starts(width, side, tile.overlap)):
        patch = network(lr[..., row : row + side, column : column + side])
        window = (..., slice(row * SCALE, (row + side) * SCALE), slice(column * SCALE, (column + side) * SCALE))
        total[window] += patch
        count[window] += 1
    return total.div_(count)


def check_output(sr: object, lr: Tensor) -> Tensor:
    """Returns a network's output if it is a valid SR tensor.

    Raises:
        NetworkError: Not a plain tensor, of another shape, or with values that are not finite.
    """
    tensor = check_shape(sr, lr)
    if not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise NetworkError(f"output holds {bad} values that are NaN or infinite, of {tensor.numel()}")
    return tensor


def check_shape(sr: object, lr: Tensor) -> Tensor:
    """The part of `check_output` that needs no pass over the values; raises as it does."""
    expected = (*lr.shape[:-2], lr.shape[-2] * SCALE, lr.shape[-1] * SCALE)
    # A subclass of Tensor could defer its computation until nobody times it.
    if not isinstance(sr, Tensor) or type(sr) not in (Tensor, nn.Parameter):
        raise NetworkError(f"output is a {type(sr).__name__}, expected one plain tensor of shape {expected}")
    if tuple(sr.shape) != expected:
        raise NetworkError(f"output has shape {tuple(sr.shape)}, expected {expected} for input {tuple(lr.shape)}")
    return sr


def super_resolve(network: nn.Module, lr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Upscales one 8-bit image by 4 with a network from `create_model`.

    Args:
        network: From `create_model`, whose data range and tiles are known, or any module that works on values from 0 to
            1, and on the whole image.
        lr: uint8, H×W×3, RGB.

    Returns:
        uint8, 4H×4W×3, RGB.

    Raises:
        DataError: `lr` is not an 8-bit RGB image.
        NetworkError: The network fails on this image, or its output has another shape or values that are not finite.
    """
    if lr.dtype != np.uint8 or lr.ndim != 3 or lr.shape[2] != 3 or 0 in lr.shape:  # noqa: PLR2004 - H×W×3
        raise DataError(f"image of shape {lr.shape} and type {lr.dtype}: expected H×W×3 of uint8, RGB")
    facts = facts_of(network)
    data_range = facts.card.data_range if facts else 1.0
    device = next((one.device for one in network.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        inputs = to_tensor(lr, data_range, device)
        try:
            output = forward(network, inputs, facts.tile if facts else None)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            fault = f"cannot upscale an image of {lr.shape[0]}×{lr.shape[1]} px ({described(error)})"
            remedy = "some networks need 15 pixels a side or more"
            raise NetworkError(f"{type(network).__name__}: {fault}; {remedy}") from error
        return to_image(check_output(output, inputs), data_range)
