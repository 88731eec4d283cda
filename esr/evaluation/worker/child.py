"""The worker's side: loads one network and does what the parent asks, one request at a time."""

import ctypes
import os
import platform
import signal
import sys
from dataclasses import asdict
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from esr import complexity
from esr.config.schema import EsrConf, ModelConf, typed
from esr.errors import EsrError, NetworkError
from esr.evaluation.worker.audit import audit
from esr.evaluation.worker.protocol import decode, encode, pack, positions, unpack
from esr.networks import build as networks
from esr.networks import devices, inference
from esr.text import described, one_line
from esr.zoo.weights import WeightsFile

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
MESSAGE_LIMIT = 2000
"""Characters of an exception's text that travel; a stranger's may hold a whole tensor."""


class Child:
    """The state of a worker: a device, then a network on it, then the images it is asked about."""

    device: devices.Device
    network: nn.Module
    model: ModelConf
    settings: dict[str, Any]
    """What was set before the network was loaded."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        self.inputs: list[Tensor] = []

    def do_open(self, config: dict[str, Any]) -> dict[str, Any]:
        """Opens the device, sets its switches, and says what is there."""
        settings = typed(EsrConf, config)
        threads = devices.set_threads(settings.device.threads, settings.device.cpus)
        self.device = devices.open_device(settings.device.kind, settings.device.index)
        switches = devices.apply_switches(**asdict(settings.cudnn))
        self.settings = devices.read_settings()
        return {
            "pid": os.getpid(),
            "device": self.device.fingerprint(),
            "threads": threads,
            "cpus": devices.bound_cpus(),
            "cudnn": switches,
            "torch": torch.__version__,
            "torch_cuda": torch.version.cuda,
            "torch_cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "torch_build": " ".join(torch.__config__.show().split()),
            "python": platform.python_version(),
        }

    def do_load(self, model: dict[str, Any], weights: dict[str, Any], seed: int) -> dict[str, Any]:
        """Builds the network, fills it with weights and puts it on the device."""
        self.model = typed(ModelConf, model)
        self.network = networks.build(self.model)
        networks.load(self.network, self.model, WeightsFile.from_dict(weights), seed)
        self.network.to(self.device.torch_device)
        return {}

    def do_image(self, image: dict[str, Any]) -> dict[str, Any]:
        """Takes the next LR image; it stays in main memory, and on the device only while it is used."""
        self.images.append(inference.to_tensor(unpack(image), self.model.data_range))
        return {}

    def do_complexity(self, height: int, width: int) -> dict[str, Any]:
        """Counts parameters, operations, activations, convolutions and live tensors, or says why it cannot."""
        try:
            counted: dict[str, Any] = msgspec.to_builtins(complexity.measure(self.network, height, width))
            return counted
        except NetworkError as error:
            return {"unavailable": str(error)}

    def do_memory(self, index: int) -> dict[str, Any]:
        """Peak memory of one pass over one image."""
        lr = self._on_device(index)
        self.device.reset_memory()
        inference.check_output(self._forward(lr), lr)
        return self.device.peak_memory()

    def do_peak(self) -> dict[str, Any]:
        """Peak memory since the network was loaded, never reset: the challenge's way."""
        return self.device.peak_memory()

    def do_reset_memory(self) -> dict[str, Any]:
        """Starts counting peak memory for `do_peak`."""
        self.device.reset_memory()
        return {}

    def do_keep_memory(self) -> dict[str, Any]:
        """Lets no pass from here on pay for memory that the one before gave back to the system."""
        devices.keep_freed_memory()
        return {}

    def do_renew(self, images: list[int]) -> dict[str, Any]:
        """Has the device's kernels made anew, in passes over these images, so that no timed pass pays for it."""
        if self.device.renew_kernels():
            for index in images:
                self._forward(self._on_device(index))
        return {}

    def do_quality(self, index: int) -> dict[str, Any]:
        """The 8-bit SR image of one LR image."""
        lr = self._on_device(index)
        output = inference.check_output(self._forward(lr), lr)
        return {"image": pack(inference.to_image(output, self.model.data_range))}

    def do_prepare(self, passes: list[dict[str, Any]]) -> dict[str, Any]:
        """Puts the next turn's inputs on the device: an image each, as it is or altered."""
        self.inputs = [self._input(one["image"], one["alteration"]) for one in passes]
        return {}

    def do_time(self, check: int | None, seed: int) -> dict[str, Any]:
        """One timed pass over each prepared input; of the one at `check` a sample of the output, at once.

        At once, so that a network that goes on working behind the clock is caught with an unfinished output.
        """
        durations = []
        sampled = None
        for position, lr in enumerate(self.inputs):
            output, duration = self.device.timed(lambda lr=lr: self._forward(lr))  # type: ignore[misc]
            durations.append(asdict(duration))
            inference.check_shape(output, lr)
            if position == check:
                sampled = self._sample(output, lr, seed)
            del output
        self.inputs = []
        return {"durations": durations, "sample": sampled}

    def do_sample(self, image: int, alteration: int | None, seed: int) -> dict[str, Any]:
        """A sample of the output over one input, untimed, and what `do_audit` says of this pass."""
        lr = self._input(image, alteration)
        output, found = audit(lambda: self._forward(lr), self.settings)
        return {"sample": self._sample(output, lr, seed), **found}

    def do_audit(self, index: int) -> dict[str, Any]:
        """What one pass computes in another precision than float32, and which settings the network has changed."""
        lr = self._on_device(index)
        return audit(lambda: self._forward(lr), self.settings)[1]

    def _sample(self, output: Tensor, lr: Tensor, seed: int) -> dict[str, Any]:
        valid = inference.check_shape(output, lr)
        return pack(inference.to_values(valid, self.model.data_range, positions(valid.numel(), seed)))

    def _input(self, image: int, alteration: int | None) -> Tensor:
        lr = self._on_device(image)
        return lr if alteration is None else inference.altered(lr, alteration)

    def _on_device(self, index: int) -> Tensor:
        return self.images[index].to(self.device.torch_device)

    def _forward(self, lr: Tensor) -> Tensor:
        return inference.forward(self.network, lr, self.model.tile)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carries out one request and words its outcome."""
        arguments = dict(request)
        handler = getattr(self, f"do_{arguments.pop('do')}")
        try:
            with torch.inference_mode():
                return {"result": handler(**arguments)}
        except NetworkError as error:
            kind = "user" if request["do"] == "load" else "bad_output"
            return _error(kind, str(error), type(error).__name__)
        except EsrError as error:
            return _error("user", str(error), type(error).__name__)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # The boundary to a stranger's code: whatever it raises is its result, not ours.
            kind = "out_of_memory" if devices.is_out_of_memory(error) else "exception"
            return _error(kind, described(error), type(error).__name__)


def _error(kind: str, message: str, name: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "class": name, "message": one_line(message)[:MESSAGE_LIMIT]}}


def _end_with_parent() -> None:
    # A pass that never returns would outlive a parent that was killed.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(read_fd: int, write_fd: int) -> None:
    """Serves requests until the parent closes its end.

    What the network prints goes to standard error; the protocol has pipes of its own.
    """
    _end_with_parent()
    # A scheduler signals every process of a job; what becomes of this one is the parent's to decide.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for fd in (read_fd, write_fd):
        os.set_inheritable(fd, False)
    child = Child()
    with open(read_fd, "rb") as source, open(write_fd, "wb") as sink:
        for line in source:
            request = decode(line)
            ticket = request.pop("ticket")
            sink.write(encode({"ticket": ticket, **child.answer(request)}))
            sink.flush()
        # A network may have left threads behind; nothing they do is worth waiting for.
        sys.stderr.flush()
        os._exit(0)
