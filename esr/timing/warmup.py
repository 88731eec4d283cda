"""The test for a network that is warm."""

from collections.abc import Sequence
from statistics import median

from esr.config.schema import WarmupConf


def settled(durations: Sequence[float], conf: WarmupConf) -> bool:
    """True once successive passes over one LR shape take a stable time.

    The medians of the last two windows of `conf.window` passes must agree within `conf.tolerance`, and the median
    absolute deviation over both must not exceed the fraction `conf.spread` of their median.

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
