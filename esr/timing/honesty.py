"""Signs that a network is slower than its timed passes report: pure functions over measurements."""

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
    """Wall time of turns, by the parent's own clock, that the worker's passes do not explain.

    The lower quartile over the turns decides: a busy machine stalls some, and more than half of them at its worst; a
    network that works outside the clock does so in nearly all.

    Args:
        blocks: Those that count.
        samples: Every timed pass.

    Returns:
        A line that says how much; none where the claims are plausible.
    """
    if not blocks:
        return None
    claimed: dict[int, list[float]] = {}
    for block, ms in zip(samples.block, samples.ms, strict=True):
        claimed.setdefault(block, []).append(ms)
    missing = []
    for entry in blocks:
        passes = claimed.get(entry.block, [])
        wall = entry.parent_wall_ms
        allowed = UNACCOUNTED_MS + PER_PASS_MS * len(passes) + UNACCOUNTED * wall
        missing.append((wall - sum(passes) - allowed, wall, sum(passes)))
    excess, wall, said = sorted(missing)[len(missing) // 4]
    if excess <= 0:
        return None
    return f"turns claim {said:.1f} ms of the {wall:.1f} ms that passed"


def remembers_inputs(samples: Samples | SampleColumns) -> str | None:
    """Whether passes over inputs seen before are faster than passes over new ones.

    Times are taken relative to their image's median, and compared by the Mann–Whitney rank test.

    Args:
        samples: Every timed pass.

    Returns:
        A line that says by how much; none where there is no such sign.
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
