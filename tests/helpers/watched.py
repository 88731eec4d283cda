"""A pass of a network in this process: recorded, replayed and watched."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from esr.evaluation.worker.audit import inspect
from esr.evaluation.worker.messages import InspectAnswer
from esr.evaluation.worker.recorder import record
from esr.evaluation.worker.replay import Replay
from esr.networks import devices


@dataclass
class Watched:
    """The output of a pass, what the replay of its tape gave, and what was found there."""

    output: Tensor
    replayed: Tensor
    found: InspectAnswer


def watch(network: nn.Module, lr: Tensor, *, seed: int = 0) -> Watched:
    """Records a pass and watches its replay."""
    with torch.inference_mode():
        torch.manual_seed(seed)
        output, recorded = record(network, lr, lambda: network(lr), devices.read_settings())
        assert recorded.fault is None
        torch.manual_seed(seed)
        replayed, found = inspect(Replay(recorded.tape.tobytes(), lr.device), lr)
    return Watched(output, replayed, found)
