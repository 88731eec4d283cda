"""Messages between parent and worker: which bytes of a stranger's process the parent takes for an answer."""

import json
from typing import get_args

import numpy as np
import pytest

from esr.config.compose import compose
from esr.config.terms import Stage
from esr.evaluation.worker.messages import (
    AnyRequest,
    Done,
    ImageRequest,
    LoadRequest,
    MemoryAnswer,
    MemoryRequest,
    OpenRequest,
    PrepareRequest,
    QualityAnswer,
    QualityRequest,
    Refusal,
    SampleAnswer,
    TimeAnswer,
    TimeRequest,
    open_envelope,
    pack,
    unpack,
)
from esr.records.network import Memory, Weights
from esr.timing.samples import Duration
from esr.timing.schedule import Pass

TICKET = "0123"
ONE_PASS = TimeRequest(1)


def line(message: object, size: int = 0, **more) -> bytes:
    return json.dumps({"ticket": TICKET, "bytes": size, "message": message, **more}).encode() + b"\n"


def timed(ms: object, sample: object = None, passes: int = 1) -> dict:
    return {"answer": "time", "durations": [{"ms": ms, "wall_ms": 1.0}] * passes, "sample": sample}


def answered(said: bytes, request):
    """The parent's reading of bytes in a worker's pipe."""
    end = said.find(b"\n") + 1
    envelope = open_envelope(said[:end], TICKET)
    return request.read(envelope.message, said[end : end + envelope.bytes])


def test_an_answer_is_what_the_worker_said():
    values = np.arange(6, dtype=np.uint8)
    said = pack(TimeAnswer((Duration(1.5, 2.0),), values), TICKET)
    answer = answered(said, TimeRequest(1, sampled=0))
    assert answer.durations == (Duration(1.5, 2.0),)
    assert answer.sample.tolist() == values.tolist()
    assert answered(line({"answer": "done"}), PrepareRequest((Pass(0),))) == Done()
    memory = MemoryAnswer(Memory(memory_mib=3.0, reserved_mib=4.0, method="told"))
    assert answered(pack(memory, TICKET), MemoryRequest(0)) == memory


def test_arrays_travel_as_their_raw_bytes_after_the_line():
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    said = pack(QualityAnswer(image), TICKET)
    head, _, payload = said.partition(b"\n")
    assert json.loads(head)["bytes"] == len(payload) == image.nbytes
    assert payload == image.tobytes()
    assert (answered(said, QualityRequest(0, (2, 3))).image == image).all()


def test_a_refusal_names_kind_class_and_message():
    refusal = Refusal("exception", "ValueError", "no")
    assert answered(pack(refusal, TICKET), ONE_PASS) == refusal


def test_every_request_comes_out_of_its_envelope_as_it_went_in():
    settings = compose(["model=rlfn"])
    requests = [
        OpenRequest(settings),
        LoadRequest(settings.model, Weights("random"), 0),
        PrepareRequest((Pass(0), Pass(1, 17))),
        TimeRequest(2, sampled=1, seed=3),
        QualityRequest(4, (8, 9)),
    ]
    for request in requests:
        head, _, payload = pack(request, TICKET).partition(b"\n")
        assert unpack(open_envelope(head).message, payload, AnyRequest) == request
    head, _, payload = pack(ImageRequest(np.ones((2, 3, 3), np.uint8)), TICKET).partition(b"\n")
    assert unpack(open_envelope(head).message, payload, AnyRequest).image.shape == (2, 3, 3)


def test_every_stage_is_a_request_and_every_request_a_stage():
    assert {request.__struct_config__.tag for request in get_args(AnyRequest)} == set(get_args(Stage))


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
        line(timed("1")),
        line(timed(1.0, passes=2)),
        line(timed(1.0, passes=0)),
        line(timed(1.0, [2]), size=2) + b"ab",
        line(timed(1.0, [-1])),
        line(timed(1.0, [10**9] * 4)),
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
        (TimeRequest(1, sampled=0), TimeAnswer((Duration(1.0, 1.0),), None)),
        (QualityRequest(0, (2, 3)), QualityAnswer(np.zeros((8, 11, 3), np.uint8))),
        (MemoryRequest(0), MemoryAnswer(Memory(memory_mib=-1.0, method=""))),
        (MemoryRequest(0), SampleAnswer({}, {}, sample=np.zeros(3, np.uint8))),
    ],
)
def test_an_answer_that_does_not_fit_its_request_is_refused(request_, answer):
    with pytest.raises(ValueError, match=r"."):
        answered(pack(answer, TICKET), request_)


def test_an_array_that_is_cut_short_is_refused():
    said = pack(QualityAnswer(np.zeros((8, 12, 3), np.uint8)), TICKET)
    envelope = open_envelope(said[: said.find(b"\n")])
    with pytest.raises(ValueError, match="cut short"):
        QualityRequest(0, (2, 3)).read(envelope.message, b"short")
