"""Warm-up, turns and repeats: who runs when, what is measured again, and what the record says of it."""

import json
import os
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
from helpers.forked import run_forked
from helpers.participants import SMALL, make_participant

from esr.config.compose import compose
from esr.config.schema import EsrConf, ModelConf
from esr.evaluation import rounds as measuring
from esr.evaluation.inputs import Inputs
from esr.evaluation.passes import HarnessCost
from esr.evaluation.rounds import Measurement
from esr.evaluation.subject import Subject
from esr.evaluation.worker.messages import (
    Done,
    OpenRequest,
    PassAnswer,
    PassRequest,
    PeakRequest,
    RenewRequest,
    ResetMemoryRequest,
    SampleAnswer,
    SampleRequest,
)
from esr.evaluation.worker.output_sample import sample_size
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.records.network import Weights
from esr.system.progress import Silent
from esr.telemetry.findings import Disturbance
from esr.timing.plan import decide
from esr.timing.samples import Duration


class FakeWorker:
    """Answers at once; notes in a common log who was paused, resumed and asked."""

    pid = 0

    def __init__(self, name, log, ms=1.0, fails_at=None):
        self.name, self.log, self.ms, self.fails_at = name, log, ms, fails_at
        self.timed = 0

    def pause(self):
        self.log.append((self.name, "pause"))

    def require_still(self):
        pass

    def resume(self):
        self.log.append((self.name, "resume"))

    def seal(self):
        pass

    def ask(self, request):
        self.log.append((self.name, request.stage))
        if isinstance(request, PassRequest):
            self.timed += 1
            if self.fails_at == self.timed:
                raise WorkerFailure("pass", "exception", "boom")
            return PassAnswer(Duration(self.ms, self.ms))
        if isinstance(request, SampleRequest):
            return SampleAnswer(np.full((sample_size(request.values), 4), 7, np.uint8))
        assert isinstance(request, RenewRequest)
        return Done()


class FakePair:
    """A flat image without HR."""

    hr_file = None

    def __init__(self, lr_shape):
        self.lr_shape = lr_shape

    def lr(self):
        return np.full((*self.lr_shape, 3), 9, np.uint8)


class FakeWatch:
    """Finds fault with the blocks it is told to; at rest after so many questions."""

    def __init__(self, disturbed=(), restless=0):
        self.disturbed, self.restless = disturbed, restless

    @contextmanager
    def window(self, block, role, images):
        yield

    def disturbances(self, block):
        return [Disturbance("host_load", "", block)] if block in self.disturbed else []

    def steady(self):
        self.restless -= 1
        return self.restless < 0


def measurement(watch=None, rounds=4, log=None, ms=1.0, shapes=None, **timing):
    log = [] if log is None else log
    settings = EsrConf()
    settings.timing.rounds = rounds
    for key, value in timing.items():
        setattr(settings.timing, key, value)
    subjects = []
    for role in ("candidate", "baseline"):
        subject = Subject(role, role, ModelConf(_target_="x"), Weights("random"))
        subject.worker = FakeWorker(role, log, ms)
        subjects.append(subject)
    shapes = shapes or [(8, 8), (8, 8)]
    inputs = Inputs([FakePair(shape) for shape in shapes], 5)
    plan = decide(settings.timing, on_gpu=False, seed=3)
    return Measurement(subjects, settings, shapes, watch or FakeWatch(), Silent(), inputs, plan, plan.max_seconds)


def test_only_one_worker_runs_at_a_time_and_all_run_in_the_end():
    log = []
    measurement(log=log).run()
    running = {"candidate", "baseline"}
    for name, action in log:
        if action == "pause":
            running.discard(name)
        elif action == "resume":
            running.add(name)
        else:
            assert running == {name}
    assert running == {"candidate", "baseline"}


def test_a_round_begins_with_kernels_that_were_made_anew_in_untimed_passes_over_each_shape(monkeypatch):
    monkeypatch.setattr(measuring, "RENEWAL_SHARE", float("inf"))
    log = []
    one = measurement(log=log, rounds=3, ms=20.0, shapes=[(8, 8), (9, 8), (8, 8)])
    one.run()
    said = [(name, action) for name, action in log if action not in ("pause", "resume", "sample")]
    begun = [position for position, (_, action) in enumerate(said) if action == "renew"]
    for position in begun:
        name = said[position][0]
        turn = said[position + 1 : position + 6]
        assert turn == [(name, "pass")] * 5  # two untimed ones, then the turn's own three
    assert sorted(said[position][0] for position in begun) == ["baseline"] * 3 + ["candidate"] * 3
    assert [len(subject.samples.ms) for subject in one.subjects] == [9, 9]


def test_no_input_comes_twice_not_even_in_a_turn_that_is_measured_again():
    one = measurement(FakeWatch(disturbed={2, 4}))
    for subject in one.subjects:
        subject.inputs = []

        def noting(request, plain=subject.worker.ask, seen=subject.inputs):
            if isinstance(request, PassRequest):
                seen.append(request.image.tobytes())
            return plain(request)

        subject.worker.ask = noting
    one.run()
    for subject in one.subjects:
        assert len(subject.inputs) > len(subject.samples.ms) >= 4 * 2 + 2
        assert len(set(subject.inputs)) == len(subject.inputs)


def test_kernels_are_renewed_as_often_as_their_share_of_the_time_allows(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(measuring.time, "monotonic", lambda: now[0])
    log = []
    one = measurement(log=log, rounds=200, ms=100.0)
    for subject in one.subjects:

        def working(request, plain=subject.worker.ask):
            now[0] += 1.0 if isinstance(request, RenewRequest) else 0.1 * isinstance(request, PassRequest)
            return plain(request)

        subject.worker.ask = working
    one.share_s = 1e9
    one.run()
    renewals = sum(action == "renew" for _, action in log)
    assert renewals >= 2
    assert one.renewed_s <= measuring.RENEWAL_SHARE * (now[0] - one.started)


def test_a_gpu_keeps_its_kernels(monkeypatch):
    monkeypatch.setattr(measuring, "RENEWAL_SHARE", float("inf"))
    monkeypatch.setattr(Subject, "on_gpu", True)
    log = []
    measurement(log=log).run()
    assert "renew" not in {action for _, action in log}


def test_warm_up_ends_at_its_time_limit_with_a_pass_over_each_shape():
    one = measurement(FakeWatch(), shapes=[(8, 8), (9, 8)])
    one.settings.timing.warmup.max_seconds = 0.0
    one.run()
    for subject in one.subjects:
        assert [(len(entry.ms), entry.settled) for entry in subject.warmup] == [(1, False), (1, False)]


def test_the_harness_is_taken_out_as_it_was_measured_beside_each_process():
    one = measurement(rounds=2)
    subject = one.subjects[0]
    for process, cost in enumerate((0.25, 0.75)):
        subject.cost = HarnessCost((1,), (cost,))
        one.process, one.first_round, one.rounds = process, 2 * process, 0
        one.run()
    assert subject.clocks(4, 2).own.tolist() == [[0.25, 0.25]] * 2 + [[0.75, 0.75]] * 2


def test_an_input_is_made_once_for_a_pass(monkeypatch):
    one, made = measurement(rounds=2), []
    plain = Inputs.lr
    monkeypatch.setattr(Inputs, "lr", lambda self, each: made.append(each) or plain(self, each))
    one.run()
    assert len([each for each in made if each.alteration is not None]) == sum(
        len(entry.ms) for subject in one.subjects for entry in subject.warmup
    ) + sum(len(subject.samples.ms) for subject in one.subjects)


def test_both_networks_get_as_many_warm_up_passes_however_soon_one_has_settled():
    one = measurement()
    slow = iter([90, 60, 40, 30, 20, 15, 12, 11, *[10] * 99])
    worker = one.subjects[0].worker
    plain = worker.ask

    def falling(request):
        answer = plain(request)
        return PassAnswer(Duration(next(slow, 10), 1.0)) if isinstance(request, PassRequest) else answer

    worker.ask = falling
    one.run()
    counts = [len(subject.warmup[0].ms) for subject in one.subjects]
    assert counts[0] == counts[1] > 6
    assert all(subject.warmup[0].settled for subject in one.subjects)


def test_warm_up_goes_on_until_the_device_is_at_rest_or_the_time_is_up():
    calm = measurement(FakeWatch(restless=3))
    assert calm.run().steady is True
    calm.settings.timing.warmup.max_seconds = 0.0
    restless = measurement(FakeWatch(restless=10**9))
    restless.settings.timing.warmup.max_seconds = 0.0
    assert restless.run().steady is False


def test_a_disturbed_turn_is_measured_again_with_its_partner_and_all_turns_are_kept():
    one = measurement(FakeWatch(disturbed={2}))
    one.run()
    blocks = [block for subject in one.subjects for block in subject.blocks]
    replaced = sorted(block.block for block in blocks if block.replaced)
    assert replaced == [2, 3]
    assert len(blocks) == (4 + 1) * 2
    assert [block.reasons for block in blocks if block.block == 2] == [("host_load",)]
    for subject in one.subjects:
        assert not (subject.table(4, 2) != 1.0).any()


def test_repeats_end_where_disturbance_is_the_normal_state():
    one = measurement(FakeWatch(disturbed=range(10**6)), rounds=10)
    one.run()
    blocks = [block for subject in one.subjects for block in subject.blocks]
    assert sum(block.replaced for block in blocks) <= 0.6 * len(blocks)
    assert len(blocks) <= 10 * 2 * 3
    kept = [block for block in blocks if not block.replaced]
    assert {block.round for block in kept} == set(range(10))


def test_retries_can_be_switched_off():
    one = measurement(FakeWatch(disturbed={0}), retries=0)
    one.run()
    assert not any(block.replaced for subject in one.subjects for block in subject.blocks)


def test_a_network_that_fails_leaves_the_other_one_to_be_measured_to_the_end():
    one = measurement()
    one.subjects[0].worker.fails_at = 9
    assert one.run().rounds == 4
    assert one.subjects[0].failure.message == "boom"
    assert len({block.round for block in one.subjects[1].blocks}) == 4


def test_a_paused_worker_uses_no_processor_whatever_its_threads_do():
    with Worker(60.0) as worker:
        settings = compose(["model=rlfn", "device=cpu"])
        worker.ask(OpenRequest(settings.device, settings.cudnn))
        worker.pause()
        process = psutil.Process(worker.pid)
        deadline = time.monotonic() + 5
        while process.status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.status() == psutil.STATUS_STOPPED
        before = sum(process.cpu_times()[:2])
        time.sleep(0.5)
        assert sum(process.cpu_times()[:2]) == before
        worker.resume()
        assert isinstance(worker.ask(ResetMemoryRequest()), Done)


def record_of(run):
    assert run.code in (0, 1), run.err
    return json.loads(run.records[0].read_text())


def last_cpu():
    return sorted(psutil.Process().cpu_affinity())[-1]


@pytest.fixture(scope="module")
def one_pair(tmp_path_factory):
    """An evaluation with one pair of processes, on a chosen CPU and with pictures."""
    folder = make_participant(tmp_path_factory.mktemp("one_pair"))
    environment = {**os.environ, "ESR_OFFLINE": "1", "COLUMNS": "200"}
    return run_forked(["-v", *SMALL, "quality.save=crops", f"device.cpus=[{last_cpu()}]"], folder, environment)


@pytest.mark.slow
def test_a_precision_that_is_not_reached_in_time_is_said_with_the_figure(run_esr, participant):
    words = [word for word in SMALL if not word.startswith("timing=")]
    run = run_esr(*words, "timing.precision=1e-7", "timing.max_seconds=1", "timing.processes=1", cwd=participant)
    record = record_of(run)
    assert record["timing"]["precision"]["reached"] is False
    assert record["timing"]["precision"]["stopped_by"] == "max_seconds"
    reasons = {entry["reason"]: entry["detail"] for entry in record["verdict"]["reasons"]}
    assert "instead of 1e-05 %" in reasons["precision_not_reached"]
    severities = {entry["reason"]: entry["severity"] for entry in record["verdict"]["reasons"]}
    assert severities["precision_not_reached"] == "imprecision"
    # A busy machine may add a taint of its own.
    assert record["verdict"]["status"] == ("tainted" if "taint" in severities.values() else "imprecise")


def test_a_precision_that_is_reached_ends_the_rounds(run_esr, participant):
    words = [word for word in SMALL if not word.startswith("timing=")]
    run = run_esr(*words, "timing.precision=5", "timing.max_seconds=100", "timing.processes=2", cwd=participant)
    precision = record_of(run)["timing"]["precision"]
    assert (precision["reached"], precision["stopped_by"]) == (True, "precision")


def test_everything_is_repeated_in_fresh_processes_and_their_spread_is_told(run_esr, participant):
    run = run_esr("-v", *SMALL, "timing.processes=2", cwd=participant)
    timing = record_of(run)["timing"]
    assert [entry["rounds"] for entry in timing["processes"]] == [6, 6]
    assert [entry["first_round"] for entry in timing["processes"]] == [0, 6]
    assert timing["process_of_round"] == [0] * 6 + [1] * 6
    assert timing["spread"]["within"] >= 0
    assert timing["spread"]["between"] >= 0
    assert "in 2 fresh processes" in run.out
    assert "one pair of processes" not in run.out


@pytest.mark.slow
def test_an_interval_of_one_pair_of_processes_on_a_cpu_is_said_to_be_one(run_esr, participant, one_pair):
    assert "one pair of processes: on a CPU another pair's ratio" in " ".join(one_pair.out.split())
    fewer = [word for word in SMALL if not word.startswith("timing=")]
    run = run_esr("-v", *fewer, "timing.rounds=2", cwd=participant)
    assert "one pair of processes" not in run.out  # too few rounds for an interval


def test_an_endless_time_limit_is_as_long_as_the_system_can_wait():
    with Worker(1e300) as worker, pytest.raises(WorkerFailure, match="AttributeError"):
        worker.ask(PeakRequest())


def test_the_cpus_that_were_asked_for_are_those_the_worker_runs_on(one_pair):
    for network in record_of(one_pair)["networks"].values():
        assert network["worker"]["cpus"] == [last_cpu()]
        assert network["worker"]["threads"] == 1


def test_more_threads_than_cpus_are_refused(run_esr, participant):
    run = run_esr(*SMALL, "device.threads=100000", cwd=participant)
    assert run.code == 2
    assert "device.threads=100000: this machine has" in run.err
    assert not run.records


@pytest.mark.parametrize(
    ("cpus", "remedy"), [("[4096]", "choose from"), ("[]", "choose from"), ("[-1]", "expected numbers of CPUs, as 0-3")]
)
def test_cpus_that_cannot_be_had_are_named(run_esr, participant, cpus, remedy):
    run = run_esr(*SMALL, f"device.cpus={cpus}", cwd=participant)
    assert run.code == 2
    assert f"device.cpus={cpus}: {remedy}" in run.err
    assert not run.records


def test_pictures_are_saved_beside_the_record_where_asked_for(one_pair):
    folder, pictures = one_pair.records[0].parent, record_of(one_pair)["pictures"]
    assert (folder / pictures["comparison"]).is_file()
    assert [entry["image"] for entry in pictures["images"]] == [0, 1, 2]
    for entry in pictures["images"]:
        assert entry["files"].keys() == {"lr", "bicubic", "candidate", "baseline", "hr"}
        assert all((folder / file).is_file() for file in entry["files"].values())
    assert f"picture: {(folder / pictures['comparison']).relative_to(one_pair.folder)}" in one_pair.out.replace(
        "\n", ""
    )
