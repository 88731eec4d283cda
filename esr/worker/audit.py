"""What a pass does beside its arithmetic: another precision than the others', switches turned for its own good."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esr import devices


class _Precisions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that gives floating-point values other than float32."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: dict[str, set[str]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dtype != torch.float32:
                dtype = str(leaf.dtype).removeprefix("torch.")
                self.found.setdefault(dtype, set()).add(func.overloadpacket.__name__)
        return results


def audit(run: Callable[[], Tensor], switches: Mapping[str, bool]) -> dict[str, Any]:
    """Runs one pass and reads the switches afterwards.

    Args:
        run: One forward pass.
        switches: What `devices.apply_switches` had set.

    Returns:
        `precisions`: dtype -> operators that gave it, float32 left out; `switches`: those that have changed, with
        their present values.
    """
    with _Precisions() as mode:
        run()
    now = devices.read_switches()
    return {
        "precisions": {dtype: sorted(names) for dtype, names in sorted(mode.found.items())},
        "switches": {name: value for name, value in now.items() if value != switches[name]},
    }
