"""Shared by the benchmarks: small images, a line about the machine, and a load that disturbs one core."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from esr.images.bicubic import bicubic_upscale
from esr.images.files import write_png
from esr.records.files import Record
from esr.telemetry import environment
from esr.timing import statistics

_LOAD = """
import random, time
random.seed(0)
while True:
    end = time.perf_counter() + random.uniform(0.05, 1.0)
    while time.perf_counter() < end:
        pass
    time.sleep(random.uniform(0.05, 1.0))
"""


def write_images(folder: Path, count: int, lr_side: int) -> Path:
    """HR noise of a photograph's smoothness; every image has one LR shape."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0)
    for number in range(count):
        coarse = values.integers(0, 256, (lr_side // 4, lr_side // 4, 3), np.uint8)
        write_png(folder / f"{number}.png", bicubic_upscale(coarse, 16))
    return folder


def describe(record: Record) -> str:
    """One line: processor, cores, threads, torch."""
    cpu = environment.cpu()
    worker = record.candidate.worker
    device = worker.device.name or "CPU"
    return f"{device}; {cpu.model}, {cpu.usable_cores} cores, {worker.threads} threads; torch {worker.torch}"


def tables(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """The candidate's and the baseline's milliseconds, rounds × images."""
    rounds, images = len(record.document.timing.process_of_round), len(record.document.data.load_images())
    candidate, baseline = (
        statistics.matrix(network.timing.load_samples(), rounds, images)
        for network in (record.candidate, record.baseline)
    )
    return candidate, baseline


@contextmanager
def disturbance() -> Iterator[None]:
    """A process that keeps one core busy in bursts of up to a second."""
    process = subprocess.Popen([sys.executable, "-c", _LOAD])
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()
