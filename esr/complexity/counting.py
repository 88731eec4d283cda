"""Parameters, operations, activations and convolutions, for a whole network or module by module."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity import challenge, operators
from esr.complexity.operators import OperatorMode
from esr.complexity.replica import CHANNELS, observe

_PARAMETRIZATION = re.compile(r"(^|\.)parametrizations(\..*)?$")
"""The part of a path below a module whose weight PyTorch computes anew in each pass."""


@dataclass(frozen=True)
class Complexity:
    """What one forward pass over one image costs, by two definitions."""

    input_shape: tuple[int, ...]
    """1×3×height×width."""
    params: int
    """Elements of all registered parameters, shared ones once."""
    flops: int
    """Operations as the challenge's script counts them, blind spots included: `esr.complexity.challenge`."""
    macs: int
    """Multiply-accumulates of every convolution, matrix product and attention that runs."""
    activations: int
    """Elements that `Conv2d` and `ConvTranspose2d` modules put out."""
    convolutions: int
    """Calls of such modules."""
    missed_by_hooks: dict[str, int] = field(default_factory=dict)
    """Operator -> MACs that ran outside any module that the script counts; most first."""
    without_formula: dict[str, int] = field(default_factory=dict)
    """Operator -> calls, of those that might multiply and accumulate but that no formula covers; by name."""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {**asdict(self), "input_shape": list(self.input_shape)}


@dataclass(frozen=True)
class Layer:
    """One row of a network's table: a module, over all its calls in one forward pass."""

    path: str
    """Dotted path from the network, which itself is the empty path."""
    type: str
    """Name of the module's class."""
    calls: int
    """Times it ran; none for a module whose parameters others use or nobody does."""
    output_shape: tuple[int, ...] | None
    """Shape of the first tensor that its last call returned."""
    params: int
    """Elements of its own parameters; one that several modules share stands with the first."""
    flops: int
    """As the challenge's script counts."""
    macs: int
    """Multiply-accumulates that ran while no deeper module did."""
    activations: int
    """As the challenge's script counts."""

    def as_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return {**asdict(self), "output_shape": None if self.output_shape is None else [*self.output_shape]}


def measure(network: nn.Module, height: int = 256, width: int = 256) -> Complexity:
    """Counts one forward pass of a 1×3×height×width image.

    `params`, `flops`, `activations` and `convolutions` are the challenge's (NTIRE 2022 efficient
    super-resolution, which uses 256×256), `macs` come from the operators that PyTorch dispatches. The network
    is left as it is; neither weights nor data matter. Inside a scripted module hooks see nothing, so that all
    of its MACs stand under `missed_by_hooks`.

    Args:
        network: maps a 1×3×H×W image to anything.
        height: of the input, pixels.
        width: of the input, pixels.

    Raises:
        ConfigError: a height or width below 1.
        NetworkError: the network fails on this input, or has lazy parameters without a shape.

    >>> measure(nn.Conv2d(3, 8, 3, padding=1), 16, 16).macs == 16 * 16 * 8 * 3 * 9
    True
    """
    seen = observe(network, height, width, _watching)
    rows = seen.layers()
    return Complexity(
        input_shape=(1, CHANNELS, height, width),
        params=sum(row.params for row in rows),
        flops=sum(row.flops for row in rows),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        convolutions=seen.convolutions,
        missed_by_hooks=dict(seen.missed_by_hooks.most_common()),
        without_formula=dict(sorted(seen.without_formula.items())),
    )


def layers(network: nn.Module, height: int = 256, width: int = 256) -> list[Layer]:
    """A row for each module that computes something itself, in the order in which they first do.

    These are all leaf modules that run, and those others that hold parameters or call multiplying operators
    themselves, an attention block say. A parametrized module is one row with its parametrizations. Each
    column's sum is the figure that `measure` gives.

    Args:
        network: maps a 1×3×H×W image to anything.
        height: of the input, pixels.
        width: of the input, pixels.

    Raises:
        ConfigError: a height or width below 1.
        NetworkError: the network fails on this input, or has lazy parameters without a shape.
    """
    return observe(network, height, width, _watching).layers()


@dataclass
class _Row:
    """What a module did so far, its parametrizations included."""

    path: str
    module: nn.Module
    calls: int = 0
    output_shape: tuple[int, ...] | None = None
    params: int = 0
    flops: int = 0
    macs: int = 0
    activations: int = 0

    def as_layer(self) -> Layer:
        numbers = {name: value for name, value in vars(self).items() if name != "module"}
        return Layer(type=type(self.module).__name__, **numbers)


class _Watcher:
    """Counts what each module of a network does while the network runs once."""

    def __init__(self, network: nn.Module) -> None:
        self.convolutions = 0
        self.missed_by_hooks: Counter[str] = Counter()
        self.without_formula: Counter[str] = Counter()
        self._network = network
        self._running: list[nn.Module] = []
        self._table: dict[str, _Row] = {}
        self._rows: dict[nn.Module, _Row] = {}
        rows: dict[str, _Row] = {}
        for path, module in network.named_modules():
            owner = _PARAMETRIZATION.sub("", path)
            self._rows[module] = rows.setdefault(owner, _Row(owner, module))

    def before(self, module: nn.Module, args: Any) -> None:
        """Forward pre-hook."""
        del args
        self._running.append(module)
        row = self._rows[module]
        if _is_leaf(row.module) or next(row.module.parameters(recurse=False), None) is not None:
            self._table.setdefault(row.path, row)

    def after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Forward hook; called after failures too, without an output."""
        self._running.pop()
        row = self._rows[module]
        row.flops += challenge.flops(module, args, kwargs, output)
        row.activations += challenge.activations(module, output)
        self.convolutions += challenge.is_convolution(module, output)
        if module is row.module:
            row.calls += 1
            tensors = (leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
            row.output_shape = next((tuple(tensor.shape) for tensor in tensors), None)

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Adds the operator's MACs to the innermost module that runs."""
        count = operators.macs(operator, arguments, result)
        if count is None:
            self.without_formula[operators.name(operator)] += 1
        elif count:
            module = self._running[-1] if self._running else self._network
            row = self._rows[module]
            row.macs += count
            self._table.setdefault(row.path, row)
            if not isinstance(module, challenge.MULTIPLYING):
                self.missed_by_hooks[operators.name(operator)] += count

    def layers(self) -> list[Layer]:
        """The table, once the network has run."""
        counted: set[int] = set()
        for module in self._network.modules():
            for parameter in module.parameters(recurse=False):
                if id(parameter) not in counted:
                    counted.add(id(parameter))
                    row = self._rows.get(module, self._rows[self._network])
                    row.params += parameter.numel()
                    self._table.setdefault(row.path, row)
        return [row.as_layer() for row in self._table.values()]


def _is_leaf(module: nn.Module) -> bool:
    return all(name == "parametrizations" for name, _ in module.named_children())


@contextmanager
def _watching(network: nn.Module, image: Tensor) -> Iterator[_Watcher]:
    """Hooks on every module and a mode for the operators, taken away again whatever happens.

    Scripted modules refuse hooks: what they do counts as their parent's.
    """
    del image
    watcher = _Watcher(network)
    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            before = module.register_forward_pre_hook(watcher.before)
            hooks.callback(before.remove)
            after = module.register_forward_hook(watcher.after, with_kwargs=True, always_call=True)
            hooks.callback(after.remove)
        with OperatorMode(watcher.saw):
            yield watcher
