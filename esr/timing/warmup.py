"""When a network counts as warm."""

from collections.abc import Sequence
from statistics import median

from esr.config.schema import WarmupConf


def settled(durations: Sequence[float], conf: WarmupConf) -> bool:
    """Whether successive passes over one LR shape have found their level, and keep it.

    The median of the last `conf.window` passes is held against that of the window before; over both windows the
    median distance from the median must be small.

    >>> settled([90.0, 11.0, 10.0, 10.1, 10.0, 10.1, 10.0], WarmupConf())
    True
    >>> settled([90.0, 40.0, 30.0, 20.0, 15.0, 12.0], WarmupConf())
    False
    >>> settled([10.0, 20.0, 14.0, 20.0, 10.0, 14.0], WarmupConf())
    False
    """
    if len(durations) < max(conf.min_passes, 2 * conf.window):
        return False
    both = durations[-2 * conf.window :]
    before, now = median(both[: conf.window]), median(both[conf.window :])
    level = median(both)
    spread = median(abs(value - level) for value in both)
    return abs(now - before) <= conf.tolerance * before and spread <= conf.spread * level
