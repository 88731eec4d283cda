"""Contents of tensors: what changes between operators is found, whatever has written it."""

import numpy as np
import pytest
import torch
from helpers.watched import watch
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes


class Network(nn.Module):
    """Calls a function of a test's between two layers."""

    def __init__(self, between):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 48, 1)
        self.between = between

    def forward(self, x):
        y = self.between(self, self.first(x))
        return nn.functional.pixel_shuffle(self.last(y), 4)


def watched(between):
    network = Network(between).eval().requires_grad_(False)
    passed = watch(network, torch.rand(1, 3, 16, 16))
    assert torch.equal(passed.replayed, passed.output)
    return passed.found


def unseen_copy(_, y):
    with _disable_current_modes():
        y.copy_(torch.rand_like(y))
    return y


def through_numpy(_, y):
    y.numpy()[:] += 1
    return y


def before_an_operator_in_place(network, y):
    return unseen_copy(network, y).add_(0)


def other_weights(network, y):
    network.last.weight.numpy()[:] = 1
    return y


REWRITTEN = [unseen_copy, through_numpy, before_an_operator_in_place, other_weights]
FILLED = [torch.empty_like, torch.zeros_like, lambda y: y.new_full(y.shape, 0.5)]


@pytest.mark.parametrize("between", REWRITTEN)
def test_numbers_that_no_operator_has_changed_are_counted(between):
    found = watched(between)
    assert found.rewritten >= 384
    assert found.filled == 0


@pytest.mark.parametrize("make", FILLED)
def test_a_tensor_that_is_filled_by_no_operator_is_counted_apart(make):
    found = watched(lambda network, y: y + unseen_copy(network, make(y)))
    assert (found.rewritten, found.filled) == (0, 8 * 16 * 16)


@pytest.mark.parametrize("make", [torch.empty_like, lambda y: y.new_empty(y.shape), lambda y: torch.empty(y.shape)])
def test_empty_memory_that_holds_already_what_is_written_by_no_operator_is_no_other_result(make):
    def between(network, y):
        made = make(y)
        with _disable_current_modes():
            made.copy_(torch.linspace(0, 1, made.numel()).reshape(made.shape))
        return y + made

    network = Network(between).eval().requires_grad_(False)
    x = torch.rand(1, 3, 16, 16)
    for _ in range(3):
        network(x)
    passed = watch(network, x)
    assert torch.equal(passed.replayed, passed.output)
    assert passed.found.filled == 8 * 16 * 16


def views(_, y):
    top, bottom = y.split(4, 1)
    top.mul_(2)
    y[..., 0] = 0
    return torch.cat([bottom, top.transpose(2, 3)], 1)


def buffers(_, y):
    kept = torch.empty_like(y)
    kept.copy_(y).clamp_(0, 1)
    torch.add(y, 1.0, out=kept)
    torch._foreach_add_([kept], 1.0)
    return kept.resize_(y.shape)


def from_python(_, y):
    return y * torch.tensor([1.0] * 16) + torch.from_numpy(np.ones(16, np.float32))


def freed(_, y):
    for _ in range(20):
        y = (y + 1) - torch.ones_like(y)
    return y


@pytest.mark.parametrize("between", [views, buffers, from_python, freed, lambda _, y: nn.functional.batch_norm(
    y, torch.zeros(8), torch.ones(8), training=True)])  # fmt: skip
def test_operators_account_for_all_that_they_write(between):
    found = watched(between)
    assert (found.rewritten, found.filled) == (0, 0)
