"""Where training begins: the constructor's values, an interpolation, or weights to fine-tune."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from esr.config.schema import SCALE, ModelConf, network_name
from esr.errors import ConfigError, WeightsError
from esr.models.blocks.trunk import ChainedTrunk
from esr.networks import build as networks
from esr.records.network import Weights
from esr.text import did_you_mean
from esr.zoo import weights as zoo

WITHOUT_FILE = ("scratch", "interpolation")
FROM_ZOO = ("auto", "published", "bundled")

_QUIET = 0.1
"""Factor on the values beside the interpolation, so that it dominates without cutting off their gradients."""


def weights_of(model: ModelConf, init: str) -> Weights | None:
    """The weights that `init` names; none where it names no file.

    Raises:
        WeightsError: They are not there, or not what is stated about them.
        ConfigError: `init` is neither a choice nor a file.
    """
    if init in WITHOUT_FILE:
        return None
    if init not in FROM_ZOO and not os.path.isfile(Path(init).expanduser()):
        known = did_you_mean(init, (*WITHOUT_FILE, *FROM_ZOO))
        raise ConfigError(f"init={init}: no such file, and no such choice; {known}")
    try:
        return zoo.resolve(model, init)
    except zoo.NoWeightsError as error:
        raise WeightsError(f"init={init}: {error.fault} pass init=scratch or init=PATH") from error
    except WeightsError as error:
        raise WeightsError(f"init={init}: {error}") from error


def build(model: ModelConf, init: str, weights: Weights | None, seed: int) -> nn.Module:
    """A trainable network on the CPU, in training mode.

    Args:
        model: The network.
        init: As in the configuration.
        weights: From `weights_of`.
        seed: Seeds the constructor's values.

    Raises:
        NetworkError: It cannot be built.
        WeightsError: The weights are damaged, or of another network.
        ConfigError: `init=interpolation` for a network that is not built for it.
    """
    torch.manual_seed(seed)
    network = networks.build(model)
    if init == "interpolation":
        interpolate(network, network_name(model))
    elif weights:
        networks.load(network, model, weights)
    return network.requires_grad_(True).train()


@torch.no_grad()
def interpolate(network: nn.Module, name: str) -> None:
    """Makes a network with a long skip connection begin near an interpolation of its input.

    The first convolution passes R, G and B on in its first three channels, and the last one makes each of
    their 4×4 sub-pixels from 3×3 pixels. What the blocks add, and what reads the other channels, starts
    small. Without this, the first minutes of a short training go into learning what an image is.

    Raises:
        ConfigError: The network has no such skip connection, or other layers at its ends.
    """
    ends = _ends(network)
    if ends is None:
        raise ConfigError(
            f"init=interpolation: {name} has no long skip connection between a first and a last convolution; "
            "pass init=scratch"
        )
    head, last, upsampler = ends
    last.weight.mul_(_QUIET)
    upsampler.weight.mul_(_QUIET)
    middle = head.kernel_size[0] // 2
    around = upsampler.kernel_size[0] // 2
    window = slice(around - 1, around + 2)
    for conv in (last, upsampler, head):
        if conv.bias is not None:
            conv.bias.zero_()
    for channel in range(3):
        head.weight[channel] = 0
        head.weight[channel, channel, middle, middle] = 1
        sub_pixels = slice(channel * SCALE**2, (channel + 1) * SCALE**2)
        upsampler.weight[:, channel] = 0
        upsampler.weight[sub_pixels, channel, window, window] = quadratic_taps().to(upsampler.weight)


def _ends(network: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d] | None:
    """The first convolution, the last of the trunk, and that of the upsampler; none where they are not that."""
    if not isinstance(network, ChainedTrunk) or not isinstance(network.upsampler, nn.Sequential):
        return None
    head, last, upsampler = network.head, network.after_blocks, network.upsampler[0]
    if not all(isinstance(part, nn.Conv2d) for part in (head, last, upsampler)):
        return None
    assert isinstance(head, nn.Conv2d)  # noqa: S101 - seen above; for the type checker
    assert isinstance(last, nn.Conv2d)  # noqa: S101
    assert isinstance(upsampler, nn.Conv2d)  # noqa: S101
    if head.in_channels != 3 or upsampler.out_channels != 3 * SCALE**2:  # noqa: PLR2004 - RGB
        return None
    if len(network.upsampler) != 2 or upsampler.kernel_size[0] < 3:  # noqa: PLR2004 - conv and shuffle; 3×3 taps
        return None
    return head, last, upsampler


def quadratic_taps() -> Tensor:
    """Weights of 3×3 LR pixels for each of the 4×4 sub-pixels of the middle one, 16×3×3.

    The parabola through three neighbours (Lagrange), in both directions.
    """
    offset = (torch.arange(SCALE) + 0.5) / SCALE - 0.5
    one = torch.stack([offset * (offset - 1) / 2, 1 - offset**2, offset * (offset + 1) / 2], dim=1)
    return torch.einsum("ay,bx->abyx", one, one).reshape(SCALE**2, 3, 3)
