"""The command `esr` in processes forked from one that has imported everything, which costs seconds each time.

Workers of a forked command are processes that run the same program with the same arguments as fresh ones do. Commands
are still started afresh where a test asks for it or changes the environment, and by all tests that start programs
themselves.
"""

import contextlib
import ctypes
import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from itertools import takewhile
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

from helpers.command import Run
from helpers.paths import ROOT

LIBRARIES = (
    "torch", "torch._dynamo", "torch.fx.experimental.symbolic_shapes", "torch.utils.flop_counter", "safetensors.torch",
    "hydra.main", "omegaconf", "numpy", "scipy.stats", "cv2", "rich.live", "rich.progress", "rich.table", "msgspec",
    "psutil", "requests", "jinja2", "plotly.graph_objects", "filelock", "pynvml", "hydra._internal.hydra",
)  # fmt: skip
OURS = tuple(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "esr").rglob("[!_]*.py"))  # without the links: a worker imports its network by itself
)
"""Modules of `esr`, none of which reads the environment or starts anything when it is imported."""
WORKERS = ("esr.sandbox.launch", "esr.evaluation.worker.child")
WORKER = f"from {WORKERS[-1]} import main"
"""A part of the program that a worker runs."""
COMMANDS = "helpers.parsed"
"""A module imported between those of a worker and all others of `esr`."""
HANDLED = {
    "CUDA_STUB", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVML_STUB", "NVML_STUB_TIME", "PYTHONPATH", "TMPDIR",
}  # fmt: skip
"""Variables of the environment that act here as they do in a fresh process; those of `esr` do so anyway."""


_kept: list[ModuleType] = []
"""Modules that are in use although a process has forgotten them."""
_last = [""]
"""The module that was imported last before the command; none where that is not known."""


def can_fork(environment: Mapping[str, str]) -> bool:
    """True if no variable differs from the tests' that a library might have read when it was imported."""
    changed = {name for name, value in environment.items() if os.environ.get(name) != value}
    return all(name in HANDLED or name.startswith(("ESR_", "XDG_")) or name == "COLUMNS" for name in changed)


class Forked:
    """The command `esr`, running; its output comes through pipes.

    Args:
        arguments: As on the command line, without `esr`.
        folder: The working directory.
        environment: The whole environment; everything was imported with that of the tests.
        before: A program that the process runs first, to spoil the command.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], before: str = ""
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*LIBRARIES, *WORKERS, COMMANDS, *OURS])
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        given = (list(arguments), folder, dict(environment), before, *(theirs for _, theirs in pipes))
        self._process = context.Process(target=_command, args=given)
        self._process.start()
        self._words, self._folder = " ".join(arguments), folder
        self.out: list[str] = []
        self.err: list[str] = []
        """Lines so far."""
        self._readers = []
        for (ours, theirs), lines in zip(pipes, (self.out, self.err), strict=True):
            theirs.close()
            self._readers.append(threading.Thread(target=_read, args=(ours, lines), daemon=True))
            self._readers[-1].start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, number)

    def wait(self, seconds: float = 240.0) -> Run:
        """Waits for its end.

        Raises:
            TimeoutError: It did not end in time, or something keeps its pipes open.
        """
        self._process.join(seconds)
        for reader in self._readers if not self.runs else ():
            reader.join(seconds)
        if self.runs or any(reader.is_alive() for reader in self._readers):
            self._process.kill()
            raise TimeoutError(f"esr {self._words} runs for more than {seconds} s")
        return Run(self._process.exitcode or 0, "".join(self.out), "".join(self.err), self._folder)


def run_forked(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, before: str = "", seconds: float = 240.0
) -> Run:
    """Runs `esr` to its end; arguments and errors are those of `Forked`."""
    return Forked(arguments, folder, environment, before).wait(seconds)


def run_program(program: str, folder: Path) -> Run:
    """Runs Python code, offline and as `python -c` would in a folder."""
    as_main = f"import sys; sys.path.insert(0, ''); exec({program!r}, {{'__name__': '__main__'}}); sys.exit()"
    return run_forked([], folder, {**os.environ, "ESR_OFFLINE": "1"}, before=as_main)


def _read(pipe: Connection, lines: list[str]) -> None:
    """Adds the lines that are written to a pipe until its last writer ends."""
    with pipe, os.fdopen(os.dup(pipe.fileno()), encoding="utf-8") as text:
        for line in text:
            lines.append(line)


def _command(
    arguments: list[str], folder: Path, environment: dict[str, str], before: str, out: Connection, err: Connection
) -> None:
    """The forked command: streams, signals, environment and path of a fresh one, then `esr.cli.main`."""
    gc.freeze()  # a collection would look at all that was inherited, and copy its pages
    _last[:] = [next(reversed(sys.modules))]
    with open(os.devnull) as nothing, out, err:
        _become(nothing.fileno(), out.fileno(), err.fileno())
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which `nohup make test` ignores
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # which is remembered
    os.chdir(folder)
    script = Path(sys.executable).with_name("esr")
    sys.argv = [str(script), *arguments]
    # As the installed script finds modules: by itself, the checkout is not in its path, nor are the tests' helpers.
    added = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    unknown = ("", str(ROOT), str(ROOT / "tests"), *added)
    sys.path[:] = [str(script.parent), *added, *(entry for entry in sys.path if entry not in unknown)]
    for place in environment.get("LD_LIBRARY_PATH", "").split(os.pathsep):
        if place and (driver := Path(place, "libnvidia-ml.so.1")).exists():
            ctypes.CDLL(str(driver))  # whoever asks for this name later gets it
    for owner in (subprocess, importlib.import_module("esr.sandbox.process")):  # which has its own name for it
        owner.Popen = Forking  # type: ignore[attr-defined]
    exec(before, {})
    from esr.cli import main

    main()


def _become(*streams: int) -> None:
    """Gives this process standard streams of its own, and the signal handlers of a fresh interpreter."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    sys.stderr.reconfigure(line_buffering=True)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _forget_modules_of(folder: str) -> None:
    later = takewhile(lambda name: name != _last[0], reversed(sys.modules))  # to look at all takes as long as a fork
    files = {name: getattr(sys.modules[name], "__file__", None) or "" for name in later}
    installed = f"{sys.prefix}/"  # may lie below
    for name, file in files.items():
        if file.startswith(f"{folder}/") and not file.startswith(installed) and name not in OURS:
            del sys.modules[name]


def _forget_modules_of_commands() -> None:
    """Leaves a worker the modules of `esr` that a fresh one has, all of whose functions it watches."""
    later = takewhile(lambda name: name != COMMANDS, reversed(sys.modules))
    _kept.extend(sys.modules.pop(name) for name in list(later) if name.split(".")[0] == "esr")


class Forking(subprocess.Popen):  # type: ignore[type-arg]
    """Starts a worker, `esr` or a benchmark by a fork instead of a fresh interpreter; anything else as usual."""

    def _execute_child(self, args: Any, executable: Any, preexec: Any, close: Any, kept: Any, *more: Any) -> None:
        program = args[2] if isinstance(args, list) and args[0] == sys.executable else ""
        script = args[1] if program and Path(args[1]).parent == ROOT / "benchmarks" else ""
        if not (script or WORKER in program or program.split(".")[0] == "esr"):
            super()._execute_child(args, executable, preexec, close, kept, *more)
            return
        folder, environment, streams = more[0], more[1], more[5:11]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            self._child_created = True
            self._close_pipe_fds(*streams)
            return
        code = 1
        try:
            os.setsid()
            _become(streams[0] if streams[0] != -1 else 0, streams[3], streams[5])
            for number in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *kept}:
                try:
                    os.close(number)
                except OSError:
                    continue
            if environment is not None:
                os.environ.clear()
                os.environ.update(environment)
                tempfile.tempdir = None
            os.chdir(folder or ".")
            _forget_modules_of(os.getcwd())  # as in a fresh process, a network is not imported yet
            if "CUDA_STUB" in os.environ and program != "esr":  # as its `sitecustomize` does once torch is imported
                importlib.import_module("simulated_cuda").install()
            sys.argv = [args[1], *args[3:]]
            if script:
                sys.argv, sys.path[:0] = args[1:], [str(Path(script).parent)]
                runpy.run_path(script, run_name="__main__")
            elif WORKER in program:
                _forget_modules_of_commands()
                exec(program, {"__name__": "__main__"})
            else:
                runpy.run_module(program, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
