"""Passes whose GPU waited for the host, on synthetic measurements."""

import pytest

from esr.records.network import Block
from esr.timing.launches import launch_bound
from esr.timing.samples import Duration, SampleColumns
from esr.timing.schedule import Pass


def measured(*enqueue_ms, ms=10.0):
    """Blocks of one pass each."""
    samples = SampleColumns()
    for number, enqueue in enumerate(enqueue_ms):
        samples.add(number, number, Pass(0), Duration(ms, ms + 1, enqueue), ms)
    return [Block(number, number, 0, ms) for number in range(len(enqueue_ms))], samples


def test_launches_that_take_as_long_as_the_pass_are_named():
    assert launch_bound(*measured(9.5, 10.1, 9.9, 2.0)) == "launches took over 90 % of the GPU's time in 3 of 4 passes"


@pytest.mark.parametrize("enqueue_ms", [[8.9] * 8, [10.0] * 4 + [1.0] * 4, [None] * 8, []])
def test_a_gpu_that_is_busy_and_a_cpu_are_not(enqueue_ms):
    assert launch_bound(*measured(*enqueue_ms)) is None


def test_blocks_that_were_measured_again_do_not_count():
    blocks, samples = measured(10.0, 10.0, 10.0, 1.0)
    assert launch_bound(blocks, samples)
    assert launch_bound(blocks[-1:], samples) is None


@pytest.mark.parametrize(
    ("enqueue_ms", "column"), [([1.0, 2.0], (1.0, 2.0)), ([None, None], None), ([1.0, None], None), ([], None)]
)
def test_the_column_is_recorded_where_every_pass_has_a_value(enqueue_ms, column):
    _, samples = measured(*enqueue_ms)
    assert samples.finish([False] * len(enqueue_ms)).enqueue_ms == column
