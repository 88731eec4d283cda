"""What each operator of PyTorch multiplies and accumulates.

One table gives the multiply-accumulates (MACs) of an operator as a function of shapes, one set names the
operators that do none as the field counts them. What is in neither has no formula, and callers say so instead
of counting zero.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Shape = Sequence[int]
Saw = Callable[[Any, Sequence[Any], Any], None]
"""Told of an operator that ran: the operator, its positional arguments, its result."""
Formula = Callable[[Sequence[Any], Shape], int]
"""Positional arguments, each tensor replaced by its shape, and the shape of the first result -> MACs."""


def _elements(shape: Shape) -> int:
    return prod(shape)


def _convolution(arguments: Sequence[Any], result: Shape) -> int:
    """`aten.convolution`, whose seventh argument says whether it is transposed."""
    transposed = arguments[6]
    return (_transposed if transposed else _direct)(arguments, result)


def _direct(arguments: Sequence[Any], result: Shape) -> int:
    """A convolution makes each output element from one filter: weight is out×(in/groups)×kernel."""
    return _elements(result) * _elements(arguments[1][1:])


def _transposed(arguments: Sequence[Any], _: Shape) -> int:
    """A transposed convolution spreads each input element: weight is in×(out/groups)×kernel."""
    return _elements(arguments[0]) * _elements(arguments[1][1:])


def _time_first(arguments: Sequence[Any], result: Shape) -> int:
    """`aten.conv_tbc`: weight is kernel×in×out."""
    kernel, channels, _ = arguments[1]
    return _elements(result) * int(kernel) * int(channels)


def _product(arguments: Sequence[Any], _: Shape) -> int:
    """Matrices (or batches of them) …×n×k and …×k×m."""
    return _elements(arguments[0]) * int(arguments[1][-1])


def _added_product(arguments: Sequence[Any], result: Shape) -> int:
    """The same with a summand before the two factors; adding it counts nothing, like a bias."""
    return _product(arguments[1:], result)


def _inner(arguments: Sequence[Any], _: Shape) -> int:
    """A matrix or a vector times a vector."""
    return _elements(arguments[0])


def _added_inner(arguments: Sequence[Any], result: Shape) -> int:
    return _inner(arguments[1:], result)


def _outer(_: Sequence[Any], result: Shape) -> int:
    """`aten.addr`: a product with an inner dimension of one."""
    return _elements(result)


def _linear(arguments: Sequence[Any], _: Shape) -> int:
    """Input …×in and weight out×in."""
    return _elements(arguments[0]) * int(arguments[1][0])


def _attention(arguments: Sequence[Any], result: Shape) -> int:
    """Query …×L×E, key …×S×E and value …×S×V: the scores and the weighted sum; causal masks save nothing."""
    query, key = arguments[:2]
    return _elements(result[:-1]) * int(key[-2]) * (int(query[-1]) + int(result[-1]))


_FORMULAS_BY_KIND: dict[Formula, str] = {
    _convolution: "convolution _convolution convolution_overrideable",
    _direct: """
        cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu miopen_convolution
        miopen_convolution_relu miopen_convolution_add_relu miopen_depthwise_convolution mkldnn_convolution
        _mps_convolution _nnpack_spatial_convolution _slow_conv2d_forward slow_conv3d_forward
        slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d
    """,
    _transposed: """
        cudnn_convolution_transpose miopen_convolution_transpose _mps_convolution_transpose
        slow_conv_transpose2d slow_conv_transpose3d
    """,
    _time_first: "conv_tbc",
    _product: "mm bmm _int_mm _scaled_mm",
    _added_product: "addmm baddbmm addbmm _addmm_activation",
    _inner: "mv dot vdot",
    _added_inner: "addmv",
    _outer: "addr",
    _linear: "mkldnn_linear",
    _attention: """
        scaled_dot_product_attention _scaled_dot_product_flash_attention
        _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention
        _scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable
        _scaled_dot_product_attention_math_for_mps
    """,
}

FORMULAS: dict[str, Formula] = {
    name: formula for formula, names in _FORMULAS_BY_KIND.items() for name in names.split()
}
"""Name of an ATen operator, without overload -> its formula.

Operators that PyTorch defines by others (`linear`, `matmul`, `einsum`, `conv2d`, `lstm`, …) are not here:
`OperatorMode` sees the ones they are made of.
"""

_POOLING = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d avg_pool2d avg_pool3d
    fractional_max_pool2d fractional_max_pool3d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d
    max_unpool3d mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
"""
_INTERPOLATION = """
    upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d
    _upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d
    upsample_bicubic2d upsample_trilinear3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
    _upsample_lanczos2d_aa
"""
_NORMALISATION = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
    _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_with_update_functional
    _batch_norm_no_update cudnn_batch_norm miopen_batch_norm native_layer_norm native_group_norm
    _fused_rms_norm _weight_norm_interface norm native_norm renorm linalg_vector_norm linalg__powsum
"""
_ACTIVATION = """
    _softmax _log_softmax _safe_softmax _masked_softmax _prelu_kernel glu log_sigmoid_forward hardswish mish
    gelu leaky_relu threshold rrelu_with_noise rrelu_with_noise_functional native_dropout _fused_dropout
    _thnn_fused_gru_cell _thnn_fused_lstm_cell
"""
_ELEMENTWISE_WITHOUT_TAG = """
    abs copysign complex polar eq ne ge gt le lt floor_divide gcd lcm heaviside xlogy equal is_same_size
    isin bucketize searchsorted _add_relu
"""
_REDUCTION = """
    sum nansum mean median nanmedian mode prod amax amin aminmax _aminmax max min argmax argmin all any var
    var_mean std std_mean logsumexp count_nonzero trace cumsum cumprod cummax cummin _cummax_helper
    _cummin_helper logcumsumexp _logcumsumexp kthvalue topk sort histc bincount unique_consecutive
    unique_dim unique_dim_consecutive _unique _unique2 _is_all_true _is_any_true
"""
_DATA_MOVEMENT = """
    cat stack _stack block_diag copy _lazy_clone clone repeat repeat_interleave roll flip rot90 constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im
    gather scatter scatter_add scatter_reduce index index_select index_add index_copy index_fill index_put
    _index_put_impl _unsafe_index _unsafe_index_put _unsafe_masked_index
    _unsafe_masked_index_put_accumulate index_reduce take put masked_fill masked_scatter masked_select
    slice_scatter select_scatter diagonal_scatter as_strided_scatter diag_embed tril triu embedding nonzero
    nonzero_static unsafe_split unsafe_split_with_sizes _unsafe_view resize resize_as set lift _pin_memory
    squeeze unsqueeze t transpose as_strided detach _chunk_cat
"""
_CREATION = """
    empty empty_like empty_permuted empty_strided new_empty new_empty_strided zeros zeros_like new_zeros
    zero _efficientzerotensor ones ones_like new_ones full full_like new_full fill scalar_tensor eye arange
    range linspace logspace tril_indices triu_indices rand rand_like randn randn_like randint randint_like
    randperm bernoulli uniform normal normal_functional random exponential geometric cauchy log_normal
    multinomial poisson binomial bartlett_window blackman_window hamming_window hann_window kaiser_window
    fft_fftfreq fft_rfftfreq
"""
_HOUSEKEEPING = """
    _local_scalar_dense _assert_async _assert_scalar _functional_assert_async _functional_assert_scalar
    _assert_tensor_metadata _print is_pinned is_set_to record_stream sym_constrain_range
    sym_constrain_range_for_size _functional_sym_constrain_range
    _functional_sym_constrain_range_for_size _fused_sdp_choice _has_same_storage_numel
"""

FREE = frozenset(
    " ".join(
        (
            _POOLING,
            _INTERPOLATION,
            _NORMALISATION,
            _ACTIVATION,
            _ELEMENTWISE_WITHOUT_TAG,
            _REDUCTION,
            _DATA_MOVEMENT,
            _CREATION,
            _HOUSEKEEPING,
        )
    ).split()
)
"""ATen operators that do no multiply-accumulate work as the field counts it, beside those that PyTorch itself
marks as element-wise, that return views, or that are the copying form of a view (`…_copy`).

Fourier transforms, grid sampling, distances and decompositions of matrices are left out on purpose: they do
work that no accepted formula covers, so they are named.
"""

BOOKKEEPING = ("prim", "profiler")
"""Namespaces of operators that ask for properties of tensors and mark regions of code."""


def macs(operator: Any, arguments: Sequence[Any], result: Any) -> int | None:
    """MACs of one call; none where the operator has no formula and might do some.

    Args:
        operator: an `OpOverload`, or another callable that a dispatch mode was given.
        arguments: its positional arguments.
        result: its result.

    >>> macs(torch.ops.aten.mm.default, [torch.ones(2, 3), torch.ones(3, 5)], torch.ones(2, 5))
    30
    """
    formula = _formula(operator)
    if formula is None:
        return 0 if _is_free(operator) else None
    first = result if isinstance(result, Tensor) else result[0]
    return formula([value.shape if isinstance(value, Tensor) else value for value in arguments], first.shape)


def name(operator: Any) -> str:
    """The operator without its overload, as in `aten.bmm`.

    >>> name(torch.ops.aten.bmm.default)
    'aten.bmm'
    """
    if isinstance(operator, torch._ops.OpOverload):
        return str(operator.overloadpacket)
    return f"higher_order.{operator}"


@cache
def _formula(operator: Any) -> Formula | None:
    return FORMULAS.get(_base(operator)) if _is_aten(operator) else None


@cache
def _is_free(operator: Any) -> bool:
    if not _is_aten(operator):
        return isinstance(operator, torch._ops.OpOverload) and operator.namespace in BOOKKEEPING
    base = _base(operator)
    return base in FREE or base.endswith("_copy") or _is_view(operator) or _is_pointwise(base)


def _is_aten(operator: Any) -> bool:
    return isinstance(operator, torch._ops.OpOverload) and operator.namespace == "aten"


def _base(operator: Any) -> str:
    """The name that the in-place form shares with the ordinary one: `relu` of `relu_`."""
    base = str(operator.overloadpacket).removeprefix("aten.")
    return base if base.endswith("__") else base.removesuffix("_")


def _is_view(operator: Any) -> bool:
    """Whether each result shares the memory of an argument without writing to it."""
    returns = operator._schema.returns
    aliases = [value.alias_info for value in returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _is_pointwise(base: str) -> bool:
    """Whether PyTorch tags any overload of the ordinary or the in-place form as element-wise."""
    packets = [getattr(torch.ops.aten, form, None) for form in (base, f"{base}_")]
    return any(
        torch.Tag.pointwise in getattr(packet, overload).tags
        for packet in packets
        if packet is not None
        for overload in packet.overloads()
    )


class OperatorMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch leaves it unannotated
    """Tells of every operator that really runs while it is entered, whatever Python calls led to it.

    Operators that PyTorch defines by others arrive as those; fused attention arrives whole, so that what is
    seen does not depend on which of its kernels a device has. That takes inference mode: without it PyTorch
    chooses the kernel first.

    Args:
        saw: called after each operator.
    """

    supports_higher_order_operators = True

    def __init__(self, saw: Saw) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._saw = saw

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator, or the ones that it is defined by."""
        keywords = kwargs or {}
        if _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **keywords)
        result = func(*args, **keywords)
        self._saw(func, args, result)
        return result


_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


@cache
def _is_composite(operator: Any) -> bool:
    """Whether PyTorch defines the operator by others.

    By its C++ definition, which is what runs; `OpOverload.decompose` would prefer Python ones, made for
    compilers, which take interpolation apart.
    """
    if not isinstance(operator, torch._ops.OpOverload) or operator.namespace in BOOKKEEPING:
        return False
    if _formula(operator) is not None:
        return False
    schema = operator._schema
    overload = f".{schema.overload_name}" if schema.overload_name else ""
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"{schema.name}{overload}", _COMPOSITE)
