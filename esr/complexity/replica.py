"""One forward pass of a copy of a network, which leaves the network itself unchanged."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from esr.config.schema import CHANNELS
from esr.errors import ConfigError, NetworkError
from esr.text import described

META = torch.device("meta")
REASON_LENGTH = 200
"""Characters of a network's own message that an error repeats; PyTorch's can be long."""

Seen = TypeVar("Seen")
Observer = Callable[[nn.Module, Tensor], AbstractContextManager[Seen]]
"""Takes the copy and its input; the object that its context yields collects data while the copy runs inside."""


def observe(network: nn.Module, height: int, width: int, observer: Observer[Seen]) -> Seen:
    """Runs a copy of `network` in evaluation mode on 1×3×height×width zeros under an observer.

    The copy runs on the `meta` device, which has shapes but no values, or, if that fails, as it does with control
    flow that depends on values, on the network's own device. A network that cannot be copied runs itself. Compiled
    parts run uncompiled.

    Args:
        network: any module that takes one image tensor.
        height: input height in pixels.
        width: input width in pixels.
        observer: makes the context in which the copy runs.

    Returns:
        The object that the observer's context yielded.

    Raises:
        ConfigError: The height or width is below 1.
        NetworkError: The network fails on this input, or has lazy parameters without a shape.
    """
    for side, value in (("height", height), ("width", width)):
        if value < 1:
            raise ConfigError(f"{side} must be at least 1 pixel, not {value}")
    network = getattr(network, "_orig_mod", network)
    name = type(network).__name__
    if any(is_lazy(tensor) for tensor in registered(network)):
        raise NetworkError(f"{name} has lazy parameters without a shape: pass one image through it first")
    reason: Exception | None = None
    # Imports the compiler, which operators without values need: under a mode, that would take three times as long.
    with torch.inference_mode(), _eager(), _without_fast_path():
        for device in dict.fromkeys((META, _device(network))):
            try:
                return _observe_on(device, network, (height, width), observer)
            except Exception as error:
                reason = error
    assert reason is not None  # noqa: S101 - the loop ran at least once
    fault = f"{name} fails on a 1×{CHANNELS}×{height}×{width} input ({described(reason)[:REASON_LENGTH]})"
    raise NetworkError(f"{fault}: choose a height and width that it accepts, or fix its forward pass") from reason


def unique_bytes(tensors: Iterator[Tensor]) -> int:
    """Bytes of the tensors' storages, shared ones once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def registered(network: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    yield from network.parameters()
    yield from network.buffers()


def _observe_on(device: torch.device, network: nn.Module, size: tuple[int, int], observer: Observer[Seen]) -> Seen:
    replica = _replica(network, device)
    image = torch.zeros(1, CHANNELS, *size, dtype=_dtype(network), device=device)
    with _evaluating(replica), observer(replica, image) as seen:
        replica(image)
    return seen


def _replica(network: nn.Module, device: torch.device) -> nn.Module:
    """A deep copy on a device; the network itself if it cannot be copied, unless the device is `meta`."""
    held = list(_held(network))  # referenced until the end: the memo identifies each tensor by its address
    memo: dict[int, Any] = {}
    for tensor in held:
        moved = torch.empty_like(tensor, device=META) if device == META else tensor.detach().clone()
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(moved, requires_grad=False) if is_parameter else moved
    try:
        replica = copy.deepcopy(network, memo)
    except Exception:
        if device == META:
            raise
        return network
    # The memo does not reach the tensors of a scripted module.
    return replica if all(t.device == device for t in registered(replica)) else replica.to(device)


def _held(network: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors in plain attributes of modules."""
    for module in network.modules():
        for values in (module._parameters, module._buffers, vars(module)):
            yield from (v for v in values.values() if isinstance(v, Tensor))


def _device(network: nn.Module) -> torch.device:
    return next((tensor.device for tensor in registered(network)), torch.device("cpu"))


def _dtype(network: nn.Module) -> torch.dtype:
    types = (tensor.dtype for tensor in registered(network))
    return next((dtype for dtype in types if dtype.is_floating_point), torch.float32)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Switches to evaluation mode, and back to each module's own mode at the end."""
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def as_written() -> AbstractContextManager[Any]:
    """Disables compilation, if anything can have been compiled."""
    return _eager() if "torch._dynamo" in sys.modules else nullcontext()


def _eager() -> AbstractContextManager[Any]:
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Prevents `MultiheadAttention` and encoder layers from running as one operator on some devices."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
