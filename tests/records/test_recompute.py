"""A record whose figures do not follow from its samples is refused in one line, by every command that reads it."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers import rankings
from hypothesis import given, settings
from hypothesis import strategies as st

from esr.errors import RecordError
from esr.ranking.collection import collect
from esr.records import intervals
from esr.records.files import load_record
from esr.records.recompute import possible_places
from esr.timing import statistics

DATA = Path(__file__).with_name("data")
CANDIDATE = ("networks", "candidate")
TAINT = {"reason": "outputs_differ", "severity": "taint", "role": "candidate", "detail": "x"}
FAILURE = {"stage": "time", "kind": "crashed", "message": "x"}


def changed(made, *path_and_value):
    """A document with one value replaced, or changed by a function."""
    *path, last, value = path_and_value
    node = made
    for key in path:
        node = node[key]
    node[last] = value(node[last]) if callable(value) else value
    return made


def times(factor):
    return lambda old: [factor * one for one in old] if isinstance(old, list) else factor * old


ALTERED = {
    "a ratio": ("timing", "ratio", "value", 0.001),
    "the ratio of each round": ("timing", "ratio_per_round", times(0.5)),
    "an interval that is turned round": ("timing", "ratio", "low", 0.9),
    "an interval that is too narrow": ("timing", "ratio", lambda old: dict.fromkeys(old, old["value"])),
    "an interval that is far away": ("timing", "ratio", lambda old: {**old, "low": 0.1, "high": 0.2}),
    "half an interval": ("timing", "ratio", "low", None),
    "a ratio of total times": ("timing", "ratio_plain", {"value": 0.001, "low": None, "high": None}),
    "no ratio": ("timing", "ratio", None),
    "milliseconds": (*CANDIDATE, "timing", "runtime_ms", "value", 1.0),
    "the interval of milliseconds": (*CANDIDATE, "timing", "runtime_ms", lambda old: {**old, "low": 1.0, "high": 2.0}),
    "the mean of milliseconds": (*CANDIDATE, "timing", "runtime_ms_plain", times(0.5)),
    "the medians": (*CANDIDATE, "timing", "median_ms", times(0.5)),
    "the number of rounds": (*CANDIDATE, "timing", "complete_rounds", 9),
    "passes of another round": (*CANDIDATE, "timing", "samples", "round", lambda old: [9, 9, *old[2:]]),
    "a round of another evaluation": (*CANDIDATE, "timing", "samples", "round", lambda old: [10**15, *old[1:]]),
    "the baseline's samples": ("networks", "baseline", "timing", "samples", "ms", times(2.0)),
    "samples without an end": (*CANDIDATE, "timing", "samples", "ms", lambda old: old[1:]),
    "a PSNR": (*CANDIDATE, "quality", "mean", "psnr_rgb", 35.4),
    "an infinite PSNR": (*CANDIDATE, "quality", "mean", "psnr_rgb", None),
    "an SSIM": (*CANDIDATE, "quality", "mean", "ssim_y", 0.5),
    "clean with a taint": ("verdict", "reasons", [TAINT]),
    "clean with a failure": ("networks", "candidate", "failure", FAILURE),
    "tainted without a taint": ("verdict", "status", "tainted"),
    "failed without a failure": ("verdict", "status", "failed"),
    "no dependence": ("timing", "dependence", None),
    "independent rounds": ("timing", "dependence", "independent_rounds", times(2.0)),
    "a process of each round": ("timing", "process_of_round", [0] * 5 + [1] * 5),
    "a ratio by the parent's clock": ("timing", "ratio_parent", 0.5),
    "a slightly narrower interval": ("timing", "ratio", lambda old: {**old, "low": old["low"] * 1.0001}),
    "a wider interval of total times": ("timing", "ratio_plain", lambda old: {**old, "high": old["high"] * 1.0001}),
    "a precision": (
        "timing", "precision", {"target": 0.005, "width": 0.001, "reached": True, "stopped_by": "precision"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALTERED)
def test_an_altered_figure_is_refused_by_every_reader(tmp_path, kind):
    rankings.write(rankings.document("good"), tmp_path / "good")
    bad = rankings.write(changed(rankings.document("bad"), *ALTERED[kind]), tmp_path / "bad")
    with pytest.raises(RecordError) as error:
        load_record(bad)
    assert str(error.value).isprintable()
    found = collect([tmp_path])
    assert [one.entry.key for one in found.kept] == ["good"]
    assert [(one.path, one.reason) for one in found.left_out] == [(bad, str(error.value).removeprefix(f"{bad}: "))]


def test_the_commands_say_so_in_one_line(tmp_path, run_esr):
    rankings.write(rankings.document("good"), tmp_path / "good")
    rankings.write(changed(rankings.document("bad"), *ALTERED["a ratio"]), tmp_path / "bad")
    ranked, compared = run_esr("rank", "."), run_esr("compare", "good", "bad")
    line = "bad/record.json: timing.ratio: 0.001, but the samples give 0.50"
    assert ranked.code == 0
    assert ranked.err.startswith(f"esr: left out {line}")
    assert "bad" not in ranked.out
    assert compared.code == 2
    assert compared.err.startswith(f"esr: {line}")
    assert len(ranked.err.splitlines()) == len(compared.err.splitlines()) == 1


BOOTSTRAPPED = ("an interval that is too narrow", "an interval that is far away", "half an interval", "a ratio")


@pytest.mark.parametrize("kind", BOOTSTRAPPED)
def test_an_older_record_must_hold_an_interval_that_resampling_can_give(tmp_path, kind):
    made = rankings.bootstrapped(rankings.document())
    load_record(rankings.write(made, tmp_path))
    with pytest.raises(RecordError, match=r"timing\.ratio"):
        load_record(rankings.write(changed(made, *ALTERED[kind]), tmp_path))


def by_parent(made, factor):
    """The record with the parent's clock, by which the candidate took so many times as long."""
    for role, times_as_long in (("candidate", factor), ("baseline", 1.0)):
        samples = made["networks"][role]["timing"]["samples"]
        samples["parent_ms"] = [times_as_long * ms for ms in samples["ms"]]
    made["timing"]["ratio_parent"] = factor * made["timing"]["ratio"]["value"]
    return made


def test_the_ratio_by_the_parents_clock_follows_from_its_column(tmp_path):
    made = by_parent(rankings.document(), 1.5)
    load_record(rankings.write(made, tmp_path))
    with pytest.raises(RecordError, match=r"ratio_parent: 0\.5, but the samples give 0\.7"):
        load_record(rankings.write(changed(made, "timing", "ratio_parent", 0.5), tmp_path))


def test_a_record_with_the_parents_clock_is_none_of_the_bootstrapped(tmp_path):
    made = rankings.bootstrapped(by_parent(rankings.document(), 1.5))
    with pytest.raises(RecordError, match="the file was altered"):
        load_record(rankings.write(made, tmp_path))


FINDINGS = {
    "outputs_differ": ("output_check", lambda old: {**old, "compared": 6, "differing": 5}),
    "stochastic": ("output_check", "stochastic", True),
    "switches_changed": ("switches_changed", {"threads": 8}),
    "precision_changed": ("precisions", {"bfloat16": ["convolution"]}),
    "warmup_cap": ("timing", "warmup", [{"process": 0, "lr_shape": [8, 8], "ms": [3.0], "settled": False}]),
}


@pytest.mark.parametrize("reason", FINDINGS)
def test_a_verdict_cannot_leave_out_what_the_record_has_found(tmp_path, reason):
    made = changed(by_parent(rankings.document(), 1.0), *CANDIDATE, *FINDINGS[reason])
    with pytest.raises(RecordError, match=f"without candidate's {reason}"):
        load_record(rankings.write(made, tmp_path))
    given = {"reason": reason, "severity": "taint", "role": "candidate", "detail": "x"}
    changed(made, "verdict", {"status": "tainted", "reasons": [given]})
    load_record(rankings.write(made, tmp_path))


def test_rounds_of_several_processes_follow_from_them(tmp_path):
    made = rankings.document(rounds=10, spread=0.1)
    timing, groups = made["timing"], [0] * 5 + [1] * 5
    process = {"steady": True, "stopped_by": "rounds", "seconds": 1.0, "rounds": 5}
    timing["processes"] = [{**process, "first_round": 0}, {**process, "first_round": 5}]
    timing["process_of_round"] = groups
    per_round = timing["ratio_per_round"]
    timing["ratio"] = msgspec.to_builtins(intervals.of_ratio(per_round, 0.95, groups))
    timing["ratio_plain"] = msgspec.to_builtins(intervals.of_totals(per_round, [1.0] * 10, 0.95, groups))
    timing["dependence"] = msgspec.to_builtins(intervals.dependence(per_round, groups))
    for role, ms in (("candidate", [100 * one for one in per_round]), ("baseline", [100.0] * 10)):
        figures = made["networks"][role]["timing"]
        value = figures["runtime_ms"]["value"]
        figures["runtime_ms"] = msgspec.to_builtins(intervals.of_runtime(value, ms, 0.95, groups))
    load_record(rankings.write(made, tmp_path))
    with pytest.raises(RecordError, match="process_of_round"):
        load_record(rankings.write(changed(made, "timing", "process_of_round", [0] * 10), tmp_path))
    timing["process_of_round"] = groups
    for rounds in (10**17, 1):
        with pytest.raises(RecordError, match=r"timing\.processes: of"):
            load_record(rankings.write(changed(made, "timing", "processes", 1, "rounds", rounds), tmp_path))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(0.1, 10), min_size=3, max_size=3), min_size=1, max_size=40), st.data())
def test_intervals_do_not_depend_on_the_order_in_which_times_are_summed(rows, data):
    table = np.array(rows)
    order = data.draw(st.permutations(range(3)))
    by_image, otherwise = (statistics.runtime_ms(one, 0.95) for one in (table, table[:, order]))
    assert by_image.value == pytest.approx(otherwise.value)
    for one, other in ((by_image.low, otherwise.low), (by_image.high, otherwise.high)):
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, rel=1e-6)


def test_the_record_as_it_was_is_accepted(tmp_path):
    load_record(rankings.write(rankings.document(), tmp_path))
    load_record(rankings.write(rankings.document(rounds=3), tmp_path))
    load_record(rankings.write(rankings.document(rounds=21, spread=0.3), tmp_path))


def test_passes_measured_again_do_not_count(tmp_path):
    made = rankings.document(rounds=10)
    timing = made["networks"]["candidate"]["timing"]
    columns = timing["samples"]
    for name, values in columns.items():
        if values:
            values.insert(0, 1 if name == "block" else values[0] * 50 if name in ("ms", "wall_ms") else values[0])
    timing["passes"] += 1
    block = {"round": 0, "process": 0, "parent_wall_ms": 1.0}
    timing["blocks"] = [{**block, "block": 0}, {**block, "block": 1, "replaced": True}]
    load_record(rankings.write(made, tmp_path))


@pytest.mark.parametrize("name", ["version1", "version2"])
def test_records_from_history_follow_from_their_samples(name):
    load_record(DATA / f"{name}.json")


@pytest.mark.parametrize(
    ("path", "value"),
    [(("timing", "ratio", "value"), 0.001), (("networks", "candidate", "timing", "median_ms"), [1.0, 2.0, 3.0])],
)
def test_a_real_record_that_was_edited_is_refused(tmp_path, path, value):
    made = json.loads(msgspec.json.encode(load_record(DATA / "version2.json").document))
    with pytest.raises(RecordError, match="samples"):
        load_record(rankings.write(changed(made, *path, value), tmp_path))


@pytest.mark.parametrize("rounds", [20, 400, 20_000])
def test_the_possible_places_are_few(rounds):
    least, most, lowest, highest = possible_places(rounds, 0.95, 9999)
    assert most - least <= 2 + rounds**0.5 / 5
    assert least < most < rounds / 2 < lowest < highest
