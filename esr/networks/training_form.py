"""Recognises a network that is still in its training form: blocks that could be fused for inference, and are not."""

import inspect
import re
from collections import Counter
from collections.abc import Sequence

from torch import nn

from esr.text import escaped

_FUSES = re.compile(
    r"(?:switch|convert|change)_?(?:to_?)?deploy\w*|deploy|re_?param\w*|rep_?params?|fuse(?:_\w+)?|merge(?:_\w+)?"
    r"|get_equivalent_kernel_bias|collapse(?:_\w+)?",
    re.IGNORECASE,
)
"""Names that such methods have."""
_DONE = ("deploy", "deployed", "is_deploy", "fused", "is_fused", "merged", "reparameterized", "reparam", "rep")
"""Attributes that say that a block is fused already."""


def training_form(network: nn.Module, called: Sequence[str] = ()) -> str | None:
    """The blocks that could be fused, with their method and the setting that calls it; `None` where there are none.

    A block counts if its class has a method with a name such as `switch_to_deploy` that takes no argument, no attribute
    says that it was called, and the block still has several layers or parameters. A module around such blocks does not
    count itself.

    Args:
        network: As it is measured.
        called: Methods that were called on it.
    """
    owners = {path: method for path, module in network.named_modules() if (method := _method(module))}
    around = {path[: match.start()] for path in owners for match in re.finditer(r"\.", path)} | (
        {""} if owners else set()
    )
    found: Counter[tuple[str, str]] = Counter()
    for path, method in owners.items():
        module = network.get_submodule(path)
        inside = path in around and any(other != path for other in owners)
        if not inside and method not in called and _is_open(module):
            found[type(module).__name__, method] += 1
    if not found:
        return None
    blocks = ", ".join(f"{count} × {escaped(kind)}" for (kind, _), count in found.most_common(3))
    method = escaped(found.most_common(1)[0][0][1])
    return f"{blocks}; if the method {method} fuses them, set after_load={method} in the network's YAML"


def _method(module: nn.Module) -> str | None:
    """The method of a module that fuses it, by its name; `None` without one."""
    own = {name for kind in type(module).__mro__ if kind is not nn.Module for name in vars(kind)} - set(dir(nn.Module))
    methods = [name for name in sorted(own) if _FUSES.fullmatch(name) and _takes_nothing(getattr(module, name, None))]
    return next((name for name in methods if "deploy" in name.lower()), methods[-1] if methods else None)


def _takes_nothing(method: object) -> bool:
    try:
        parameters = inspect.signature(method).parameters.values() if callable(method) else None
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameters is not None and all(
        p.kind in kinds or p.default is not inspect.Parameter.empty for p in parameters
    )


def _is_open(module: nn.Module) -> bool:
    if any(vars(module).get(name) is True for name in _DONE):
        return False
    branches = sum(next(child.parameters(), None) is not None for child in module.children())
    return branches + sum(1 for _ in module.parameters(recurse=False)) > 1
