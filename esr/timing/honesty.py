"""Signs that a network is slower than its worker claims: pure functions over measurements."""

from dataclasses import dataclass

import numpy as np

from esr.timing.statistics import Array

ALLOWED = 0.02
"""Fraction by which a claim may stay behind the parent's clock beyond what the harness measured of itself."""
OWN_SHARE = 0.5
"""Fraction of the harness's own time by which that may vary: caches are colder beside a network than without one."""
CERTAIN = 3.0
"""Standard errors of a median that count as chance: two false alarms in a thousand honest networks."""
FEWEST_ROUNDS = 5
"""With fewer rounds, single passes are compared."""
SLICE_MS = 4.0
"""A scheduler's slice: in fewer passes than there should be rounds, each may be late by one, by chance."""
CROWDED, COMPUTED_MS = 1.1, 20.0
"""Factor on the time of all threads, and milliseconds per evaluation, beyond which processor time has no room."""
FAR_OFF = 2.0
"""Factor between the ratios by both clocks that no busy machine excuses, since it delays both networks."""
MOST_EXCUSED = 0.5
"""Fraction by which others' load may at most delay the harness; such a record is tainted by telemetry anyway."""
_MAD_TO_SIGMA = 1.4826
_MEDIAN_EFFICIENCY = 1.2533
"""Standard error of a median over that of a mean, for normal values."""


@dataclass(frozen=True)
class Clocks:
    """One network's passes by both clocks, rounds × images; rounds that are not complete left out."""

    claimed: Array
    """Milliseconds by the worker."""
    parent: Array
    """Milliseconds by the parent, the harness's own time taken out."""
    own: Array
    """Milliseconds of the harness's own time."""
    least_ms: float = 0.0
    """Least milliseconds of a round on this device, whatever the network claims; 0: not known."""
    load: float = 0.0
    """Share of the machine that other processes took; the harness waits for them as often."""

    @property
    def excess(self) -> Array:
        """Fraction of each sum that the parent saw and the worker does not claim."""
        return np.asarray((_sums(self.parent) - _sums(self.claimed)) / _sums(self.claimed))

    @property
    def slack(self) -> float:
        """Fraction of a sum by which the harness's own time may vary."""
        return OWN_SHARE * _median(_sums(self.own) / _sums(self.claimed))

    @property
    def delay(self) -> float:
        """The median excess over the harness's own time: how much slower than calibrated the harness is now."""
        own = _median(_sums(self.own))
        return _median(_sums(self.parent) - _sums(self.claimed)) / own if own > 0 else 0.0


def _sums(table: Array) -> Array:
    """Milliseconds of each round; of each pass where there are few rounds."""
    return np.asarray(table.sum(axis=1) if len(table) >= FEWEST_ROUNDS else table.ravel())


def _median(values: Array) -> float:
    return float(np.median(values))


def surely_above(values: Array) -> float:
    """A median less its standard errors: what is left is not chance."""
    if not len(values):
        return -np.inf
    middle = _median(values)
    spread = _MAD_TO_SIGMA * _median(np.abs(values - middle))
    return float(middle - CERTAIN * _MEDIAN_EFFICIENCY * spread / np.sqrt(len(values)))


def _excused(load: float) -> float:
    return min(load, MOST_EXCUSED)


def unaccounted(mine: Clocks, other: Clocks | None) -> str | None:
    """Time by the parent's clock that a network's claims do not cover.

    A busy machine delays the harness as much beside the other network; up to the harness's own time once more, that is
    not held against this one.

    Args:
        mine: The network in question.
        other: Its partner; `None`: without one.

    Returns:
        One line with both times; `None` if the claims are plausible.
    """
    if not mine.claimed.size:
        return None
    common = min(1.0, max(0.0, other.delay)) if other is not None and other.claimed.size else 0.0
    allowed = ALLOWED + mine.slack * (1 + common / OWN_SHARE) + _excused(mine.load)
    if mine.excess.size < FEWEST_ROUNDS:
        allowed += SLICE_MS / _median(_sums(mine.claimed))
    if surely_above(mine.excess) <= allowed:
        return None
    claimed, parent = _median(_sums(mine.claimed)), _median(_sums(mine.parent))
    what = "a round" if len(mine.claimed) >= FEWEST_ROUNDS else "a pass"
    return f"{what} takes {parent:.3g} ms by the parent's clock, {claimed:.3g} ms as claimed"


def computed_more(claimed_ms: float, own_ms: float, computed_ms: float, threads: int) -> str | None:
    """Processor time by the kernel's account that the claims leave no room for, however busy the machine is.

    Args:
        claimed_ms: All timed passes together.
        own_ms: The harness's own processor time in them.
        computed_ms: The worker's processor time during them, all threads together.
        threads: Those that the worker was given.

    Returns:
        One line with both times; `None` if they fit.
    """
    room = CROWDED * threads * (claimed_ms + 1.5 * own_ms) + COMPUTED_MS
    if computed_ms <= room:
        return None
    return f"{computed_ms:.4g} ms of processor time in passes that take {claimed_ms:.4g} ms as claimed"


def impossible(claimed_ms: Array, least_ms: float) -> str | None:
    """Evidence that a network claims less time than its multiplications take on this device.

    Args:
        claimed_ms: Of each round.
        least_ms: For the operations of a round at the highest rate; 0 where that is not known.

    Returns:
        One line with both times; `None` if the claims are possible.
    """
    claimed = _median(claimed_ms) if len(claimed_ms) else 0.0
    if not 0 < claimed < least_ms:
        return None
    return f"a round takes {claimed:.3g} ms as claimed; its multiplications alone take {least_ms:.3g} ms here"


def ratio_moved(candidate: Clocks, baseline: Clocks) -> str | None:
    """Evidence that the ratio by the parent's clock is above the claimed one.

    Args:
        candidate: The network in question.
        baseline: Its partner, over the same rounds.

    Returns:
        One line with both ratios; `None` if they agree.
    """
    if candidate.claimed.shape != baseline.claimed.shape or not candidate.claimed.size:
        return None
    seen = _sums(candidate.parent) / np.maximum(_sums(baseline.parent), 1e-6)
    claimed = _sums(candidate.claimed) / _sums(baseline.claimed)
    far_off = _median(seen) > FAR_OFF * _median(claimed) + 2 * baseline.slack
    allowed = ALLOWED + candidate.slack + baseline.slack + _excused(max(candidate.load, baseline.load))
    if not far_off and surely_above(seen / claimed - 1) <= allowed:
        return None
    return f"the ratio is {_median(seen):.3g} by the parent's clock, {_median(claimed):.3g} as claimed"


def ratio_by_parent(candidate: Array, baseline: Array) -> float | None:
    """The median ratio of rounds by the parent's clock.

    Args:
        candidate: Milliseconds of complete rounds, rounds × images, the harness's own time taken out.
        baseline: Its partner's, over the same rounds.

    Returns:
        `None` without rounds, and where the harness's own time hides a network's.
    """
    both = candidate.sum(axis=1), baseline.sum(axis=1)
    if not len(candidate) or any((each <= 0).any() for each in both):
        return None
    return _median(both[0] / both[1])
