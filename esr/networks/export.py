"""Export of a network to other software: ONNX, TorchScript, or its weights alone as safetensors.

The exported network maps 1×3×H×W to 1×3×4H×4W, both from 0 to the network's data range, without tiles. Height and
width are dynamic where the network allows it. The same network and weights give the same bytes, but TorchScript, which
numbers the classes a process has traced, does so only in a fresh process of the same installation (as the command is).
"""

import importlib.util
import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from esr.errors import ConfigError, NetworkError
from esr.networks.formats import EXAMPLE, SUFFIXES
from esr.text import one_line

OPSET = 18
"""ONNX version; the oldest that the exporter writes without a conversion."""
_AXES = ("batch", "channels", "height", "width")
_DYNAMIC = ((0, 2, 3), (2, 3), ())
"""Axes of the input that may vary, from the most to the least; the first that a network can be exported with counts."""


@dataclass(frozen=True)
class Exported:
    """An exported file."""

    content: bytes
    any_size: bool
    """True if height and width are dynamic; otherwise they are the example's."""


def export(network: nn.Module, format: str, size: tuple[int, int] = EXAMPLE) -> Exported:  # noqa: A002 - as in the command
    """Exports a frozen network.

    Args:
        network: Maps 1×3×H×W to 1×3×4H×4W; in eval mode, on the CPU.
        format: A key of `SUFFIXES`.
        size: Height and width of the example image; the only size that the result accepts if it cannot be dynamic.

    Raises:
        ConfigError: The format is unknown, or ONNX is not installed.
        NetworkError: The network cannot be exported.
    """
    if format == "safetensors":
        # Cloned: modules that are tied share tensors, which the format has no way to say.
        state = {name: value.contiguous().clone() for name, value in sorted(network.state_dict().items())}
        return Exported(safetensors.torch.save(state), any_size=True)
    if format == "torchscript":
        return to_torchscript(network, size)
    if format == "onnx":
        return to_onnx(network, size)
    raise ConfigError(f"format={format}: no such format; choose one of {', '.join(SUFFIXES)}")


def to_program(network: nn.Module, size: tuple[int, int] = EXAMPLE) -> tuple[ExportedProgram, bool]:
    """The network as a `torch.export` program, and True if height and width are dynamic.

    Raises:
        NetworkError: The network cannot be exported, even for a single size.
    """
    reason: Exception | None = None
    for axes in _DYNAMIC:
        try:
            with _quiet(), torch.no_grad():
                # An axis of length 1 would be taken for a constant.
                example = _example(size, images=2 if 0 in axes else 1)
                shapes = (dict.fromkeys(axes, Dim.DYNAMIC),) if axes else None
                program = torch.export.export(network, (example,), dynamic_shapes=shapes)
                if not axes or _agrees(_runnable(program), network, size, images=3 if 0 in axes else 1):
                    return program, bool(axes)
        except Exception as error:
            reason = error
    raise _refused(network, "torch.export", reason) from reason


def to_onnx(network: nn.Module, size: tuple[int, int] = EXAMPLE) -> Exported:
    """The network as ONNX, with `lr` as its input and `sr` as its output.

    Raises:
        ConfigError: ONNX is not installed.
        NetworkError: The network cannot be exported.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"format=onnx needs {' and '.join(missing)}, not installed here: pip install onnx onnxscript")
    program, any_size = to_program(network, size)
    try:
        return Exported(_converted(program), any_size)
    except Exception as error:
        raise _refused(network, "torch.onnx.export", error) from error


def to_torchscript(network: nn.Module, size: tuple[int, int] = EXAMPLE) -> Exported:
    """The network as TorchScript, traced.

    Raises:
        NetworkError: The network cannot be traced.
    """
    buffer = io.BytesIO()
    try:
        with _quiet(), torch.no_grad():
            traced = torch.jit.trace(network, _example(size), check_trace=False)  # type: ignore[no-untyped-call]
            torch.jit.save(traced, buffer)
            any_size = _agrees(traced, network, size)
    except Exception as error:
        raise _refused(network, "torch.jit.trace", error) from error
    return Exported(buffer.getvalue(), any_size)


def _example(size: tuple[int, int], images: int = 1) -> Tensor:
    """Fixed images for tracing; their values do not matter."""
    return torch.linspace(0, 1, images * 3 * size[0] * size[1]).reshape(images, 3, *size)


def _runnable(program: ExportedProgram) -> nn.Module:
    """The program without guards, some of which demand the example's memory layout, which is irrelevant here."""
    try:
        return program.module(check_guards=False)
    except TypeError:  # older versions of torch have no such argument
        return program.module()


def _agrees(exported: Any, network: nn.Module, size: tuple[int, int], images: int = 1) -> bool:
    """True if the exported network gives the network's own output for images larger than the example."""
    image = _example((size[0] + 3, size[1] + 6), images)  # a multiple of 8 for the default example
    expected: Tensor = network(image)
    try:
        found = exported(image)
    except (RuntimeError, AssertionError):  # the shape does not fit
        return False
    tolerance = 1e-4 * float(expected.max() - expected.min())
    return found.shape == expected.shape and bool((found - expected).abs().max() <= tolerance)


def _converted(program: ExportedProgram) -> bytes:
    """The program as ONNX; not optimised if the optimiser fails, as it does on IMDeception's split tensors."""
    convert = partial(
        torch.onnx.export, program, input_names=["lr"], output_names=["sr"], opset_version=OPSET, verbose=False
    )
    with _quiet():
        try:
            converted = convert(optimize=True)
        except Exception:
            converted = convert(optimize=False)
    assert converted is not None  # noqa: S101 - `None` only where a file is asked for
    return _without_traces(converted.model_proto)


def _without_traces(model: Any) -> bytes:
    """The ONNX file without the exporter's metadata on each node, which names paths on this machine."""
    graph = model.graph
    _name_axes(graph)
    for entry in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del entry.metadata_props[:]
    return bytes(model.SerializeToString(deterministic=True))


def _name_axes(graph: Any) -> None:
    """Names the input's axes that may vary, here and in the axes of all that depend on them, such as 4*height."""
    axes = graph.input[0].type.tensor_type.shape.dim
    names = {dim.dim_param: name for dim, name in zip(axes, _AXES, strict=True) if dim.dim_param}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"[A-Za-z_]\w*", lambda word: names.get(word[0], word[0]), dim.dim_param)


def _refused(network: nn.Module, step: str, error: Exception | None) -> NetworkError:
    return NetworkError(f"{type(network).__name__} cannot be exported: {step} says {one_line(str(error))[:200]}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporters' warnings, on which a user cannot act; failures still raise."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
