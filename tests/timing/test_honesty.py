"""Signs of a network slower than its timed passes report, on synthetic measurements."""

import numpy as np

from esr.records.network import Block
from esr.timing.honesty import remembers_inputs, unaccounted
from esr.timing.samples import SampleColumns


def blocks_of(walls, claims):
    blocks = [Block(number, number, 0, wall) for number, wall in enumerate(walls)]
    return blocks, SampleColumns(block=list(range(len(claims))), ms=list(claims))


def passes(repeated, new, seed=0):
    random = np.random.default_rng(seed)
    ms = [*random.normal(repeated, 0.2, 30), *random.normal(new, 0.2, 30)]
    return SampleColumns(image=[0] * 60, ms=ms, altered=[False] * 30 + [True] * 30)


def test_claims_that_fill_the_wall_time_are_believed():
    assert unaccounted(*blocks_of([103.0] * 8, [100.0] * 8)) is None


def test_the_cost_of_talking_to_a_worker_is_not_held_against_tiny_passes():
    assert unaccounted(*blocks_of([9.0] * 8, [1.0] * 8)) is None


def test_claims_far_below_the_wall_time_are_named_with_both_figures():
    assert unaccounted(*blocks_of([500.0] * 8, [50.0] * 8)) == "blocks report 50.0 ms of 500.0 ms elapsed"


def test_a_machine_that_stalled_in_most_blocks_is_no_network_that_cheats():
    assert unaccounted(*blocks_of([500.0] * 5 + [103.0] * 3, [100.0] * 8)) is None


def test_without_blocks_nothing_is_said():
    assert unaccounted([], SampleColumns()) is None


def test_faster_passes_over_repeated_inputs_are_told_with_their_share():
    table = passes(5.0, 10.0)
    table.ms = [5.0] * 30 + [10.0] * 30
    assert remembers_inputs(table) == "repeated inputs take 50 % of the time of new ones"


def test_equal_passes_and_small_differences_are_not_suspected():
    assert remembers_inputs(passes(10.0, 10.0)) is None
    assert remembers_inputs(passes(9.5, 10.0)) is None
    assert remembers_inputs(passes(10.0, 5.0)) is None


def test_a_few_passes_prove_nothing():
    table = passes(5.0, 10.0)
    few = SampleColumns(image=table.image[27:33], ms=table.ms[27:33], altered=table.altered[27:33])
    assert remembers_inputs(few) is None


def test_images_of_different_sizes_are_compared_with_themselves():
    table = passes(10.0, 10.0)
    table.image = [number % 2 for number in range(60)]
    table.ms = [ms * (1 + 9 * image) for ms, image in zip(table.ms, table.image, strict=True)]
    assert remembers_inputs(table) is None
