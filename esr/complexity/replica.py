"""One forward pass of a copy of a network, so that looking at it leaves the network as it was."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from esr.errors import ConfigError, NetworkError

CHANNELS = 3
META = torch.device("meta")
REASON_LENGTH = 200
"""Characters of a network's own message that an error repeats; PyTorch's can run over many lines."""

Seen = TypeVar("Seen")
Observer = Callable[[nn.Module, Tensor], AbstractContextManager[Seen]]
"""Takes the copy and its input; what its context yields is filled while the copy runs inside it."""


def observe(network: nn.Module, height: int, width: int, observer: Observer[Seen]) -> Seen:
    """Runs a copy of `network` in evaluation mode on zeros, 1×3×height×width, while an observer looks on.

    The copy runs on the `meta` device, which has shapes and no values; where that fails, as it does for
    control flow that depends on values, on the network's own device. What cannot be copied runs itself.
    Compiled parts run as they are written.

    Args:
        network: any module that takes one image tensor.
        height: of the input, pixels.
        width: of the input, pixels.
        observer: makes the context in which the copy runs.

    Returns:
        What the observer's context yielded.

    Raises:
        ConfigError: a height or width below 1.
        NetworkError: the network fails on this input, or has lazy parameters without a shape.
    """
    for side, value in (("height", height), ("width", width)):
        if value < 1:
            raise ConfigError(f"{side} must be at least 1 pixel, not {value}")
    network = getattr(network, "_orig_mod", network)
    if any(is_lazy(tensor) for tensor in registered(network)):
        raise NetworkError(
            f"{type(network).__name__} has lazy parameters without a shape: pass one image through it first"
        )
    reason: Exception | None = None
    with torch.inference_mode(), _as_written(), _without_fast_path():
        for device in dict.fromkeys((META, _device(network))):
            try:
                return _observe_on(device, network, (height, width), observer)
            except Exception as error:
                reason = error
    raise NetworkError(
        f"{type(network).__name__} fails on a 1×{CHANNELS}×{height}×{width} input ({_one_line(reason)}): "
        "choose a height and width that it accepts, or mend its forward pass"
    ) from reason


def unique_bytes(tensors: Iterator[Tensor]) -> int:
    """Bytes behind the tensors, each storage once."""
    storages = {storage._cdata: storage.nbytes() for storage in (t.untyped_storage() for t in tensors)}
    return sum(storages.values())


def registered(network: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    yield from network.parameters()
    yield from network.buffers()


def _observe_on(
    device: torch.device, network: nn.Module, size: tuple[int, int], observer: Observer[Seen]
) -> Seen:
    replica = _replica(network, device)
    image = torch.zeros(1, CHANNELS, *size, dtype=_dtype(network), device=device)
    with _evaluating(replica), observer(replica, image) as seen:
        replica(image)
    return seen


def _replica(network: nn.Module, device: torch.device) -> nn.Module:
    """A deep copy on a device; the network itself where it resists copying and is there already."""
    held = list(_held(network))  # kept until the end: the memo knows each tensor by its address
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
    # A scripted module holds its tensors where the memo does not reach.
    return replica if all(t.device == device for t in registered(replica)) else replica.to(device)


def _held(network: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors that modules hold as plain attributes."""
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
    """Evaluation mode, and each module's own mode afterwards."""
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _as_written() -> AbstractContextManager[Any]:
    """Switches compilation off, if anything can have been compiled."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Keeps `MultiheadAttention` and encoder layers from becoming one operator on some devices."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _one_line(error: Exception | None) -> str:
    message = " ".join(str(error).split())
    short = message if len(message) <= REASON_LENGTH else f"{message[: REASON_LENGTH - 1]}…"
    return f"{type(error).__name__}: {short}" if message else type(error).__name__
