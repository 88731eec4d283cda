"""The committed JSON Schema is the types', and a record fits it."""

import json

import jsonschema
import msgspec
import pytest
from helpers import rankings
from helpers.fitting import validate
from helpers.record_schema import FILE, record_schema, text

from esr.records.files import load_record, write_record
from esr.records.reasons import REASONS


def properties(part):
    schema = record_schema()
    return (schema if part is None else schema["$defs"][part])["properties"]


def test_the_committed_schema_is_generated_from_the_types():
    assert FILE.read_text(encoding="utf-8") == text(), "make schema"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(record_schema())


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_fits_the_schema(tmp_path, data, version):
    written = write_record(load_record(data / f"version{version}.json").document, tmp_path)
    validate(json.loads(written.path.read_text()))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("timing", "rounds"), 0),
        (("verdict", "status"), "splendid"),
        (("networks", "candidate", "worker", "device", "kind"), "tpu"),
        (("networks", "candidate", "timing", "samples", "surprise"), []),
        (("networks", "candidate", "timing", "warmup"), [{"process": 0}]),
        (("data", "images"), []),
        (("ended",), None),
    ],
)
def test_a_document_that_is_no_record_does_not_fit_the_schema(place, value):
    *parents, last = place
    node = made = rankings.document()
    for name in parents:
        node = node[name]
    validate(made)
    node[last] = value
    with pytest.raises(jsonschema.ValidationError):
        validate(made)


def test_the_schema_knows_every_reason_and_no_other():
    assert properties("Reason")["reason"]["enum"] == list(REASONS)
    assert properties("Block")["reasons"]["items"]["enum"] == list(REASONS)


def test_raw_parts_refer_to_their_items():
    assert properties("Data")["images"]["items"] == {"$ref": "#/$defs/Image"}
    assert properties("Telemetry")["windows"]["items"] == {"$ref": "#/$defs/Window"}
    assert properties("NetworkTiming")["samples"]["$ref"] == "#/$defs/Samples"


def test_descriptions_are_the_fields_docstrings():
    assert properties("Samples")["ms"]["description"] == "CUDA events on a GPU, wall clock on the CPU."
    assert properties("Window")["cpu_mhz"]["description"] == "All cores together."  # inherited


def test_every_written_field_is_required():
    assert set(record_schema()["$defs"]["Complexity"]["required"]) == set(properties("Complexity"))
    made = msgspec.json.encode({"nothing": "missing"})
    with pytest.raises(jsonschema.ValidationError):
        validate(json.loads(made))
