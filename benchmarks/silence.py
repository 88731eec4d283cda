"""Disturbance by a waiting worker of the one being measured: `python benchmarks/silence.py`.

One worker is timed in short turns: beside a second worker that has just run the same network and now waits, stopped,
as in an evaluation; and without it. The ratio of the two has to lie within 1.00 ± 0.005 with the whole of its interval.

Where the machine's own speed wanders, only turns that follow each other within a fraction of a second can be compared,
and many of them. Starting a worker takes seconds, so here it is forked from a process that has everything loaded, and
runs its first pass, which starts its threads. The end of a process disturbs what comes right after it, so one that only
comes and goes precedes either turn of a pair; the turns, whose order is shuffled, differ in the one that waits alone.
"""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.stats import bootstrap

from esr.config.compose import compose
from esr.config.schema import EsrConf
from esr.evaluation.worker.messages import LoadRequest, OpenRequest, PassRequest
from esr.evaluation.worker.parent import Worker
from esr.records.network import Weights

TOLERANCE = 0.005
WARM_UP = 5
"""Pairs that are not counted."""
FEWEST = 10
"""Pairs without which nothing is said."""
SMALL = 16
"""LR side, in pixels, of the pass of the worker that then waits: its threads are what matters."""


def noise(side: int) -> PassRequest:
    """A pass over an image of noise."""
    return PassRequest(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8), 0)


def nest(model: str, threads: int) -> None:
    """For each line of standard input: forks a worker that runs a pass, says its PID and waits; or sees one end."""
    import torch  # noqa: PLC0415 - the parent has none, as in an evaluation

    from esr.evaluation.worker.child import Child  # noqa: PLC0415

    # With a single thread until the fork: what has a team of threads cannot be forked.
    settings = compose([f"model={model}", "device=cpu", "device.threads=1"])
    child = Child()
    child.handle(OpenRequest(settings.device, settings.cudnn))
    child.handle(LoadRequest(settings.model, Weights("random"), 0))
    for line in sys.stdin:
        if ended := line.strip():
            os.waitpid(int(ended), 0)
            print("gone", flush=True)
        elif os.fork() == 0:
            os.setsid()
            torch.set_num_threads(threads)
            with torch.inference_mode():
                child.handle(noise(SMALL))
            print(os.getpid(), flush=True)
            signal.pause()


class Nest:
    """The process that workers are forked from; idle otherwise."""

    def __init__(self, model: str, threads: int) -> None:
        command = [sys.executable, __file__, "--model", model, "--nest", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    @contextmanager
    def before_a_turn(self, *, waits: bool) -> Iterator[None]:
        """One worker that has run a pass and ended, and beside the block, if asked for, one that is stopped."""
        waiting = self._fork() if waits else None
        self._end(self._fork())
        try:
            yield
        finally:
            if waiting is not None:
                self._end(waiting)

    def _fork(self) -> int:
        """The PID of a worker that has run a pass and is stopped."""
        pid = int(self._ask(""))
        os.killpg(pid, signal.SIGSTOP)
        return pid

    def _end(self, pid: int) -> None:
        os.killpg(pid, signal.SIGKILL)
        self._ask(str(pid))

    def close(self) -> None:
        """Ends it."""
        self.process.communicate()


@contextmanager
def measured(settings: EsrConf, side: int) -> Iterator[Worker]:
    """A warm worker with the network and one image, as an evaluation starts it."""
    with Worker(600.0) as worker:
        worker.ask(OpenRequest(settings.device, settings.cudnn))
        worker.ask(LoadRequest(settings.model, Weights("random"), 0))
        timed(worker, side, 20)
        yield worker


def timed(worker: Worker, side: int, passes: int) -> float:
    """Median milliseconds of so many passes; one more before them is not counted."""
    answers = [worker.ask(noise(side)) for _ in range(passes + 1)]
    return statistics.median(answer.duration.ms for answer in answers[1:])


def pairs(options: argparse.Namespace) -> list[float]:
    """Beside a waiting worker / without it, pair by pair, until the time is spent."""
    config = compose([f"model={options.model}", "device=cpu", f"device.threads={options.threads}"])
    order = random.Random(options.seed)
    ratios: list[float] = []
    nest_of_workers = Nest(options.model, options.threads)
    try:
        with measured(config, options.side) as worker:
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                figures = {}
                for waits in order.sample([True, False], 2):
                    with nest_of_workers.before_a_turn(waits=waits):
                        figures[waits] = timed(worker, options.side, options.passes)
                ratios.append(figures[True] / figures[False])
    finally:
        nest_of_workers.close()
    return ratios[WARM_UP:]


def main() -> int:
    """Prints the ratio and its interval; exit code 1 where they do not lie within the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=210.0, help="of pairs (%(default)s)")
    parser.add_argument("--passes", type=int, default=5, help="of each turn (%(default)s)")
    parser.add_argument("--side", type=int, default=32, help="LR side in pixels (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each worker (%(default)s)")
    parser.add_argument("--model", default="rlfn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nest", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.nest:
        nest(options.model, options.nest)
        return 0
    ratios = np.array(pairs(options))
    if len(ratios) < FEWEST:
        parser.error(f"--seconds {options.seconds:g}: {len(ratios)} pairs fit into them; take more")
    interval = bootstrap(
        (ratios,), np.median, method="percentile", rng=np.random.default_rng(options.seed)
    ).confidence_interval
    print(
        f"{options.model}, {options.threads} threads, beside a waiting worker / without it: "
        f"{np.median(ratios):.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f} "
        f"({len(ratios)} pairs of turns of {options.passes} passes)"
    )
    within = interval.low >= 1 - TOLERANCE and interval.high <= 1 + TOLERANCE
    print(f"{'within' if within else 'not shown to be within'} 1 ± {TOLERANCE}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
