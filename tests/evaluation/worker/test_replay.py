"""Tapes: a replay computes what was recorded, whatever a network does in between, and refuses what is none."""

import threading

import msgspec
import pytest
import torch
from helpers.watched import watch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import _disable_current_modes

from esr.errors import NetworkError
from esr.evaluation.worker import tape
from esr.evaluation.worker.audit import inspect
from esr.evaluation.worker.recorder import record
from esr.evaluation.worker.replay import Replay
from esr.networks import devices

CPU = torch.device("cpu")
LR = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(1))
OTHER = torch.rand(1, 3, 8, 9, generator=torch.Generator().manual_seed(2))
library = torch.library.Library("test_replay", "DEF")


def compiled(function):
    """A kernel as one in C++ is: no mode sees its parts."""

    def kernel(*arguments):
        with _disable_current_modes():
            return function(*arguments)

    return kernel


def clear(x):
    x.mul_(0)


library.define("twice(Tensor x) -> Tensor")
library.impl("twice", compiled(lambda x: 2 * x), "CPU")
library.define("quantise(Tensor x) -> Tensor")
library.impl("quantise", compiled(lambda x: torch.quantize_per_tensor(x, 0.02, 3, torch.quint8)), "CPU")
library.define("clear(Tensor(a!) x) -> ()")
library.impl("clear", compiled(clear), "CPU")


class Network(nn.Module):
    """Calls a function of a test's."""

    def __init__(self, compute) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(48, 3, 3, 3), requires_grad=False)
        self.register_buffer("kept", torch.rand(1, 48, 8, 9))
        self.held = [torch.rand(1, 48, 1, 1)]
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        y = functional.conv2d(x, self.weight, padding=1)
        return functional.pixel_shuffle(self.compute(self, y), 4)


def shares_memory(_, y):
    y.data[:, :24] *= 2
    return y.data.view(1, 48, 72)[..., torch.arange(71, -1, -1)].reshape_as(y)


def writes_to_what_it_keeps(network, y):
    network.kept += y
    network.held[0].mul_(0.5)
    return network.kept * network.held[0]


def replaces_a_weight(network, y):
    weight = network.weight.data.flip(0)
    return y + functional.conv2d(y[:, :3], weight, padding=1)


def exchanges_a_weight(network, y):
    kept = network.weight.data
    network.weight.data = kept.flip(0)
    y = y + functional.conv2d(y[:, :3], network.weight, padding=1)
    network.weight.data = kept
    return y


def fails_and_goes_on(_, y):
    for operator in (torch.linalg.inv, torch.relu):
        try:
            y = operator(y)
        except RuntimeError:
            y = y + 1
    return y


def several_at_once(_, y):
    torch._foreach_mul_([*y.split(16, 1)], 0.5)
    values, places = torch.topk(y, 24, dim=1)
    return torch.cat([values, places.float()], 1)


def by_content(_, y):
    y = y * float(y.max()) if bool(y.mean() > 0) else y
    return y.masked_fill(y > y.median(), 0)


def other_types(_, y):
    spectrum = torch.fft.rfft2(y.double()) * complex(0.5, 0.1)
    return torch.fft.irfft2(spectrum, s=y.shape[-2:]).to(torch.float32, memory_format=torch.channels_last)


def at_random(_, y):
    noise = torch.rand(y.shape, generator=None) + torch.randn_like(y)
    return functional.dropout(y, 0.5, training=True) + noise


def in_a_thread(_, y):
    results = []
    thread = threading.Thread(target=lambda: results.append(torch.sigmoid(y)))
    thread.start()
    thread.join()
    return results[0]


def odd_arguments(_, y):
    y = y.clamp(-float("inf"), 2**40).nan_to_num(nan=float("nan")).std(dim=1, correction=2, keepdim=True) + y
    return torch.where(torch.tensor([True, False, True] * 3), y, torch.full((), 7, dtype=torch.float32))


def in_sparse_tensors(_, y):
    return y + torch.eye(48).to_sparse().mm(y.reshape(48, -1)).reshape_as(y)


def by_compiled_operators(_, y):
    y = torch.ops.test_replay.twice(y).add_(1)
    torch.ops.test_replay.clear(y[:, :4])
    return y + torch.ops.test_replay.quantise(y).dequantize()


KINDS = [
    shares_memory, writes_to_what_it_keeps, replaces_a_weight, exchanges_a_weight, fails_and_goes_on, several_at_once,
    by_content, other_types, at_random, in_a_thread, odd_arguments, in_sparse_tensors, by_compiled_operators,
]  # fmt: skip
FOR_ANOTHER_INPUT = [one for one in KINDS if one not in (by_content, by_compiled_operators)]


@pytest.mark.parametrize("compute", KINDS, ids=lambda one: one.__name__)
def test_a_replay_computes_what_was_recorded(compute):
    passed = watch(Network(compute), LR)
    assert torch.equal(passed.replayed, passed.output)
    assert passed.found.params == 48 * 27
    assert passed.found.connected


@pytest.mark.parametrize("compute", FOR_ANOTHER_INPUT, ids=lambda one: one.__name__)
def test_a_tape_holds_for_another_input_too(compute):
    network = Network(compute)
    kept, held = network.kept, network.held[0]
    network.kept, network.held = kept.clone(), [held.clone()]
    replay = Replay(tape_of(network), CPU)
    with torch.inference_mode():
        for lr in (OTHER, LR, OTHER):
            network.kept, network.held = kept.clone(), [held.clone()]
            torch.manual_seed(3)
            expected = network(lr)
            torch.manual_seed(3)
            assert torch.equal(replay(lr), expected)


def tape_of(network, lr=LR):
    with torch.inference_mode():
        _, recorded = record(network, lr, lambda: network(lr), devices.read_settings())
    assert recorded.fault is None
    return recorded.tape.tobytes()


def test_numbers_besides_parameters_are_counted():
    plain = watch(Network(lambda _, y: y), LR).found
    assert (plain.constants, plain.foreign) == (0, False)
    assert watch(Network(lambda _, y: y + torch.from_numpy(y.numpy() * 2)), LR).found.constants == 48 * 72
    assert watch(Network(lambda _, y: y * 0.5 + 2), LR).found.constants == 2
    foreign = watch(Network(by_compiled_operators), LR).found
    assert foreign.foreign
    assert foreign.unknown == ("aten.dequantize", "test_replay.clear", "test_replay.quantise", "test_replay.twice")
    assert foreign.constants >= 2.25 * 48 * 72


def test_weights_that_something_else_writes_are_counted():
    def filled(_, y):
        weight = torch.empty(48, 48, 3, 3)
        with _disable_current_modes():
            weight.copy_(torch.rand_like(weight))
        return functional.conv2d(y, weight, padding=1)

    found = watch(Network(filled), LR).found
    assert (found.filled, found.rewritten, found.hidden) == (48 * 48 * 9, 0, 48 * 48 * 9)


def test_features_are_freed_as_they_were():
    def deep(_, y):
        for _ in range(50):
            y = torch.relu(y)
        return y

    alive = []
    replay = Replay(tape_of(Network(deep)), CPU)
    replay._take = lambda step, operator, held: (alive.append(len(held)), Replay._take(replay, step, operator, held))
    replay(LR)
    assert max(alive) <= 4


def adds_a_wrapper(_, y):
    return torch.add(y, TwoTensor(torch.ones(1), torch.ones(1))).a


def test_a_pass_that_no_tape_describes_has_a_reason():
    network = Network(adds_a_wrapper)
    with torch.inference_mode():
        _, recorded = record(network, LR, lambda: network(LR), devices.read_settings())
    assert recorded.fault == "a tensor of type TwoTensor, torch.strided"
    assert recorded.tape.size == 0


def changed(**fields):
    def change(steps):
        return [msgspec.structs.replace(step, **fields) if isinstance(step, tape.Call) else step for step in steps]

    return change


def beyond(steps):
    extent = tape.Extent("torch.float32", (10**6,), (1,), 0)
    return [msgspec.structs.replace(step, extent=extent) if isinstance(step, tape.Given) else step for step in steps]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(operator="aten.nothing.default"), "no operator 'aten.nothing.default'"),
        (changed(operator="aten.from_file.default"), "no operator 'aten.from_file.default'"),
        (changed(operator="test_replay.twice.default"), "no operator"),
        (changed(operator="__import__.os.system"), "no operator"),
        (beyond, "a tensor beyond its storage"),
        (lambda _: [tape.Given(0, "other", 9, tape.Extent("torch.float32", (), (), 0))], "list index out of range"),
        (lambda _: [tape.Given(0, "other", 0, tape.Extent("torch.float", (), (), 0))], "float"),
    ],
)
def test_what_is_no_tape_is_refused_in_one_line(change, message):
    known = msgspec.msgpack.decode(tape_of(Network(lambda _, y: y)), type=tape.Tape)
    raw = msgspec.msgpack.encode(msgspec.structs.replace(known, steps=tuple(change(known.steps))))
    with pytest.raises(NetworkError, match=message) as caught:
        Replay(raw, CPU)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_bytes_at_random_are_refused(raw):
    with pytest.raises(NetworkError):
        Replay(raw, CPU)


ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text()
    | st.complex_numbers(allow_nan=False) | st.sampled_from([torch.int8, torch.sparse_coo, torch.channels_last, CPU]),
    lambda part: st.lists(part, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(ARGUMENTS)
def test_arguments_stand_on_a_tape_as_they_were(value):
    kept = tape.encoded(value, lambda _: 0)
    raw = msgspec.msgpack.encode(kept)
    replay = Replay(tape_of(Network(lambda _, y: y)), CPU)
    assert replay._value(msgspec.msgpack.decode(raw, type=tape.Value), {}) == value


def test_names_of_operators_from_a_tape_hold_no_control_characters():
    known = msgspec.msgpack.decode(tape_of(Network(by_compiled_operators)), type=tape.Tape)
    steps = [
        msgspec.structs.replace(step, operator="\x1b[31mred\n") if isinstance(step, tape.Unshared) else step
        for step in known.steps
    ]
    replay = Replay(msgspec.msgpack.encode(msgspec.structs.replace(known, steps=tuple(steps))), CPU)
    with torch.inference_mode():
        (name,) = set(inspect(replay, LR)[1].unknown) - {"aten.dequantize"}
    assert name.isprintable()


OPERATORS = [
    torch.relu,
    lambda x: x.mul_(0.5),
    lambda x: x[:, ::2].add_(1),
    lambda x: x.data[..., 1:].neg_(),
    lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    lambda x: x.unfold(3, 3, 1).mean(-1),
    lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
    lambda x: x.masked_fill_(x > 0.3, 0.1),
    lambda x: x.index_add(1, torch.tensor([0, 0]), x[:, -2:]),
    lambda x: torch.stack(torch.sort(x, dim=1)[:1]).squeeze(0),
    lambda x: torch.rand_like(x).sub_(x),
    lambda x: torch.add(x, 1, alpha=2, out=torch.empty_like(x)),
    lambda x: x.expand(2, -1, -1, -1)[1:].clone(memory_format=torch.channels_last),
]


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(OPERATORS)), max_size=12))
def test_operators_in_any_order_are_replayed(chosen):
    def compute(_, y):
        pool = [y]
        for place, operator in chosen:
            pool.append(operator(pool[place % len(pool)]))
        return y + sum(one.sum() for one in pool)

    network = Network(compute)
    replay = Replay(tape_of(network), CPU)
    with torch.inference_mode():
        for lr in (LR, OTHER):
            torch.manual_seed(1)
            expected = network(lr)
            torch.manual_seed(1)
            assert torch.equal(replay(lr), expected)
