"""From what was measured to clean, tainted or failed: every reason, and none without cause."""

import re

import msgspec
import numpy as np
import pytest
from helpers.paths import ROOT

from esr.config.schema import ModelConf
from esr.evaluation.subject import Subject
from esr.evaluation.verdict import precision_class, verdict
from esr.records.document import Process, Verdict
from esr.records.network import Block, Estimate, Failure, OutputCheck, WarmUp, Weights
from esr.records.reasons import REASONS, TELEMETRY_REASONS
from esr.telemetry.findings import Disturbance
from esr.timing.samples import Duration
from esr.timing.schedule import Pass
from esr.timing.stopping import precision

CALM = [Process(0, 8, steady=True, stopped_by="precision", seconds=1.0)]


def reached(width=0.004, stopped_by="precision"):
    interval = (None, None) if width is None else (1.0 - width / 2, 1.0 + width / 2)
    return precision(Estimate(1.0, *interval), 0.005, stopped_by)


REACHED = reached()


def measured(role="candidate", ms=100.0, wall_ms=101.0):
    """A network in eight turns of one pass each, every second one over a new input."""
    subject = Subject(role, role, ModelConf(_target_="x"), Weights("random"))
    subject.warmup.append(WarmUp(0, (8, 9), (ms,), settled=True))
    first = 0 if role == "candidate" else 100
    for number in range(first, first + 8):
        one = Pass(0, alteration=7 if number % 2 else None)
        subject.add_block(Block(number, number, 0, wall_ms), [one], [Duration(ms, ms)])
    return subject


def test_an_output_without_texture_is_never_called_stale_and_fits_the_record():
    flat, textured = np.zeros(16, np.uint8), np.arange(0, 160, 10, dtype=np.uint8)
    subject = measured()
    subject.compare(flat, flat, flat)
    assert msgspec.json.decode(msgspec.json.encode(subject.output_check), type=OutputCheck).stale == 0
    subject.compare(textured, textured, textured)
    assert subject.output_check.stale == 1


def found(subject=None, precision=REACHED, processes=CALM, disturbances=()):
    """Reason -> detail, of the candidate or of the run."""
    result = verdict([subject or measured(), measured("baseline")], precision, processes, [*disturbances])
    assert all(entry.role in ("candidate", None) for entry in result.reasons)
    return {entry.reason: entry.detail for entry in result.reasons}


def test_a_quiet_run_is_clean():
    assert verdict([measured(), measured("baseline")], REACHED, CALM, []) == Verdict("clean", ())


def differing(subject):
    subject.output_check = OutputCheck(tolerance=1, compared=3, differing=3)


def unsettled(subject):
    subject.warmup[0] = msgspec.structs.replace(subject.warmup[0], settled=False)


def remembering(subject):
    """Repeated inputs take half the time."""
    for number in range(8, 40):
        one = Pass(0, alteration=7 if number % 2 else None)
        ms = 100.0 if number % 2 else 50.0
        subject.add_block(Block(number, number, 0, 101.0), [one], [Duration(ms, ms)])


def unaccounted(subject):
    subject.blocks = [msgspec.structs.replace(block, parent_wall_ms=300.0) for block in subject.blocks]


def halved(subject):
    subject.precisions["float16"] = ("convolution",)


def turned(subject):
    subject.switches_changed |= {"benchmark": True, "threads": 4}


OF_A_NETWORK = {
    "outputs_differ": (differing, "3 of 3 checked passes"),
    "warmup_cap": (unsettled, "LR 8×9"),
    "remembers_inputs": (remembering, "50 % of the time of new ones"),
    "time_unaccounted": (unaccounted, "100.0 ms of 300.0 ms elapsed"),
    "precision_changed": (halved, "float16 in convolution"),
    "switches_changed": (turned, "benchmark=true, threads=4"),
}


def test_launches_that_the_gpu_waits_for_are_a_warning():
    subject = measured()
    subject.samples.enqueue_ms = [99.0] * 8
    result = verdict([subject, measured("baseline")], REACHED, CALM, [])
    assert result.status == "clean"
    (reason,) = result.reasons
    assert (reason.reason, reason.severity, reason.role) == ("launch_bound", "warning", "candidate")
    assert "8 of 8 passes" in reason.detail


def test_a_network_without_the_graph_that_the_other_has_taints():
    alone, both = measured(), (measured(), measured("baseline"))
    for subject in (alone, *both):
        subject.uncaptured = "it waits"
    result = verdict([alone, measured("baseline")], REACHED, CALM, [])
    assert [(r.reason, r.severity, r.role, r.detail) for r in result.reasons] == [
        ("not_captured", "taint", "candidate", "it waits")
    ]
    result = verdict(both, REACHED, CALM, [])
    assert (result.status, {reason.role for reason in result.reasons}) == ("clean", {"candidate", "baseline"})


@pytest.mark.parametrize("name", OF_A_NETWORK)
def test_what_a_network_does_is_a_reason_of_its_own(name):
    subject = measured()
    spoil, words = OF_A_NETWORK[name]
    spoil(subject)
    (only,) = found(subject).items()
    assert only[0] == name
    assert words in only[1]


def test_a_device_that_is_not_at_rest_is_not_warm():
    processes = [*CALM, msgspec.structs.replace(CALM[0], steady=False)]
    assert "warmer or faster" in found(processes=processes)["warmup_cap"]


@pytest.mark.parametrize(
    ("width", "stopped_by", "processes", "missed"),
    [
        (0.02, "max_seconds", 1, "2 % instead of 0.5 %"),
        (None, "max_seconds", 1, "too few rounds"),
        (0.004, "max_seconds", 1, None),
        (0.00501, "precision", 1, None),  # the last look had fewer resamples
        (0.02, "rounds", 1, None),
        (0.02, "precision", 3, "2 % instead of 0.5 %"),  # each process had it, all together have not
        (0.02, "rounds", 3, None),
    ],
)
def test_a_precision_that_was_not_reached_is_said_unless_nobody_asked_for_it(width, stopped_by, processes, missed):
    told = found(precision=reached(width, stopped_by), processes=CALM * processes).get("precision_not_reached")
    assert (told is None) if missed is None else (missed in told)


def test_a_finding_of_a_turn_that_was_measured_again_is_not_held_against_the_run():
    subject = measured()
    subject.blocks[3] = msgspec.structs.replace(subject.blocks[3], replaced=True)
    disturbances = [Disturbance("hw_slowdown", "bit", number) for number in (3, 5)]
    assert found(subject, disturbances=disturbances[:1]) == {}
    assert found(subject, disturbances=disturbances) == {"hw_slowdown": "in 1 of 7 turns, as bit"}


@pytest.mark.parametrize("name", sorted(TELEMETRY_REASONS))
def test_what_telemetry_finds_is_passed_on_and_a_warning_leaves_the_verdict_clean(name):
    for severity, status in (("taint", "tainted"), ("warning", "clean")):
        result = verdict([measured(), measured("baseline")], REACHED, CALM, [Disturbance(name, "x", None, severity)])
        assert result.status == status
        assert [entry.reason for entry in result.reasons] == [name]


def test_a_failure_outweighs_a_taint():
    subject = measured()
    halved(subject)
    subject.failure = Failure("time", "crashed", "boom")
    assert verdict([subject, measured("baseline")], None, CALM, []).status == "failed"


def listed(page: str) -> set[str]:
    """Reasons in the tables of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) & REASONS.keys()


def test_the_fixed_list_is_the_documented_one():
    of_telemetry = TELEMETRY_REASONS.keys()
    assert listed("telemetry.md") == of_telemetry
    assert listed("measuring.md") == REASONS.keys() - of_telemetry
    assert (
        OF_A_NETWORK.keys() | {"precision_not_reached", "launch_bound", "not_captured"} == REASONS.keys() - of_telemetry
    )


@pytest.mark.parametrize(
    ("declared", "computed", "expected", "tainted"),
    [
        (None, {}, "fp32", False),
        (None, {"float16": ("mul",)}, "fp16", True),
        ("fp16", {"float16": ("mul",)}, "fp16", False),
        ("fp16", {"bfloat16": ("mul",)}, "fp16", True),
        (None, {"float16": ("mul",), "bfloat16": ("mul",)}, "bf16", True),
        (None, {"float64": ("mul",)}, "fp32", True),
    ],
)
def test_a_precision_class_is_declared_or_found_and_undeclared_work_taints(declared, computed, expected, tainted):
    subject = measured()
    subject.model.precision, subject.precisions = declared, computed
    assert precision_class(subject) == expected
    assert ("precision_changed" in found(subject)) is tainted
