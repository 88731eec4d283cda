"""Parameters, operations, activations, convolutions and live memory: of a whole network, or module by module."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import thread as pool
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_leaves

from esr.complexity import challenge, operators
from esr.complexity.flow import ExitMode, Flow, set_apart
from esr.complexity.memory import Ledger
from esr.complexity.operators import OperatorMode
from esr.complexity.replica import observe
from esr.config.schema import CHANNELS
from esr.records.network import Complexity, Layer

_PARAMETRIZATION = re.compile(r"(^|\.)parametrizations(\..*)?$")
"""Part of a path below a module whose weight PyTorch recomputes in each pass."""


def measure(network: nn.Module, height: int = 256, width: int = 256) -> Complexity:
    """Counts one forward pass over a 1×3×height×width image, and the memory that it needs.

    `params`, `flops`, `activations` and `convolutions` follow the NTIRE 2022 efficient super-resolution challenge,
    which uses 256×256; `macs` are those of the operators that PyTorch dispatches. Neither weights nor data matter.
    Hooks do not reach into scripted modules, whose MACs are all listed under `missed_by_hooks`.

    `live_memory` counts a storage from the operator that allocates it until its last reference is gone, with its
    exact size; views and in-place operators add nothing. It excludes what depends on the machine (workspace inside
    kernels, rounding and fragmentation in the allocator, the CUDA context), so it is the same on every device and a
    lower bound for `torch.cuda.max_memory_allocated`. References in the network's own Python code count: a feature
    held in a variable is alive until its function returns. Fused attention counts as its output alone.

    Args:
        network: maps a 1×3×H×W image to anything; unchanged afterwards.
        height: input height in pixels.
        width: input width in pixels.

    Raises:
        ConfigError: The height or width is below 1.
        NetworkError: The network fails on this input, or has lazy parameters without a shape.

    >>> measure(nn.Conv2d(3, 8, 3, padding=1), 16, 16).macs == 16 * 16 * 8 * 3 * 9
    True
    """
    seen = observe(network, height, width, _watching)
    rows = seen.layers()
    return Complexity(
        input_shape=(1, CHANNELS, height, width),
        params=sum(row.params for row in rows),
        flops=sum(row.flops for row in rows),
        flops_fvcore=seen.flow.flops(),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        convolutions=seen.convolutions,
        missed_by_hooks=dict(seen.missed_by_hooks.most_common()),
        without_formula=dict(sorted((seen.without_formula + seen.flow.outside).items())),
        live_memory=seen.ledger.live_memory,
        scripted=sum(isinstance(module, torch.jit.ScriptModule) for module in network.modules()),
    )


def layers(network: nn.Module, height: int = 256, width: int = 256) -> list[Layer]:
    """The modules that compute something themselves, in order of first use.

    These are all leaf modules that run, and other modules that hold parameters or call multiplying operators
    themselves, such as an attention block. A parametrized module and its parametrizations form one row. Each column
    sums to the figure of `measure`.

    Args:
        network: maps a 1×3×H×W image to anything; unchanged afterwards.
        height: input height in pixels.
        width: input width in pixels.

    Raises:
        ConfigError: The height or width is below 1.
        NetworkError: The network fails on this input, or has lazy parameters without a shape.
    """
    return observe(network, height, width, _watching).layers()


@contextmanager
def in_every_thread(
    saw: operators.Saw, called: operators.Saw = lambda *_: None, before: operators.Before = lambda *_: None
) -> Iterator[None]:
    """Reports operators as `OperatorMode` does, also those of threads that the pass starts, or whose pool it uses.

    Threads run them one after the other.
    """
    lock = threading.RLock()
    run_thread, run_item = threading.Thread.run, pool._WorkItem.run

    def watched(run: Callable[..., Any]) -> Callable[..., None]:
        def run_watched(*arguments: Any) -> None:
            known = any(isinstance(one, OperatorMode) for one in _get_current_dispatch_mode_stack())
            with nullcontext() if known else OperatorMode(saw, called, before, lock):  # a pool's work in a new thread
                run(*arguments)

        return run_watched

    with OperatorMode(saw, called, before, lock), ExitStack() as undo:
        for owner, run in ((threading.Thread, run_thread), (pool._WorkItem, run_item)):
            undo.callback(setattr, owner, "run", run)
            setattr(owner, "run", watched(run))  # noqa: B010 - which types do not allow
        yield


class _Watcher:
    """Counts each module's work and the memory of one pass."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        self.ledger = Ledger(network, image)
        self.flow = Flow(image, lenient=any(isinstance(each, torch.jit.ScriptModule) for each in network.modules()))
        self.convolutions = 0
        self.missed_by_hooks: Counter[str] = Counter()
        self.without_formula: Counter[str] = Counter()
        self._network = network
        self._running: list[nn.Module] = []
        self._table: dict[str, Layer] = {}
        modules = dict(network.named_modules())
        rows = {path: Layer(path, type(module).__name__) for path, module in modules.items()}
        owners = {module: _PARAMETRIZATION.sub("", path) for path, module in modules.items()}
        self._owners = {module: modules[path] for module, path in owners.items()}
        self._rows = {module: rows[path] for module, path in owners.items()}

    def before(self, module: nn.Module, _: Any) -> None:
        """Forward pre-hook."""
        self._running.append(module)
        row, owner = self._rows[module], self._owners[module]
        if _is_leaf(owner) or next(owner.parameters(recurse=False), None) is not None:
            self._table.setdefault(row.path, row)

    def after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        """Forward hook; also called after a failure, without an output."""
        self._running.pop()
        row = self._rows[module]
        row.flops += challenge.flops(module, args, kwargs, output)
        if isinstance(module, challenge.CONVOLUTIONS) and isinstance(output, Tensor):
            row.activations += output.numel()
            self.convolutions += 1
        if module is self._owners[module]:
            row.calls += 1
            tensors = (leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor))
            row.output_shape = next((tuple(tensor.shape) for tensor in tensors), None)
        if module is self._network:
            self.flow.output(output)

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Adds the operator's MACs to the innermost running module, and its allocations to the ledger."""
        self.ledger.enter(result)
        self.flow.operator(operator, arguments, result)
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
        """The table of a completed pass."""
        counted: set[int] = set()
        for module in self._network.modules():
            for parameter in module.parameters(recurse=False):
                if id(parameter) not in counted:
                    counted.add(id(parameter))
                    row = self._rows.get(module, self._rows[self._network])
                    row.params += parameter.numel()
                    self._table.setdefault(row.path, row)
        return list(self._table.values())


def _is_leaf(module: nn.Module) -> bool:
    return all(name == "parametrizations" for name, _ in module.named_children())


@contextmanager
def _watching(network: nn.Module, image: Tensor) -> Iterator[_Watcher]:
    """Hooks on every module and a mode for the operators, removed at the end in any case.

    Scripted modules refuse hooks, so their work counts as their parent's.
    """
    watcher = _Watcher(network, image)
    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue
            hooks.callback(module.register_forward_pre_hook(watcher.before).remove)
            after = module.register_forward_hook(watcher.after, with_kwargs=True, always_call=True)
            hooks.callback(after.remove)
        threads = in_every_thread(watcher.saw, watcher.flow.call)
        with set_apart(), ExitMode(watcher.flow), threads:
            yield watcher
