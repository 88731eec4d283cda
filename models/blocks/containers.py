"""Sequences of modules with descriptive names."""

from collections import OrderedDict
from collections.abc import Iterable

from torch import nn


def named(**modules: nn.Module) -> nn.Sequential:
    """The modules in sequence, each under its keyword.

    >>> [name for name, _ in named(pool=nn.MaxPool2d(2), act=nn.ReLU()).named_children()]
    ['pool', 'act']
    """
    return nn.Sequential(OrderedDict(modules))


def numbered(modules: Iterable[nn.Module]) -> nn.Sequential:
    """The modules in sequence, named `1`, `2`, … as papers number their blocks and steps.

    >>> [name for name, _ in numbered([nn.ReLU(), nn.ReLU()]).named_children()]
    ['1', '2']
    """
    return nn.Sequential(OrderedDict((str(number), module) for number, module in enumerate(modules, start=1)))
