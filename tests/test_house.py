"""The code's structure stays within its limits, and the instrument that measures it sees what it should."""

import ast
from pathlib import Path

import pytest
from helpers import house
from helpers.house import Module


@pytest.fixture(scope="module")
def found():
    return house.modules()


@pytest.fixture(scope="module")
def figures(found):
    return house.figures(found)


@pytest.mark.parametrize("figure", house.LIMITS)
def test_the_structure_stays_within_its_limits(figures, figure):
    assert figures[figure] <= house.LIMITS[figure], "make house lists what is too much"


def test_every_room_has_a_floor_in_the_plan():
    assert set(house.planned_floors()) == house.rooms() - {"__init__"}


def test_the_page_on_architecture_lists_every_room():
    page = (house.ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    assert {room for room in house.rooms() if f"`{room}`" not in table and f"`{room}/`" not in table} <= {"__init__"}


def module(name: str, source: str) -> Module:
    return Module(name, Path(f"{name.replace('.', '/')}.py"), source, ast.parse(source))


def package(**sources: str) -> dict[str, Module]:
    """Room or `room__file` -> its source, as modules of `esr`."""
    names = {name: f"esr.{name.replace('__', '.')}" for name in sources}
    return {names[name]: module(names[name], source) for name, source in sources.items()}


def test_lazy_imports_and_those_for_the_type_checker_count():
    made = package(
        low="",
        lazy="def f():\n    from esr import low",
        typed="if TYPE_CHECKING:\n    import esr.low",
        literal="importlib.import_module('esr.low')",
        relative="from . import low",
    )
    graph = house.rooms_graph(made)
    assert graph == {"low": set()} | {room: {"low"} for room in ("lazy", "typed", "literal", "relative")}


def test_a_name_from_a_module_counts_as_an_import_of_the_module():
    made = package(low="X = 1", high="from esr.low import X")
    assert house.rooms_graph(made)["high"] == {"low"}


def test_circles_and_floors():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert house.circles(graph) == [["b", "c"]]
    assert house.floors(graph) == {"d": 1, "b": 2, "c": 2, "a": 3}
    assert house.arrows_up(graph, {"d": 1, "c": 2, "b": 3, "a": 4}) == [("c", "b")]


def test_a_class_and_an_alias_of_one_name_are_two_meanings():
    made = package(
        one="class Array: ...",
        two="Array = npt.NDArray[np.float64]",
        three="Array: TypeAlias = list[int]",
        four="from esr.one import Array",
        five="ARRAYS = table[0]",
    )
    assert house.two_meanings(made) == {"Array": ["esr.one", "esr.three", "esr.two"]}


def test_docstrings_comments_and_blank_lines_are_no_code():
    source = '"""A docstring\nof two lines."""\n\n# a comment\nx = [  # another\n    1,\n]\n'
    source += 'def f():\n    """One line."""\n\n    return x\n'
    assert house.code_lines(module("esr.one", source)) == 5
