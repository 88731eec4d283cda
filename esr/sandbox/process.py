"""The parent's handle on a contained process: starts it, verifies its layers from outside, seals and ends it."""

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from typing import IO, TypeVar

import msgspec
import psutil

from esr.errors import SandboxError
from esr.sandbox import group, kernel, policy
from esr.sandbox.layers import Leader, Locked, Mode, Order, Report, SandboxLayer, Sealed, Started
from esr.sandbox.pipe import PipeReader
from esr.sandbox.supervisor import SEAL, remove

ReportT = TypeVar("ReportT", Leader, Started, Locked, Sealed)

_BOOT = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); import json; order = sys.stdin.read(); "
    "sys.path[:] = json.loads(order)['path']; from esr.sandbox import launch; "
    "alive, status, read, write = map(int, sys.argv[1:]); "
    "lock = launch.start(order, alive, status, (read, write)); "
)
_START_S = 300.0
"""As long as a worker may take to import torch from a cold disk."""
_ANSWER_S = 5.0
_PAUSE_S = 0.01
_STOP_S, _STOP_POLL_S = 10.0, 0.0005
_STILL = "TtZXx"
"""States in proc(5): stopped, traced, or ended."""
_NAMESPACES: dict[SandboxLayer, str] = {
    "user namespace": "user",
    "PID namespace": "pid",
    "mount namespace": "mnt",
    "network namespace": "net",
    "IPC namespace": "ipc",
}
_BEFORE_SEALING: tuple[tuple[SandboxLayer, ...], ...] = (
    ("no new privileges",),
    ("seccomp",),
    ("Landlock", "mount namespace"),
)
_ESSENTIAL: tuple[tuple[SandboxLayer, ...], ...] = (*_BEFORE_SEALING, ("sealed",))
"""One layer of each must hold for `sandbox=require`; together they keep a network from files, processes and sockets."""


@dataclass(frozen=True)
class Wishes:
    """A sandbox as it is asked for."""

    mode: Mode = "auto"
    code: Sequence[Path] = ()
    """Folders of the network's own code."""
    hidden: Sequence[Path] = ()
    """Images, records and results."""


@dataclass
class Held:
    """Layers of a sandbox as far as they are known."""

    layers: list[SandboxLayer] = field(default_factory=list)
    missing: dict[SandboxLayer, str] = field(default_factory=dict)
    landlock_abi: int = 0

    def essential_fault(self, *, sealed: bool) -> str | None:
        """The layers of which one should hold and none does; `None` if all is well.

        Args:
            sealed: The sandbox should be sealed by now.
        """
        for choices in _ESSENTIAL if sealed else _BEFORE_SEALING:
            if not set(choices) & set(self.layers):
                return "; ".join([f"{layer}: {self.missing.get(layer, 'not in force')}" for layer in choices])
        return None


class ContainedProcess:
    """A process that runs a program of ours, and later a stranger's code, with all that it starts.

    Args:
        program: Python code; it finds the descriptors `read` and `write`, and `lock()`, to be called before a
            stranger's code exists. The other ends of its pipes are this object's `write` and `read`.
        output: Receives its standard output and error.
        wishes: Its sandbox.
    """

    def __init__(self, program: str, output: IO[bytes], wishes: Wishes) -> None:
        self.wishes = wishes
        self.state = Held()
        self._place = Path(tempfile.mkdtemp(prefix="esr-")).resolve()
        scratch, canary = self._place / "scratch", self._place / "canary"
        scratch.mkdir()
        canary.touch()
        self._group = self._make_group()
        chosen = None if wishes.mode == "off" else policy.make(scratch, canary, wishes.code, wishes.hidden)
        order = Order(tuple(sys.path), chosen, str(self._place), None if self._group is None else str(self._group))
        (alive, self._alive), (read, self.write) = os.pipe(), os.pipe()
        (status, their_status), (self.read, write) = os.pipe(), os.pipe()
        self._ours = {self._alive, self.write, status, self.read}
        """Descriptors that are still open."""
        self._reports, self._early = PipeReader(status), list[Report]()
        self._leader: int | None = None
        self._pid: int | None = None
        ends = (alive, their_status, read, write)
        try:
            with tempfile.TemporaryFile() as stdin:
                stdin.write(msgspec.json.encode(order))
                stdin.seek(0)
                # In a session of its own: Ctrl-C is the parent's to handle.
                self._supervisor = Popen(
                    [sys.executable, "-c", _BOOT + program, *map(str, ends)],
                    stdin=stdin,
                    stdout=output,
                    stderr=STDOUT,
                    pass_fds=ends,
                    start_new_session=True,
                    env=None if chosen is None else policy.environment(scratch),
                )
        finally:
            for end in ends:
                os.close(end)

    def _make_group(self) -> Path | None:
        if self.wishes.mode == "off":
            return None
        try:
            return group.create()
        except (OSError, StopIteration) as error:
            self.state.missing["control group"] = getattr(error, "strerror", None) or str(error) or "no cgroup v2"
            return None

    def wait_until_started(self) -> None:
        """Waits until the worker is in its sandbox; a worker that dies first is left to who asks it."""
        if self._leader is not None:
            return
        leader, started = self._next(Leader, _START_S), self._next(Started, _START_S)
        if leader is None or started is None:
            return
        self._leader = leader.pid
        self.state = Held(list(started.layers), self.state.missing | started.missing, started.landlock_abi)
        self._pid = leader.pid if "PID namespace" not in started.layers else _only_child(leader.pid)
        self._verify()

    def confirm_lock(self) -> None:
        """Verifies the filter of system calls, once the worker says that it has loaded a network."""
        if self.wishes.mode == "off":
            return
        self.wait_until_started()
        locked = self._next(Locked, _ANSWER_S)
        fault = "no filter was installed" if locked is None else locked.fault
        if fault is None and _status(self._pid).get("Seccomp") == "2":
            self.state.layers.append("seccomp")
        else:
            self.state.missing["seccomp"] = fault or "not in force"
            self.state.missing["sealed"] = "needs seccomp"

    def seal(self) -> None:
        """Lets the worker start no more processes, and ends those that it has started."""
        if "seccomp" not in self.state.layers or "sealed" in self.state.layers:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._alive, SEAL)
        if self._next(Sealed, _ANSWER_S) is None:
            self.state.missing["sealed"] = "no answer"
            return
        deadline = time.monotonic() + _ANSWER_S
        while strays := self.strays():
            if time.monotonic() > deadline:
                self.state.missing["sealed"] = "processes that do not end"
                return
            for stray in strays:
                with contextlib.suppress(psutil.Error):
                    stray.kill()
            time.sleep(_PAUSE_S)  # psutil would wait for those that have ended, too, until their parent takes note
        self.state.layers.append("sealed")

    def judge(self, *, sealed: bool) -> None:
        """Says once that something essential is missing.

        Raises:
            SandboxError: Something is, and `require` was asked for.
        """
        fault = self.state.essential_fault(sealed=sealed)
        if fault is None or self.wishes.mode == "off":
            return
        if self.wishes.mode == "require":
            raise SandboxError(
                f"sandbox=require: a network's code cannot be contained here ({fault}); esr doctor explains, "
                "sandbox=auto runs it all the same"
            )
        tell_once(f"networks are not fully contained here ({fault}): esr doctor explains, sandbox=require refuses")

    def strays(self) -> list[psutil.Process]:
        """Processes that the worker has started."""
        known = {self._leader, self._pid}
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self._supervisor.pid).children(recursive=True)
            return [one for one in found if one.pid not in known and one.status() != psutil.STATUS_ZOMBIE]
        return []

    def _verify(self) -> None:
        """Drops each layer that the kernel does not confirm."""
        ours, theirs = _status("self"), _status(self._pid)
        kept = int(theirs.get("CapEff", "-1"), 16)
        confirmed: dict[SandboxLayer, bool] = {
            **{layer: self._is_apart(name) for layer, name in _NAMESPACES.items()},
            "no new privileges": theirs.get("NoNewPrivs") == "1",
            "capabilities dropped": not kept & ~(1 << kernel.CAP_DAC_READ_SEARCH),
        }
        confirmed["PID namespace"] &= len(theirs.get("NSpid", "").split()) > len(ours.get("NSpid", "").split())
        refuted = [layer for layer in self.state.layers if not confirmed.get(layer, True)]
        self.state.layers = [layer for layer in self.state.layers if layer not in refuted]
        self.state.missing |= dict.fromkeys(refuted, "not confirmed by the kernel")

    def _is_apart(self, namespace: str) -> bool:
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self._pid}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}")
        return False

    def _next(self, kind: type[ReportT], seconds: float) -> ReportT | None:
        """The next report of a kind; `None` if none comes."""
        deadline = time.monotonic() + seconds
        if found := next((one for one in self._early if isinstance(one, kind)), None):
            self._early.remove(found)
            return found
        try:
            while not isinstance(report := msgspec.json.decode(self._reports.line(deadline), type=Report), kind):
                self._early.append(report)
        except (TimeoutError, EOFError):
            return None
        return report

    @property
    def pid(self) -> int:
        """The worker's process id, as this process sees it."""
        self.wait_until_started()
        return self._pid or self._supervisor.pid

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to all processes of the worker, but not to its supervisor."""
        if self._alive in self._ours:
            self.wait_until_started()
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader, number)

    def stop(self) -> bool:
        """Stops the worker, and waits until its threads stand still: what they do in the kernel goes on at first.

        Returns:
            False if one of them does not stop in time.
        """
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_S
        while not all(map(_stands_still, Path(f"/proc/{self._pid}/task").glob("*/stat"))):
            if time.monotonic() > deadline:
                return False
            time.sleep(_STOP_POLL_S)
        return True

    def wait(self, seconds: float) -> int:
        """The worker's exit code, negative for a signal.

        Raises:
            TimeoutExpired: It runs.
        """
        return self._supervisor.wait(seconds)

    def hang_up(self) -> None:
        """Closes the program's pipes."""
        self._close(self.read, self.write)

    def _close(self, *ends: int) -> None:
        for end in self._ours.intersection(ends):
            self._ours.remove(end)
            os.close(end)

    def kill(self) -> None:
        """Kills the worker and all that it has started, and waits until they are gone."""
        self._close(self._alive)
        try:
            self._supervisor.wait(_ANSWER_S)
        except TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        if self._group is not None:
            group.kill(self._group)
            self._group = None

    def close(self) -> None:
        """Kills what is left, and removes its folder."""
        self.kill()
        self._close(*self._ours)
        remove(str(self._place))


def probe() -> Held:
    """The layers that this machine allows, found out by a process that does nothing."""
    program = "import os; lock(); os.write(write, b'1'); os.read(read, 1)"
    with tempfile.TemporaryFile() as output, closing(ContainedProcess(program, output, Wishes())) as contained:
        os.read(contained.read, 1)  # ends without a byte where it has died
        contained.confirm_lock()
        contained.seal()
        return contained.state


def stat_fields(stat: Path) -> list[str]:
    """Fields of proc(5)'s stat file after the command's name, which may hold anything; raises `OSError` without one."""
    return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _stands_still(stat: Path) -> bool:
    try:
        return stat_fields(stat)[0] in _STILL
    except (OSError, IndexError):  # it has ended
        return True


@cache
def tell_once(line: str) -> None:
    """Prints a line to standard error, the first time only."""
    print(line, file=sys.stderr)


def _status(pid: int | str | None) -> dict[str, str]:
    """Fields of proc(5)'s status file; empty for a process that has ended."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}
    return {}


def _only_child(pid: int) -> int | None:
    with contextlib.suppress(psutil.Error):
        return next((child.pid for child in psutil.Process(pid).children()), None)
    return None
