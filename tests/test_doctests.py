"""Every example in a docstring of `esr/` and `models/` runs and prints what it says."""

import ast
import doctest
import importlib
import os

import pytest
from helpers import house

FOUND = house.modules()
MODULES = [name for name, module in FOUND.items() if ">>>" in module.source]


def written(name: str) -> int:
    """Docstrings with examples in a module's source."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = (node for node in ast.walk(FOUND[name].tree) if isinstance(node, documented))
    return sum(">>>" in (ast.get_docstring(node) or "") for node in nodes)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold_and_none_is_missed(name, monkeypatch, tmp_path):
    module = importlib.import_module(name)
    with_examples = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert len(with_examples) == written(name), "an example that doctest does not find"
    monkeypatch.chdir(tmp_path)
    for test in with_examples:
        results = doctest.DocTestRunner().run(test)
        assert not results.failed, test.name
    assert os.listdir(tmp_path) == []


def test_examples_are_found_in_most_rooms():
    assert len({FOUND[name].room for name in MODULES}) >= 10
