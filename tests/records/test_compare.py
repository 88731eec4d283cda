"""Two records of one network: the same, faster, slower or inconclusive; by the ratio, never by milliseconds."""

import copy
import json
import math
import os
import uuid
from pathlib import Path

import msgspec
import pytest
from helpers import rankings
from hypothesis import given
from hypothesis import strategies as st

from esr.cli import command
from esr.errors import EsrError, RecordError
from esr.records.compare import compare, judge, pairs
from esr.records.files import Record, decode, load_record, write_record
from esr.records.network import Estimate
from esr.records.reasons import REASONS

DATA = Path(__file__).with_name("data")


@pytest.fixture(scope="module")
def measured():
    """The document of one real, small record, as plain JSON types."""
    return json.loads(msgspec.json.encode(load_record(DATA / "version2.json").document))


def reason(name, severity="taint"):
    return {"reason": name, "severity": severity, "role": None, "detail": "x"}


@pytest.fixture
def record(measured):
    """Makes a record with a given ratio, reasons of its verdict, and whatever else is set by its dotted path."""

    def make(ratio=None, taints=(), **changes):
        document = copy.deepcopy(measured)
        document["id"] = str(uuid.uuid4())
        # What the machine was like while the tests ran is none of theirs.
        document["verdict"] = {"status": "tainted" if taints else "clean", "reasons": [*map(reason, taints)]}
        if ratio is not None:
            if ratio[1] is not None:
                rankings.retime(document, [ratio[1]] * 10 + [ratio[2]] * 10)
            document["timing"]["ratio"] = dict(zip(("value", "low", "high"), ratio, strict=True))
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = document
            for name in parents:
                place = place[name]
            place[last] = value
        return Record(decode(json.dumps(document).encode()))

    return make


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [
        ((0.5, 0.499, 0.501), (0.501, 0.5, 0.502), "same"),
        ((0.5, 0.499, 0.501), (0.45, 0.449, 0.451), "faster"),
        ((0.5, 0.499, 0.501), (0.55, 0.549, 0.551), "slower"),
        ((0.5, 0.45, 0.55), (0.52, 0.47, 0.57), "inconclusive"),
        ((0.5, None, None), (0.5, 0.499, 0.501), "inconclusive"),
    ],
)
def test_the_outcome_follows_from_the_ratios_intervals(record, a, b, outcome):
    assert compare(record(a), record(b)).outcome == outcome


def test_a_small_change_that_is_certain_is_still_the_same(record):
    assert compare(record((0.5, 0.4999, 0.5001)), record((0.505, 0.5049, 0.5051))).outcome == "same"
    strict = compare(record((0.5, 0.4999, 0.5001)), record((0.505, 0.5049, 0.5051)), margin=0.0)
    assert strict.outcome == "slower"


def test_milliseconds_alone_decide_nothing(record):
    ratio = (0.5, 0.499, 0.501)
    slow = record(ratio, networks__candidate__timing__runtime_ms={"value": 1e6, "low": 1e6, "high": 1e6})
    assert compare(record(ratio), slow).outcome == "same"


def test_the_changes_interval_adds_both_uncertainties(record):
    change = compare(record((0.5, 0.48, 0.52)), record((0.5, 0.48, 0.52))).change
    assert change.value == 1
    assert math.log(change.high) == pytest.approx(math.hypot(math.log(0.52 / 0.5), math.log(0.5 / 0.48)))


@given(value=st.floats(0.2, 5), margin=st.floats(0, 0.5), half=st.floats(0, 0.5))
def test_faster_one_way_is_slower_the_other_way(value, margin, half):
    there = Estimate(value, value / (1 + half), value * (1 + half))
    back = Estimate(1 / value, 1 / there.high, 1 / there.low)
    mirror = {"faster": "slower", "slower": "faster"}
    outcome = judge(there, margin)[0]
    edges = (there.low, there.high)
    if all(abs(math.log(edge)) > 1e-9 and abs(abs(math.log(edge)) - math.log1p(margin)) > 1e-9 for edge in edges):
        assert judge(back, margin)[0] == mirror.get(outcome, outcome)


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("networks__candidate__weights__sha256", "0" * 64, "candidate's weights"),
        ("networks__baseline__weights__sha256", "0" * 64, "baseline's weights"),
        ("config__model__tile", {"size": 64, "overlap": 8}, "candidate's tile"),
        ("networks__candidate__precisions", {"float16": ["convolution"]}, "candidate's precision"),
        ("networks__candidate__complexity__params", 7, "candidate's counts"),
        ("timing__protocol", "single", "timing.protocol"),
        ("data__images", [{"name": "0", "lr_shape": [16, 16], "lr_sha256": "0" * 64}], "images"),
    ],
)
def test_what_voids_a_comparison_is_refused_unless_forced(record, path, value, word):
    one, other = record(), record(**{path: value})
    with pytest.raises(RecordError, match=rf"{word}.*--force"):
        compare(one, other)
    forced = compare(one, other, force=True)
    assert [entry.key for entry in forced.voiding] == [word]


BEARABLE = {"precision_not_reached", "precision_changed", "switches_changed"}


@pytest.mark.parametrize("name", sorted(REASONS))
@pytest.mark.parametrize("side", ["A", "B"])
def test_a_taint_that_speaks_against_an_interval_leaves_small_changes_undecided(record, name, side):
    clean, spoilt = record((0.5, 0.48, 0.52)), record((0.55, 0.53, 0.57), taints=[name])
    one, other = (spoilt, clean) if side == "A" else (clean, spoilt)
    alone = "faster" if side == "A" else "slower"
    found = compare(one, other)
    if name in BEARABLE:
        assert found.outcome == alone
    else:
        assert found.outcome == "inconclusive"
        assert f"{side} is tainted ({REASONS[name]})" in found.why
        assert f"as measured: {alone}" in found.why
        assert "--tainted" in found.why
    assert compare(one, other, tainted=True).outcome == alone


def test_a_change_that_no_taint_explains_is_told_all_the_same(record):
    found = compare(record((0.5, 0.48, 0.52)), record((1.0, 0.95, 1.05), taints=["warmup_cap"]))
    assert found.outcome == "slower"
    assert "even with an interval 3 times as wide, as B is tainted (warm-up limit reached before" in found.why


def test_a_tainted_record_is_called_the_same_only_by_three_times_its_interval(record):
    for half_width, outcome in ((0.001, "same"), (0.004, "inconclusive")):
        ratio = (0.5, 0.5 - half_width, 0.5 + half_width)
        assert compare(record(ratio), record(ratio)).outcome == "same"
        assert compare(record(ratio), record(ratio, taints=["warmup_cap"])).outcome == outcome


def test_a_warning_does_not_keep_from_judging(record):
    ratio = (0.5, 0.499, 0.501)
    warned = record(ratio, verdict__reasons=[reason("power_cap", "warning")])
    assert compare(record(ratio), warned).outcome == "same"


def test_a_failed_measurement_leaves_it_undecided(record):
    failure = {"stage": "time", "kind": "crashed", "message": "boom"}
    found = compare(record(), record(networks__candidate__failure=failure, timing__ratio=None))
    assert found.outcome == "inconclusive"
    assert found.why == "tiny failed in B (crashed)"


def test_switches_that_a_network_turned_are_among_the_differences(record):
    turned = record(networks__candidate__switches_changed={"benchmark": True})
    (difference,) = compare(record(), turned).differences
    assert (difference.key, difference.b) == ("candidate changed benchmark", True)


def test_every_difference_of_machine_and_configuration_is_listed(record):
    other = record(
        environment__cpu__model="Another",
        config__device__threads=3,
        networks__candidate__worker__torch="9.9",
    )
    found = {entry.key: (entry.a, entry.b) for entry in compare(record(), other).differences}
    assert found.keys() == {"cpu.model", "config.device.threads", "worker.torch"}
    assert found["worker.torch"][1] == "9.9"


def test_records_are_matched_by_network_and_data(record):
    first, second = record(networks__candidate__name="one"), record(networks__candidate__name="two")
    both, alone = pairs([first, second], [record(networks__candidate__name="two")])
    assert both == [(second, both[0][1])]
    assert alone == ["one on folder"]
    with pytest.raises(RecordError, match="two records of one on folder"):
        pairs([first, first], [second])


def test_a_success_counts_beside_a_failure_of_the_same_measurement(record):
    failure = {"stage": "time", "kind": "crashed", "message": "boom"}
    good, failed = record(), record(networks__candidate__failure=failure)
    for both in ([good, failed], [failed, good]):
        assert pairs(both, both)[0] == [(good, good)]


@pytest.mark.parametrize(
    ("ratio", "code", "word"),
    [
        ((0.5, 0.499, 0.501), 0, "same"),
        ((0.4, 0.399, 0.401), 3, "faster"),
        ((0.5, 0.4, 0.6), 4, "inconclusive"),
    ],
)
def test_the_exit_code_tells_a_script(run_esr, record, tmp_path, ratio, code, word):
    write_record(record((0.5, 0.499, 0.501)).document, tmp_path / "a")
    write_record(record(ratio).document, tmp_path / "b")
    run = run_esr("compare", "a", "b/record.json")
    assert run.code == code, run.err
    assert word in run.out
    listed = json.loads(run_esr("compare", "a", "b", "--format", "json").out)
    assert listed[0]["outcome"] == word
    assert f"| tiny | folder | {word} |" in run_esr("compare", "a", "b", "--format", "markdown").out


def test_folders_are_compared_network_by_network(run_esr, record, tmp_path):
    for name in ("one", "two"):
        write_record(record((0.5, 0.499, 0.501), networks__candidate__name=name).document, tmp_path / "a" / name)
    changed = record((0.6, 0.599, 0.601), networks__candidate__name="two").document
    write_record(changed, tmp_path / "b" / "two")
    run = run_esr("compare", "a", "b")
    assert run.code == 3
    assert "one on folder: only on one side" in run.err


def test_a_tainted_record_ends_a_script_undecided_unless_told_otherwise(run_esr, record, tmp_path):
    write_record(record((0.5, 0.48, 0.52)).document, tmp_path / "a")
    write_record(record((0.55, 0.53, 0.57), taints=["host_load"]).document, tmp_path / "b")
    run = run_esr("compare", "a", "b")
    assert run.code == 4
    assert "B is tainted (CPU contention from other processes)" in run.out
    assert run_esr("compare", "a", "b", "--tainted").code == 3


def test_a_record_beside_itself_is_said_to_be_one(run_esr, record, tmp_path):
    write_record(record((0.5, 0.499, 0.501)).document, tmp_path / "a")
    run = run_esr("compare", "a", "a/record.json")
    assert run.code == 0
    assert "A and B are the same record" in run.out


def damaged(folder, text):
    folder.mkdir()
    (folder / "record.json").write_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not a record of esr"),
        ('{"format": "esr-record", "version": 0}', "update esr"),
        ('{"format": "esr-record", "version": 1}', "not what a record of version 1 holds"),
        ('{"format": "esr-record", "version": 99}', "update esr"),
        ('{"format": "esr-record", "version": 2}', "not what a record of version 2 holds"),
        ('{"format": "esr-record", "version": 3}', "required field"),
        ("[" * 100_000, "not JSON"),
        ("\x00", "not JSON"),
    ],
)
def test_a_damaged_record_is_named(run_esr, record, tmp_path, text, said):
    write_record(record().document, tmp_path / "a")
    damaged(tmp_path / "b", text)
    for words in (["a", "b"], ["b", "a"], ["a", "b/record.json"]):
        run = run_esr("compare", *words)
        assert run.code == 2
        assert "b/record.json" in run.err
        assert said in run.err
        assert run.err.count("\n") == 1


def test_a_record_that_is_no_text_is_named(run_esr, record, tmp_path):
    write_record(record().document, tmp_path / "a")
    damaged(tmp_path / "b", "")
    (tmp_path / "b" / "record.json").write_bytes(b"\xff\xfe")
    run = run_esr("compare", "a", "b")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert "not JSON" in run.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a"], "name another record"),
        (["a", "nowhere"], "nowhere"),
        (["a", "a", "--margin", "2"], "from 0 to below 1"),
        (["a", "empty"], "contains no record"),
    ],
)
def test_mistakes_end_in_one_line(run_esr, record, tmp_path, words, said):
    write_record(record().document, tmp_path / "a")
    (tmp_path / "empty").mkdir()
    run = run_esr("compare", *words)
    assert run.code == 2
    assert said in run.err
    assert run.err.count("\n") == 1


def test_comparing_needs_no_torch(record, tmp_path):
    import subprocess
    import sys

    file = write_record(record((0.5, 0.499, 0.501)).document, tmp_path / "a").path
    code = (
        "import sys; from esr.cli.command import run; "
        f"run(['compare', {str(file)!r}, {str(Path(file).parent)!r}]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_files_are_compared_whatever_their_networks_are_called(run_esr, record, tmp_path):
    for name, ratio in (("one", (0.5, 0.499, 0.501)), ("other", (0.4, 0.399, 0.401))):
        write_record(record(ratio, networks__candidate__name=name).document, tmp_path / name)
    run = run_esr("compare", "one/record.json", "other")
    assert (run.code, "faster" in run.out) == (3, True), run.err


HOSTILE = {
    "a pipe": (os.mkfifo, "no such file or folder"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "no such file or folder"),
    "NaN": (lambda file: file.write_text(edited('"value": NaN')), "not JSON"),
    "a negative ratio": (lambda file: file.write_text(edited('"value": -0.5')), ">= "),
    "other JSON": (lambda file: file.write_text("{}"), "not a record of esr"),
    "deep nesting": (lambda file: file.write_text(configured('{"a":' * 600 + "1" + "}" * 600)), "deeper than"),
    "a list for a configuration": (lambda file: file.write_text(configured("[]")), "config"),
    "a huge sparse file": (lambda file: os.truncate(file.touch() or file, 300 << 20), "larger than 256 MiB"),
}


def edited(value):
    text = json.dumps(rankings.document())
    start = text.index('"timing": {"protocol"')
    return text[:start] + text[start:].replace('"value": ', f'{value}, "was": ', 1)


def configured(config):
    return json.dumps(rankings.document()).replace('"config": {}', f'"config": {config}')


@pytest.mark.parametrize("kind", HOSTILE)
def test_compare_reads_as_carefully_as_rank(capsys, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rankings.write(rankings.document(), tmp_path / "a")
    make, said = HOSTILE[kind]
    make(tmp_path / "bad.json")
    for words in (["a", "bad.json"], ["bad.json", "a"]):
        with pytest.raises(EsrError, match=said) as error:
            command.run(["compare", *words])
        assert str(error.value).isprintable()
    capsys.readouterr()


def test_an_empty_configuration_is_compared_and_other_json_in_a_folder_is_no_concern(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        rankings.write(rankings.document(), tmp_path / folder / "one")
        (tmp_path / folder / "settings.json").write_text("{}")
        os.mkfifo(tmp_path / folder / "pipe.json")
    assert command.run(["compare", "a", "b"]) in (0, 4)
    capsys.readouterr()


def test_nothing_of_a_record_commands_the_terminal(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder, value in (("a", "one"), ("b", "\x1b[2J\x07\u202e" + "long" * 1000)):
        made = rankings.document()
        made["config"] = {"data": {"root": value}}
        rankings.write(made, tmp_path / folder)
    for words in ([], ["--format", "markdown"]):
        command.run(["compare", "a", "b", *words])
        printed = capsys.readouterr()
        assert not set(printed.out + printed.err) & {"\x1b", "\x07", "\u202e"}
        assert max(map(len, printed.out.splitlines())) < 600
