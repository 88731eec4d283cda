"""The parent's handle on a worker: starts it, asks, waits with a time limit, words its death."""

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from esr.evaluation.worker.protocol import Refusal, answered, encode, user_error
from esr.text import one_line

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from esr.evaluation.worker.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_KEEPER = 'read _; kill -s KILL -- "-$1"'
"""Ends what the worker started when our end of a pipe closes. A worker ends with its parent, but its children do not;
stopped when we are killed, they would stay so for good."""
STARTUP = ("open", "load")
STARTUP_S = 300.0
"""Least seconds for starting up: a cold disk can take a minute to import torch, whatever a forward pass may take."""
_STDERR_TAIL = 2000
_CHUNK = 1 << 20
_GRACE_S = 2.0


class WorkerFailure(Exception):  # noqa: N818 - a result of measuring, to be recorded
    """A network that could not be measured: `kind` is one of those that `record.schema.json` lists."""

    def __init__(self, kind: str, message: str, stage: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.stage = stage

    def as_dict(self) -> dict[str, str]:
        """For the record."""
        return {"stage": self.stage, "kind": self.kind, "message": self.message}


class Worker:
    """One child process; `ask` is a call with a time limit."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._ticket = ""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        child_read, self._write = os.pipe()
        self._read, child_write = os.pipe()
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(child_read), str(child_write)]
        os.set_blocking(self._write, False)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=(child_read, child_write),
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        finally:
            os.close(child_read)
            os.close(child_write)
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()  # nobody waits for a pass that is under way
        self.close()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Sends a request and waits for its result.

        Raises:
            EsrError: The worker says that the user's input is at fault.
            WorkerFailure: The network failed, crashed, or did not answer in time.
        """
        self.send(do, **arguments)
        return self.receive(do)

    def send(self, do: str, **arguments: Any) -> None:
        """Sends a request; `receive` must follow before the next.

        Raises:
            WorkerFailure: The worker has died, or does not take the request in time.
        """
        self._ticket = secrets.token_hex(8)
        deadline = time.monotonic() + self._limit_s(do)
        view = memoryview(encode({"do": do, "ticket": self._ticket, **arguments}))
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self._write], [], left)[1]:
                raise self._timeout(do)
            try:
                view = view[os.write(self._write, view) :]
            except BrokenPipeError:
                raise self._death(do) from None

    def receive(self, stage: str) -> dict[str, Any]:
        """Waits for the result of the request sent last; raises as `ask` does."""
        line = self._line(stage)
        try:
            answer = answered(line, stage, self._ticket)
        except ValueError as error:
            self.kill()
            raise WorkerFailure("crashed", f"the worker's answer is not readable ({error})", stage) from error
        if not isinstance(answer, Refusal):
            return answer
        if answer.kind == "user":
            raise user_error(answer.name, answer.message)
        raise WorkerFailure(answer.kind, answer.message, stage)

    def _limit_s(self, stage: str) -> float:
        limit = max(self.timeout_s, STARTUP_S) if stage in STARTUP else self.timeout_s
        return min(limit, threading.TIMEOUT_MAX)  # the system waits no longer

    def _timeout(self, stage: str) -> WorkerFailure:
        self.kill()
        limit = f"{self._limit_s(stage):g} s (timing.timeout_s)"
        return WorkerFailure("timeout", f"no answer within {limit} while doing '{stage}'", stage)

    def _line(self, stage: str) -> bytes:
        deadline = time.monotonic() + self._limit_s(stage)
        chunks: list[bytes] = []
        while not (chunks and chunks[-1].endswith(b"\n")):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise self._timeout(stage)
            chunks.append(os.read(self._read, _CHUNK))
            if not chunks[-1]:
                raise self._death(stage)
        return b"".join(chunks)

    def _death(self, stage: str) -> WorkerFailure:
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            cause = "the worker closed its pipe"
        else:
            cause = _cause(code)
        tail = self._last_words()
        return WorkerFailure("crashed", f"{cause}; its last words: {tail}" if tail else cause, stage)

    def _last_words(self) -> str:
        """The last line that the worker wrote to standard output or standard error."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return one_line(lines[-1]) if lines else ""

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def pause(self) -> None:
        """Stops the worker and everything it started: none of its threads runs until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused worker go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Ends the worker and everything it started, at once."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Lets the worker end by itself, or ends it; nothing of it is left."""
        for fd in (self._write, self._read):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.resume()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
            self._keeper.kill()
            self._keeper.communicate()
            self._stderr.close()


def _cause(code: int) -> str:
    """Why a worker is dead, by the code that it ended with."""
    if code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # most real-time signals have no name
        name = f"signal {-code}"
    more = " (as the kernel does when memory runs out)" if -code == signal.SIGKILL else ""
    return f"the worker was ended by {name}{more}"
