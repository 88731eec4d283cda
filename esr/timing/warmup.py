"""When a network counts as warm."""

from collections.abc import Sequence
from statistics import median

from esr.config import WarmupConf


def settled(durations: Sequence[float], conf: WarmupConf) -> bool:
    """Whether successive passes over one LR shape have found their level.

    The median of the last `conf.window` passes is held against that of the window before.

    >>> settled([90.0, 11.0, 10.0, 10.1, 10.0, 10.1, 10.0], WarmupConf())
    True
    >>> settled([90.0, 40.0, 30.0, 20.0, 15.0, 12.0], WarmupConf())
    False
    """
    if len(durations) < max(conf.min_passes, 2 * conf.window):
        return False
    before = median(durations[-2 * conf.window : -conf.window])
    now = median(durations[-conf.window :])
    return abs(now - before) <= conf.tolerance * before
