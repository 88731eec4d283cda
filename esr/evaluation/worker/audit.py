"""What a pass does beside its arithmetic: another precision than the others', settings changed for its own good."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, float32
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esr.networks import devices


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that gives floating-point values other than float32, and what was set while it ran."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = settings
        self.precisions: dict[str, set[str]] = {}
        self.changed: dict[str, Any] = {}

    def look(self) -> None:
        """Notes the settings that are not as they were."""
        now = devices.read_settings()
        self.changed |= {name: value for name, value in now.items() if value != self.settings[name]}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.look()  # here, since a network may set things back before it returns
        results = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dtype != float32:
                dtype = str(leaf.dtype).removeprefix("torch.")
                self.precisions.setdefault(dtype, set()).add(func.overloadpacket.__name__)
        return results


def audit(run: Callable[[], Tensor], settings: Mapping[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Runs one pass and watches it.

    Args:
        run: One forward pass.
        settings: What `devices.read_settings` said before the network was loaded.

    Returns:
        The pass's output; and `precisions`: dtype -> operators that gave it, float32 left out, and `switches`: the
        settings that were others during the pass or after it, with those values.
    """
    with _Watch(settings) as watch:
        output = run()
    watch.look()
    precisions = {dtype: sorted(names) for dtype, names in sorted(watch.precisions.items())}
    return output, {"precisions": precisions, "switches": watch.changed}
