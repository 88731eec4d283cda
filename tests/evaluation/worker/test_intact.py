"""Functions that measure: none is replaced in a worker without being named."""

import builtins
import sys
import time

import pytest
import torch
from torch import nn
from torch.utils import flop_counter

from esr import complexity
from esr.complexity import operators
from esr.evaluation.worker import child, contents, recorder
from esr.evaluation.worker.intact import Intact
from esr.evaluation.worker.messages import Done, ResetMemoryRequest
from esr.networks import devices, inference

REPLACED = {
    "esr.evaluation.worker.child.record": (child, "record"),
    "esr.evaluation.worker.recorder._Recorder.after": (recorder._Recorder, "after"),
    "esr.evaluation.worker.contents.Contents.changed": (contents.Contents, "changed"),
    "esr.evaluation.worker.contents._PLACES": (contents, "_PLACES"),
    "esr.evaluation.worker.child.Child.answer": (child.Child, "answer"),
    "esr.evaluation.worker.child.devices": (child, "devices"),
    "esr.complexity.measure": (complexity, "measure"),
    "esr.networks.devices.CpuDevice.timed": (devices.CpuDevice, "timed"),
    "esr.networks.inference.to_levels": (inference, "to_levels"),
    "builtins.sum": (builtins, "sum"),
    "time.perf_counter_ns": (time, "perf_counter_ns"),
    "torch.Tensor.__getitem__": (torch.Tensor, "__getitem__"),
    "torch.utils.flop_counter.conv_flop_count": (flop_counter, "conv_flop_count"),
    "torch.isfinite": (torch, "isfinite"),
    "torch.nn.Module.parameters": (nn.Module, "parameters"),
}


def test_nothing_is_replaced_by_measuring():
    intact = Intact()
    inference.super_resolve(nn.Sequential(nn.Conv2d(3, 48, 1), nn.PixelShuffle(4)), torch.zeros(8, 8, 3).byte().numpy())
    complexity.measure(nn.Conv2d(3, 3, 1), 8, 8)
    assert intact.replaced() == ()


@pytest.mark.parametrize("name", REPLACED)
def test_what_is_replaced_is_named(name, monkeypatch):
    intact = Intact()
    owner, attribute = REPLACED[name]
    monkeypatch.setattr(owner, attribute, lambda *_: None)
    assert name in intact.replaced()
    monkeypatch.undo()
    assert intact.replaced() == ()


def test_another_code_in_the_same_function_is_named():
    intact, code = Intact(), inference.to_levels.__code__
    try:
        inference.to_levels.__code__ = (lambda sr, data_range, positions: None).__code__
        assert "esr.networks.inference.to_levels" in intact.replaced()
    finally:
        inference.to_levels.__code__ = code


def test_another_handler_of_a_request_is_named():
    intact = Intact()
    registry = vars(child.Child)["handle"].dispatcher
    handler = registry.registry[ResetMemoryRequest]
    try:
        registry.register(ResetMemoryRequest, lambda *_: Done())
        assert "esr.evaluation.worker.child.Child.handle" in intact.replaced()
    finally:
        registry.register(ResetMemoryRequest, handler)


def test_a_method_of_the_object_that_answers_is_named():
    served = child.Child()
    intact = Intact(served)
    served.uncaptured = "set by the worker itself"
    assert intact.replaced() == ()
    served.answer = lambda request: Done()
    assert intact.replaced() == ("Child.answer",)


def test_a_name_that_hides_a_builtin_is_named(monkeypatch):
    intact = Intact()
    monkeypatch.setattr(child, "sum", lambda values: 1, raising=False)
    assert intact.replaced() == ("esr.evaluation.worker.child",)


def test_formulas_exchanged_in_a_dictionary_change_no_count_and_are_named(monkeypatch):
    intact, layer = Intact(), nn.Conv2d(3, 8, 3, padding=1)
    for formulas in (flop_counter.flop_registry, operators._REGISTERED):
        for operator in [*formulas]:
            monkeypatch.setitem(formulas, operator, lambda *_, **__: 0)
        assert (complexity.measure(layer, 8, 8).macs == 64 * 216) == (not intact.replaced())
    assert intact.replaced() == ("esr.complexity.operators._REGISTERED",)


def test_a_hook_for_every_call_is_named():
    intact = Intact()
    sys.setprofile(lambda *_: None)
    try:
        assert intact.replaced() == ("sys.setprofile",)
    finally:
        sys.setprofile(None)
