"""Simulated CUDA devices for tests on a machine without a GPU; `simulated_cuda` says what they can do.

This folder is put on PYTHONPATH of the processes that are to see the devices. It is no part of the package.
"""

import os
from pathlib import Path

import msgspec

from .simulated_cuda.script import Script

FOLDER = Path(__file__).parent


def environment(script: Script) -> dict[str, str]:
    """What to add to the environment of a process whose torch, and whose children's, has the devices of `script`."""
    paths = [str(FOLDER), os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "CUDA_STUB": msgspec.json.encode(script).decode(),
    }
