"""Networks that only look fast: every trick that is known must show in the verdict."""

import json

import pytest
import torch
from helpers.participants import SMALL

CHEATS = '''
import os, threading, time
import torch
from torch import nn


class Honest(nn.Module):
    """A few milliseconds of work, so that skipping it pays."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4))

    def compute(self, x):
        if x.device.type != "meta":
            time.sleep(0.004)
        return self.upsampler(torch.relu(self.features(x)))

    def forward(self, x):
        return self.compute(x)


class RemembersPixels(Honest):
    def forward(self, x):
        if x.device.type == "meta":
            return self.compute(x)
        self.seen = getattr(self, "seen", {})
        key = bytes(x.numpy().tobytes())
        if key not in self.seen:
            self.seen[key] = self.compute(x)
        return self.seen[key].clone()


class RemembersShapes(Honest):
    def forward(self, x):
        if x.device.type == "meta":
            return self.compute(x)
        self.seen = getattr(self, "seen", {})
        if x.shape not in self.seen:
            self.seen[x.shape] = self.compute(x)
        return self.seen[x.shape].clone()


class WorksBehindTheClock(Honest):
    passes = 0

    def forward(self, x):
        self.passes += 1
        if x.device.type == "meta" or self.passes < 8:  # so that its quality is as good as anybody's
            return self.compute(x)
        result = torch.zeros(*x.shape[:2], 4 * x.shape[2], 4 * x.shape[3])

        def finish():
            time.sleep(0.05)
            with torch.inference_mode():
                result.copy_(self.compute(x))

        threading.Thread(target=finish).start()
        return result


class Promise(torch.Tensor):
    pass


class Promises(Honest):
    def forward(self, x):
        return self.compute(x).as_subclass(Promise)


class SlowsTheClock(Honest):
    def __init__(self):
        super().__init__()
        real, start = time.perf_counter_ns, time.perf_counter_ns()
        time.perf_counter_ns = lambda: start + (real() - start) // 10

    def compute(self, x):
        if x.device.type != "meta":
            time.sleep(0.03)
        return super().compute(x)


class Halves(Honest):
    def forward(self, x):
        with torch.autocast(x.device.type if x.device.type != "meta" else "cpu", dtype=torch.bfloat16):
            return self.compute(x).float()


class HalvesLater(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes > 12:
            return self.compute(x).to(torch.float16).float()
        return self.compute(x)


class HalvesInBetween(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if 20 < self.passes < 90:  # after the first look, and before the last one
            return self.compute(x).to(torch.float16).float()
        return self.compute(x)


class LeavesPython(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            raise SystemExit(0)
        return self.compute(x)


class TurnsSwitches(Honest):
    def forward(self, x):
        torch.backends.cudnn.benchmark = True
        return self.compute(x)


class MoreThreads(Honest):
    def forward(self, x):
        threads = torch.get_num_threads()
        torch.set_num_threads(threads + 3)
        result = self.compute(x)
        torch.set_num_threads(threads)
        return result


class LowersFloat32(Honest):
    def forward(self, x):
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
        return self.compute(x)


class AnotherPriority(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 3:
            os.nice(1)  # less than nothing takes a right that tests need not have
        return self.compute(x)


class SkipsEverySecond(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes < 8 or self.passes % 2:
            return self.compute(x)
        return torch.zeros(*x.shape[:2], 4 * x.shape[2], 4 * x.shape[3])


class StopsTheClock(Honest):
    def __init__(self):
        super().__init__()
        time.perf_counter_ns = lambda: 0


class AnswersItself(Honest):
    """Writes what it takes for an answer into whatever pipe is open."""

    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            for name in os.listdir("/proc/self/fd"):
                try:
                    if "pipe" in os.readlink(f"/proc/self/fd/{name}"):
                        os.write(int(name), b'{"ticket": "", "bytes": 0, "message": {"answer": "done"}}\\n')
                except OSError:
                    pass
        return self.compute(x)


class DiesByAnUnnamedSignal(Honest):
    passes = 0

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            os.kill(os.getpid(), 40)
            time.sleep(60)
        return self.compute(x)


class WarmsUpEarly(Honest):
    def __init__(self):
        super().__init__()
        for _ in range(20):
            self.compute(torch.zeros(1, 3, 16, 16))
'''


@pytest.fixture
def measured(run_esr, participant):
    """Measures a network of `cheats.py` beside the honest one; its record."""
    (participant / "cheats.py").write_text(CHEATS)
    (participant / "tiny.yaml").write_text("_target_: cheats.Honest\n")

    def measure(name, *words):
        (participant / "cheat.yaml").write_text(f"_target_: cheats.{name}\n")
        overrides = ["model=cheat.yaml", *SMALL[1:], "timing.rounds=8", *words]
        run = run_esr(*overrides, cwd=participant)
        assert "Traceback" not in run.err
        return json.loads(run.records[0].read_text())

    return measure


def reasons(record, role="candidate"):
    found = {r["reason"]: r["detail"] for r in record["verdict"]["reasons"] if r["role"] == role}
    found.pop("warmup_cap", None)  # a busy machine's doing
    return found


def test_an_honest_network_is_not_suspected(measured):
    record = measured("Honest")
    assert reasons(record) == {}
    assert reasons(record, "baseline") == {}
    check = record["networks"]["candidate"]["output_check"]
    assert check["compared"] >= 6
    assert (check["differing"], check["stale"]) == (0, 0)


def test_about_half_of_the_timed_inputs_are_new(measured):
    samples = measured("Honest", "timing.rounds=20")["networks"]["candidate"]["timing"]["samples"]
    assert 0.3 < sum(samples["altered"]) / len(samples["altered"]) < 0.7


def test_a_network_that_remembers_inputs_is_faster_on_those_it_has_seen(measured):
    assert "of the time of new ones" in reasons(measured("RemembersPixels"))["remembers_inputs"]


def test_a_network_that_answers_from_memory_gives_an_earlier_images_output(measured):
    record = measured("RemembersShapes", "timing.rounds=20")
    assert "earlier image's output" in reasons(record)["outputs_differ"]
    assert record["networks"]["candidate"]["output_check"]["stale"] > 0


def test_a_network_that_works_on_behind_the_clock_is_caught_with_an_unfinished_output(measured):
    assert "outputs_differ" in reasons(measured("WorksBehindTheClock"))


def test_a_promise_instead_of_a_tensor_is_refused(measured):
    failure = measured("Promises")["networks"]["candidate"]["failure"]
    assert failure["kind"] == "bad_output"
    assert "Promise" in failure["message"]


def test_a_worker_that_claims_less_time_than_passed_is_marked(measured):
    assert "ms elapsed" in reasons(measured("SlowsTheClock"))["time_unaccounted"]


@pytest.mark.parametrize(("name", "dtype"), [("Halves", "bfloat16"), ("HalvesLater", "float16")])
def test_another_precision_is_named_also_when_it_comes_late(measured, name, dtype):
    record = measured(name)
    assert dtype in reasons(record)["precision_changed"]
    assert record["networks"]["candidate"]["precisions"][dtype]
    assert record["networks"]["baseline"]["precisions"] == {}


def test_switches_that_a_network_turns_are_named(measured):
    assert reasons(measured("TurnsSwitches"))["switches_changed"] == "benchmark=true"


@pytest.mark.parametrize(("name", "changed"), [("MoreThreads", "threads=4"), ("AnotherPriority", "priority=")])
def test_threads_and_priority_that_a_network_takes_are_named(measured, name, changed):
    record = measured(name, "device.threads=1")
    assert reasons(record)["switches_changed"].startswith(changed)
    assert reasons(record, "baseline") == {}


@pytest.mark.skipif(
    not hasattr(getattr(torch.backends.mkldnn, "conv", None), "fp32_precision"),
    reason="this torch computes float32 as such",
)
def test_float32_that_is_multiplied_in_less_is_named(measured):
    assert reasons(measured("LowersFloat32"))["switches_changed"] == "fp32_precision=mkldnn.conv=bf16"


def test_a_network_that_skips_passes_gives_other_outputs(measured):
    assert "checked passes" in reasons(measured("SkipsEverySecond", "timing.rounds=20"))["outputs_differ"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("StopsTheClock", "answer is not readable"),
        ("AnswersItself", "answers no request of ours"),
        ("DiesByAnUnnamedSignal", "ended by signal 40"),
        ("LeavesPython", "SystemExit: 0"),
    ],
)
def test_what_tampers_with_the_worker_is_a_failure_and_the_other_network_is_measured(measured, name, message):
    record = measured(name)
    assert record["verdict"]["status"] == "failed"
    assert message in record["networks"]["candidate"]["failure"]["message"]
    assert record["networks"]["baseline"]["failure"] is None
    assert record["networks"]["baseline"]["timing"]["complete_rounds"] == 8


def test_warming_up_in_the_constructor_gains_nothing(measured):
    record = measured("WarmsUpEarly")
    passes = [[len(entry["ms"]) for entry in network["timing"]["warmup"]] for network in record["networks"].values()]
    assert passes[0] == passes[1]
    assert min(passes[0]) >= 2
