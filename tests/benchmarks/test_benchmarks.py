"""Benchmarks are run by hand: here they are only imported, so that none falls behind the code it measures."""

import importlib.util
import sys

import pytest
from helpers.paths import ROOT

FOLDER = ROOT / "benchmarks"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda file: file.stem)
def test_a_benchmark_finds_what_it_imports(file, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location(f"benchmark_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where dataclasses look their own module up
    spec.loader.exec_module(module)
