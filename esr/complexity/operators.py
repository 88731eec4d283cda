"""Multiply-accumulates (MACs) of PyTorch's operators, and a mode that reports every operator that runs.

The formulas are those of `torch.utils.flop_counter`, which counts a multiply-accumulate as two operations; the few
that it lacks are added here. An operator that has no formula and may do such work is named rather than counted as 0.
Work outside PyTorch's dispatcher, such as NumPy or a kernel launched directly, is found by `esr.complexity.flow`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Saw = Callable[[Any, Sequence[Any], Any], None]
"""Called with an operator that ran, its positional arguments and its result."""
Before = Callable[[Any, Sequence[Any], Mapping[str, Any]], None]
"""Called with an operator that is about to run, its positional arguments and the others."""
Formula = Callable[[Sequence[Any], Tensor], int]
"""Positional arguments and the first result -> MACs."""


def _factor(arguments: Sequence[Any], _: Tensor) -> int:
    """A matrix or a vector times a vector."""
    return int(arguments[0].numel())


def _convolution(arguments: Sequence[Any], result: Tensor) -> int:
    """Each output element is one filter; the weight is out×(in/groups)×kernel."""
    return result.numel() * int(arguments[1].shape[1:].numel())


def _attention(arguments: Sequence[Any], result: Tensor) -> int:
    """Query …×L×E, key …×S×E, value …×S×V: scores and weighted sum; a causal mask saves nothing."""
    query, key = arguments[:2]
    return int(query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + result.shape[-1]))


_CONVOLUTIONS = """
    cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu miopen_convolution miopen_convolution_relu
    miopen_convolution_add_relu miopen_depthwise_convolution mkldnn_convolution mkldnn._convolution_pointwise
    _slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d
    _nnpack_spatial_convolution
"""
_TRANSPOSED = "slow_conv_transpose2d slow_conv_transpose3d cudnn_convolution_transpose miopen_convolution_transpose"
_MATRICES = "_int_mm _weight_int8pack_mm mkldnn_linear mkldnn._linear_pointwise"
"""Kernels that others choose from: no network has to call them, but it can."""
ADDED: dict[str, Formula] = {
    **dict.fromkeys(("mv", "dot", "vdot"), _factor),
    "addmv": lambda arguments, result: _factor(arguments[1:], result),
    "addr": lambda _, result: result.numel(),
    "addbmm": lambda arguments, _: int(arguments[1].numel() * arguments[2].shape[-1]),
    "conv_tbc": lambda arguments, result: int(result.numel() * arguments[1].shape[:2].numel()),
    # PyTorch's formula takes some of these operators' flags for the one that says whether a convolution is transposed.
    **dict.fromkeys(_CONVOLUTIONS.split(), _convolution),
    **dict.fromkeys(_TRANSPOSED.split(), lambda arguments, _: arguments[0].numel() * arguments[1].shape[1:].numel()),
    **dict.fromkeys(_MATRICES.split(), lambda arguments, result: arguments[0].numel() * result.shape[-1]),
    "_addmm_activation": lambda arguments, result: arguments[1].numel() * result.shape[-1],
    **dict.fromkeys(("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu"), _attention),
}
"""ATen operator, without overload -> its formula, where PyTorch's counter has none that fits.

Operators defined by others (`linear`, `matmul`, `einsum`, `conv2d`, `lstm`, …) need none: `OperatorMode` reports the
operators they consist of.
"""

_FREE_FAMILIES = re.compile(
    r"\w*(?:avg|max)_(?:un)?pool[23]d(?:_with_indices)?|_?upsample_\w+|\w*batch_norm\w*|re\w+_pad[123]d"
    r"|(?:new|_assert|_functional|index|unique|_unsafe|sym_constrain)_\w+|\w+_(?:copy|like|window|scatter)"
    r"|rand\w*|\w*cum(?:sum|prod|max|min)\w*"
)
_LISTED = """
    native_layer_norm native_group_norm _fused_rms_norm _weight_norm_interface norm native_norm renorm
    linalg_vector_norm linalg__powsum _softmax _log_softmax _safe_softmax _masked_softmax _prelu_kernel glu
    log_sigmoid_forward hardswish mish gelu leaky_relu threshold rrelu_with_noise rrelu_with_noise_functional
    native_dropout _fused_dropout _thnn_fused_gru_cell _thnn_fused_lstm_cell abs copysign complex polar eq ne ge gt le
    lt floor_divide gcd lcm heaviside xlogy equal is_same_size isin bucketize searchsorted _add_relu sum nansum mean
    median nanmedian mode prod amax amin aminmax _aminmax max min argmax argmin all any var var_mean std std_mean
    logsumexp count_nonzero trace kthvalue topk sort histc bincount _unique _unique2 _is_all_true _is_any_true cat
    stack _stack block_diag copy _lazy_clone clone repeat repeat_interleave roll flip rot90 constant_pad_nd
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im gather scatter scatter_add
    scatter_reduce index _index_put_impl take put masked_fill masked_select diag_embed tril triu embedding nonzero
    nonzero_static unsafe_split unsafe_split_with_sizes resize resize_as set lift _pin_memory squeeze unsqueeze t
    transpose as_strided detach _chunk_cat empty empty_permuted empty_strided zeros zero _efficientzerotensor ones
    full fill scalar_tensor eye arange range linspace logspace tril_indices triu_indices bernoulli uniform normal
    normal_functional exponential geometric cauchy log_normal multinomial poisson binomial fft_fftfreq fft_rfftfreq
    _local_scalar_dense _print is_pinned is_set_to record_stream _fused_sdp_choice _has_same_storage_numel
"""
FREE = frozenset(_LISTED.split())
"""ATen operators without multiply-accumulates as the field counts them: normalisation, activations, reductions, data
movement, creation and housekeeping. The families above, views, and whatever PyTorch tags as element-wise are free as
well.

Fourier transforms, grid sampling, distances and matrix decompositions are absent on purpose: they do work that no
accepted formula covers, so they are named.
"""

_NUMBERS = ("number", "Optional[number]", "Tensor")
"""Types in a schema of plain numbers that are computed with: `x * 2` gives one where a tensor is stated."""
BOOKKEEPING = ("prim", "profiler")
"""Namespaces of operators that query tensors or mark regions of code."""
_SHARED = ("aten", "mkldnn", "quantized")
"""Namespaces of operators that every process has."""
_UNCHECKED = re.compile(r"from_file|_sparse_\w+_unsafe|_nested_\w+")
"""Operators of them that trust their arguments."""


@dataclass(frozen=True)
class Foreign:
    """An operator that only another process has."""

    name: str


def macs(operator: Any, arguments: Sequence[Any], result: Any) -> int | None:
    """MACs of one call; `None` if the operator has no formula and may do some.

    Args:
        operator: an `OpOverload`, or another callable that a dispatch mode receives.
        arguments: its positional arguments.
        result: its result.

    >>> macs(torch.ops.aten.mm.default, [torch.ones(2, 3), torch.ones(3, 5)], torch.ones(2, 5))
    30
    """
    formula = _formula(operator)
    if formula is None:
        return 0 if _is_free(operator) else None
    return formula(arguments, result if isinstance(result, Tensor) else result[0])


def name(operator: Any) -> str:
    """The operator without its overload, as in `aten.bmm`.

    >>> name(torch.ops.aten.bmm.default)
    'aten.bmm'
    """
    if isinstance(operator, torch._ops.OpOverload):
        return str(operator.overloadpacket)
    return operator.name if isinstance(operator, Foreign) else f"higher_order.{operator}"


_REGISTERED = dict(flop_registry)
"""As PyTorch has them, before a network's code could exchange them."""


def _formula(operator: Any) -> Formula | None:
    if not isinstance(operator, torch._ops.OpOverload):
        return None
    base = _base(operator)
    registered = _REGISTERED.get(getattr(torch.ops.aten, base, None))
    if base in ADDED or registered is None:
        return ADDED.get(base)
    return lambda arguments, result: registered(*arguments, out_val=result) // 2


@cache
def _is_free(operator: Any) -> bool:
    if not is_aten(operator):
        return is_bookkeeping(operator)
    base = _base(operator)
    listed = base in FREE or _FREE_FAMILIES.fullmatch(base) is not None
    return listed or is_view(operator) or _is_pointwise(base)


def is_aten(operator: Any) -> bool:
    """True for an operator of PyTorch's own library of tensor operators."""
    return isinstance(operator, torch._ops.OpOverload) and operator.namespace == "aten"


def is_shared(operator: Any) -> bool:
    """True for an operator that every process has, and that checks what it is given."""
    known = isinstance(operator, torch._ops.OpOverload) and operator.namespace in _SHARED
    return known and not _UNCHECKED.fullmatch(_base(operator))


def is_bookkeeping(operator: Any) -> bool:
    """True for an operator that queries tensors or marks regions of code."""
    return isinstance(operator, torch._ops.OpOverload) and operator.namespace in BOOKKEEPING


def _base(operator: Any) -> str:
    """The name that an in-place operator shares with its ordinary form: `relu` for `relu_`."""
    base = str(operator.overloadpacket).removeprefix("aten.")
    return base if base.endswith("__") else base.removesuffix("_")


def numbers(operator: Any, arguments: Sequence[Any]) -> list[complex]:
    """Plain numbers among an operator's arguments that it computes with, other than places, sizes and flags."""
    stated = operator._schema.arguments if is_aten(operator) else ()
    pairs = zip(stated, arguments, strict=False)
    return [value for one, value in pairs if str(one.type) in _NUMBERS and isinstance(value, (int, float, complex))]


def is_view(operator: Any) -> bool:
    """True if each result shares the memory of an argument without writing to it."""
    schema = getattr(operator, "_schema", None)
    aliases = [value.alias_info for value in schema.returns] if schema else []
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _is_pointwise(base: str) -> bool:
    """True if PyTorch tags any overload of the ordinary or the in-place form as element-wise."""
    packets = [getattr(torch.ops.aten, form) for form in (base, f"{base}_") if hasattr(torch.ops.aten, form)]
    overloads = (getattr(packet, overload) for packet in packets for overload in packet.overloads())
    return any(torch.Tag.pointwise in overload.tags for overload in overloads)


class OperatorMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch leaves it unannotated
    """Reports every operator that the dispatcher runs while the mode is active, whatever Python calls led to it.

    Operators defined by others are reported as those others. Fused attention is reported whole, so that the report
    does not depend on the kernels of a device; this requires inference mode, without which PyTorch picks the kernel
    first.

    Args:
        saw: called after each operator.
        called: called after each operator that the network called itself, those defined by others included.
        before: called before each operator, with its arguments.
        lock: held meanwhile; threads share one.
    """

    supports_higher_order_operators = True

    def __init__(self, saw: Saw, called: Saw, before: Before, lock: AbstractContextManager[object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._saw, self._called, self._before, self._lock = saw, called, before, lock
        self._depth = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: passes run as written, and asking the compiler to skip this would import it, for a second."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator, or the operators that define it."""
        keywords = kwargs or {}
        if _is_composite(func):
            result = self._taken_apart(func, args, keywords)
        else:
            with self._lock:
                self._before(func, args, keywords)
                result = self._run(func, args, keywords)
                self._saw(func, _positional(func, args, keywords), result)
        if not self._depth:
            self._called(func, args, result)
        return result

    def _run(self, func: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Runs an operator; what a kernel written in Python consists of is reported as well."""
        devices = [one.device.type.upper() for one in args if isinstance(one, Tensor) and not one.is_meta]
        for key in (*devices[:1], "CompositeExplicitAutograd") if isinstance(func, torch._ops.OpOverload) else ():
            if devices and f"{func.name().replace('::', '/')}/{key}" in torch.library._impls:
                with self:
                    return func._op_dk(getattr(torch._C.DispatchKey, key), *args, **keywords)
        return func(*args, **keywords)

    def _taken_apart(self, func: Any, args: Sequence[Any], keywords: dict[str, Any]) -> Any:
        self._depth += 1
        try:
            with self:
                return func._op_dk(_COMPOSITE, *args, **keywords)
        finally:
            self._depth -= 1


def _positional(operator: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Sequence[Any]:
    """Arguments by position, with the factor of a scaled sum, which can be given by name only."""
    scaled = keywords.get("alpha", 1) != 1 and is_aten(operator) and _base(operator) in ("add", "sub")
    return (*args, keywords["alpha"]) if scaled else args


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


@cache
def _is_composite(operator: Any) -> bool:
    """True if PyTorch defines the operator by others.

    The C++ definition decides, since it is what runs; `OpOverload.decompose` prefers Python definitions made for
    compilers, which break interpolation up.
    """
    if not isinstance(operator, torch._ops.OpOverload) or is_bookkeeping(operator) or _formula(operator):
        return False
    schema = operator._schema
    overload = f".{schema.overload_name}" if schema.overload_name else ""
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"{schema.name}{overload}", _COMPOSITE)
