"""Tricks that take a process of their own: patched clocks and functions, settings, signals, pipes."""

import json
from pathlib import Path

import pytest
import torch
from helpers.cases import with_slow
from helpers.participants import SMALL

CHEATS = '''
import atexit, gc, os, queue, signal, sys, threading, time
import numpy as np
import torch
from torch import nn


class Honest(nn.Module):
    """A few milliseconds of work, so that skipping it pays."""

    passes = 0

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 48, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(48, 48, 3, padding=1) for _ in range(40))
        self.tail = nn.Sequential(nn.Conv2d(48, 48, 3, padding=1), nn.PixelShuffle(4))

    def compute(self, x):
        x = torch.relu(self.head(x))
        for layer in self.body:
            x = torch.relu(layer(x))
        return self.tail(x)

    def forward(self, x):
        self.passes += x.device.type != "meta"
        return self.compute(x)


class Promise(torch.Tensor):
    pass


class Promises(Honest):
    def forward(self, x):
        return self.compute(x).as_subclass(Promise)


class ClaimsLittle(Honest):
    def __init__(self):
        super().__init__()
        real, start = time.perf_counter_ns, time.perf_counter_ns()
        time.perf_counter_ns = lambda: start + (real() - start) // 10


class ClaimsTheImpossible(Honest):
    def __init__(self):
        super().__init__()
        real, start = time.perf_counter_ns, time.perf_counter_ns()
        time.perf_counter_ns = lambda: start + (real() - start) // 1000


class ComputesWhenAsked(Honest):
    """Has the worker's own functions replaced: nothing is computed before the positions are known."""

    def __init__(self):
        super().__init__()
        from esr.evaluation.worker import child
        from esr.networks import devices, inference
        from esr.timing.samples import Duration

        shape = inference.check_shape
        runs = []

        def timed(device, run):
            runs[:] = [run]
            return None, Duration(0.1, 0.1)

        def result(given, lr):
            return given if given is not None else shape(runs[0](), lr)

        devices.CpuDevice.timed = timed
        inference.check_shape = lambda given, lr: result(given, lr) if child_asks() else given
        inference.check_output = lambda given, lr: result(given, lr)

        def child_asks():
            import sys
            return sys._getframe(2).f_code.co_name == "_last"


class WorksOnBehindTheAnswer(Honest):
    """Says that it is done, and lets the sample wait for the thread that computes."""

    def __init__(self):
        super().__init__()
        from esr.networks import inference

        levels = inference.to_levels

        def late(*arguments):
            self.thread.join()
            return levels(*arguments)

        inference.to_levels = late

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if x.device.type == "meta" or self.passes < 5:
            self.thread = threading.Thread(target=int)
            self.thread.start()
            return self.compute(x)
        result = torch.zeros(*x.shape[:2], 4 * x.shape[2], 4 * x.shape[3])

        def finish():
            with torch.inference_mode():
                result.copy_(self.compute(x))

        self.thread = threading.Thread(target=finish)
        self.thread.start()
        return result


class ComputesWhenTraced(Honest):
    """Leaves the work to a profiler's hook, which runs once the harness asks for values."""

    def __init__(self):
        super().__init__()
        self.waiting = []

    def hook(self, frame, event, argument):
        if event == "call" and frame.f_code.co_name == "sample" and self.waiting:
            result, x = self.waiting.pop()
            result.copy_(self.compute(x))

    def forward(self, x):
        self.passes += x.device.type != "meta"
        sys.setprofile(self.hook)
        if x.device.type == "meta" or self.passes < 5:
            return self.compute(x)
        result = torch.zeros(*x.shape[:2], 4 * x.shape[2], 4 * x.shape[3])
        self.waiting[:] = [(result, x)]
        return result


class WaitsInNumPy(Honest):
    """A thread from the constructor computes; a patched function of NumPy waits for it when values are picked."""

    def __init__(self):
        super().__init__()
        self.jobs, self.done = queue.Queue(), threading.Event()
        self.done.set()
        threading.Thread(target=self.work, daemon=True).start()
        divide = np.divmod

        def late(*arguments):
            self.done.wait(20)
            return divide(*arguments)

        np.divmod = late

    def work(self):
        while True:
            result, x = self.jobs.get()
            with torch.inference_mode():
                result.copy_(self.compute(x))
            self.done.set()

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if x.device.type == "meta" or self.passes < 5:
            return self.compute(x)
        result = torch.zeros(*x.shape[:2], 4 * x.shape[2], 4 * x.shape[3])
        self.done.clear()
        self.jobs.put((result, x))
        return result


class SaysThatAllIsFinite(Honest):
    def __init__(self):
        super().__init__()
        torch.isfinite = lambda given: torch.ones_like(given, dtype=torch.bool)
        np.isfinite = lambda given: np.ones_like(given, dtype=bool)

    def forward(self, x):
        self.passes += x.device.type != "meta"
        return self.compute(x) * (float("nan") if self.passes > 8 else 1)


class ReadsTheRequestsItself(Honest):
    """A thread takes bytes out of the pipes from which the worker gets its orders."""

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            for name in os.listdir("/proc/self/fd"):
                try:
                    if "pipe" in os.readlink(f"/proc/self/fd/{name}"):
                        threading.Thread(target=os.read, args=(int(name), 100), daemon=True).start()
                except OSError:
                    pass
            time.sleep(0.2)
        return self.compute(x)


class NeverEnds(Honest):
    """Ignores the signals that end a process, and has endless work for its end."""

    def __init__(self):
        super().__init__()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        atexit.register(self.spin)
        threading.Thread(target=self.spin_later).start()
        gc.callbacks.append(lambda phase, info: self.passes)

    def spin(self):
        while True:
            time.sleep(0.01)

    def spin_later(self):
        threading.main_thread().join()
        self.spin()

class LeavesPython(Honest):
    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            raise SystemExit(0)
        return self.compute(x)


class TurnsSwitches(Honest):
    def forward(self, x):
        torch.backends.cudnn.benchmark = True
        return self.compute(x)


class FlushesDenormals(Honest):
    def forward(self, x):
        torch.set_flush_denormal(True)
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
    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 3:
            os.nice(1)  # less than nothing takes a right that tests need not have
        return self.compute(x)


class AnotherPolicyBesides(Honest):
    """Of a thread that the worker's own functions know nothing of."""

    def __init__(self):
        super().__init__()

        def wait():
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_BATCH, os.sched_param(0))
            threading.Event().wait()

        threading.Thread(target=wait, daemon=True).start()


class StopsTheClock(Honest):
    def __init__(self):
        super().__init__()
        time.perf_counter_ns = lambda: 0


class AnswersItself(Honest):
    """Writes what it takes for an answer into whatever pipe is open."""

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
    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes == 12:
            os.kill(os.getpid(), 40)
            time.sleep(60)
        return self.compute(x)


class TakesMoreMemoryLater(Honest):
    """Is modest in the first pass only, whose memory is measured."""

    def forward(self, x):
        self.passes += x.device.type != "meta"
        if self.passes > 1:
            torch.ones(25_000_000).sum()
        return self.compute(x)


class Wide(Honest):
    """Needs 28 MiB for each 16×24 pixels."""

    def forward(self, x):
        return self.compute(x) + 0 * self.head(x).repeat(1, 400, 1, 1).mean()


class WorksInWhatItHas(Wide):
    """Allocates its features when it is built, and writes to them in each pass."""

    def __init__(self):
        super().__init__()
        self.space = [torch.zeros(1, 19200, 24, 24)]

    def in_space(self, x):
        space = self.space[0][..., : x.shape[-2], : x.shape[-1]]
        space.copy_(self.head(x)[:, :1])
        return self.compute(x) + 0 * space.mean()

    def forward(self, x):
        return super().forward(x) if x.device.type == "meta" or max(x.shape[-2:]) > 24 else self.in_space(x)


class HasMemoryForTheFirstPass(WorksInWhatItHas):
    """Likewise in the first pass, whose memory is measured."""

    def forward(self, x):
        self.passes += x.device.type != "meta"
        return self.in_space(x) if self.passes == 1 else Wide.forward(self, x)


class ForgetsItsPeak(Honest):
    """Resets the kernel's mark of its own memory before a pass ends."""

    def forward(self, x):
        torch.ones(25_000_000).sum()
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            pass
        return self.compute(x)


class ReplacesTheWatch(Honest):
    """Computes in less than float32, and has another function say what a watched pass does."""

    def __init__(self):
        super().__init__()
        from esr.evaluation.worker import child

        real = child.inspect

        def inspect(network, lr, run, settings):
            output, found = real(network, lr, run, settings)
            return output, type(found)({}, {}, found.macs, 0, 0, True, found.ms, found.operators_ms)

        child.inspect = inspect

    def forward(self, x):
        if x.device.type == "meta":
            return self.compute(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.compute(x).float()


class SaysTooMuch(Honest):
    """Has a gigabyte follow its answers."""

    def __init__(self):
        super().__init__()
        from esr.evaluation.worker import child

        pack = child.pack

        def more(message, ticket, *words):
            line = pack(message, ticket, *words)
            if type(message).__name__ != "PassAnswer":
                return line
            return line.replace(b'"bytes":0', b'"bytes":1000000000', 1)

        child.pack = more


class ShowsABetterImage(Honest):
    """Answers with another image than the one that it was timed for."""

    def __init__(self):
        super().__init__()
        from esr.networks import inference

        image = inference.to_image
        inference.to_image = lambda sr, data_range: image(sr, data_range) ^ np.uint8(2)


class ShowsABetterImageBetween(Honest):
    """Does so except at the places that it was asked for on the clock."""

    def __init__(self):
        super().__init__()
        from esr.networks import inference

        self.places = np.zeros(0, np.int64)
        image, levels = inference.to_image, inference.to_levels

        def noting(sr, data_range, positions):
            self.places = positions
            return levels(sr, data_range, positions)

        def better(sr, data_range):
            shown = image(sr, data_range)
            other = shown ^ np.uint8(2)
            other.reshape(-1)[self.places] = shown.reshape(-1)[self.places]
            return other

        inference.to_levels, inference.to_image = noting, better


class ShowsABetterImageThroughout(ShowsABetterImageBetween):
    """And says, after it has shown it, that this is what it computed."""

    def __init__(self):
        super().__init__()
        from esr.networks import inference

        levels, better, shown = inference.to_levels, inference.to_image, []

        def show(sr, data_range):
            shown[:] = [better(sr, data_range)]
            return shown[0]

        def say(sr, data_range, positions):
            if shown and sys._getframe(1).f_code.co_name == "sample" and shown[0].size == sr.numel():
                return shown.pop().reshape(-1)[positions].astype(np.float32)
            return levels(sr, data_range, positions)

        inference.to_image, inference.to_levels = show, say
'''


@pytest.fixture
def measured(run_esr, participant):
    """Measures two networks of `cheats.py`, the second as the baseline; the record."""
    (participant / "cheats.py").write_text(CHEATS)

    def measure(name, beside="Honest", *words):
        for file, one in (("cheat", name), ("tiny", beside)):
            (participant / f"{file}.yaml").write_text(f"_target_: cheats.{one}\n")
        overrides = ["model=cheat.yaml", *SMALL[1:], "timing.rounds=6", "device.threads=1", *words]
        run = run_esr(*overrides, cwd=participant)
        assert "Traceback" not in run.err
        return json.loads(run.records[0].read_text())

    return measure


def reasons(record, role="candidate"):
    found = {r["reason"]: r["detail"] for r in record["verdict"]["reasons"] if r["role"] == role}
    found.pop("warmup_cap", None)  # a busy machine's doing
    return found


def test_an_honest_network_is_not_suspected_even_beside_one_that_never_ends_and_gains_nothing(measured):
    record = measured("NeverEnds")
    assert record["networks"]["candidate"]["failure"] is None
    assert reasons(record) == {}
    assert reasons(record, "baseline") == {}
    assert record["timing"]["ratio_parent"] > 0
    pid = record["networks"]["candidate"]["worker"]["pid"]
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "names",
    [
        ("ClaimsLittle", "Honest"),
        pytest.param(("ComputesWhenAsked", "WorksOnBehindTheAnswer"), marks=pytest.mark.slow),
        pytest.param(("ComputesWhenTraced", "WaitsInNumPy"), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_a_worker_that_claims_less_time_than_passed_is_named_with_both_times(measured, names):
    record = measured(*names)
    for role, name in zip(("candidate", "baseline"), names, strict=True):
        assert record["networks"][role]["failure"] is None
        if name == "Honest":
            assert reasons(record, role) == {}
        else:
            assert "as claimed" in reasons(record, role)["time_unaccounted"]


@pytest.mark.slow
def test_a_claim_that_the_device_cannot_keep_is_named_whatever_the_other_clock_says(measured):
    found = reasons(measured("ClaimsTheImpossible"))
    assert "its multiplications alone take" in found["time_impossible"]


@pytest.mark.slow
def test_a_promise_instead_of_a_tensor_is_refused(measured):
    failure = measured("Promises")["networks"]["candidate"]["failure"]
    assert failure["kind"] == "bad_output"
    assert "Promise" in failure["message"]


LOWERS = hasattr(getattr(torch.backends.mkldnn, "conv", None), "fp32_precision")
"""This torch has a setting to multiply float32 in less."""
CHANGES = {
    "TurnsSwitches": "benchmark=true",
    "FlushesDenormals": "flush_denormal=true",
    "MoreThreads": "threads=4",
    "AnotherPriority": "priority=",
    "AnotherPolicyBesides": "policy=batch",
    "LowersFloat32": "fp32_precision=mkldnn.conv=bf16",
    "Honest": "",
}


@pytest.mark.parametrize(
    "names",
    [
        ("TurnsSwitches", "FlushesDenormals"),
        pytest.param(("MoreThreads", "AnotherPriority"), marks=pytest.mark.slow),
        pytest.param(("AnotherPolicyBesides", "LowersFloat32" if LOWERS else "Honest"), marks=pytest.mark.slow),
    ],
    ids="+".join,
)
def test_settings_that_a_network_changes_are_named_as_its_own(measured, names):
    record = measured(*names, "sandbox=off")  # which would refuse some of them
    for role, name, other in zip(("candidate", "baseline"), names, reversed(names), strict=True):
        found = reasons(record, role).get("switches_changed", "")
        assert CHANGES[name] in found
        assert bool(found) == (name != "Honest")
        assert not CHANGES[other] or CHANGES[other] not in found


@pytest.mark.parametrize(
    ("name", "message"),
    with_slow(
        [
            ("StopsTheClock", "answer is not readable"),
            ("AnswersItself", "answers no request of ours"),
            ("DiesByAnUnnamedSignal", "ended by signal 40"),
            ("LeavesPython", "SystemExit: 0"),
            ("SaysThatAllIsFinite", "output holds values that are NaN or infinite"),
            ("ReadsTheRequestsItself", ""),
            ("SaysTooMuch", "1000000000 bytes where 0 belong"),
            ("ShowsABetterImage", "the image is not the output of its pass: up to 2"),
            ("ShowsABetterImageBetween", "the image is not the output of its pass: up to 2"),
        ],
        {"SaysTooMuch", "ShowsABetterImageBetween", "LeavesPython", "DiesByAnUnnamedSignal"},
    ),
)
def test_what_tampers_with_the_worker_is_a_failure_and_the_other_network_is_measured(measured, name, message):
    record = measured(name)
    assert record["verdict"]["status"] == "failed"
    assert message in record["networks"]["candidate"]["failure"]["message"]
    assert record["networks"]["baseline"]["failure"] is None
    assert record["networks"]["baseline"]["timing"]["complete_rounds"] == 6


@pytest.mark.slow
def test_memory_that_only_later_passes_or_none_but_the_first_take_from_what_is_there_is_named(measured):
    record = measured("TakesMoreMemoryLater", "HasMemoryForTheFirstPass")
    assert "MiB in a later pass" in reasons(record)["memory_uncounted"]
    detail = reasons(record, "baseline")["memory_uncounted"]
    assert "MiB in the first pass, whose own tensors need" in detail


@pytest.mark.slow
def test_memory_that_a_pass_works_in_and_did_not_allocate_is_named_and_much_memory_is_not(measured):
    record = measured("WorksInWhatItHas", "Wide")
    assert "MiB that a pass works in and did not allocate" in reasons(record)["memory_uncounted"]
    assert record["networks"]["baseline"]["memory"]["memory_mib"] > 28
    assert "memory_uncounted" not in reasons(record, "baseline")


@pytest.mark.parametrize("sandbox", with_slow(["auto", "off"], {"off"}))
def test_a_worker_that_resets_the_mark_of_its_memory_hides_none(measured, sandbox):
    record = measured("ForgetsItsPeak", "Honest", f"sandbox={sandbox}")
    memory = record["networks"]["candidate"]["memory"]
    if "could not be reset" in memory["method"]:
        pytest.skip("the kernel does not let the mark be reset here")
    assert memory["memory_mib"] > 80
    assert "memory_uncounted" not in reasons(record)


@pytest.mark.slow
def test_values_that_are_said_only_after_an_image_was_shown_differ_from_a_repetition(measured):
    assert {"outputs_differ", "harness_replaced"} <= reasons(measured("ShowsABetterImageThroughout")).keys()


def test_a_network_that_replaces_what_watches_it_is_named(measured):
    record = measured("ReplacesTheWatch")
    assert "esr.evaluation.worker.child.inspect" in reasons(record)["harness_replaced"]
    assert reasons(record, "baseline") == {}
