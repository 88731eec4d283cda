"""The ratio in GPU cycles and in joules, on synthetic turns whose clocks and energies are known."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from esr.config.schema import TimingConf
from esr.records.network import Block
from esr.records.telemetry import (
    Energy,
    EnergyPerImage,
    GpuWatch,
    Sampling,
    Spread,
    Telemetry,
    Window,
)
from esr.timing import statistics
from esr.timing.samples import Duration, SampleColumns
from esr.timing.schedule import Pass
from esr.timing.second_opinion import cycles, energy_ratio

ROUNDS = 8
CONF = TimingConf(protocol="paired")
OWNERS = [0] * ROUNDS


@dataclass
class Network:
    """Turns over two images in each round."""

    samples: SampleColumns = field(default_factory=SampleColumns)
    blocks: list[Block] = field(default_factory=list)

    def add(self, number: int, round_: int, ms: float, replaced: bool = False) -> None:
        self.blocks.append(Block(number, round_, 0, 2 * ms, replaced=replaced))
        for image in range(2):
            self.samples.add(round_, number, Pass(image), Duration(ms, ms), ms)

    @property
    def table(self):
        replaced = {block.block for block in self.blocks if block.replaced}
        return statistics.matrix(self.samples, ROUNDS, 2, replaced)


def pair(candidate_ms=lambda round_: 12.0, baseline_ms=lambda round_: 8.0):
    """Both networks, the candidate in the even blocks."""
    both = Network(), Network()
    for round_ in range(ROUNDS):
        both[0].add(2 * round_, round_, candidate_ms(round_))
        both[1].add(2 * round_ + 1, round_, baseline_ms(round_))
    return both


def telemetry(clock=lambda block: 1500.0, joules=lambda block: 100.0, method=lambda block: "counter", scope="gpu"):
    """A window for each block; `None` where something is not known."""

    def window(block: int) -> Window:
        mhz, energy = clock(block), joules(block) and float(joules(block))
        return Window(
            block=block,
            role="candidate" if block % 2 == 0 else "baseline",
            images=2,
            start=block,
            end=block + 1,
            gpu_sm_mhz=mhz and Spread(mhz - 20, mhz, mhz + 30),
            gpu_energy_j=energy,
            gpu_energy_method=energy and method(block),
        )

    per_image = EnergyPerImage(Energy(100.0, 2, 50.0, "counter", scope), None)
    watch = GpuWatch(None, None, None, None, {}, Sampling(samples=1, interval_s=0.2, cpu_s=0.0, error=None))
    return Telemetry(
        enabled=True,
        gpu=watch,
        energy_per_image={"candidate": per_image, "baseline": per_image},
        windows=msgspec.Raw(msgspec.json.encode([window(block) for block in range(2 * ROUNDS)])),
    )


def of(function, networks, watched):
    return function(networks, [one.table for one in networks], OWNERS, watched, CONF)


def test_at_one_clock_cycles_and_time_agree():
    found = of(cycles, pair(), telemetry())
    assert (found.ratio.value, found.rounds, found.sm_mhz) == (1.5, ROUNDS, {"candidate": 1500, "baseline": 1500})


def test_a_clock_that_only_one_network_lost_is_taken_out():
    slower = pair(candidate_ms=lambda round_: 24.0)
    found = of(cycles, slower, telemetry(clock=lambda block: 750.0 if block % 2 == 0 else 1500.0))
    assert found.ratio.value == pytest.approx(1.5)
    assert found.sm_mhz == {"candidate": 750, "baseline": 1500}


def test_the_interval_comes_from_the_rounds():
    noise = np.random.default_rng(0).normal(1.0, 0.01, ROUNDS)
    found = of(cycles, pair(candidate_ms=lambda round_: 12 * noise[round_]), telemetry())
    assert 1.5 * noise.min() <= found.ratio.low < found.ratio.value < found.ratio.high <= 1.5 * noise.max()


def test_rounds_without_a_clock_are_left_out():
    found = of(cycles, pair(), telemetry(clock=lambda block: None if block == 3 else 1500.0))
    assert (found.rounds, found.ratio.value) == (ROUNDS - 1, 1.5)
    assert of(cycles, pair(), telemetry(clock=lambda block: None)) is None


def test_a_block_that_was_measured_again_counts_once():
    candidate, baseline = pair()
    candidate.blocks[2] = msgspec.structs.replace(candidate.blocks[2], replaced=True)
    candidate.add(2 * ROUNDS - 2, 2, 12.0)  # in a window of the ordinary clock and energy
    watched = telemetry(clock=lambda block: 300.0 if block == 4 else 1500.0, joules=lambda b: 9e3 if b == 4 else 100.0)
    assert of(cycles, (candidate, baseline), watched).ratio.value == 1.5
    energy = of(energy_ratio, (candidate, baseline), watched)
    assert (energy.ratio.value, energy.rounds) == (1.0, ROUNDS)


def test_without_a_gpu_there_is_no_second_opinion():
    watched = msgspec.structs.replace(telemetry(), gpu=None)
    assert of(cycles, pair(), watched) is None
    assert of(energy_ratio, pair(), watched) is None
    assert of(cycles, pair(), Telemetry(enabled=False)) is None


def test_energies_are_compared_round_by_round():
    noise = np.random.default_rng(1).normal(1.0, 0.02, 2 * ROUNDS)
    watched = telemetry(joules=lambda block: (300.0 if block % 2 == 0 else 100.0) * noise[block], scope="module")
    found = of(energy_ratio, pair(), watched)
    assert found.ratio.value == pytest.approx(3.0, rel=0.02)
    assert 2.8 < found.ratio.low < found.ratio.high < 3.2
    assert (found.rounds, found.method, found.scope) == (ROUNDS, "counter", "module")


def test_an_energy_that_is_not_known_is_never_0():
    found = of(energy_ratio, pair(), telemetry(joules=lambda block: None if block in (0, 5) else 100.0))
    assert (found.ratio.value, found.rounds) == (1.0, ROUNDS - 2)
    assert of(energy_ratio, pair(), telemetry(joules=lambda block: None)) is None


def test_unlike_sources_are_not_compared():
    assert of(energy_ratio, pair(), telemetry(method=lambda block: ("counter", "power")[block % 2])) is None
    assert of(energy_ratio, pair(), telemetry(scope=None)) is None


def test_a_round_that_a_network_did_not_finish_is_left_out():
    candidate, baseline = pair()
    candidate.add(2 * ROUNDS - 2, ROUNDS - 1, 12.0)
    baseline.blocks.pop()
    for column in vars(baseline.samples).values():
        del column[-2:]
    found = of(energy_ratio, (candidate, baseline), telemetry(joules=lambda block: 100.0))
    assert (found.ratio.value, found.rounds) == (1.0, ROUNDS - 1)
