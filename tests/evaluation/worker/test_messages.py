"""What the parent takes for an answer: a stranger's process may say anything."""

import json

import numpy as np
import pytest

from esr.evaluation.worker.protocol import Refusal, answered, pack, unpack

TICKET = "0123"


def line(**answer) -> bytes:
    return json.dumps({"ticket": TICKET, **answer}).encode() + b"\n"


def timed(ms: object, sample: object = None) -> dict:
    return {"durations": [{"device_ms": ms, "wall_ms": 1.0}], "sample": sample}


def test_an_answer_is_what_the_worker_said():
    packed = pack(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    result = answered(line(result=timed(1.5, packed)), "time", TICKET)
    assert result["durations"][0]["device_ms"] == 1.5
    assert unpack(result["sample"]).tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert answered(line(result={}), "prepare", TICKET) == {}
    memory = {"mib": 3, "reserved_mib": 4, "method": "told"}
    assert answered(line(result=memory), "memory", TICKET) == memory


def test_a_refusal_names_kind_class_and_message():
    error = {"kind": "exception", "class": "ValueError", "message": "no"}
    assert answered(line(error=error), "time", TICKET) == Refusal("exception", "ValueError", "no")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\n",
        b"hello\n",
        b"[" * 100_000 + b"\n",
        b"7\n",
        b"null\n",
        b'{"result": {}}\n',
        b'{"ticket": "another", "result": {}}\n',
        b'{"ticket": "0123"}\n',
        b'{"ticket": "0123", "result": {"durations": [{"device_ms": NaN, "wall_ms": 1}], "sample": null}}\n',
        line(result=timed(1.5)) * 2,
        line(result=7),
        line(result={}),
        line(result=timed(0)),
        line(result=timed(-1.0)),
        line(result=timed("1")),
        line(result=timed(1.0, {"shape": [-1], "base64": ""})),
        line(error=7),
        line(error={"kind": "surprise", "class": "X", "message": ""}),
    ],
)
def test_anything_else_is_not_taken_for_one(said):
    with pytest.raises(ValueError, match=r"."):
        answered(said, "time", TICKET)
