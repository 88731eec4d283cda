"""From what was measured to clean, tainted or failed: every reason, and none without cause."""

import re
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from helpers.paths import ROOT

from esr.config.schema import ModelConf
from esr.evaluation.passes import Passed
from esr.evaluation.reproduction import Likeness
from esr.evaluation.subject import Subject, WatchedImage
from esr.evaluation.verdict import precision_class, verdict
from esr.evaluation.worker.messages import InspectAnswer
from esr.records.document import Process, Verdict
from esr.records.network import (
    Block,
    Complexity,
    Estimate,
    Failure,
    Kernel,
    Memory,
    OutputCheck,
    WarmUp,
    Weights,
)
from esr.records.reasons import REASONS, TELEMETRY_REASONS
from esr.telemetry.findings import Disturbance
from esr.timing.samples import Duration
from esr.timing.schedule import Pass
from esr.timing.stopping import precision

SHAPES = [(8, 9)]
OUTPUT = np.linspace(20, 220, 64, dtype=np.float32)
COUNTED = Complexity((1, 3, 8, 9), params=40, flops=7200, macs=7200, activations=1, convolutions=1)
INSPECTED = InspectAnswer({}, macs=7200, params=40, hidden=0, connected=True)
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
    for number in range(8):
        passed = [passed_over(Pass(0, number), ms, wall_ms)]
        subject.add_block(Block(first + number, number, 0, wall_ms), passed, SHAPES)
    subject.inspected = INSPECTED
    subject.complexity = subject.extrapolated = COUNTED
    for likeness in (subject.on_images, subject.on_timed):
        likeness.add(OUTPUT, OUTPUT + 12, OUTPUT + 4)
    return subject


def passed_over(one, ms=100.0, parent_ms=101.0, values=OUTPUT):
    return Passed(one, 1, 2, values, Duration(ms, ms), parent_ms, parent_ms, np.zeros((8, 8, 3), np.uint8))


def judged(subjects, precision=REACHED, processes=CALM, disturbances=(), dependence=None):
    rate = 1e9  # multiply-accumulates per second
    clocks = [replace(subject.clocks(8, len(SHAPES)), least_ms=subject.least_ms(SHAPES, rate)) for subject in subjects]
    return verdict(subjects, clocks, precision, processes, [*disturbances], dependence)


def found(subject=None, precision=REACHED, processes=CALM, disturbances=()):
    """Reason -> detail, of the candidate or of the run."""
    result = judged([subject or measured(), measured("baseline")], precision, processes, disturbances)
    assert all(entry.role in ("candidate", None) for entry in result.reasons)
    return {entry.reason: entry.detail for entry in result.reasons}


def test_a_quiet_run_is_clean():
    assert judged([measured(), measured("baseline")]) == Verdict("clean", ())


def differing(subject):
    timed = passed_over(Pass(0, 5))
    subject.compare(timed, passed_over(Pass(0, 5), values=OUTPUT + np.float32(0.5)))
    subject.compare(timed, timed)


def worse(subject):
    subject.on_timed.add(OUTPUT, OUTPUT + 12, OUTPUT + 7.5)


def flat(subject):
    subject.on_images.passes = 0  # without HR
    subject.on_timed.spread /= 3


def drawing(subject):
    subject.output_check = OutputCheck(tolerance=0, stochastic=True)


def unsettled(subject):
    subject.warmup[0] = msgspec.structs.replace(subject.warmup[0], settled=False)


def unaccounted(subject):
    subject.samples.parent_ms = [300.0] * 8


def impossible(subject):
    subject.complexity = subject.extrapolated = msgspec.structs.replace(COUNTED, macs=10**12)
    subject.inspected = msgspec.structs.replace(INSPECTED, macs=10**12)


def halved(subject):
    subject.precisions["float16"] = ("convolution",)


def turned(subject):
    subject.switches_changed |= {"benchmark": True, "threads": 4}


def unproven(subject):
    subject.unproven = "a recorded pass cannot be replayed: no tape"


def more_parameters(subject):
    subject.watched_image = WatchedImage(msgspec.structs.replace(INSPECTED, params=41), None)


def unconnected(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, connected=False)


def other_work(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, macs=INSPECTED.macs * 2)


def cheap_where_counted(subject):
    subject.complexity = msgspec.structs.replace(COUNTED, input_shape=(1, 3, 16, 18))


def hidden(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, hidden=5000)


def forgetful(subject):
    subject.memory = Memory(10.0, "told", reserved_mib=20.0, device_mib=5000.0)
    subject.outside.context_mib = 400.0


def lavish(subject):
    subject.memory, subject.later_memory = Memory(100.0, "seen"), Memory(200.0, "seen")


def rewritten(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, rewritten=3072)


def filled(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, filled=3072)


def one_by_one(subject):
    subject.inspected = msgspec.structs.replace(INSPECTED, products=9000)


def replacing(subject):
    subject.replaced |= {"esr.evaluation.worker.child.inspect"}


def writing(subject):
    subject.changes_input = True


OF_A_NETWORK = {
    "outputs_differ": (differing, "1 of 2 repeated passes, by up to 0.5 grey levels"),
    "quality_differs": (worse, "error of"),
    "quality_differs, without HR": (flat, "outputs vary"),
    "work_uncounted": (unproven, "cannot be replayed: no tape"),
    "work_uncounted, all of it": (unconnected, "the output made outside"),
    "work_uncounted, on real inputs": (other_work, "on a real input, 7200 counted"),
    "work_uncounted, at another size": (cheap_where_counted, "100 multiply-accumulates per pixel"),
    "work_uncounted, changed": (rewritten, "3072 numbers changed outside"),
    "work_uncounted, filled": (filled, "3072 numbers changed outside"),
    "work_uncounted, one by one": (one_by_one, "9000 values combined with weights one by one, 7200 multiply"),
    "parameters_uncounted": (hidden, "5000 numbers"),
    "parameters_uncounted, in a pass": (more_parameters, "41 parameters used in a pass, 40 counted"),
    "memory_uncounted": (forgetful, "4600 MiB by the driver, 20 MiB reserved"),
    "memory_uncounted, later": (lavish, "200 MiB in a later pass, 100 MiB in the first"),
    "harness_replaced": (replacing, "esr.evaluation.worker.child.inspect"),
    "input_changed": (writing, "in a watched pass"),
    "warmup_cap": (unsettled, "LR 8×9"),
    "time_unaccounted": (unaccounted, "300 ms by the parent's clock, 100 ms as claimed"),
    "time_impossible": (impossible, "a round takes 100 ms as claimed; its multiplications alone take"),
    "precision_changed": (halved, "float16 in convolution"),
    "switches_changed": (turned, "benchmark=true, threads=4"),
}


def test_random_outputs_are_a_warning():
    subject = measured()
    drawing(subject)
    result = judged([subject, measured("baseline")])
    assert (result.status, [reason.reason for reason in result.reasons]) == ("clean", ["stochastic"])


def test_a_network_in_training_form_or_below_bicubic_is_warned_of():
    subject = measured()
    subject.training_form, subject.below_bicubic = "2 × Block", "20.00 dB, bicubic 30.00 dB"
    result = judged([subject, measured("baseline")])
    assert result.status == "clean"
    details = {reason.reason: (reason.severity, reason.role, reason.detail) for reason in result.reasons}
    assert details == {
        "training_form": ("warning", "candidate", subject.training_form),
        "below_bicubic": ("warning", "candidate", subject.below_bicubic),
    }


@pytest.mark.parametrize(
    ("numbers", "registered", "fused", "detail"),
    [
        (300, 300, {}, None),
        (1000, 300, {}, "300 parameters counted, 1000 numbers in the weight file"),
        (9000, 9000, {}, "300 parameters counted, 9000 numbers"),  # buffers, far too many
        (1000, 300, {"after_load": "fuse"}, None),
        (1000, 300, {"own_loading": True}, None),
        (None, 300, {}, None),
    ],
)
def test_parameters_are_compared_with_the_numbers_in_the_weight_file(numbers, registered, fused, detail):
    subject = measured()
    subject.complexity = msgspec.structs.replace(COUNTED, params=300)
    subject.numbers, subject.registered = numbers, registered
    subject.own_loading = fused.get("own_loading", False)
    subject.model = ModelConf(_target_="x", after_load=fused.get("after_load"))
    reasons = found(subject)
    assert reasons.keys() == ({"parameters_uncounted"} if detail else set())
    assert detail is None or detail in reasons["parameters_uncounted"]


@pytest.mark.parametrize(
    ("method", "mib", "named"), [("seen", 181.0, False), ("seen", 183.0, True), ("told by the worker", 900.0, False)]
)
def test_memory_is_compared_with_a_later_passs_where_it_was_measured_alike(method, mib, named):
    subject = measured()
    subject.memory, subject.later_memory = Memory(100.0, "seen"), Memory(mib, method)
    assert ("memory_uncounted" in found(subject)) is named


def test_a_kernel_that_is_launched_directly_may_fill_a_tensor_if_the_counts_name_it():
    subject = measured()
    filled(subject)
    subject.complexity = msgspec.structs.replace(COUNTED, without_formula={"scan (outside PyTorch)": 1})
    assert found(subject) == {}
    rewritten(subject)
    assert found(subject).keys() == {"work_uncounted"}


@pytest.mark.parametrize(
    ("kernel", "half"),
    [
        ("sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x128x32", True),
        ("ampere_fp16_s16816gemm_fp16_128x128_ldg8_relu_f2f_tn", True),
        ("void implicit_convolve_sgemm<__half, __half, 128, 6>(int)", True),
        ("sm80_xmma_fprop_implicit_gemm_bf16bf16_bf16f32_f32_nhwckrsc_nhwc", True),
        ("void implicit_convolve_sgemm<float, float, 128, 6>(int)", False),
        ("ampere_sgemm_128x64_nn", False),
        ("sm80_xmma_fprop_implicit_gemm_f32f32_f32f32_f32_nchwkcrs_nchw", False),
        ("void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::Half> >", False),
    ],
)
def test_kernels_that_multiply_in_half_precision_are_no_float32(kernel, half):
    subject = measured()
    subject.kernels = (Kernel(kernel, 1, 1.0),)
    assert ("precision_changed" in found(subject)) is half
    subject.model.precision, subject.precisions = "fp16", {"float16": ("convolution",)}
    assert "precision_changed" not in found(subject)


def test_tiles_that_overlap_are_no_work_that_is_not_counted():
    subject = measured()  # counted for one tile
    subject.inspected = msgspec.structs.replace(INSPECTED, macs=2 * INSPECTED.macs)
    assert "14400 multiply-accumulates on a real input, 7200 counted" in found(subject)["work_uncounted"]
    subject.tiles = 2
    assert found(subject) == {}


def test_fusing_weights_in_each_pass_is_no_other_work_on_small_inputs():
    subject = measured()  # 100 a pixel on the real input, 55 on the counted one
    subject.complexity = msgspec.structs.replace(COUNTED, input_shape=(1, 3, 16, 18), macs=15_840)
    assert "work_uncounted" in found(subject)
    subject.inspected = msgspec.structs.replace(INSPECTED, fixed=4320)  # 40 a pixel besides on either
    assert found(subject) == {}


def test_inputs_that_are_harder_for_both_networks_are_no_reason():
    subjects = [measured(), measured("baseline")]
    for subject in subjects:
        worse(subject)
    assert judged(subjects).status == "clean"


def test_noise_outweighs_the_errors_on_smooth_images_whatever_the_network():
    subjects = [measured(), measured("baseline")]
    for subject, now in zip(subjects, (0.35, 0.36), strict=True):
        subject.on_images, subject.on_timed = (Likeness(2, 20 * error, 20.0, 1.0, 1.0) for error in (0.1, now))
    assert judged(subjects).status == "clean"
    subjects[0].on_timed = Likeness(2, 9.0, 20.0, 1.0, 1.0)
    assert [(one.reason, one.role) for one in judged(subjects).reasons] == [("quality_differs", "candidate")]


def test_a_network_that_smooths_says_little_of_how_much_noise_adds_to_a_better_one():
    subjects = [measured(), measured("baseline")]
    for subject, before, now in zip(subjects, (0.763, 0.508), (0.8, 0.642), strict=True):
        subject.on_images, subject.on_timed = (Likeness(30, 270 * error, 270.0, 1.0, 1.0) for error in (before, now))
    assert judged(subjects).status == "clean"
    subjects[1].on_timed = Likeness(30, 270 * 0.75, 270.0, 1.0, 1.0)
    assert [(one.reason, one.role) for one in judged(subjects).reasons] == [("quality_differs", "baseline")]
    subjects[1].model = ModelConf(_target_="esr.models.imdn.IMDN")
    assert judged(subjects).status == "clean"


def test_noise_adds_to_the_errors_of_a_better_network_and_of_a_worse_one_alike():
    subjects = [measured(), measured("baseline")]
    for subject, before, now in zip(subjects, (0.75, 0.5), (0.95, 0.7), strict=True):
        subject.on_images, subject.on_timed = (Likeness(2, 20 * error, 20.0, 1.0, 1.0) for error in (before, now))
    assert judged(subjects).status == "clean"
    subjects[1].on_timed = Likeness(2, 18.0, 20.0, 1.0, 1.0)
    assert [(one.reason, one.role) for one in judged(subjects).reasons] == [("quality_differs", "baseline")]


@pytest.mark.parametrize("plain", [5.0, 4.0, 3.0])
def test_on_smooth_images_noise_is_a_multiple_of_the_error(plain):
    """Errors in grey levels, as measured on blurred photographs: 0.3 to 1.5 on images, 1.7 more on timed inputs."""
    subjects = [measured(), measured("baseline")]
    for subject, error in zip(subjects, (0.3 * (plain - 2), 0.27 * (plain - 2)), strict=True):
        subject.on_images = Likeness(2, 2 * error, 2 * plain, 1.0, 1.0)
        subject.on_timed = Likeness(2, 2 * (error + 1.7), 2 * plain, 1.0, 1.0)
    assert judged(subjects).status == "clean"
    subjects[0].on_timed = Likeness(2, 2 * (plain + 1.7), 2 * plain, 1.0, 1.0)
    assert [(one.reason, one.role) for one in judged(subjects).reasons] == [("quality_differs", "candidate")]


def test_two_networks_that_are_both_worse_on_timed_inputs_do_not_excuse_each_other():
    subjects = [measured(), measured("baseline")]
    for subject in subjects:
        subject.on_images, subject.on_timed = (Likeness(50, 50 * error, 1000.0, 1.0, 1.0) for error in (10.0, 19.0))
    assert [one.reason for one in judged(subjects).reasons] == ["quality_differs"] * 2


def test_launches_that_the_gpu_waits_for_are_a_warning():
    subject = measured()
    subject.samples.enqueue_ms = [99.0] * 8
    result = judged([subject, measured("baseline")])
    assert result.status == "clean"
    (reason,) = result.reasons
    assert (reason.reason, reason.severity, reason.role) == ("launch_bound", "warning", "candidate")
    assert "8 of 8 passes" in reason.detail


def test_a_network_without_the_graph_that_the_other_has_taints():
    alone, both = measured(), (measured(), measured("baseline"))
    for subject in (alone, *both):
        subject.uncaptured = "it waits"
    result = judged([alone, measured("baseline")])
    assert [(r.reason, r.severity, r.role, r.detail) for r in result.reasons] == [
        ("not_captured", "taint", "candidate", "it waits")
    ]
    result = judged(both)
    assert (result.status, {reason.role for reason in result.reasons}) == ("clean", {"candidate", "baseline"})


@pytest.mark.parametrize("name", OF_A_NETWORK)
def test_what_a_network_does_is_a_reason_of_its_own(name):
    subject = measured()
    spoil, words = OF_A_NETWORK[name]
    spoil(subject)
    (only,) = found(subject).items()
    assert only[0] == name.partition(",")[0]
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
        (0.00501, "precision", 1, None),
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
        result = judged([measured(), measured("baseline")], disturbances=[Disturbance(name, "x", None, severity)])
        assert result.status == status
        assert [entry.reason for entry in result.reasons] == [name]


def test_a_failure_outweighs_a_taint():
    subject = measured()
    halved(subject)
    subject.failure = Failure("time", "crashed", "boom")
    assert judged([subject, measured("baseline")], None).status == "failed"


def listed(page: str) -> set[str]:
    """Reasons in the tables of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) & REASONS.keys()


def test_the_fixed_list_is_the_documented_one():
    of_telemetry = TELEMETRY_REASONS.keys()
    assert listed("telemetry.md") == of_telemetry
    assert listed("measuring.md") == REASONS.keys() - of_telemetry
    tested = {name.partition(",")[0] for name in OF_A_NETWORK}
    others = {
        *("precision_not_reached", "rounds_dependent", "launch_bound", "not_captured", "stochastic"),
        *("remembers_inputs", "training_form", "below_bicubic"),
    }
    assert tested | others == REASONS.keys() - of_telemetry


def test_a_wide_interval_is_imprecise_and_does_not_taint():
    result = judged([measured(), measured("baseline")], reached(0.03, "max_seconds"))
    assert (result.status, [entry.severity for entry in result.reasons]) == ("imprecise", ["imprecision"])


def test_rounds_that_depend_on_each_other_are_a_warning():
    result = judged([measured(), measured("baseline")], dependence="correlation 0.5")
    assert (result.status, result.reasons[0].reason) == ("clean", "rounds_dependent")


@pytest.mark.parametrize(
    ("declared", "computed", "expected", "tainted"),
    [
        (None, {}, "fp32", False),
        (None, {"float16": ("mul",)}, "fp16", True),
        ("fp16", {"float16": ("mul",)}, "fp16", False),
        ("fp16", {"bfloat16": ("mul",)}, "fp16", True),
        (None, {"float16": ("mul",), "bfloat16": ("mul",)}, "bf16", True),
        (None, {"float64": ("mul",)}, "fp32", True),
        (None, {"qint8": ("mul",)}, "int8", True),
        ("int8", {"qint8": ("mul",), "int32": ("mm",)}, "int8", False),
        ("fp16", {"float16": ("mul",), "int32": ("mm",)}, "fp16", True),
    ],
)
def test_a_precision_class_is_declared_or_found_and_undeclared_work_taints(declared, computed, expected, tainted):
    subject = measured()
    subject.model.precision, subject.precisions = declared, computed
    assert precision_class(subject) == expected
    assert ("precision_changed" in found(subject)) is tainted
