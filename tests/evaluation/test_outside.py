"""What the parent sees of a process without asking it: memory, settings, processor time; and of a weight file."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr.evaluation.outside import Outside
from esr.evaluation.reproduction import KEPT, Reservoir

HELPER = """
import os, sys, threading, time
held = None
for line in sys.stdin:
    word = line.strip()
    if word == "grow":
        held = bytearray(b"x") * (64 << 20)
        held = None
    elif word == "grow and forget":
        held = bytearray(b"x") * (64 << 20)
        time.sleep(0.2)
        held = None
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    elif word == "policy":
        def wait():
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))
            ready.set()
            threading.Event().wait()
        ready = threading.Event()
        threading.Thread(target=wait, daemon=True).start()
        ready.wait()
    elif word == "nice":
        os.nice(3)
    elif word == "fewer":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    print("done", flush=True)
"""


@pytest.fixture
def other():
    """Another process, and a function that has it do something."""
    process = subprocess.Popen([sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(word):
        process.stdin.write(f"{word}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    do("")
    yield Outside(process.pid), do
    process.kill()
    process.communicate()


def test_the_peak_of_memory_is_the_kernels(other):
    outside, do = other
    outside.reset_peak()
    do("grow")
    peak = outside.peak()
    if peak is None:
        pytest.skip("the kernel does not let the mark be reset here")
    assert 60 < peak.memory_mib < 80


def test_a_process_that_resets_its_own_mark_hides_no_memory_from_who_looks(other):
    outside, do = other
    outside.reset_peak()
    with outside.watching_peak():
        do("grow and forget")
    peak = outside.peak()
    if peak is None:
        pytest.skip("the kernel does not let the mark be reset here")
    assert 60 < peak.memory_mib < 80


@pytest.mark.parametrize(("word", "changed"), [("policy", {"policy": "batch"}), ("nice", {"priority": os.nice(0) + 3})])
def test_settings_of_any_thread_that_change_are_named(other, word, changed):
    outside, do = other
    outside.learn()
    outside.look()
    assert outside.changed == {}
    do(word)
    outside.look()
    assert outside.changed == changed


def test_threads_bound_to_fewer_cpus_are_no_change(other):
    outside, do = other
    outside.learn()
    do("fewer")
    outside.look()
    assert outside.changed == {}


def test_a_process_that_has_ended_says_nothing_and_raises_nothing():
    outside = Outside(2**22 + 1)
    outside.learn()
    outside.reset_peak()
    outside.begin_turn()
    outside.end_turn(1)
    outside.look()
    assert outside.peak() is None
    assert outside.changed == {}
    assert outside.device_mib("GPU-0") is None
    assert 0 <= outside.load <= 1


def test_a_turn_shorter_than_a_tick_of_the_clock_is_not_more_than_fully_loaded():
    outside = Outside(2**22 + 1)
    outside.turns_s, outside.others_s = 1e-4, 0.01
    assert outside.load == 1.0


@given(st.integers(0, 200))
def test_a_reservoir_keeps_some_of_all(offered):
    reservoir = Reservoir()
    for number in range(offered):
        reservoir.offer(number)
    kept = reservoir.take()
    assert len(set(kept)) == len(kept) == min(KEPT, offered)
    assert reservoir.take() == []


def test_every_pass_is_as_likely_to_be_kept():
    found = np.zeros(30)
    for _ in range(400):
        reservoir = Reservoir()
        for number in range(30):
            reservoir.offer(number)
        found[reservoir.take()] += 1
    assert 40 < found.min() < found.max() < 130
