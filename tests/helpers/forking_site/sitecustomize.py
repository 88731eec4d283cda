"""Lets the processes that submitit starts import torch once and fork their workers; Python imports this at its start.

This folder, and that of the tests, are put on PYTHONPATH of the process that starts submitit.
"""

import importlib
import subprocess
import sys

if "submitit.core._submit" in sys.orig_argv:
    forked = importlib.import_module("helpers.forked")
    for name in forked.LIBRARIES:
        importlib.import_module(name)
    subprocess.Popen = forked.Forking  # type: ignore[misc]
