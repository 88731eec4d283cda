"""Side effects of a pass: computing in another precision than float32, changing settings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, float32
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esr.evaluation.worker.messages import AuditAnswer
from esr.networks import devices
from esr.records.network import SettingValue


class _Audit(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that returns floating-point values other than float32, and the settings it runs with."""

    def __init__(self, settings: Mapping[str, SettingValue]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.settings = settings
        self.precisions: dict[str, set[str]] = {}
        self.changed: dict[str, SettingValue] = {}

    def compare_settings(self) -> None:
        """Notes the settings that have changed."""
        now = devices.read_settings()
        self.changed |= {name: value for name, value in now.items() if value != self.settings[name]}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.compare_settings()  # here, since a network may restore them before it returns
        results = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.dtype != float32:
                dtype = str(leaf.dtype).removeprefix("torch.")
                self.precisions.setdefault(dtype, set()).add(func.overloadpacket.__name__)
        return results


def audit(run: Callable[[], Tensor], settings: Mapping[str, SettingValue]) -> tuple[Tensor, AuditAnswer]:
    """Runs one pass under watch.

    Args:
        run: One forward pass.
        settings: As `devices.read_settings` returned them before the network was loaded.

    Returns:
        The pass's output, and the findings.
    """
    with _Audit(settings) as watched:
        output = run()
    watched.compare_settings()
    precisions = {dtype: tuple(sorted(names)) for dtype, names in sorted(watched.precisions.items())}
    return output, AuditAnswer(precisions, watched.changed)
