"""Sends what is asked of a CUDA device to main memory, and has the simulation know of it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import torch
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from .simulation import Device, Simulation

_GET_DEVICE = torch.Tensor.device.__get__
_GET_IS_CUDA = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]
_MAKES_NO_TENSOR = ("device", "_parse_to", "__get__", "__set__")
_MIXES = ("copy_", "_to_copy", "index", "index_put_", "set_", "_has_compatible_shallow_copy_type")
"""Operators that take a tensor of the host beside one of the device."""


class Functions(TorchFunctionMode):
    """Functions of torch that name a CUDA device, or that ask where a tensor is."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func in (_GET_DEVICE, _GET_IS_CUDA):
            device = self._simulation.holder(args[0])
            if device is None:
                return func(*args)
            return device.torch_device if func == _GET_DEVICE else True
        if name in _MAKES_NO_TENSOR:
            return func(*args, **kwargs)
        target = self._target(name, (*args, *kwargs.values()))
        if target is not None:
            return self._onto(target, func, args, kwargs)
        device = self._simulation.holder(*args[:1])
        if device is not None and name == "numpy":
            raise TypeError(f"can't convert {device.torch_device} device type tensor to numpy. Use Tensor.cpu()")
        if device is not None and (name == "cpu" or (name == "to" and _names_host((*args, *kwargs.values())))):
            device.synchronize()
            with _disable_current_modes():
                return _copied(func(*args, **kwargs), args[0])
        return func(*args, **kwargs)

    def _target(self, name: str, values: Sequence[object]) -> Device | None:
        """The device that a call's arguments name: itself, or in `a.to(b)` a tensor that lives there."""
        wanted = next((one for one in values if _is_cuda(one)), None)
        if wanted is not None:
            return self._simulation.device(wanted)
        return self._simulation.holder(*values[1:2]) if name == "to" else None

    def _onto(self, device: Device, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        device.check()
        source = self._simulation.holder(*args[:1])
        result = func(*map(_on_host, args), **{name: _on_host(value) for name, value in kwargs.items()})
        if source is device:
            return result
        if isinstance(result, torch.Tensor) and args:
            result = _copied(result, args[0])
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":
                device.allocator.add(leaf)
        return result


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operators over a tensor of a device."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulation = simulation

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        device = self._simulation.holder(*inputs)
        if device is None:
            return func(*args, **kwargs)
        device.check()
        if func.overloadpacket.__name__ not in _MIXES:
            self._require_one_device(device, inputs)
        result = _half_product(*args) if _is_half_product(func, inputs) else func(*args, **kwargs)
        self._simulation.ran(device, (func, args, kwargs, result))
        return result

    def _require_one_device(self, device: Device, inputs: Sequence[torch.Tensor]) -> None:
        for one in inputs:
            if one.dim() and self._simulation.holder(one) is not device:
                raise RuntimeError(
                    f"Expected all tensors to be on the same device, but got {one.device} and {device.torch_device}"
                )


def _is_half_product(func: OpOverload, inputs: Sequence[torch.Tensor]) -> bool:
    return func is torch.ops.aten.mm.default and inputs[0].dtype == torch.float16


def _half_product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Accumulated in float32, as on a GPU; a processor without half-precision arithmetic is slow at anything else."""
    return torch.mm(left.float(), right.float()).half()


def _is_cuda(value: object) -> TypeGuard[torch.device | str]:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and (value == "cuda" or value.startswith("cuda:"))


def _names_host(values: Sequence[object]) -> bool:
    return any(value == "cpu" or (isinstance(value, torch.device) and value.type == "cpu") for value in values[1:])


def _on_host(value: Any) -> Any:
    return torch.device("cpu") if _is_cuda(value) else value


def _copied(result: torch.Tensor, original: object) -> torch.Tensor:
    return result.clone() if result is original else result
