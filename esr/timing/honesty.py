"""Signs that a network is slower than its timed passes report: pure functions over measurements."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import numpy as np

from esr.records.network import Block, Samples
from esr.timing.samples import SampleColumns

UNACCOUNTED = 0.2
"""Fraction of a block's wall time that its passes may leave unexplained; the time between passes is far less."""
UNACCOUNTED_MS = 20.0
"""Milliseconds allowed per block: two messages and scheduling delay."""
PER_PASS_MS = 1.0
"""Milliseconds allowed around each pass."""
FASTER = 0.9
"""Repeated inputs are faster if they take less than this fraction of the time of new ones."""
SIGNIFICANT = 2e-3
"""Level of the rank test: two false alarms in a thousand honest networks."""
FEWEST = 6
"""Least number of passes of each kind for the test."""


def unaccounted(blocks: Sequence[Block], samples: Samples | SampleColumns) -> str | None:
    """Wall time of blocks, by the parent's clock, that the reported passes do not explain.

    The lower quartile over the blocks decides: a busy machine delays some of them, at worst more than half, whereas a
    network that works outside the timed passes delays nearly all.

    Args:
        blocks: Those that count.
        samples: Every timed pass.

    Returns:
        One line with both times; `None` if the reported times are plausible.
    """
    if not blocks:
        return None
    reported: dict[int, list[float]] = defaultdict(list)
    for block, ms in zip(samples.block, samples.ms, strict=True):
        reported[block].append(ms)
    missing = []
    for entry in blocks:
        passes, wall = reported[entry.block], entry.parent_wall_ms
        allowed = UNACCOUNTED_MS + PER_PASS_MS * len(passes) + UNACCOUNTED * wall
        missing.append((wall - sum(passes) - allowed, wall, sum(passes)))
    excess, wall, total = sorted(missing)[len(missing) // 4]
    return f"blocks report {total:.1f} ms of {wall:.1f} ms elapsed" if excess > 0 else None


def remembers_inputs(samples: Samples | SampleColumns) -> str | None:
    """Evidence that passes over inputs seen before are faster than passes over new ones.

    Times relative to the median of their image are compared by the Mann–Whitney rank test.

    Args:
        samples: Every timed pass.

    Returns:
        One line with the fraction; `None` without such evidence.
    """
    image, ms, altered = np.asarray(samples.image), np.asarray(samples.ms), np.asarray(samples.altered, bool)
    relative = np.zeros(len(ms))
    for one in np.unique(image):
        mine = image == one
        relative[mine] = ms[mine] / np.median(ms[mine])
    fresh, repeated = relative[altered], relative[~altered]
    if min(len(fresh), len(repeated)) < FEWEST:
        return None
    share = median(repeated) / median(fresh)
    if share >= FASTER:
        return None
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - takes a second to import, seldom needed

    if mannwhitneyu(repeated, fresh, alternative="less").pvalue >= SIGNIFICANT:
        return None
    return f"repeated inputs take {share * 100:.0f} % of the time of new ones"
