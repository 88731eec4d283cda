"""A multirun on a real Slurm, started for these tests: one job per network, killed ones are run again."""

import json
import os
import subprocess
import threading
import time

import pytest
from helpers import slurm_cluster
from helpers.sweeps import by_network, multirun, network, times

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.timeout(600),
    pytest.mark.skipif("ESR_TEST_SLURM" not in os.environ, reason="starts daemons: make test-slurm"),
]
ON_SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=null",
)

LOGGING = '''
import os, time
import tiny


class Logging(tiny.Tiny):
    """Notes when each of its passes began, for whoever asks when it ran; `pause` makes the first ones slow."""

    def __init__(self, log, pause=0.0, **more):
        super().__init__(**more)
        self.log, self.pause = log, pause

    def forward(self, x):
        if x.device.type != "meta":
            with open(self.log, "a") as file:
                print(time.time(), file=file)
            if self.passes == 0:
                time.sleep(self.pause)
        return super().forward(x)
'''


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment of a running cluster."""
    assert not slurm_cluster.missing(), f"not installed: {slurm_cluster.missing()}"
    with slurm_cluster.cluster(tmp_path_factory.mktemp("cluster")) as environment:
        yield environment


@pytest.fixture
def logging(participant):
    """Adds networks that log their passes; returns the function that adds one, and gives its log."""
    (participant / "logged.py").write_text(LOGGING)

    def add(name, **args):
        log = participant / f"{name}.log"
        network(participant, name, _target_="logged.Logging", args={"log": str(log), **args})
        return log

    return add


def test_each_network_is_a_job_and_the_lock_keeps_two_on_one_machine_apart(run_esr, participant, slurm, logging):
    logs = [logging("one"), logging("two")]
    network(participant, "broken", args={"fault": "raise"})
    run = multirun(run_esr, participant, "one.yaml,two.yaml,broken.yaml", *ON_SLURM, env=slurm)
    assert run.code == 1, run.err
    assert "3 networks: 2 measured, 1 failed" in run.out
    assert "broken: exception: ValueError: the weather was bad" in run.out
    found = by_network(run.records)
    assert set(found) == {"one", "two", "broken"}

    # Both jobs ran side by side, but no pass of one lies between passes of the other.
    jobs = [json.loads(found[name].read_text()) for name in ("one", "two")]
    assert max(job["started"] for job in jobs) < min(job["ended"] for job in jobs)
    spans = sorted((min(moments), max(moments)) for moments in ([float(line) for line in log.open()] for log in logs))
    assert spans[0][1] < spans[1][0]

    table = run_esr("rank", str(found["one"].parents[2]), cwd=participant)
    assert table.code == 0, table.err
    assert "one" in table.out

    before = times([found["one"], found["two"]])
    again = multirun(run_esr, participant, "one.yaml,two.yaml", *ON_SLURM, env=slurm)
    assert again.code == 0, again.err
    assert "2 skipped" in again.out
    assert times([file for file in again.records if "broken" not in str(file)]) == before


def test_a_cancelled_job_fails_alone_and_the_same_command_measures_it(run_esr, participant, slurm, logging):
    log = logging("slow", pause=120.0)

    def cancel():
        deadline = time.monotonic() + 120
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        jobs = squeue(slurm, "%i %t")
        running = [line.split()[0] for line in jobs if line.endswith(" R")]
        # The array's first job is the slow network's.
        subprocess.run(["scancel", sorted(running)[0]], env={**os.environ, **slurm}, check=True)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    run = multirun(run_esr, participant, "slow.yaml,tiny.yaml", *ON_SLURM, env=slurm)
    canceller.join()
    assert run.code == 1, run.err
    assert "1 measured, 1 failed" in run.out
    assert "failed: slow: the job ended without a result" in run.out
    assert set(by_network(run.records)) == {"tiny"}
    assert squeue(slurm, "%i") == []

    logging("slow")  # the same network, which no longer dawdles
    again = multirun(run_esr, participant, "slow.yaml,tiny.yaml", *ON_SLURM, env=slurm)
    assert again.code == 0, again.err
    assert "1 measured, 1 skipped" in again.out


def test_a_job_that_slurm_queues_again_measures_what_has_no_record(run_esr, participant, slurm, logging):
    log = logging("again", pause=5.0)

    def requeue():
        while not log.exists():
            time.sleep(0.2)
        (job,) = squeue(slurm, "%A")
        subprocess.run(["scontrol", "requeue", job], env={**os.environ, **slurm}, check=True)
        while squeue(slurm, "%t") != ["PD"]:
            time.sleep(0.2)
        now = ["scontrol", "update", f"JobId={job}", "StartTime=now"]  # instead of two minutes later
        subprocess.run(now, env={**os.environ, **slurm}, check=True)

    requeuer = threading.Thread(target=requeue, daemon=True)
    requeuer.start()
    run = multirun(run_esr, participant, "again.yaml", *ON_SLURM, env=slurm)
    assert run.code == 0, run.err
    assert "1 measured" in run.out
    assert len(run.records) == 1
    assert run.records[0].parent.name == "1"  # what the first attempt left behind was removed


def squeue(slurm: dict[str, str], form: str) -> list[str]:
    command = ["squeue", "--noheader", "--array", f"--format={form}"]
    done = subprocess.run(command, env={**os.environ, **slurm}, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]
