"""The main job, end to end through the command line and the Python API: what a record holds, and how networks fail."""

import json
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from helpers.cases import with_slow
from helpers.command import wait_for
from helpers.fitting import validate
from helpers.forked import Forked, run_program
from helpers.participants import SMALL, make_participant

import esr
from esr.errors import NetworkError
from esr.timing import statistics

ROUNDS = 7
SWITCHES = ("cudnn.benchmark=true", "cudnn.deterministic=true", "device.threads=1")


def record_of(run):
    assert run.records, run.err
    return json.loads(run.records[0].read_text())


def with_fault(participant: Path, **args) -> list[str]:
    """Overrides that measure a misbehaving network against a good one."""
    (participant / "faulty.yaml").write_text(f"_target_: tiny.Tiny\nargs: {json.dumps(args)}\n")
    return ["model=faulty.yaml", *[word for word in SMALL if not word.startswith("model=")]]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """An evaluation through the Python API, which prints the record that it returns."""
    folder = make_participant(tmp_path_factory.mktemp("good"))
    words = [*SMALL, *SWITCHES, f"timing.rounds={ROUNDS}"]
    program = f"import esr, msgspec; made = esr.evaluate({words!r}, out='out')"
    run = run_program(f"{program}; print(msgspec.json.encode(made.document).decode())", folder)
    assert run.code == 0, run.err
    return run


@pytest.fixture(scope="module")
def good(evaluated):
    """The record that it wrote."""
    return esr.load_record(evaluated.folder / "out")


def test_a_record_fits_the_published_schema(good):
    validate(json.loads(good.path.read_text()))


def test_a_record_reads_back_as_it_was(evaluated):
    for path in (evaluated.records[0], evaluated.folder / "out"):
        read = msgspec.json.encode(esr.load_record(path).document)
        assert json.loads(read) == json.loads(evaluated.out)


def test_every_figure_can_be_recomputed_from_the_raw_samples(good):
    timing = good.document.load_config()["timing"]
    tables = []
    for network in (good.candidate, good.baseline):
        samples = network.timing.load_samples()
        assert len(samples.ms) == network.timing.passes == ROUNDS * 3
        table = statistics.matrix(samples, ROUNDS, 3)
        again = statistics.runtime_ms(table, timing["confidence"])
        assert again == network.timing.runtime_ms
        tables.append(table)
    assert statistics.ratio(*tables, timing["confidence"]) == good.ratio
    assert statistics.ratio_plain(*tables, timing["confidence"]) == good.document.timing.ratio_plain


def test_every_image_is_warmed_up_by_its_shape(good):
    shapes = [entry.lr_shape for entry in good.candidate.timing.load_warmup()]
    assert shapes == [(16, 16), (16, 24)]


def test_timed_passes_are_repeated_in_a_fresh_process_and_compared_with_hr(good):
    check = good.candidate.output_check
    assert (check.compared, check.differing, check.stochastic) == (8, 0, False)
    assert 0 <= check.largest_difference <= check.tolerance
    assert check.truth.passes == ROUNDS * 3


def test_the_ratio_by_the_parents_clock_stands_beside_the_claimed_one(good):
    timing = good.document.timing
    assert timing.ratio_parent is None or timing.ratio_parent > 0
    samples = good.candidate.timing.load_samples()
    assert len(samples.parent_ms) == len(samples.ms)
    assert samples.altered == (True,) * len(samples.ms)


def test_the_parents_clock_bounds_what_a_worker_claims(good):
    samples, blocks = good.candidate.timing.load_samples(), good.candidate.timing.load_blocks()
    for block in blocks:
        claimed = sum(ms for ms, number in zip(samples.ms, samples.block, strict=True) if number == block.block)
        assert claimed <= block.parent_wall_ms


def test_a_network_against_itself_is_named_an_aa_run(good):
    assert good.document.timing.aa is True


def test_the_fingerprint_names_machine_and_software(good):
    environment, worker = good.document.environment, good.candidate.worker
    assert environment.cpu.logical_cores >= 1
    assert environment.esr.version == esr.__version__
    assert worker.torch.startswith("2.")
    assert worker.device.kind == "cpu"


def test_quality_with_random_weights_is_marked_as_not_meaningful(good):
    assert good.candidate.weights.source == "random"
    assert good.candidate.quality.meaningful is False


def test_switches_and_threads_are_applied_in_the_worker_and_read_back(good):
    worker = good.candidate.worker
    assert (worker.cudnn.benchmark, worker.cudnn.deterministic, worker.threads) == (True, True, 1)


def test_the_challenges_protocol_is_one_pass_without_warm_up_in_the_images_order(run_esr, participant):
    words = [word for word in SMALL if not word.startswith("timing=")]
    record = record_of(run_esr(*words, "timing=ntire2022", cwd=participant))
    timing, worker = (record["networks"]["candidate"][part] for part in ("timing", "worker"))
    assert (worker["cudnn"]["benchmark"], worker["cudnn"]["deterministic"]) == (False, False)
    assert timing["warmup"] == []
    assert timing["samples"]["image"] == [0, 1, 2]
    assert timing["samples"]["round"] == [0, 0, 0]
    assert timing["runtime_ms"]["value"] == pytest.approx(np.mean(timing["samples"]["ms"]))
    assert timing["runtime_ms"]["low"] is None
    # With the quality pass, in a fresh process, and there with two quality passes, one of them watched.
    assert record["networks"]["candidate"]["output_check"]["compared"] == 3 + 3 + 2


def test_lr_images_alone_give_runtime_without_quality(run_esr, participant):
    (participant / "lr").mkdir()
    for file in (participant / "images").iterdir():
        file.rename(participant / "lr" / file.name)
    words = [word for word in SMALL if not word.startswith("data.root")]
    record = record_of(run_esr(*words, "data.lr=lr", cwd=participant))
    assert record["data"]["has_hr"] is False
    assert record["networks"]["candidate"]["quality"] is None
    assert record["timing"]["ratio"]["value"] > 0


@pytest.mark.parametrize(
    ("role", "fault", "kind", "words"),
    with_slow(
        [
            ("candidate", "crash", "crashed", ["SIGABRT", "about to crash"]),
            ("candidate", "exit", "crashed", ["exit code 3"]),
            ("candidate", "memory", "out_of_memory", []),
            ("candidate", "shape", "bad_output", ["(1, 3, 64, 60)", "(1, 3, 64, 64)"]),
            ("candidate", "nan", "bad_output", ["NaN"]),
            ("candidate", "type", "bad_output", ["list"]),
            ("baseline", "raise", "exception", ["ValueError", "the weather was bad"]),
        ],
        {"exit", "nan", "type"},
    ),
)
def test_a_network_that_fails_is_recorded_and_the_results_are_kept_of_one_that_prints_what_looks_like_an_answer(
    run_esr, participant, role, fault, kind, words
):
    files = {"faulty": fault, "talking": "talk"}
    for name, one in files.items():
        (participant / f"{name}.yaml").write_text(f"_target_: tiny.Tiny\nargs: {{fault: {one}}}\n")
    candidate, baseline = files if role == "candidate" else reversed(files)
    run = run_esr(f"model={candidate}.yaml", f"baseline={baseline}.yaml", *SMALL[2:], cwd=participant)
    assert run.code == 1
    assert "Traceback" not in run.err
    record = record_of(run)
    validate(record)
    failing = record["networks"].pop(role)
    assert failing["failure"]["kind"] == kind
    for word in words:
        assert word in failing["failure"]["message"]
    assert record["verdict"]["status"] == "failed"
    (other,) = record["networks"].values()
    assert other["failure"] is None
    assert other["quality"] is not None
    assert other["timing"]["runtime_ms"]["value"] > 0
    assert record["timing"]["ratio"] is None


def test_a_network_that_hangs_is_given_up_after_the_time_limit(run_esr, participant):
    run = run_esr(*with_fault(participant, fault="hang"), "timing.timeout_s=4", cwd=participant)
    assert run.code == 1
    failure = record_of(run)["networks"]["candidate"]["failure"]
    assert failure["kind"] == "timeout"
    assert "4 s (timing.timeout_s)" in failure["message"]


def test_a_network_that_fails_late_keeps_the_rounds_it_finished(run_esr, participant):
    passes_before_timing = 1 + 3 + 2 * 2
    a_round = 3 + 1  # and a pass of the next one
    words = with_fault(participant, fault="raise", after=passes_before_timing + a_round)
    run = run_esr(*words, "timing.warmup.max_passes=2", cwd=participant)
    timing = record_of(run)["networks"]["candidate"]["timing"]
    assert run.code == 1
    assert timing["complete_rounds"] >= 1


def test_a_network_that_computes_something_else_while_timed_is_tainted(run_esr, participant):
    quality_is_done = 1 + 3
    run = run_esr(*with_fault(participant, fault="constant", after=quality_is_done), cwd=participant)
    record = record_of(run)
    assert record["verdict"]["status"] == "tainted"
    assert "outputs_differ" in {r["reason"] for r in record["verdict"]["reasons"]}
    assert record["networks"]["candidate"]["output_check"]["differing"] > 0


def test_a_class_that_cannot_be_constructed_is_the_users_mistake(run_esr, participant):
    run = run_esr(*with_fault(participant, fault="constructor"), cwd=participant)
    assert run.code == 2
    assert "no such luck" in run.err
    assert "Traceback" not in run.err
    assert not run.records


def test_a_participants_models_package_does_not_clash_with_ours(run_esr, participant):
    (participant / "models").mkdir()
    (participant / "models" / "__init__.py").write_text("")
    (participant / "tiny.py").rename(participant / "models" / "mine.py")
    (participant / "tiny.yaml").write_text("_target_: models.mine.Tiny\n")
    overrides = [word for word in SMALL if not word.startswith("baseline=")]
    run = run_esr(*overrides, "baseline=rlfn", cwd=participant)
    assert run.code == 0, run.err


def test_ctrl_c_stops_at_once_and_leaves_no_worker_and_no_half_record(participant):
    words = with_fault(participant, fault="hang", after=4)
    scratch = participant / "scratch"
    scratch.mkdir()
    running = Forked(words, participant, {**os.environ, "TMPDIR": str(scratch)})
    wait_for(scratch / "*/scratch/hanging")
    running.send_signal(signal.SIGINT)
    run = running.wait(5)
    assert run.code == 130
    assert "interrupted" in run.err
    assert "Traceback" not in run.err
    assert not list(participant.rglob("record.json*"))
    assert not list(participant.rglob("*.part"))
    assert not list(scratch.iterdir())


def test_the_python_api_lists_creates_and_super_resolves():
    net = esr.create_model("rlfn", weights="random")
    assert net.training is False
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert (net.card.name, net.card.team_id, net.card.data_range) == ("rlfn", 4, 255.0)
    lr = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    sr = esr.super_resolve(net, lr)
    assert sr.dtype == np.uint8
    assert sr.shape == (96, 128, 3)
    assert esr.list_models()[:2] == ["imdn", "rfdn"]


@pytest.mark.parametrize(
    "bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 4), np.uint8)]
)
def test_super_resolve_refuses_what_is_not_an_8_bit_rgb_image(bad):
    net = esr.create_model("rlfn", weights="random")
    with pytest.raises(esr.errors.DataError, match=r"H×W×3"):
        esr.super_resolve(net, bad)


def test_random_weights_are_the_same_each_time():
    first, again = (esr.create_model("rlfn", weights="random").state_dict() for _ in range(2))
    assert all((first[key] == again[key]).all() for key in first)


def test_super_resolve_says_of_an_image_that_a_network_cannot_take_how_large_it_is():
    with pytest.raises(NetworkError, match=r"RLFN: cannot upscale an image of 8×9 px \(.*15 pixels"):
        esr.super_resolve(esr.create_model("rlfn", weights="random"), np.zeros((8, 9, 3), np.uint8))
