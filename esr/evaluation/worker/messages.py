"""Messages between an evaluation and its workers: a tagged struct for each request and each answer."""

import math
from typing import Annotated, Generic, Literal, TypeAlias, TypeVar, Union, cast, get_args

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from esr.config.schema import CHANNELS, SCALE, CheckpointConf, CudnnConf, DeviceConf, ModelConf
from esr.config.terms import Count, Positive, Stage
from esr.errors import RecordError
from esr.evaluation.worker.envelope import MOST_BYTES, Pixels, Word, unpack
from esr.evaluation.worker.output_sample import sample_size
from esr.records.check import check_name
from esr.records.network import (
    MOST_KERNELS,
    Complexity,
    Kernel,
    Layer,
    Loading,
    Memory,
    SettingValue,
    Shape,
    Weights,
    WorkerReport,
)
from esr.timing.samples import Duration

_VALUE_BYTES = 4


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="answer"):
    """A worker's answer."""


class Done(Answer, frozen=True, tag="done"):
    """The request was carried out."""


class OpenAnswer(Answer, frozen=True, tag="open"):
    """The device is open."""

    report: WorkerReport


class WeightsAnswer(Answer, frozen=True, tag="weights"):
    """The weights file is one."""

    numbers: Count
    """Values of the state dict, entries that `checkpoint.drop` takes out left aside."""


class LoadAnswer(Answer, frozen=True, tag="load"):
    """The network is on the device."""

    training_form: Word | None
    """Blocks that could be fused for inference, and are not."""
    loading: Loading
    registered: Count
    """Values of parameters and buffers."""
    own_loading: bool
    """The network overrides or hooks into the loading of its state dict, and may fuse blocks in it."""


class ComplexityAnswer(Answer, frozen=True, tag="complexity"):
    """Counts, or why there are none."""

    complexity: Complexity | None
    uncounted: Word | None
    padded_to: Count | None = None
    """Multiple to which inputs are padded, since the network takes no other sizes."""


class MemoryAnswer(Answer, frozen=True, tag="memory"):
    """Peak memory."""

    memory: Memory


class QualityAnswer(Answer, frozen=True, tag="quality"):
    """SR image, 4H×4W×3."""

    image: Pixels


class PassAnswer(Answer, frozen=True, tag="pass"):
    """The pass has ended, by the worker's own clock after this time."""

    duration: Duration
    uncaptured: Word | None = None
    """Reason why the pass was no replay although the configuration asks for a CUDA graph."""


class SampleAnswer(Answer, frozen=True, tag="sample"):
    """Values of the last output."""

    raw: Pixels
    """Values × 4 bytes: little-endian float32, in grey levels, neither clamped nor rounded."""

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The grey levels."""
        return self.raw.reshape(-1).view("<f4")


class RecordAnswer(Answer, frozen=True, tag="record"):
    """A recorded pass, and what only the network's own process shows."""

    tape: Pixels
    """Bytes of a `Tape`; empty if there is none."""
    fault: Word | None
    """Reason why there is none."""
    switches: Annotated[dict[Word, SettingValue], Meta(max_length=100)]
    """Settings that differed during the pass or after it, with those values."""
    changes_input: bool
    """The pass wrote to its own input."""


class InspectAnswer(Answer, frozen=True, tag="inspect"):
    """Findings of a watched pass."""

    precisions: Annotated[dict[Word, tuple[Word, ...]], Meta(max_length=100)]
    """Type other than float32 -> operators that computed in it."""
    macs: Count
    """Of this pass."""
    params: Count
    """Parameters that it used."""
    hidden: Count
    """Numbers that are neither parameters nor buffers but multiplied like weights."""
    connected: bool
    """The output follows from the input by operators."""
    fixed: Count = 0
    """Of `macs`, those of operators that do not depend on the input."""
    constants: Count = 0
    """Numbers besides parameters that operators were given."""
    operators: Count = 0
    """That ran."""
    products: Count = 0
    """Values made of features and of numbers that do not follow from the input, without a multiply-accumulate: each may
    be a product in disguise."""
    rewritten: Count = 0
    """Numbers that changed after an operator had made them, by no operator."""
    filled: Count = 0
    """Likewise in tensors that an operator had made empty or constant, as kernels do that are launched directly."""
    unknown: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()
    """Operators that may multiply, and for which there is no formula."""
    foreign: bool = False
    """Some of them only the network's own process has: their results are those on the tape."""
    workspace: Count = 0
    """Bytes of tensors that the pass writes to and did not allocate."""


class KernelsAnswer(Answer, frozen=True, tag="kernels"):
    """Kernels of a profiled pass; `None` where the device or the profiler tells none."""

    kernels: Annotated[tuple[Kernel, ...], Meta(max_length=MOST_KERNELS)] | None


class Refusal(Answer, frozen=True, tag="refusal"):
    """Sent instead of an answer: the request failed."""

    kind: Literal["user", "bad_output", "out_of_memory", "exception"]
    error: Word
    """Name of the exception's class."""
    message: Word


AnswerT = TypeVar("AnswerT", bound=Answer)


class Request(msgspec.Struct, Generic[AnswerT], frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """A request; its type parameter is the type of its answer."""

    @property
    def stage(self) -> Stage:
        """Name of the request, and of the stage in which a network fails at it."""
        return cast(Stage, self.__struct_config__.tag)

    @property
    def most_bytes(self) -> int:
        """Bytes that may follow the line of its answer; whoever sends more is not read."""
        return 0

    def read(self, message: msgspec.Raw, payload: bytes) -> AnswerT | Refusal:
        """The answer to this request.

        Raises:
            ValueError: It is no answer to this request.
        """
        (kind,) = get_args(type(self).__orig_bases__[0])  # type: ignore[attr-defined]
        answer: AnswerT | Refusal = unpack(message, payload, kind | Refusal)
        if not isinstance(answer, Refusal):
            self.check(answer)
        return answer

    def check(self, answer: AnswerT) -> None:
        """Compares an answer with the request; its types are already checked.

        Raises:
            ValueError: It does not fit.
        """


MOST_KERNELS_KEPT = 1024
"""oneDNN's default: its least recently used ones are dropped."""
_KERNELS_OF_A_SHAPE = 512
"""More than a network needs for one input shape; fewer that are kept are dropped sooner."""


def kernels_for(shapes: int) -> int:
    """Compiled kernels to keep for passes over so many LR shapes."""
    return min(MOST_KERNELS_KEPT, _KERNELS_OF_A_SHAPE * shapes)


class OpenRequest(Request[OpenAnswer], frozen=True, tag="open"):
    """Open the device and set its switches. No seed and no path of data travels along."""

    device: DeviceConf
    cudnn: CudnnConf
    cuda_graph: bool = False
    kernels: Count = MOST_KERNELS_KEPT
    """Compiled kernels that the CPU's library keeps."""


class WeightsRequest(Request[WeightsAnswer], frozen=True, tag="weights"):
    """Count a weights file's values, while no code of the network's is there to count in its favour."""

    weights: Weights
    checkpoint: CheckpointConf
    content: Pixels
    """The file's bytes."""


class LoadRequest(Request[LoadAnswer], frozen=True, tag="load"):
    """Build the network, load its weights and move it to the device."""

    model: ModelConf
    weights: Weights
    seed: Count
    """Of random weights."""
    content: Pixels = msgspec.field(default_factory=lambda: np.zeros(0, np.uint8))
    """Bytes of the weights file, whose digest is the one stated; empty for random weights and a repository's."""


class ComplexityRequest(Request[ComplexityAnswer], frozen=True, tag="complexity"):
    """Count one pass over an image of this size."""

    height: Count
    width: Count

    def check(self, answer: ComplexityAnswer) -> None:
        """Operators have names that a record may hold."""
        counted = answer.complexity
        for name in (*counted.missed_by_hooks, *counted.without_formula) if counted else ():
            try:
                check_name("operator", name)
            except RecordError as error:
                raise ValueError(str(error)) from error


class RateAnswer(Answer, frozen=True, tag="rate"):
    """Thousand million multiply-accumulates per second."""

    gmacs_per_s: Positive | None
    """`None` where the device's memory does not hold the matrices."""


class RateRequest(Request[RateAnswer], frozen=True, tag="rate"):
    """Measure how fast the device multiplies matrices; only asked while no stranger's code is known."""


class ResetMemoryRequest(Request[Done], frozen=True, tag="reset_memory"):
    """Begin a measurement of peak memory: free what can be freed."""


class PeakRequest(Request[MemoryAnswer], frozen=True, tag="peak"):
    """Report the peak memory since `ResetMemoryRequest`."""


class KeepMemoryRequest(Request[Done], frozen=True, tag="keep_memory"):
    """From now on keep freed memory, so that no pass pays for memory returned to the system."""


class RenewRequest(Request[Done], frozen=True, tag="renew"):
    """Drop the device's compiled kernels."""


class ImageRequest(Request[AnswerT], frozen=True):
    """Run one pass over an LR image, H×W×3."""

    image: Pixels
    seed: Count
    """Of the random generators."""


class PassRequest(ImageRequest[PassAnswer], frozen=True, tag="pass"):
    """Run one pass: in warm-up, for quality, timed or to check another, all the same."""


class SampleRequest(Request[SampleAnswer], frozen=True, tag="sample"):
    """Give values of the last output, at positions that nothing told before."""

    values: Count
    """In the whole output."""
    seed: Count
    """Of the positions."""

    @property
    def most_bytes(self) -> int:
        """Of the values."""
        return _VALUE_BYTES * sample_size(self.values)

    def check(self, answer: SampleAnswer) -> None:
        """As many values as there are positions."""
        if answer.raw.shape != (sample_size(self.values), _VALUE_BYTES):
            raise ValueError(f"a sample of shape {answer.raw.shape}")


class QualityRequest(Request[QualityAnswer], frozen=True, tag="quality"):
    """Give the whole last output as an 8-bit image."""

    lr_shape: Shape

    @property
    def most_bytes(self) -> int:
        """Of the SR image."""
        return CHANNELS * math.prod(self.lr_shape) * SCALE * SCALE

    def check(self, answer: QualityAnswer) -> None:
        """The SR image has the shape that belongs to its LR image."""
        height, width = self.lr_shape
        if answer.image.shape != (SCALE * height, SCALE * width, CHANNELS):
            raise ValueError(f"an SR image of shape {answer.image.shape}")


class RecordRequest(ImageRequest[RecordAnswer], frozen=True, tag="record"):
    """Run one pass like any other, and record its operators."""

    @property
    def most_bytes(self) -> int:
        """Of the tape: contents, and some bytes for each operator."""
        return MOST_BYTES


class ReplayRequest(Request[Done], frozen=True, tag="replay"):
    """Hold a recorded pass as the network; only asked while no stranger's code is known."""

    tape: Pixels
    data_range: Positive


class InspectRequest(ImageRequest[InspectAnswer], frozen=True, tag="inspect"):
    """Run the recorded pass like any other, and watch its operators."""


class KernelsRequest(ImageRequest[KernelsAnswer], frozen=True, tag="kernels"):
    """Profile one pass."""


class LayersAnswer(Answer, frozen=True, tag="layers"):
    """A network's cost, module by module."""

    layers: Annotated[tuple[Layer, ...], Meta(max_length=1_000_000)]


class LayersRequest(Request[LayersAnswer], frozen=True, tag="layers"):
    """Count one pass over an image of this size, module by module."""

    height: Count
    width: Count


class ExportAnswer(Answer, frozen=True, tag="export"):
    """An exported file."""

    content: Pixels
    """Bytes of the file."""
    any_size: bool


class ExportRequest(Request[ExportAnswer], frozen=True, tag="export"):
    """Build a network with its weights, and export it."""

    network: LoadRequest
    format: Word

    @property
    def most_bytes(self) -> int:
        """Of the file."""
        return MOST_BYTES


AnyRequest: TypeAlias = Union[  # type: ignore[valid-type]  # noqa: UP007
    tuple(kind for kind in (*Request.__subclasses__(), *ImageRequest.__subclasses__()) if kind is not ImageRequest)
]
"""Every request, for its decoder."""
