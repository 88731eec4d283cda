"""The command `esr` in processes forked from one that has imported the libraries, which costs seconds each time.

A forked command imports the modules of `esr` by itself, and its workers are processes that run the same program with
the same arguments as fresh ones do. Commands are still started afresh where a test asks for it or changes the
environment, and by all tests that start programs themselves.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from helpers.command import Run
from helpers.paths import ROOT

LIBRARIES = (
    "torch", "torch._dynamo", "torch.fx.experimental.symbolic_shapes", "torch.utils.flop_counter", "safetensors.torch",
    "hydra.main", "omegaconf", "numpy", "scipy.stats", "cv2", "rich.live", "rich.progress", "rich.table", "msgspec",
    "psutil", "requests", "jinja2", "plotly.graph_objects", "filelock",
)  # fmt: skip
BOOT = "from esr.evaluation.worker.child import main"
"""A part of the program that a worker runs."""


def run_forked(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, before: str = "", seconds: float = 240.0
) -> Run:
    """Runs `esr`, its output in pipes.

    Args:
        arguments: As on the command line, without `esr`.
        folder: The working directory.
        environment: The whole environment; the libraries were imported with that of the tests.
        before: A program that the process runs first, to spoil the command.
        seconds: Time limit.

    Raises:
        TimeoutError: The command did not end in time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LIBRARIES))
    (out, output), (err, errors) = context.Pipe(duplex=False), context.Pipe(duplex=False)
    given = (list(arguments), folder, dict(environment), before, output, errors)
    process = context.Process(target=_command, args=given)
    process.start()
    output.close()
    errors.close()
    with ThreadPool(2) as readers:
        texts = readers.map_async(_whole, (out, err), chunksize=1)
        process.join(seconds)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"esr {' '.join(arguments)} runs for more than {seconds} s")
        return Run(process.exitcode or 0, *texts.get(seconds), folder)


def _whole(pipe: Connection) -> str:
    """Everything that is written to a pipe until its last writer ends."""
    with pipe, os.fdopen(os.dup(pipe.fileno()), encoding="utf-8") as text:
        return text.read()


def _command(
    arguments: list[str], folder: Path, environment: dict[str, str], before: str, out: Connection, err: Connection
) -> None:
    """The forked command: streams, signals, environment and path of a fresh one, then `esr.cli.main`."""
    with open(os.devnull) as nothing, out, err:
        _become(nothing.fileno(), out.fileno(), err.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    script = Path(sys.executable).with_name("esr")
    sys.argv = [str(script), *arguments]
    # As the installed script finds modules: by itself, the checkout is not in its path, nor are the tests' helpers.
    added = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    unknown = ("", str(ROOT), str(ROOT / "tests"), *added)
    sys.path[:] = [str(script.parent), *added, *(entry for entry in sys.path if entry not in unknown)]
    subprocess.Popen = Forking  # type: ignore[misc]
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


class Forking(subprocess.Popen):  # type: ignore[type-arg]
    """Starts a worker by a fork of this process instead of a fresh interpreter, anything else as usual."""

    def _execute_child(self, args: Any, executable: Any, preexec: Any, close: Any, kept: Any, *more: Any) -> None:
        if not (isinstance(args, list) and args[:2] == [sys.executable, "-c"] and BOOT in args[2]):
            super()._execute_child(args, executable, preexec, close, kept, *more)
            return
        streams = more[5:11]
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
            _become(streams[0], streams[3], streams[5])
            for number in {int(name) for name in os.listdir("/proc/self/fd")} - {0, 1, 2, *kept}:
                try:
                    os.close(number)
                except OSError:
                    continue
            sys.argv = ["-c", *args[3:]]
            exec(args[2], {"__name__": "__main__"})
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
