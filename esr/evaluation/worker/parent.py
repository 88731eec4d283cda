"""The parent's handle on a worker: starts it, sends requests, waits with a time limit, explains its death."""

import contextlib
import os
import secrets
import select
import signal
import tempfile
import threading
import time
from pathlib import Path
from subprocess import TimeoutExpired

from esr import errors
from esr.config.terms import FailureKind, Stage
from esr.errors import EsrError
from esr.evaluation.worker.envelope import open_envelope, pack
from esr.evaluation.worker.messages import AnswerT, Refusal, Request
from esr.records.network import Failure, Sandbox
from esr.sandbox.pipe import NOTICE_S, PipeReader
from esr.sandbox.process import ContainedProcess, Wishes
from esr.text import one_line

_SERVE = "from esr.evaluation.worker.child import main; main(read, write, lock)"
STARTUP: tuple[Stage, ...] = ("open", "load", "export")
STARTUP_S = 300.0
"""Least seconds for startup: importing torch from a cold disk can take a minute, whatever a forward pass takes."""
_STDERR_TAIL = 2000
_GRACE_S = 2.0
_USER_ERRORS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, EsrError)
}
"""Classes that a worker may name in a refusal."""


class WorkerFailure(Exception):  # noqa: N818 - a result of measuring, to be recorded
    """A network that could not be measured to the end."""

    def __init__(self, stage: Stage, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(stage, kind, message)


class Worker:
    """One child process; each request has a time limit."""

    def __init__(
        self,
        timeout_s: float,
        sandbox: Wishes = Wishes(),  # noqa: B008 - frozen
        packages: Path | None = None,
    ) -> None:
        """Starts it.

        Args:
            timeout_s: Time limit of a request.
            sandbox: Containment of the network's code.
            packages: Folder of packages beyond esr's own.
        """
        self.timeout_s = timeout_s
        self._ticket = ""
        self.replaced: set[str] = set()
        """Functions that measure, and that the network has replaced in this process."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        program = f"import sys; sys.path.append({str(packages)!r}); {_SERVE}" if packages else _SERVE
        self.process = ContainedProcess(program, self._stderr, sandbox)
        self._reader = PipeReader(self.process.read)
        os.set_blocking(self.process.write, False)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.kill()  # a pass in progress is not waited for
        self.close()

    def ask(self, request: Request[AnswerT]) -> AnswerT:
        """Sends a request and waits for its answer.

        Raises:
            EsrError: The worker reports a fault in the user's input.
            WorkerFailure: The network failed, crashed, or did not answer in time.
        """
        self.send(request)
        return self.receive(request)

    def send(self, request: Request[AnswerT]) -> None:
        """Sends a request; `receive` must follow before the next.

        Raises:
            WorkerFailure: The worker has died, or does not take the request in time.
        """
        self._ticket = secrets.token_hex(8)
        deadline = time.monotonic() + self._limit_s(request.stage)
        view = memoryview(pack(request, self._ticket))
        while view:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._timeout(request.stage)
            if not select.select([], [self.process.write], [], min(left, NOTICE_S))[1]:
                continue
            try:
                view = view[os.write(self.process.write, view) :]
            except BrokenPipeError:
                raise self._death(request.stage) from None

    def receive(self, request: Request[AnswerT]) -> AnswerT:
        """Waits for the answer to the request sent last; raises as `ask` does."""
        stage = request.stage
        deadline = time.monotonic() + self._limit_s(stage)
        try:
            envelope = open_envelope(self._reader.line(deadline), self._ticket, request.most_bytes)
            self.replaced.update(envelope.replaced)
            answer = request.read(envelope.message, self._reader.exactly(envelope.bytes, deadline))
        except TimeoutError:
            raise self._timeout(stage) from None
        except EOFError:
            raise self._death(stage) from None
        except ValueError as error:
            self.kill()
            raise WorkerFailure(stage, "crashed", f"the worker's answer is not readable ({error})") from error
        if not isinstance(answer, Refusal):
            return answer
        if answer.kind == "user":
            raise _USER_ERRORS.get(answer.error, EsrError)(answer.message)
        raise WorkerFailure(stage, answer.kind, answer.message)

    def _limit_s(self, stage: Stage) -> float:
        limit = max(self.timeout_s, STARTUP_S) if stage in STARTUP else self.timeout_s
        return min(limit, threading.TIMEOUT_MAX)  # the system waits no longer

    def _timeout(self, stage: Stage) -> WorkerFailure:
        self.kill()
        limit = f"{self._limit_s(stage):g} s (timing.timeout_s)"
        return WorkerFailure(stage, "timeout", f"no answer within {limit} during '{stage}'")

    def _death(self, stage: Stage) -> WorkerFailure:
        try:
            code = self.process.wait(_GRACE_S)
        except TimeoutExpired:
            self.kill()
            cause = "the worker closed its pipe"
        else:
            cause = _cause(code)
        tail = self._last_words()
        return WorkerFailure(stage, "crashed", f"{cause}; its last words: {tail}" if tail else cause)

    def _last_words(self) -> str:
        """The last line that the worker wrote to standard output or standard error."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return one_line(lines[-1]) if lines else ""

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self.process.pid

    def confirm_sandbox(self) -> None:
        """Verifies the sandbox, after a network was loaded.

        Raises:
            SandboxError: It is required, and something essential is missing.
        """
        self.process.confirm_lock()
        self.process.judge(sealed=False)

    def seal(self) -> None:
        """Lets the worker start no more processes, and ends those that it has started.

        Raises:
            SandboxError: A sandbox is required, and it cannot be sealed.
        """
        self.process.seal()
        self.process.judge(sealed=True)

    @property
    def sandbox(self) -> Sandbox | None:
        """The layers that hold; `None` without a sandbox."""
        state = self.process.state
        if self.process.wishes.mode == "off":
            return None
        return Sandbox(tuple(state.layers), dict(state.missing), state.landlock_abi)

    def pause(self) -> None:
        """Stops the worker and its children: none of their threads runs until `resume`."""
        self.process.signal(signal.SIGSTOP)

    def require_still(self) -> None:
        """Waits until a paused worker stands still, so that nothing of it runs beside the other network.

        Raises:
            WorkerFailure: It goes on in the kernel for seconds.
        """
        if not self.process.stop():
            self.kill()
            raise WorkerFailure("pass", "timeout", "a thread goes on in the kernel after the worker was stopped")

    def resume(self) -> None:
        """Continues a paused worker."""
        self.process.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills the worker and its children."""
        self.process.kill()

    def close(self) -> None:
        """Lets the worker exit, else kills it; nothing of it is left."""
        self.process.hang_up()
        self.resume()
        try:
            with contextlib.suppress(TimeoutExpired):
                self.process.wait(_GRACE_S)
        finally:
            self.process.close()
            self._stderr.close()


def _cause(code: int) -> str:
    """Cause of a worker's death, from its exit code."""
    if code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # most real-time signals have no name
        name = f"signal {-code}"
    more = " (as the kernel does when memory runs out)" if -code == signal.SIGKILL else ""
    return f"the worker was ended by {name}{more}"
