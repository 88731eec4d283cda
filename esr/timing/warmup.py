"""The test for a network that is warm."""

from collections.abc import Sequence
from statistics import median

from esr.config.schema import WarmupConf


def settled(durations: Sequence[float], conf: WarmupConf) -> bool:
    """True once successive passes over one LR shape take a stable time: `unsettled` has nothing to say."""
    return unsettled(durations, conf) is None


def unsettled(durations: Sequence[float], conf: WarmupConf) -> str | None:
    """Reason why successive passes over one LR shape do not take a stable time yet; `None`: they do.

    The medians of the last two windows of `conf.window` passes must agree within `conf.tolerance`, and the median
    absolute deviation over both must not exceed the fraction `conf.spread` of their median.

    >>> unsettled([90.0, 11.0, 10.0, 10.1, 10.0, 10.1, 10.0], WarmupConf())
    >>> unsettled([90.0, 40.0, 30.0, 20.0, 15.0, 12.0], WarmupConf())
    'level moves by 62 % (5 % is stable)'
    >>> unsettled([10.0, 20.0, 14.0, 20.0, 10.0, 14.0], WarmupConf())
    'passes scatter by 29 % (10 % is stable)'
    """
    least = max(conf.min_passes, 2 * conf.window)
    if len(durations) < least:
        return f"{least} passes at least"
    both = durations[-2 * conf.window :]
    before, now = median(both[: conf.window]), median(both[conf.window :])
    level = median(both)
    spread = median(abs(value - level) for value in both)
    if abs(now - before) > conf.tolerance * before:
        return f"level moves by {abs(now - before) / before:.0%} ({conf.tolerance:.0%} is stable)".replace("%", " %")
    if spread > conf.spread * level:
        return f"passes scatter by {spread / level:.0%} ({conf.spread:.0%} is stable)".replace("%", " %")
    return None
