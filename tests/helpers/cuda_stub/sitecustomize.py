"""Gives torch simulated devices as soon as it is imported; Python imports this file at its start from PYTHONPATH."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType


class _TorchLoader(importlib.abc.Loader):
    """Torch's own loader, and the simulation after it."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        import simulated_cuda  # type: ignore[import-not-found]

        simulated_cuda.install()


class _TorchFinder(importlib.abc.MetaPathFinder):
    """Stands before Python's own finders for the first import of torch."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _TorchLoader(spec.loader)
        return spec


sys.meta_path.insert(0, _TorchFinder())
