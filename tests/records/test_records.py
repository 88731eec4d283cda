"""Records are written whole or not at all, and what is read is checked."""

import functools
import json
import operator
import shutil
from types import SimpleNamespace

import msgspec
import pytest
from helpers import rankings

from esr.errors import RecordError
from esr.records.files import Record, decode, load_record, require_room, write_record


@pytest.fixture
def plain():
    """A record as plain JSON types."""
    return rankings.document()


@pytest.fixture
def document(plain):
    return decode(json.dumps(plain).encode())


def changed(document, **fields):
    return msgspec.structs.replace(document, **fields)


def test_a_record_that_was_written_is_read_back(document, tmp_path):
    written = write_record(document, tmp_path / "new" / "folder")
    read = load_record(written.path).document
    assert read == written.document
    alike = changed(read, digest=None)
    assert msgspec.json.format(msgspec.json.encode(alike)) == msgspec.json.format(msgspec.json.encode(document))
    assert [file.name for file in written.path.parent.iterdir()] == ["record.json"]


ALTERED = {
    "parameters": ("networks", "candidate", "complexity", "params"),
    "multiply-accumulates": ("networks", "baseline", "complexity", "macs"),
    "memory": ("networks", "candidate", "memory", "memory_mib"),
    "duration": ("duration_s",),
    "digest": ("digest",),
}


@pytest.mark.parametrize("place", ALTERED.values(), ids=ALTERED)
def test_no_figure_of_a_written_record_can_be_changed(place, document, tmp_path, run_esr):
    file = write_record(document, tmp_path).path
    plain = json.loads(file.read_bytes())
    inner = functools.reduce(operator.getitem, place[:-1], plain)
    value = inner[place[-1]]
    inner[place[-1]] = value[::-1] if isinstance(value, str) else value // 2 if isinstance(value, int) else value / 2
    file.write_text(json.dumps(plain))
    with pytest.raises(RecordError, match="altered"):
        load_record(file)
    for command in ("rank", "show"):
        run = run_esr(command, str(file))
        assert run.code == 2
        assert "altered" in run.err
        assert len(run.err.splitlines()) <= 2


def test_a_figure_that_is_given_twice_is_no_way_round_the_digest(document, tmp_path):
    file = write_record(document, tmp_path).path
    file.write_bytes(file.read_bytes().removesuffix(b"\n}") + b',\n "duration_s": 2.5\n}')
    with pytest.raises(RecordError, match="altered"):
        load_record(file)


@pytest.mark.parametrize("config", [b'{"a": 1e400}', b'{"a": "\xff"}', b'{"a": %s}' % (b"9" * 5000), b'{"a": 1}'])
def test_a_part_that_is_left_raw_cannot_be_changed_either(config, document, tmp_path, run_esr):
    file = write_record(document, tmp_path).path
    above, _, below = file.read_bytes().partition(b'"config": {')
    file.write_bytes(above + b'"config": ' + config + below[below.index(b"}") + 1 :])
    with pytest.raises(RecordError):
        load_record(file)
    run = run_esr("rank", str(file))
    assert run.code == 2
    assert "Traceback" not in run.err
    assert "altered" in run.err


@pytest.mark.parametrize("form", [{}, {"indent": 4}, {"ensure_ascii": False, "separators": (",", ":")}])
def test_a_record_that_another_program_wrote_anew_is_read(form, document, tmp_path):
    document = changed(document, duration_s=1e-5)  # which is 1e-05 to Python
    file = write_record(document, tmp_path).path
    file.write_text(json.dumps(json.loads(file.read_bytes()), **form), encoding="utf-8")
    assert load_record(file).document.duration_s == 1e-5


def test_a_document_that_does_not_fit_is_not_written(document, tmp_path):
    verdict = changed(document.verdict, status="splendid")
    with pytest.raises(RecordError, match=r"splendid.*verdict"):
        write_record(changed(document, verdict=verdict), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_old_record_survives_a_failing_write(document, tmp_path, monkeypatch):
    write_record(document, tmp_path)
    before = (tmp_path / "record.json").read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(RecordError, match="No space left"):
        write_record(changed(document, id="another"), tmp_path)
    assert (tmp_path / "record.json").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(("free", "enough"), [((1 << 20) - 1, False), (1 << 20, True)])
def test_a_disk_without_room_for_a_record_is_refused_before_anything_is_measured(tmp_path, monkeypatch, free, enough):
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    folder = tmp_path / "not" / "yet"
    if enough:
        require_room(folder)
    else:
        with pytest.raises(RecordError, match=r"not/yet: 1023 KiB are free.*free some space, or .* out=DIR"):
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
        ('{"format": "esr-record", "version": 99}', "version 99.*update esr"),
        ('{"format": "esr-record", "version": 0}', "version 0.*update esr"),
        ('{"format": "esr-record", "version": 1}', "not what a record of version 1 holds"),
        ('{"format": "esr-record", "version": 2}', "not what a record of version 2 holds"),
        ('{"format": "esr-record", "version": 3}', "required"),
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0" * 4096, "not JSON .*truncated or altered"),
        (b"\0{}", "not JSON .*truncated or altered"),
        (b"", "not JSON .*truncated or altered"),
        ('{"format": "esr-record"}'.encode("utf-16"), "not JSON .*truncated or altered"),
        (b"\xef\xbb\xbf{}", "not a record of esr"),
        (b"[{}, {}]", "not a record of esr"),
        (b'"esr-record"', "not a record of esr"),
        (b"[1, 2", "not JSON .*name a record.json, or its folder"),
        (b"\x89PNG", "not JSON .*name a record.json, or its folder"),
    ],
)
def test_a_file_that_begins_otherwise_is_told_whether_it_was_a_record(tmp_path, content, words):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    with pytest.raises(RecordError, match=words):
        load_record(file)


def test_a_record_that_an_editor_saved_with_a_byte_order_mark_is_read(document, tmp_path):
    file = write_record(document, tmp_path).path
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load_record(file).document.id == document.id


def test_a_truncated_record_is_refused(document, tmp_path):
    file = write_record(document, tmp_path).path
    file.write_text(file.read_text()[:200])
    with pytest.raises(RecordError, match="not JSON"):
        load_record(file)


BLOCK = {"block": 0, "round": 0, "process": 0, "parent_wall_ms": 1.0, "reasons": [], "replaced": False}
PASS = {"round": 0, "block": 0, "image": 0, "altered": False, "ms": 2.5, "wall_ms": 2.6, "outlier": False}
PASS |= {"enqueue_ms": 1.1}
ONE_PASS = {column: [value] for column, value in PASS.items()}
NO_PASS: dict[str, list[float]] = {column: [] for column in PASS}


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("samples", {"ms": []}, "samples: .*required field"),
        ("samples", ONE_PASS, "not 10 values in each column"),
        ("samples", {**NO_PASS, "enqueue_ms": [1.0]}, "not 10 values in each column"),
        ("samples", 7, "samples: Expected `object`"),
        ("blocks", [{**BLOCK, "surprise": 1}], "blocks: .*surprise"),
        ("blocks", [{**BLOCK, "reasons": ["<b>"]}], "block 0: reason '<b>': no such reason"),
        ("warmup", [{"process": 0}], "warmup: .*required field"),
        ("median_ms", [1.0, 2.0], "not of the data set's 1 images"),
    ],
)
@pytest.mark.parametrize("role", ["candidate", "baseline"])
def test_a_part_left_raw_is_checked_where_a_whole_record_is_loaded(plain, tmp_path, role, part, value, words):
    plain["networks"][role]["timing"][part] = value
    file = rankings.write(plain, tmp_path)
    decode(file.read_bytes())
    with pytest.raises(RecordError, match=words) as caught:
        load_record(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("telemetry", "windows"), [{"block": 0}], "telemetry.windows: .*required field"),
        (("config",), [], "config: Expected `object`"),
        (
            ("networks", "candidate", "quality", "images"),
            [],
            "candidate's quality: not one entry for each image",
        ),
    ],
)
def test_other_raw_parts_are_checked_too(plain, tmp_path, place, value, words):
    *parents, last = place
    node = plain
    for name in parents:
        node = node[name]
    node[last] = value
    with pytest.raises(RecordError, match=words):
        load_record(rankings.write(plain, tmp_path))


def test_a_pass_over_an_image_that_does_not_exist_is_refused(plain, tmp_path):
    plain["networks"]["candidate"]["timing"] |= {"samples": {**ONE_PASS, "image": [1]}, "passes": 1}
    with pytest.raises(RecordError, match="not of the data set's 1 images"):
        load_record(rankings.write(plain, tmp_path))


def test_a_raw_part_that_is_not_text_is_refused(plain, tmp_path):
    file = rankings.write(plain, tmp_path)
    file.write_bytes(file.read_bytes().replace(b"a.png", b"\xff.png"))
    with pytest.raises(RecordError, match=r"data\.images"):
        load_record(file)


def test_roles_that_failed_are_named(plain):
    plain["networks"]["baseline"]["failure"] = {"stage": "time", "kind": "crashed", "message": "x"}
    record = Record(decode(json.dumps(plain).encode()))
    assert record.failed == ("baseline",)


def test_samples_are_decoded_when_asked_for(plain):
    timing = plain["networks"]["candidate"]["timing"]
    timing |= {"samples": ONE_PASS, "passes": 1}
    timing |= {
        "blocks": [BLOCK],
        "warmup": [{"process": 0, "lr_shape": [8, 8], "ms": [3.0], "settled": True}],
    }
    read = decode(json.dumps(plain).encode()).networks.candidate.timing
    assert read.load_samples().ms == (2.5,)
    assert read.load_blocks()[0].parent_wall_ms == 1.0
    assert read.load_warmup()[0].lr_shape == (8, 8)
