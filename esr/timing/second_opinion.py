"""Second opinions on the ratio, from what telemetry saw during each block: GPU cycles, and energy. Pure functions."""

import math
import statistics as plain
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Protocol

import numpy as np

from esr.config.schema import TimingConf
from esr.config.terms import ROLES, Role
from esr.records.network import Block, Estimate
from esr.records.telemetry import Cycles, EnergyRatio, EnergyScope, Telemetry, Window
from esr.timing import statistics
from esr.timing.samples import SampleColumns
from esr.timing.statistics import Array


class Turns(Protocol):
    """A network's turns."""

    samples: SampleColumns
    blocks: list[Block]


def cycles(
    networks: Sequence[Turns], tables: Sequence[Array], owners: Sequence[int], telemetry: Telemetry, conf: TimingConf
) -> Cycles | None:
    """The ratio in cycles of the SM clock: each pass's milliseconds times the median clock of its block.

    Cycles are comparable where both networks are bound by the SMs; where memory binds them, time does not follow that
    clock, and seconds are the better measure.

    Args:
        networks: Candidate and baseline.
        tables: Their milliseconds, rounds × images.
        owners: Process of each round.
        telemetry: With a window for each block.
        conf: Level of the interval.

    Returns:
        `None` where no round has a clock for every block.
    """
    clocks = {window.block: spread.median for window in _windows(telemetry) if (spread := window.gpu_sm_mhz)}
    in_cycles = [_in_cycles(one, table, clocks) for one, table in zip(networks, tables, strict=True)]
    if (found := _over_whole_rounds(in_cycles, tables, owners, conf)) is None:
        return None
    return Cycles(*found, dict(zip(ROLES, (_usual(one, clocks) for one in networks), strict=True)))


def _over_whole_rounds(
    parts: Sequence[Array], tables: Sequence[Array], owners: Sequence[int], conf: TimingConf
) -> tuple[Estimate, int] | None:
    """The ratio of cycles or joules, and the number of rounds that lack neither them nor milliseconds."""
    whole = statistics.complete_rounds(*tables, *parts)
    if not whole.any():
        return None
    candidate, baseline = (part[whole] for part in parts)
    return statistics.ratio(candidate, baseline, conf.confidence, list(compress(owners, whole))), int(whole.sum())


def _windows(telemetry: Telemetry) -> Sequence[Window]:
    """Windows in which a GPU was watched."""
    return telemetry.load_windows() if telemetry.gpu else ()


def _in_cycles(network: Turns, ms: Array, clocks: Mapping[int, float]) -> Array:
    mhz = [clocks.get(block, math.nan) for block in network.samples.block]
    rounds, images = ms.shape
    replaced = {block.block for block in network.blocks if block.replaced}
    return np.asarray(ms * statistics.matrix(network.samples, rounds, images, replaced, mhz), float)


def _usual(network: Turns, clocks: Mapping[int, float]) -> float:
    return plain.median(clocks[block.block] for block in network.blocks if block.block in clocks and not block.replaced)


def energy_ratio(
    networks: Sequence[Turns], tables: Sequence[Array], owners: Sequence[int], telemetry: Telemetry, conf: TimingConf
) -> EnergyRatio | None:
    """Joules of the candidate over joules of the baseline, over the same images; arguments as in `cycles`.

    Returns:
        `None` where no round has an energy for every block, or the blocks' energies are from unlike sources.
    """
    windows = {window.block: window for window in _windows(telemetry) if window.gpu_energy_j is not None}
    counted = [[block for block in one.blocks if not block.replaced] for one in networks]
    sources = {windows[one.block].gpu_energy_method for blocks in counted for one in blocks if one.block in windows}
    scope = _scope(telemetry, "candidate")
    if len(sources) != 1 or scope is None or scope != _scope(telemetry, "baseline"):
        return None
    joules = [_per_round(blocks, windows, len(owners)) for blocks in counted]
    # A round that a failing network did not finish lacks blocks, not only energies.
    found = _over_whole_rounds(joules, tables, owners, conf)
    return found and EnergyRatio(*found, str(sources.pop()), scope)


def _scope(telemetry: Telemetry, role: Role) -> EnergyScope | None:
    share = telemetry.energy_per_image.get(role)
    return share.gpu.scope if share and share.gpu else None


def _per_round(blocks: Sequence[Block], windows: Mapping[int, Window], rounds: int) -> Array:
    """Joules as rounds × 1; NaN where a block's energy is not known."""
    table = np.zeros((rounds, 1))
    for block in blocks:
        window = windows.get(block.block)
        table[block.round] += math.nan if window is None or window.gpu_energy_j is None else window.gpu_energy_j
    return table
