"""What happens at which step: loss, learning rate, and the average of the weights. Pure but for the average."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esr.training.config import PhaseConf, TrainConf


@dataclass(frozen=True)
class Moment:
    """Where in the recipe a step stands."""

    phase: str
    """`l1` or `l2`."""
    lr: float
    """Learning rate of this step."""
    begins: bool
    """This is the phase's first step."""


def moment(settings: TrainConf, step: int) -> Moment:
    """What the recipe asks for at a step, counted from 0 over all phases.

    >>> conf = TrainConf(l1=PhaseConf(steps=4, lr=1.0), l2=PhaseConf(steps=2, lr=0.5))
    >>> [round(moment(conf, step).lr, 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.5, 0.25]
    >>> moment(conf, 4)
    Moment(phase='l2', lr=0.5, begins=True)
    """
    if step < settings.l1.steps:
        return Moment("l1", learning_rate(settings.l1, step), step == 0)
    within = step - settings.l1.steps
    return Moment("l2", learning_rate(settings.l2, within), within == 0)


def learning_rate(phase: PhaseConf, step: int) -> float:
    """The learning rate at a step of a phase, counted from 0."""
    rise = min(1.0, (step + 1) / phase.warmup) if phase.warmup else 1.0
    fall = 1.0
    if phase.schedule == "cosine":
        fall = (1 + math.cos(math.pi * step / phase.steps)) / 2
    elif phase.schedule == "halving":
        fall = 0.5 ** (step // phase.halve_every)
    return phase.lr * rise * fall


def loss(phase: str, sr: Tensor, hr: Tensor, data_range: float) -> Tensor:
    """Mean absolute (`l1`) or squared (`l2`) error, both scaled to 0..1, so that one learning rate fits all."""
    difference = (sr - hr) / data_range
    return difference.abs().mean() if phase == "l1" else difference.square().mean()


class Average:
    """The exponential moving average of a network's weights, as a network of its own.

    The first steps weigh more, `min(decay, (1 + n) / (10 + n))` after n of them, so that a short run's average
    does not remember the constructor's values. Buffers are copied.
    """

    def __init__(self, network: nn.Module, average: nn.Module, decay: float) -> None:
        self.network, self._source, self._decay = average.eval().requires_grad_(False), network, decay
        average.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, steps_done: int) -> None:
        """Moves the average towards the weights that `steps_done` steps have led to."""
        decay = min(self._decay, (1 + steps_done) / (10 + steps_done))
        own: list[Tensor] = list(self.network.parameters())
        other: list[Tensor] = list(self._source.parameters())
        torch._foreach_lerp_(own, other, 1 - decay)
        for buffer, source in zip(self.network.buffers(), self._source.buffers(), strict=True):
            buffer.copy_(source)
