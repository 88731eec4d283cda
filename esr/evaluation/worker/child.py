"""The worker's side: holds one network and carries out the parent's requests, one at a time."""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial, singledispatchmethod
from typing import Any

import torch
from torch import Tensor, nn

from esr import complexity
from esr.config.schema import ModelConf
from esr.errors import DeviceError, EsrError, NetworkError
from esr.evaluation.worker import messages as to
from esr.evaluation.worker.audit import audit
from esr.evaluation.worker.messages import Answer, AnyRequest, Done, Refusal, Request
from esr.evaluation.worker.output_sample import positions
from esr.networks import devices, inference, loading, padding
from esr.records.network import SettingValue, WorkerReport
from esr.text import described, one_line
from esr.timing.schedule import Pass

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class Child:
    """State of a worker: a device, then a network on it, then the images."""

    device: devices.ComputeDevice
    network: nn.Module
    model: ModelConf
    settings: dict[str, SettingValue]
    """As they were before the network was loaded."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []
        """LR images in main memory; on the device only while in use."""
        self.inputs: list[Tensor] = []
        self.graphs: dict[torch.Size, devices.CudaGraph] = {}
        """By the shape of their input; empty where passes are not to be captured, or cannot be."""
        self.uncaptured: str | None = None
        """Reason why the network cannot be captured."""

    def answer(self, request: Request[Any]) -> Answer:
        """Carries out one request; an exception becomes a `Refusal`."""
        try:
            with torch.inference_mode():
                return self.handle(request)
        except NetworkError as error:
            kind = "user" if isinstance(request, to.LoadRequest) else "bad_output"
            return _refusal(kind, str(error), error)
        except EsrError as error:
            return _refusal("user", str(error), error)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # The boundary to a stranger's code: whatever it raises is its result, not ours.
            kind = "out_of_memory" if devices.is_out_of_memory(error) else "exception"
            return _refusal(kind, described(error), error)

    @singledispatchmethod
    def handle(self, request: Any) -> Answer:
        """Carries out one request, by the method registered for its type."""
        raise TypeError(f"no handler for {type(request).__name__}")

    @handle.register
    def open(self, request: to.OpenRequest) -> to.OpenAnswer:
        """Opens the device and sets its switches."""
        conf = request.settings
        threads = devices.set_threads(conf.device.threads, conf.device.cpus)
        self.device = devices.open_device(conf.device.kind, conf.device.index)
        self.captures = conf.timing.cuda_graph
        if self.captures and not isinstance(self.device, devices.CudaDevice):
            raise DeviceError("timing.cuda_graph=true: needs a GPU; leave it out on the CPU")
        switches = devices.apply_switches(**asdict(conf.cudnn))
        self.settings = devices.read_settings()
        return to.OpenAnswer(
            WorkerReport(
                pid=os.getpid(),
                device=self.device.fingerprint(),
                threads=threads,
                cpus=devices.bound_cpus(),
                cudnn=switches,
                torch=str(torch.__version__),
                torch_cuda=torch.version.cuda,
                torch_cudnn=torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
                torch_build=" ".join(torch.__config__.show().split()),
                python=platform.python_version(),
            )
        )

    @handle.register
    def load(self, request: to.LoadRequest) -> to.LoadAnswer:
        """Builds the network, loads its weights and moves it to the device; undoes what the network did to be fast."""
        loaded = loading.load(request.model, request.weights, request.seed, self.device.torch_device, self.settings)
        self.network, self.model = loaded.network, loaded.model
        return to.LoadAnswer(loaded.findings)

    @handle.register
    def take_image(self, request: to.ImageRequest) -> Done:
        """Keeps one more LR image."""
        self.images.append(inference.to_tensor(request.image, self.model.data_range))
        return Done()

    @handle.register
    def count(self, request: to.ComplexityRequest) -> to.ComplexityAnswer:
        """Counts parameters, operations, activations, convolutions and live memory."""
        try:
            counted = complexity.measure(self.network, request.height, request.width)
            return to.ComplexityAnswer(counted, None, padding.multiple(self.network))
        except NetworkError as error:
            uncounted = one_line(str(error))[: to.MESSAGE_LIMIT]
            return to.ComplexityAnswer(None, uncounted, padding.multiple(self.network))

    @handle.register
    def measure_memory(self, request: to.MemoryRequest) -> to.MemoryAnswer:
        """Peak memory of one pass over one image."""
        lr = self._on_device(request.image)
        self.device.reset_memory()
        inference.check_output(self._forward(lr), lr)
        return to.MemoryAnswer(self.device.peak_memory())

    @handle.register
    def reset_memory(self, _: to.ResetMemoryRequest) -> Done:
        """Begins the measurement that `read_peak` ends."""
        self.device.reset_memory()
        return Done()

    @handle.register
    def read_peak(self, _: to.PeakRequest) -> to.MemoryAnswer:
        """Peak memory since `reset_memory`, the challenge's way."""
        return to.MemoryAnswer(self.device.peak_memory())

    @handle.register
    def keep_memory(self, _: to.KeepMemoryRequest) -> Done:
        """Keeps freed memory from now on."""
        devices.keep_freed_memory()
        return Done()

    @handle.register
    def renew(self, request: to.RenewRequest) -> Done:
        """Recompiles the device's kernels, in passes over these images, so that no timed pass pays for it."""
        if self.device.renew_kernels():
            for index in request.images:
                self._forward(self._on_device(index))
        return Done()

    @handle.register
    def upscale(self, request: to.QualityRequest) -> to.QualityAnswer:
        """The 8-bit SR image of one LR image."""
        lr = self._on_device(request.image)
        output = inference.check_output(self._forward(lr), lr)
        return to.QualityAnswer(inference.to_image(output, self.model.data_range))

    @handle.register
    def prepare(self, request: to.PrepareRequest) -> Done:
        """Puts the next block's inputs on the device."""
        self.inputs = [self._input(one) for one in request.passes]
        if self.captures:
            for lr in self.inputs:
                self._capture(lr)
        return Done()

    def _capture(self, lr: Tensor) -> None:
        """Captures a pass over a new shape, unless an earlier one could not be: all shapes are timed alike."""
        if self.uncaptured is not None or lr.shape in self.graphs:
            return
        try:
            self.graphs[lr.shape] = devices.CudaGraph(self._forward, lr)
        except Exception as error:  # whatever a stranger's network raises; passes without a graph tell if it is broken
            self.uncaptured = one_line(described(error))[: to.MESSAGE_LIMIT]
            self.graphs.clear()

    def _pass(self, lr: Tensor) -> Callable[[], Tensor]:
        """The pass to be timed: a replay where there is a graph."""
        graph = self.graphs.get(lr.shape)
        if graph is None:
            return partial(self._forward, lr)
        graph.load(lr)
        return graph.replay

    @handle.register
    def time(self, request: to.TimeRequest) -> to.TimeAnswer:
        """Times one pass over each prepared input, and samples one output.

        The output is sampled at once, so that a network that works on after its pass is caught with an unfinished one.
        """
        durations = []
        sampled = None
        for position, lr in enumerate(self.inputs):
            output, duration = self.device.timed(self._pass(lr))
            durations.append(duration)
            inference.check_shape(output, lr)
            if position == request.sampled:
                sampled = self._sample(output, lr, request.seed)
            del output
        self.inputs = []
        return to.TimeAnswer(tuple(durations), sampled, self.uncaptured)

    @handle.register
    def sample(self, request: to.SampleRequest) -> to.SampleAnswer:
        """A sample of the output over one input, in an untimed pass under audit."""
        lr = self._input(request.one)
        output, found = audit(lambda: self._forward(lr), self.settings)
        return to.SampleAnswer(found.precisions, found.switches, self._sample(output, lr, request.seed))

    @handle.register
    def audit(self, request: to.AuditRequest) -> to.AuditAnswer:
        """One pass under audit."""
        lr = self._on_device(request.image)
        return audit(lambda: self._forward(lr), self.settings)[1]

    def _sample(self, output: Tensor, lr: Tensor, seed: int) -> to.Pixels:
        valid = inference.check_shape(output, lr)
        return inference.to_values(valid, self.model.data_range, positions(valid.numel(), seed))

    def _input(self, one: Pass) -> Tensor:
        lr = self._on_device(one.image)
        return lr if one.alteration is None else inference.altered(lr, one.alteration)

    def _on_device(self, index: int) -> Tensor:
        return self.images[index].to(self.device.torch_device)

    def _forward(self, lr: Tensor) -> Tensor:
        return inference.forward(self.network, lr, self.model.tile)


def _refusal(kind: Any, message: str, error: BaseException) -> Refusal:
    return Refusal(kind, type(error).__name__[: to.MESSAGE_LIMIT], one_line(message)[: to.MESSAGE_LIMIT])


def _end_with_parent() -> None:
    # A pass that never returns would outlive a killed parent.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(read_fd: int, write_fd: int) -> None:
    """Serves requests until the parent closes its end.

    The network's prints go to standard error; messages have pipes of their own.
    """
    _end_with_parent()
    # A scheduler signals every process of a job; the parent decides about this one.
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    for fd in (read_fd, write_fd):
        os.set_inheritable(fd, False)
    child = Child()
    with open(read_fd, "rb") as source, open(write_fd, "wb") as sink:
        while line := source.readline():
            envelope = to.open_envelope(line)
            request = to.unpack(envelope.message, source.read(envelope.bytes), AnyRequest)
            sink.write(to.pack(child.answer(request), envelope.ticket))
            sink.flush()
        # A network may have left threads behind; nothing they do is worth waiting for.
        sys.stderr.flush()
        os._exit(0)
