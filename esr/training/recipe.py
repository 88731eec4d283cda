"""The recipe: loss and learning rate of each step, and the moving average of the weights."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esr.training.config import PhaseConf, TrainConf


@dataclass(frozen=True)
class RecipeStep:
    """Phase and learning rate of one step."""

    phase: str
    """`l1` or `l2`."""
    lr: float
    """Learning rate of this step."""
    begins: bool
    """True at the first step of a phase."""


def recipe_step(settings: TrainConf, step: int) -> RecipeStep:
    """The recipe at a step, counted from 0 over all phases.

    >>> conf = TrainConf(l1=PhaseConf(steps=4, lr=1.0), l2=PhaseConf(steps=2, lr=0.5))
    >>> [round(recipe_step(conf, step).lr, 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.5, 0.25]
    >>> recipe_step(conf, 4)
    RecipeStep(phase='l2', lr=0.5, begins=True)
    """
    if step < settings.l1.steps:
        return RecipeStep("l1", learning_rate(settings.l1, step), step == 0)
    within = step - settings.l1.steps
    return RecipeStep("l2", learning_rate(settings.l2, within), within == 0)


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
    """Mean absolute (`l1`) or squared (`l2`) error, both scaled to 0..1: one learning rate suits all networks."""
    difference = (sr - hr) / data_range
    return difference.abs().mean() if phase == "l1" else difference.square().mean()


class Average:
    """Exponential moving average of a network's weights, held in a second network.

    After n steps the decay is `min(decay, (1 + n) / (10 + n))`, so that the average of a short run forgets the
    initial values. Buffers are copied.
    """

    def __init__(self, network: nn.Module, average: nn.Module, decay: float) -> None:
        self.network, self._source, self._decay = average.eval().requires_grad_(False), network, decay
        average.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, steps_done: int) -> None:
        """Moves the average towards the weights after `steps_done` steps."""
        decay = min(self._decay, (1 + steps_done) / (10 + steps_done))
        own: list[Tensor] = list(self.network.parameters())
        other: list[Tensor] = list(self._source.parameters())
        torch._foreach_lerp_(own, other, 1 - decay)
        for buffer, source in zip(self.network.buffers(), self._source.buffers(), strict=True):
            buffer.copy_(source)
