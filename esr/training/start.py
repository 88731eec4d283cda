"""Initial weights: the constructor's values, an interpolation, or weights to fine-tune."""

import os
from dataclasses import replace

import torch
from torch import Tensor, nn

from esr.config.schema import SCALE, ModelConf, network_name
from esr.errors import ConfigError, WeightsError
from esr.models.blocks.trunk import ChainedTrunk
from esr.networks import build as networks
from esr.records.network import Weights
from esr.system.files import expanded
from esr.text import did_you_mean
from esr.zoo import weights as zoo

WITHOUT_FILE = ("scratch", "interpolation", "short")
FROM_ZOO = ("auto", "published", "bundled")

_QUIET = 0.1
"""Scale of all other values, small enough for the interpolation to dominate, large enough for gradients to flow."""


def weights_of(model: ModelConf, init: str) -> Weights | None:
    """Weights that `init` names; `None` if it names no file.

    Raises:
        WeightsError: They do not exist, or do not match their stated size and digest.
        ConfigError: `init` is neither a choice nor a file.
    """
    if init in WITHOUT_FILE:
        return None
    if init not in FROM_ZOO and not os.path.isfile(expanded(init)):
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
        WeightsError: The weights are damaged or belong to another network.
        ConfigError: The network does not support `init=interpolation`.
    """
    torch.manual_seed(seed)
    network = networks.build(model)
    if init == "interpolation" or (init == "short" and _ends(network)):
        interpolate(network, network_name(model))
    elif weights:
        network = networks.load(network, replace(model, after_load=None), weights)  # fused blocks do not train
    network.requires_grad_(True)
    network.train()
    return network


@torch.no_grad()
def interpolate(network: nn.Module, name: str) -> None:
    """Initialises a network with a long skip connection to approximate an interpolation of its input.

    The first convolution copies R, G and B to its first three channels; the last one computes each of their 4×4
    sub-pixels from 3×3 pixels. The blocks' contribution and the weights of the other channels start small. This
    saves a short training the minutes in which it would learn to interpolate.

    Raises:
        ConfigError: The network is built otherwise.
    """
    ends = _ends(network)
    if ends is None:
        fault = f"{name} is not built from esr.models.blocks.trunk.ChainedTrunk, whose convolutions it sets"
        raise ConfigError(
            f"init=interpolation: {fault}; pass init=scratch, or init=short, which takes what is possible"
        )
    head, last, upsampler = ends
    last.weight.mul_(_QUIET)
    upsampler.weight.mul_(_QUIET)
    middle, around = head.kernel_size[0] // 2, upsampler.kernel_size[0] // 2
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
    """First convolution, last one of the trunk, and the upsampler's; `None` if the network is built otherwise."""
    if not isinstance(network, ChainedTrunk) or not isinstance(network.upsampler, nn.Sequential):
        return None
    head, last, upsampler = network.head, network.after_blocks, network.upsampler[0]
    if not (isinstance(head, nn.Conv2d) and isinstance(last, nn.Conv2d) and isinstance(upsampler, nn.Conv2d)):
        return None
    rgb = head.in_channels == 3 and upsampler.out_channels == 3 * SCALE**2  # noqa: PLR2004
    fits = len(network.upsampler) == 2 and upsampler.kernel_size[0] >= 3  # noqa: PLR2004 - conv and shuffle; 3×3 taps
    return (head, last, upsampler) if rgb and fits else None


def quadratic_taps() -> Tensor:
    """Weights of 3×3 LR pixels for each of the 4×4 sub-pixels of the central one, 16×3×3.

    Quadratic Lagrange interpolation through three neighbours in each direction.
    """
    offset = (torch.arange(SCALE) + 0.5) / SCALE - 0.5
    one = torch.stack([offset * (offset - 1) / 2, 1 - offset**2, offset * (offset + 1) / 2], dim=1)
    return torch.einsum("ay,bx->abyx", one, one).reshape(SCALE**2, 3, 3)
