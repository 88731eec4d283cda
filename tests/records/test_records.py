"""Records are written whole or not at all, and what is read is checked."""

import json
import shutil
from types import SimpleNamespace

import pytest

from esr.errors import RecordError
from esr.records.files import REASONS, load_record, require_room, schema, write_record


@pytest.fixture
def document():
    """The smallest document that fits the schema, built from the schema itself."""

    def build(node):
        node = resolve(node)
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return node["enum"][0]
        if "anyOf" in node:
            return build(node["anyOf"][-1])
        kind = node.get("type", "object")
        kind = kind[-1] if isinstance(kind, list) else kind
        if kind == "object":
            return {key: build(node.get("properties", {}).get(key, {})) for key in node.get("required", [])}
        if kind == "array":
            return [build(node["items"])] * node.get("minItems", 0)
        return {"string": "x", "number": 1.0, "integer": 1, "boolean": True, "null": None}[kind]

    def resolve(node):
        return schema()["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node

    return build(schema())


def test_a_record_that_was_written_is_read_back(document, tmp_path):
    written = write_record(document, tmp_path / "new" / "folder")
    assert load_record(written.path).document == document
    assert [file.name for file in written.path.parent.iterdir()] == ["record.json"]


def test_a_document_that_does_not_fit_is_not_written(document, tmp_path):
    document["verdict"]["status"] = "splendid"
    with pytest.raises(RecordError, match=r"verdict.*splendid"):
        write_record(document, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_old_record_survives_a_failing_write(document, tmp_path, monkeypatch):
    write_record(document, tmp_path)
    before = (tmp_path / "record.json").read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(RecordError, match="No space left"):
        write_record({**document, "id": "another"}, tmp_path)
    assert (tmp_path / "record.json").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(("free", "enough"), [((1 << 20) - 1, False), (1 << 20, True)])
def test_a_disk_without_room_for_a_record_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch, free, enough
):
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    folder = tmp_path / "not" / "yet"
    if enough:
        require_room(folder)
    else:
        with pytest.raises(RecordError, match=r"not/yet: 1023 KiB are free.*make room, or .* out=DIR"):
            require_room(folder)
    assert asked == [tmp_path]
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ('{"format": "esr-record"', "not JSON"),
        ("[]", "not a record"),
        ('{"format": "another"}', "not a record"),
        ('{"format": "esr-record", "version": 99}', "version 99"),
        ('{"format": "esr-record", "version": 1}', "version 1.*measure again"),
        ('{"format": "esr-record", "version": 2}', "required"),
    ],
)
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, text, words):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(RecordError, match=words) as caught:
        load_record(file)
    assert "bad.json" in str(caught.value)


def test_a_missing_record_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"nowhere\.json"):
        load_record(tmp_path / "nowhere.json")


def test_a_cut_record_is_refused(document, tmp_path):
    file = write_record(document, tmp_path).path
    file.write_text(json.dumps(document)[:200])
    with pytest.raises(RecordError, match="not JSON"):
        load_record(file)


def test_the_schema_knows_every_reason_for_a_taint_and_no_other():
    reason = schema()["properties"]["verdict"]["properties"]["reasons"]["items"]["properties"]["reason"]
    assert set(reason["enum"]) == set(REASONS)
