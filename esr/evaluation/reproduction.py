"""Proof that timed passes computed what quality was measured on: the same inputs in a fresh process, and HR."""

import secrets
from dataclasses import dataclass, field

import numpy as np

from esr.evaluation.inputs import Inputs, Values
from esr.evaluation.passes import Passed, values_of
from esr.evaluation.worker.output_sample import positions
from esr.images.pixels import ImageArray
from esr.timing.schedule import Pass

KEPT = 6
"""Timed passes of a process, chosen at random afterwards, that are repeated in another one."""
CPU_TOLERANCE, GPU_TOLERANCE = 2e-5, 1e-4
"""Fraction of the largest output by which two processes may differ: kernels and algorithms round differently in
float32, if they differ at all. A last layer rounded to half precision differs by 2.4e-4."""
WHITE = 255.0


@dataclass
class Reservoir:
    """A few passes of all that were offered, each as likely as any other; the worker cannot know which."""

    kept: list[Passed] = field(default_factory=list)
    offered: int = 0

    def offer(self, passed: Passed) -> None:
        """Keeps a pass, perhaps in place of another."""
        self.offered += 1
        if len(self.kept) < KEPT:
            self.kept.append(passed)
        elif (place := secrets.randbelow(self.offered)) < KEPT:
            self.kept[place] = passed

    def take(self) -> list[Passed]:
        """The passes kept so far; the reservoir is empty afterwards."""
        kept, self.kept, self.offered = self.kept, [], 0
        return kept


def difference(one: Values, other: Values) -> float:
    """Largest difference of two samples, in grey levels."""
    if one.shape != other.shape:
        return WHITE
    return min(float(np.abs(one - other).max(initial=0)), 1e9)


def tolerance(values: Values, *, on_gpu: bool) -> float:
    """Grey levels by which a repeated pass may differ."""
    return (GPU_TOLERANCE if on_gpu else CPU_TOLERANCE) * max(1.0, float(np.abs(values).max(initial=0)))


@dataclass
class Likeness:
    """Sums over passes that tell how an output lies between its input and HR."""

    passes: int = 0
    error: float = 0.0
    """Absolute difference from HR."""
    plain_error: float = 0.0
    """Of the input's own pixels."""
    spread: float = 0.0
    """Standard deviation of the output."""
    plain_spread: float = 0.0

    def add(self, values: Values, plain: Values, truth: Values | None) -> None:
        """Adds the sample of one pass.

        Args:
            values: Grey levels of the output.
            plain: Of the input's own pixels there.
            truth: Of HR there; `None`: not known.
        """
        values = values.clip(0, WHITE)
        self.spread += float(values.std())
        self.plain_spread += float(plain.std())
        if truth is not None:
            self.passes += 1
            self.error += float(np.abs(values - truth).mean())
            self.plain_error += float(np.abs(plain - truth).mean())

    @property
    def relative_error(self) -> float | None:
        """The output's error over the input's; `None` where nothing was compared."""
        return self.error / self.plain_error if self.passes and self.plain_error > 0 else None

    @property
    def relative_spread(self) -> float | None:
        """The output's spread over the input's."""
        return self.spread / self.plain_spread if self.plain_spread > 0 else None


def add_pass(likeness: Likeness, inputs: Inputs, passed: Passed) -> None:
    """Adds a timed pass."""
    where = positions(values_of(passed.lr), passed.sample_seed)
    likeness.add(passed.values, inputs.nearest(passed.lr, where), inputs.truth(passed.one, where))


def add_image(likeness: Likeness, inputs: Inputs, image: int, sr: ImageArray, times: int = 8) -> None:
    """Adds an SR image of the quality pass, sampled several times."""
    one = Pass(image)
    lr = inputs.lr(one)
    for _ in range(times):
        where = positions(sr.size, secrets.randbelow(10**18))
        values = sr.reshape(-1)[where].astype(np.float32)
        likeness.add(values, inputs.nearest(lr, where), inputs.truth(one, where))
