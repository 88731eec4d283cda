"""Messages between parent and worker: which bytes of a stranger's process the parent takes for an answer."""

import json
from typing import get_args

import numpy as np
import pytest

from esr.config.compose import compose
from esr.config.terms import Stage
from esr.evaluation.worker.envelope import open_envelope, pack, unpack
from esr.evaluation.worker.messages import (
    AnyRequest,
    ComplexityAnswer,
    ComplexityRequest,
    Done,
    LoadRequest,
    MemoryAnswer,
    OpenRequest,
    PassAnswer,
    PassRequest,
    PeakRequest,
    QualityAnswer,
    QualityRequest,
    RecordRequest,
    Refusal,
    RenewRequest,
    SampleAnswer,
    SampleRequest,
)
from esr.records.network import Complexity, Memory, Weights
from esr.timing.samples import Duration

TICKET = "0123"
ONE_PASS = PassRequest(np.zeros((2, 3, 3), np.uint8), 0)
COUNTED = Complexity((1, 3, 8, 8), 1, 1, 1, 1, 1, without_formula={"\x1b[2J": 1})


def line(message: object, size: int = 0, **more) -> bytes:
    return json.dumps({"ticket": TICKET, "bytes": size, "message": message, **more}).encode() + b"\n"


def timed(ms: object, **more) -> dict:
    return {"answer": "pass", "duration": {"ms": ms, "wall_ms": 1.0}, **more}


def sampled(*shape: object) -> dict:
    return {"answer": "sample", "raw": list(shape)}


def answered(said: bytes, request):
    """The parent's reading of bytes in a worker's pipe."""
    end = said.find(b"\n") + 1
    envelope = open_envelope(said[:end], TICKET)
    return request.read(envelope.message, said[end : end + envelope.bytes])


def test_an_answer_is_what_the_worker_said():
    passed = PassAnswer(Duration(1.5, 2.0), "it waits")
    assert answered(pack(passed, TICKET), ONE_PASS) == passed
    values = np.array([0.0, -1.5, 3e30, np.nan], "<f4")
    said = pack(SampleAnswer(values.view(np.uint8).reshape(-1, 4)), TICKET)
    np.testing.assert_array_equal(answered(said, SampleRequest(4, 0)).values, values)
    assert answered(line({"answer": "done"}), RenewRequest()) == Done()
    memory = MemoryAnswer(Memory(memory_mib=3.0, reserved_mib=4.0, method="told"))
    assert answered(pack(memory, TICKET), PeakRequest()) == memory


def test_arrays_travel_as_their_raw_bytes_after_the_line():
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    said = pack(QualityAnswer(image), TICKET)
    head, _, payload = said.partition(b"\n")
    assert json.loads(head)["bytes"] == len(payload) == image.nbytes
    assert payload == image.tobytes()
    assert (answered(said, QualityRequest((2, 3))).image == image).all()


def test_a_refusal_names_kind_class_and_message():
    refusal = Refusal("exception", "ValueError", "no")
    assert answered(pack(refusal, TICKET), ONE_PASS) == refusal


def test_every_request_comes_out_of_its_envelope_as_it_went_in():
    settings = compose(["model=rlfn"])
    requests = [
        OpenRequest(settings.device, settings.cudnn, cuda_graph=True),
        SampleRequest(48, seed=3),
        QualityRequest((8, 9)),
    ]
    for request in requests:
        head, _, payload = pack(request, TICKET).partition(b"\n")
        assert unpack(open_envelope(head).message, payload, AnyRequest) == request
    weights = LoadRequest(settings.model, Weights("random"), 0, np.arange(5, dtype=np.uint8))
    head, _, payload = pack(weights, TICKET).partition(b"\n")
    assert unpack(open_envelope(head).message, payload, AnyRequest).content.tobytes() == bytes(range(5))
    head, _, payload = pack(ONE_PASS, TICKET).partition(b"\n")
    assert unpack(open_envelope(head).message, payload, AnyRequest).image.shape == (2, 3, 3)


def test_every_request_is_a_stage_beside_those_of_older_records():
    older = {"image", "memory", "prepare", "time", "audit"}
    assert {request.__struct_config__.tag for request in get_args(AnyRequest)} == set(get_args(Stage)) - older


def test_no_seed_and_no_path_of_data_is_told_to_a_worker():
    settings = compose(["model=rlfn", "timing.seed=12345", "data=folder", "data.root=/secret"])
    said = pack(OpenRequest(settings.device, settings.cudnn), TICKET)
    assert b"12345" not in said
    assert b"secret" not in said


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\n",
        b"hello\n",
        b"[" * 100_000 + b"\n",
        b"7\n",
        b"null\n",
        b'{"message": {}}\n',
        b'{"ticket": "another", "bytes": 0, "message": {"answer": "done"}}\n',
        b'{"ticket": "0123"}\n',
        line(timed(1.0)).replace(b"1.0", b"NaN"),
        line(timed(1.5), size=-1),
        line(timed(1.5), size=1 << 40),
        line(timed(1.5), more=1),
        line(timed(1.5), size=3) + b"abc",
        line(7),
        line({}),
        line({"answer": "done"}),
        line({"answer": "memory", "memory": {"memory_mib": 1.0, "method": ""}}),
        line(timed(0)),
        line(timed(-1.0)),
        line(timed(1e300)),
        line(timed(1e-9)),
        line(timed(1.0), replaced=["x" * 10_000]),
        line(timed(1.0), replaced=["x"] * 1000),
        line(timed("1")),
        line(timed(1.0, sample=[1])),
        line({"answer": "pass", "duration": []}),
        line(sampled(2), size=2) + b"ab",
        line({"answer": "refusal"}),
        line({"answer": "refusal", "kind": "surprise", "error": "X", "message": ""}),
        line({"answer": "refusal", "kind": "user", "error": "X", "message": "x" * 10_000}),
    ],
)
def test_anything_else_is_not_taken_for_one(said):
    with pytest.raises(ValueError, match=r"."):
        answered(said, ONE_PASS)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (SampleRequest(48, 0), PassAnswer(Duration(1.0, 1.0))),
        (SampleRequest(48, 0), SampleAnswer(np.zeros((47, 4), np.uint8))),
        (SampleRequest(48, 0), SampleAnswer(np.zeros(192, np.uint8))),
        (SampleRequest(10**6, 0), SampleAnswer(np.zeros((10**6, 4), np.uint8))),
        (QualityRequest((2, 3)), QualityAnswer(np.zeros((8, 11, 3), np.uint8))),
        (PeakRequest(), MemoryAnswer(Memory(memory_mib=-1.0, method=""))),
        (PeakRequest(), SampleAnswer(np.zeros((3, 4), np.uint8))),
        (ComplexityRequest(8, 8), ComplexityAnswer(COUNTED, None)),
    ],
)
def test_an_answer_that_does_not_fit_its_request_is_refused(request_, answer):
    with pytest.raises(ValueError, match=r"."):
        answered(pack(answer, TICKET), request_)


RECORDED = {"answer": "record", "tape": [0], "fault": None, "switches": {}, "changes_input": False}


@pytest.mark.parametrize("value", [10**30, -(10**30), [10**30], 1.5, {}])
def test_a_setting_that_no_record_can_hold_is_refused(value):
    request = RecordRequest(np.zeros((2, 3, 3), np.uint8), 0)
    assert answered(line(RECORDED), request).switches == {}
    with pytest.raises(ValueError, match=r"."):
        answered(line({**RECORDED, "switches": {"threads": value}}), request)


def test_no_answer_is_longer_than_its_request_allows():
    answers = {
        SampleRequest(48, 0): SampleAnswer(np.zeros((48, 4), np.uint8)),
        QualityRequest((2, 3)): QualityAnswer(np.zeros((8, 12, 3), np.uint8)),
        RenewRequest(): Done(),
    }
    for request, answer in answers.items():
        assert open_envelope(pack(answer, TICKET).partition(b"\n")[0]).bytes == request.most_bytes


@pytest.mark.parametrize("shape", [[-1], [10**9] * 4, [10**9, 4], ["4"], [4] * 5])
def test_a_shape_that_no_array_has_is_refused(shape):
    with pytest.raises(ValueError, match=r"."):
        answered(line(sampled(*shape)), SampleRequest(48, 0))


def test_an_array_that_is_cut_short_is_refused():
    said = pack(QualityAnswer(np.zeros((8, 12, 3), np.uint8)), TICKET)
    envelope = open_envelope(said[: said.find(b"\n")])
    with pytest.raises(ValueError, match="cut short"):
        QualityRequest((2, 3)).read(envelope.message, b"short")
