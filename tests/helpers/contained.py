"""A program that tries to leave a sandbox, and a report of what became of each attempt.

`python contained.py PLAN` runs as whichever user starts it, and prints an `Outcome`; both are JSON.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import psutil

from esr.sandbox import process
from esr.sandbox.process import ContainedProcess, Wishes

ATTEMPTS = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, struct, subprocess, sys, threading, time

facts = json.load(open(os.environ["FACTS"]))
parent, sibling, hidden, code = facts["parent"], facts["sibling"], facts["hidden"], facts["code"]
libc = ctypes.CDLL(None, use_errno=True)

def call(*words):
    if libc.syscall(*(ctypes.c_long(word) for word in words)) < 0:
        raise OSError(ctypes.get_errno(), "")

def write(path):
    existed = os.path.exists(path)
    open(path, "a").close()  # a sandbox that fails is to do no harm
    if not existed:
        os.unlink(path)

def thread():
    found = []
    one = threading.Thread(target=lambda: found.append(1))
    one.start()
    one.join()
    assert found == [1]

def connect(address):
    socket.socket(socket.AF_UNIX).connect(address)

def leave_group():
    before = os.getpgid(0), os.getsid(0)
    os.setsid()
    os.setpgid(0, 0)
    if (os.getpgid(0), os.getsid(0)) != before:
        raise RuntimeError("left the group")

def spare_me():
    with open("/proc/self/oom_score_adj") as file:
        before = file.read()
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("-1000")
    except OSError:
        pass
    with open("/proc/self/oom_score_adj") as file:
        if before.strip() != "1000" or file.read() != before:
            raise RuntimeError("others would be ended first")

def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")

def owner(request, *words):
    one, other = socket.socketpair()
    with one, other:
        if request == 0x8901:
            fcntl.ioctl(one, request, struct.pack("i", sibling))
        else:
            fcntl.fcntl(one, request, *words)

def order_is_told():
    for file in ("/proc/self/cmdline", "/proc/self/environ", "/proc/self/fd/0"):
        with open(file, "rb") as source:
            if hidden.encode() in source.read():
                raise RuntimeError(file)

ALWAYS = {
    "stop the parent": lambda: os.kill(parent, signal.SIGSTOP),
    "stop the sibling": lambda: os.kill(sibling, signal.SIGSTOP),
    "stop the sibling's group": lambda: os.killpg(sibling, signal.SIGSTOP),
    "signal everybody": lambda: os.kill(-1, signal.SIGCONT),
    "stop a thread of the sibling": lambda: call(234, sibling, sibling, 19),
    "signal through a descriptor": lambda: os.pidfd_open(os.getpid()),
    "have the kernel signal the sibling": lambda: owner(8, sibling),
    "have the kernel signal its group": lambda: owner(8, -sibling),
    "choose what the kernel signals": lambda: owner(10, signal.SIGSTOP),
    "have the kernel signal the sibling, by a structure": lambda: owner(15, struct.pack("ii", 1, sibling)),
    "have the kernel signal the sibling, by a socket": lambda: owner(0x8901),
    "have others wait for a file": lambda: owner(1024, fcntl.F_RDLCK),
    "hide its figures": lambda: call(157, 4, 0, 0, 0, 0),
    "forget its peak of memory": forget_peak,
    "bind the sibling to one processor": lambda: os.sched_setaffinity(sibling, {0}),
    "slow the sibling down": lambda: os.setpriority(os.PRIO_PROCESS, sibling, 19),
    "limit the sibling": lambda: resource.prlimit(sibling, resource.RLIMIT_CPU, (1, 1)),
    "edit the package": lambda: write(facts["package"]),
    "edit the models": lambda: write(facts["models"]),
    "plant a module beside the parent": lambda: write(os.path.join(facts["cwd"], "jsonschema.py")),
    "plant a module in site-packages": lambda: write(os.path.join(os.path.dirname(facts["msgspec"]), "planted.py")),
    "edit its own code": lambda: write(os.path.join(code, "network.py")),
    "read an HR image": lambda: open(os.path.join(hidden, "hr.png"), "rb").read(),
    "write a record": lambda: write(os.path.join(hidden, "record.json")),
    "read a home": lambda: open(facts["private"]).read(),
    "real-time scheduling": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "round-robin scheduling": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
    "a scheduling policy through memory": lambda: call(314, 0, 0, 0),
    "a higher priority": lambda: os.nice(-5),
    "a real-time limit": lambda: resource.setrlimit(resource.RLIMIT_RTPRIO, (1, 1)),
    "an internet socket": lambda: socket.socket(),
    "a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "an abstract socket": lambda: connect("\\0esr"),
    "read the parent's memory": lambda: open(f"/proc/{parent}/mem", "rb").read(1),
    "read the parent's environment": lambda: open(f"/proc/{parent}/environ", "rb").read(),
    "trace the parent": lambda: call(101, 16, parent, 0, 0),
    "read the parent's memory by a call": lambda: call(310, parent, 0, 0, 0, 0, 0),
    "a namespace": lambda: call(272, 0x10000000),
    "another's namespace": lambda: call(308, 0, 0),
    "a mount": lambda: call(165, 0, 0, 0, 0, 0),
    "an io_uring": lambda: call(425, 8, 0),
    "page faults of its own": lambda: call(323, 0),
    "a BPF program": lambda: call(321, 0, 0, 0),
    "performance counters": lambda: call(298, 0, 0, -1, -1, 0),
    "System V memory": lambda: call(29, 0, 4096, 0o1666),
    "a message queue": lambda: call(240, 0, 0, 0, 0),
    "a filter of its own": lambda: call(317, 1, 0, 0),
    "outlive its parent": lambda: call(157, 1, 0, 0, 0, 0),
    "a process by clone3": lambda: call(435, 0, 0),
    "a call of the x32 kind": lambda: call(0x40000000 + 39),
    "leave the group": leave_group,
    "have others ended where memory runs out": spare_me,
    "find out what is hidden": order_is_told,
    "signal itself": lambda: os.kill(os.getpid(), 0),
    "bind a thread of its own": lambda: os.sched_setaffinity(threading.get_native_id(), os.sched_getaffinity(0)),
    "start a thread": thread,
    "write to scratch": lambda: write(os.path.join(os.environ["HOME"], "planted.py")),
    "read its own code": lambda: open(os.path.join(code, "network.py")).read(),
    "read about itself": lambda: open("/proc/self/status").read(),
}
STARTS = {
    "fork": lambda: os.fork() or os._exit(0),
    "run a program": lambda: subprocess.run(["true"], check=True),
    "replace itself": lambda: os.execv("/nonexistent", ["x"]),
    "start one in another session": lambda: subprocess.Popen(["sleep", "600"], start_new_session=True),
}

def attempt(one):
    try:
        one()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except BaseException as error:
        return repr(error)
    return "done"

def main():
    lock()
    results = {name: attempt(one) for name, one in (ALWAYS | STARTS).items()}
    os.write(write_end, json.dumps(results).encode() + b"\\n")
    os.read(read, 1)
    results = {name: attempt(one) for name, one in STARTS.items()}
    results["start a thread"] = attempt(thread)
    os.write(write_end, json.dumps(results).encode() + b"\\n")
    os.read(read, 1)

"""
"""Attempts: those that are judged once, and starts of processes, made before and after sealing."""


ALLOWED = {
    "leave the group",
    "have others ended where memory runs out",
    "find out what is hidden",
    "signal itself",
    "bind a thread of its own",
    "start a thread",
    "write to scratch",
    "read its own code",
    "read about itself",
}
"""Attempts that are to succeed; the first three judge by themselves."""
BEFORE_SEALING = {"fork", "run a program", "start one in another session"}
"""A compiler needs them."""


class Plan(msgspec.Struct):
    """A run of the attempts."""

    mode: str = "auto"
    without: tuple[str, ...] = ()
    """`namespaces`, `/proc` of its own, `Landlock`: as on a machine that lacks them."""


class Outcome(msgspec.Struct):
    """Name of an attempt -> `done`, or the error it got."""

    first: dict[str, str]
    sealed: dict[str, str]
    layers: tuple[str, ...]
    missing: dict[str, str]
    strays: int
    """Processes of the worker's that were there after sealing."""
    left: int
    """Processes of the worker's that were there after its end."""
    scratch_left: bool
    code: int


def _boot(without: tuple[str, ...]) -> str:
    spoiled = ""
    if "namespaces" in without:
        spoiled += "launch.namespaces.enter = lambda: ([], {'PID namespace': 'refused'}); "
    if "/proc" in without:
        spoiled += "launch.namespaces._mount_own_proc = lambda: launch.kernel.call(444, None, 0, 99); "
    if "Landlock" in without:
        spoiled += "launch.landlock.restrict = lambda *_, **__: launch.kernel.call(444, None, 0, 99); "
    return process._BOOT.replace("import launch; ", f"import launch; {spoiled}")


def main() -> None:
    """Carries out the plan that the command line states."""
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    process._BOOT = _boot(plan.without)
    import esr

    package = Path(esr.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        for name in ("code", "code/hidden", "cwd", "private"):
            (here / name).mkdir()
        (here / "code" / "network.py").write_text("")
        (here / "code" / "hidden" / "hr.png").write_text("pixels")
        (here / "private" / "key").write_text("secret")
        os.chdir(here / "cwd")
        sibling = subprocess.Popen(["sleep", "600"], start_new_session=True)
        facts = {
            "parent": os.getpid(),
            "sibling": sibling.pid,
            "hidden": str(here / "code" / "hidden"),
            "code": str(here / "code"),
            "cwd": str(here / "cwd"),
            "private": str(here / "private" / "key"),
            "package": str(package / "__init__.py"),
            "models": str(package / "models" / "rlfn.py"),
            "msgspec": msgspec.__file__,
        }
        try:
            outcome = _carry_out(plan, here, facts)
        finally:
            sibling.kill()
            sibling.wait()
    print(msgspec.json.encode(outcome).decode())


def _carry_out(plan: Plan, here: Path, facts: dict[str, object]) -> Outcome:
    program = (
        f"import os; os.environ['FACTS'] = {str(here / 'code' / 'facts.json')!r}; "
        f"write_fd = write; exec({ATTEMPTS!r}); write_end = write_fd; main()"
    )
    (here / "code" / "facts.json").write_bytes(msgspec.json.encode(facts))
    with tempfile.TemporaryFile() as output:
        wishes = Wishes(plan.mode, [here / "code"], [here / "code" / "hidden"])  # type: ignore[arg-type]
        contained = ContainedProcess(program, output, wishes)
        try:
            first = _line(contained.read)
            contained.confirm_lock()
            contained.seal()
            strays = len(contained.strays())
            os.write(contained.write, b"1")
            sealed = _line(contained.read)
            pids = [one.pid for one in psutil.Process().children(recursive=True) if one.pid != facts["sibling"]]
            os.write(contained.write, b"1")
            code = contained.wait(30)
        except Exception:
            output.seek(0)
            print(output.read().decode(), file=sys.stderr)
            raise
        finally:
            place = contained._place
            contained.close()
        time.sleep(0.1)
        left = sum(psutil.pid_exists(pid) for pid in pids)
        state = contained.state
        return Outcome(first, sealed, tuple(state.layers), dict(state.missing), strays, left, place.exists(), code)


def _line(descriptor: int) -> dict[str, str]:
    text = b""
    while not text.endswith(b"\n"):
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            raise RuntimeError("the contained process has ended")
        text += chunk
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(text, type=dict[str, str])
    raise RuntimeError(text)


if __name__ == "__main__":
    main()
