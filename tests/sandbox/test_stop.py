"""A stopped process stands still, also where a call of the kernel goes on after the signal."""

import os
import signal
import sys
import tempfile
import time

import pytest

from esr.evaluation.outside import Outside
from esr.sandbox.process import ContainedProcess, Wishes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

WRITES = """
import os, tempfile, threading
lock()
data = bytearray(128 << 20)
def work():
    with tempfile.TemporaryFile() as file:
        while True:
            os.pwrite(file.fileno(), data, 0)
threading.Thread(target=work, daemon=True).start()
os.write(write, b"1")
os.read(read, 1)
"""


def test_nothing_of_a_stopped_process_runs_on():
    with tempfile.TemporaryFile() as output:
        contained = ContainedProcess(f"exec({WRITES!r})", output, Wishes("off"))
        try:
            assert os.read(contained.read, 1) == b"1"
            outside = Outside(contained.pid)
            for _ in range(5):
                assert contained.stop()
                before = outside.processor_seconds()
                time.sleep(0.05)
                assert outside.processor_seconds() == before
                contained.signal(signal.SIGCONT)
                time.sleep(0.05)
                assert outside.processor_seconds() > before
        finally:
            contained.close()
