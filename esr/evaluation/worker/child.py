"""The worker's side: holds one network and carries out the parent's requests, one at a time."""

import gc
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial, singledispatchmethod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from esr import complexity
from esr.complexity.replica import as_written, registered
from esr.config.class_path import methods
from esr.config.schema import SCALE, ModelConf
from esr.errors import DeviceError, EsrError, NetworkError
from esr.evaluation.worker import messages as to
from esr.evaluation.worker.audit import inspect
from esr.evaluation.worker.envelope import MESSAGE_LIMIT, open_envelope, pack, unpack, word
from esr.evaluation.worker.intact import Intact
from esr.evaluation.worker.messages import Answer, AnyRequest, Done, Refusal, Request
from esr.evaluation.worker.output_sample import positions
from esr.evaluation.worker.recorder import record
from esr.evaluation.worker.replay import Replay
from esr.networks import devices, inference, loading, padding
from esr.networks.strict_load import overrides_loading
from esr.networks.training_form import training_form
from esr.networks.weight_files import count_values
from esr.records.network import SettingValue, WorkerReport
from esr.sandbox.launch import Lock
from esr.text import described

_UNTIMED = (to.LoadRequest, to.RecordRequest, to.ComplexityRequest, to.PeakRequest, to.KeepMemoryRequest)
"""Requests after which it is looked for functions that a network has replaced."""
_EVICTED_VALUES = 2**20
"""Values, 4 bytes each, that push a pass's messages out of the processor's caches."""


class Child:
    """State of a worker: a device, a network on it, and its last output."""

    device: devices.ComputeDevice
    network: nn.Module
    model: ModelConf
    captures = False
    settings: dict[str, SettingValue]
    """As they were before the network was loaded."""

    def __init__(self, lock: Lock = lambda: None) -> None:
        self.lock: Lock | None = lock
        self.network = _Nearest()
        self.model = ModelConf()
        self.output: Tensor | None = None
        """Of the last pass."""
        self.lr: Tensor
        """Its input."""
        self.graphs: dict[torch.Size, devices.CudaGraph] = {}
        """By the shape of their input; empty where passes are not to be captured, or cannot be."""
        self.shapes: set[torch.Size] = set()
        """Of inputs that a pass has been run over."""
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
        except BaseException as error:
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
        devices.keep_kernels(request.kernels)
        threads = devices.set_threads(request.device.threads, request.device.cpus)
        self.device = devices.open_device(request.device.kind, request.device.index)
        self.captures = request.cuda_graph
        if self.captures and not isinstance(self.device, devices.CudaDevice):
            raise DeviceError("timing.cuda_graph=true: needs a GPU; leave it out on the CPU")
        switches = devices.apply_switches(**asdict(request.cudnn))
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
    def count_weights(self, request: to.WeightsRequest) -> to.WeightsAnswer:
        """Counts the values of a weights file, before the network's code is imported."""
        self._lock()
        path = Path(request.weights.path or "")
        return to.WeightsAnswer(count_values(path, request.checkpoint, request.content.tobytes()))

    def _lock(self) -> None:
        lock, self.lock = self.lock, None
        if lock is not None:
            lock()

    @handle.register
    def load(self, request: to.LoadRequest) -> to.LoadAnswer:
        """Builds the network, loads its weights and moves it to the device; undoes what the network did to be fast."""
        self._lock()
        self.output, self.shapes, self.graphs, self.uncaptured = None, set(), {}, None
        loaded = loading.load(
            request.model,
            request.weights,
            request.seed,
            self.device.torch_device,
            self.settings,
            request.content.tobytes(),
        )
        self.network, self.model = loaded.network, loaded.model
        form = training_form(self.network, methods(self.model.after_load))
        values = sum(one.numel() for one in registered(self.network))
        return to.LoadAnswer(form and word(form), loaded.findings, values, overrides_loading(self.network))

    @handle.register
    def count(self, request: to.ComplexityRequest) -> to.ComplexityAnswer:
        """Counts parameters, operations, activations, convolutions and live memory."""
        loading.seed_generators(0)  # what a network does may depend on what it draws
        gc.collect()
        counted, uncounted = None, None
        try:
            counted = complexity.measure(self.network, request.height, request.width)
            # Of a copy, which a network may make otherwise than it is itself.
            own = sum(one.numel() for one in self.network.parameters())
            counted = msgspec.structs.replace(counted, params=max(counted.params, own))
        except NetworkError as error:
            uncounted = word(str(error))
        finally:
            gc.collect(1)  # what counting has made; the rest is set apart again
            gc.freeze()
        return to.ComplexityAnswer(counted, uncounted, padding.multiple(self.network))

    @handle.register
    def count_layers(self, request: to.LayersRequest) -> to.LayersAnswer:
        """Counts module by module."""
        return to.LayersAnswer(tuple(complexity.layers(self.network, request.height, request.width)))

    @handle.register
    def export(self, request: to.ExportRequest) -> to.ExportAnswer:
        """Exports a network; outside of inference mode, whose tensors cannot be traced."""
        from esr.networks import export  # noqa: PLC0415 - an evaluation does without it

        with torch.inference_mode(mode=False):
            self.load(request.network)
            exported = export.export(self.network, request.format)
        return to.ExportAnswer(np.frombuffer(exported.content, np.uint8), exported.any_size)

    @handle.register
    def rate(self, _: to.RateRequest) -> to.RateAnswer:
        """The device's rate of multiplications."""
        try:
            return to.RateAnswer(devices.multiply_rate(self.device) / 1e9)
        except RuntimeError as error:
            if devices.is_out_of_memory(error):
                return to.RateAnswer(None)
            raise

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
    def renew(self, _: to.RenewRequest) -> Done:
        """Drops the device's compiled kernels."""
        self.device.renew_kernels()
        return Done()

    @handle.register
    def run_pass(self, request: to.PassRequest) -> to.PassAnswer:
        """One pass; its output is kept for the request that follows."""
        run = self._pass(self._take(request))
        self.output, duration = self.device.timed(run)
        inference.check_shape(self.output, self.lr)
        return to.PassAnswer(duration, self.uncaptured)

    def _take(self, request: to.ImageRequest[Any]) -> Tensor:
        """The request's input, the last one's output released before."""
        self.output = None
        self.lr = inference.to_tensor(request.image, self.model.data_range, self.device.torch_device)
        loading.seed_generators(request.seed)
        return self.lr

    def _pass(self, lr: Tensor) -> Callable[[], Tensor]:
        """The pass to be timed: a replay where there is a graph."""
        if self.captures and lr.shape in self.shapes:
            self._capture(lr)
        self.shapes.add(lr.shape)
        graph = self.graphs.get(lr.shape)
        if graph is None:
            return partial(self._forward, lr)
        graph.load(lr)
        return graph.replay

    def _capture(self, lr: Tensor) -> None:
        """Captures a pass over a shape, unless an earlier one could not be: all are timed alike."""
        if self.uncaptured is not None or lr.shape in self.graphs:
            return
        try:
            self.graphs[lr.shape] = devices.CudaGraph(self._forward, lr)
        except Exception as error:  # whatever a stranger's network raises; passes without a graph tell if it is broken
            self.uncaptured = word(described(error))
            self.graphs.clear()

    @handle.register
    def sample(self, request: to.SampleRequest) -> to.SampleAnswer:
        """Values of the last output."""
        output = self._last()
        levels = inference.to_levels(output, self.model.data_range, positions(output.numel(), request.seed))
        return to.SampleAnswer(levels.astype("<f4").view(np.uint8).reshape(-1, 4))

    @handle.register
    def show(self, _: to.QualityRequest) -> to.QualityAnswer:
        """The whole last output."""
        output = inference.check_output(self._last(), self.lr)
        return to.QualityAnswer(inference.to_image(output, self.model.data_range))

    @handle.register
    def profile(self, request: to.KernelsRequest) -> to.KernelsAnswer:
        """One pass under torch's profiler, replayed where timed passes are."""
        return to.KernelsAnswer(self.device.kernels(self._pass(self._take(request))))

    def _last(self) -> Tensor:
        return inference.check_shape(self.output, self.lr)

    @handle.register
    def record(self, request: to.RecordRequest) -> to.RecordAnswer:
        """One pass, recorded."""
        before = self.lr.shape if self.shapes else None
        lr = self._take(request)
        if lr.shape != before:  # what a network makes for a size, or by failing first, is not recorded
            with as_written():
                self._forward(lr.flip((-2, -1)))
            lr = self._take(request)
        output, recorded = record(self.network, lr, lambda: self._forward(lr), self.settings)
        self.output = inference.check_shape(output, lr)
        return recorded

    @handle.register
    def replay(self, request: to.ReplayRequest) -> Done:
        """Takes a recorded pass as the network; whoever made it has no part in what runs."""
        self._lock()
        self.network = Replay(request.tape.tobytes(), self.device.torch_device)
        self.model = ModelConf(data_range=request.data_range)
        return Done()

    @handle.register
    def inspect(self, request: to.InspectRequest) -> to.InspectAnswer:
        """One recorded pass under watch; its output is kept like any other's."""
        if not isinstance(self.network, Replay):
            raise EsrError("no recorded pass to watch")
        self.output, found = inspect(self.network, self._take(request))
        return found

    def _forward(self, lr: Tensor) -> Tensor:
        return inference.forward(self.network, lr, self.model.tile)


class _Nearest(nn.Module):
    """The plainest network, whose passes tell the harness's own time; it leaves the caches as cold as others do."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere = torch.zeros(_EVICTED_VALUES)

    def forward(self, x: Tensor) -> Tensor:
        self.elsewhere.add_(1)
        return nn.functional.interpolate(x, scale_factor=SCALE, mode="nearest")


def _refusal(kind: Any, message: str, error: BaseException) -> Refusal:
    return Refusal(kind, type(error).__name__[:MESSAGE_LIMIT], word(message))


def main(read_fd: int, write_fd: int, lock: Lock) -> None:
    """Serves requests until the parent closes its end.

    The network's prints go to standard error; messages have pipes of their own.

    Args:
        read_fd: Requests.
        write_fd: Answers.
        lock: Called once, before the network's code is imported.
    """
    for fd in (read_fd, write_fd):
        os.set_inheritable(fd, False)
    child = Child(lock)
    intact = Intact(child)
    gc.freeze()  # a collection of garbage would look at all that was imported, for a tenth of a second
    with open(read_fd, "rb") as source, open(write_fd, "wb") as sink:
        while line := source.readline():
            envelope = open_envelope(line)
            request = unpack(envelope.message, source.read(envelope.bytes), AnyRequest)
            answer = child.answer(request)
            # Here, in no function that a network could replace; while no clock runs.
            replaced = intact.replaced() if isinstance(request, _UNTIMED) else ()
            sink.write(pack(answer, envelope.ticket, replaced))
            sink.flush()
        # A network may have left threads behind; nothing they do is worth waiting for.
        sys.stderr.flush()
        os._exit(0)
