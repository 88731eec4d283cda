"""Figures of the code's structure, from its syntax alone: `make house` prints them, a test holds their limits."""

import ast
import io
import re
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
LINKS = ("models", "conf", "model_zoo")
"""Rooms that are links to folders at the top; networks and configuration are not counted as code of `esr/`."""
LIMITS = {
    "rooms": 26,
    "floors": 10,
    "arrows up": 0,
    "circles of rooms": 0,
    "circles of files": 0,
    "names with two meanings": 3,
    "dict[str, Any]": 15,
    "code lines": 20_600,
}
"""Figure -> largest value allowed."""

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Module:
    """One file of `esr/`."""

    name: str
    """Dotted, as `esr.zoo.weights`; a package's own file has the package's name."""
    path: Path
    source: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """Entry directly under `esr/`."""
        return self.name.partition(".")[2].partition(".")[0] or "__init__"


def modules(root: Path = ROOT) -> dict[str, Module]:
    """Every file of `esr/` by its dotted name, the links included."""
    found = {}
    for entry in sorted((root / "esr").iterdir()):
        for path in [entry] if entry.suffix == ".py" else sorted(entry.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            source = path.read_text(encoding="utf-8")
            found[name] = Module(name, path, source, ast.parse(source))
    return found


def rooms(root: Path = ROOT) -> set[str]:
    """Files and packages directly under `esr/`."""
    entries = (path for path in (root / "esr").iterdir() if path.suffix == ".py" or path.is_dir())
    return {path.stem for path in entries if path.name != "__pycache__"}


def imported(module: Module, known: Iterable[str]) -> set[str]:
    """Modules that a file imports: at its top, inside functions, and for the type checker."""
    known, found = set(known), set()
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        for name in names:
            whole = name if name in known else name.rpartition(".")[0]
            if whole in known or whole.split(".")[:2] in [["esr", link] for link in LINKS]:
                found.add(whole)
    return found - {module.name, "esr"}


def files_graph(found: Mapping[str, Module]) -> dict[str, set[str]]:
    """File -> files that it imports."""
    return {name: imported(module, found) for name, module in found.items()}


def rooms_graph(found: Mapping[str, Module]) -> dict[str, set[str]]:
    """Room -> rooms that it imports."""
    graph: dict[str, set[str]] = defaultdict(set)
    for name, targets in files_graph(found).items():
        graph[found[name].room] |= {target.split(".")[1] for target in targets} - {found[name].room}
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reach = {node: _reachable(graph, node) for node in graph}
    groups = {tuple(sorted(other for other in reach[node] if node in reach.get(other, ()))) for node in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph.get(waiting.pop(), ()):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def floors(graph: Graph) -> dict[str, int]:
    """Room -> floor: 1 where it imports nothing, else one above the highest room that it imports.

    Rooms of one circle share a floor.
    """
    together = {room: set(circle) for circle in circles(graph) for room in circle}

    def floor(room: str) -> int:
        group = together.get(room, {room})
        below = {target for one in group for target in graph.get(one, ())} - group
        return 1 + max(map(floor, below), default=0)

    return {room: floor(room) for room in {*graph, *(target for targets in graph.values() for target in targets)}}


def planned_floors(root: Path = ROOT) -> dict[str, int]:
    """Room -> floor by the layers that import-linter enforces."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (one["layers"] for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    return {room: floor for floor, layer in enumerate(reversed(layers), 1) for room in re.findall(r"\w+", layer)}


def arrows_up(graph: Graph, plan: Mapping[str, int]) -> list[tuple[str, str]]:
    """Imports of a room on the same or a higher planned floor; a room without a floor stands above all."""
    top = max(plan.values()) + 1
    return sorted(
        (room, target)
        for room, targets in graph.items()
        for target in targets
        if plan.get(target, top) >= plan.get(room, top) and room != "__init__"
    )


def own(found: Mapping[str, Module]) -> list[Module]:
    """Modules of `esr/` itself, without the links."""
    return [module for module in found.values() if module.room not in LINKS]


def defined(module: Module) -> set[str]:
    """Names of classes and type aliases at a file's top level."""
    names = set()
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).endswith("TypeAlias"):
            names.add(ast.unparse(node.target))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp | ast.Attribute):
            names |= {
                target.id
                for target in node.targets
                if isinstance(target, ast.Name) and re.match(r"_?[A-Z]\w*[a-z]", target.id)
            }
    return names


def two_meanings(found: Mapping[str, Module]) -> dict[str, list[str]]:
    """Name of a class or type alias -> the files that each define it."""
    places: dict[str, list[str]] = defaultdict(list)
    for module in own(found):
        for name in defined(module):
            places[name].append(module.name)
    return {name: sorted(files) for name, files in sorted(places.items()) if len(files) > 1}


def code_lines(module: Module) -> int:
    """Lines that hold code: no docstring, no comment, no blank line."""
    prose: set[int] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.source).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - prose)


def untyped(found: Mapping[str, Module]) -> dict[str, int]:
    """File -> occurrences of `dict[str, Any]`."""
    counts = {module.name: module.source.count("dict[str, Any]") for module in own(found)}
    return {name: count for name, count in counts.items() if count}


def circles_of_files(found: Mapping[str, Module]) -> list[list[str]]:
    """Circles between the files of one room."""
    graph = files_graph(found)
    circle = []
    for room in rooms():
        mine = {name for name in graph if found[name].room == room}
        circle += circles({name: graph[name] & mine for name in mine})
    return sorted(circle)


def figures(found: Mapping[str, Module]) -> dict[str, int]:
    """Every figure that has a limit."""
    graph = rooms_graph(found)
    return {
        "rooms": len(rooms()),
        "floors": max(floors(graph).values()),
        "arrows up": len(arrows_up(graph, planned_floors())),
        "circles of rooms": len(circles(graph)),
        "circles of files": len(circles_of_files(found)),
        "names with two meanings": len(two_meanings(found)),
        "dict[str, Any]": sum(untyped(found).values()),
        "code lines": sum(map(code_lines, own(found))),
    }


def main() -> None:
    """Prints each figure beside its limit, and what it consists of."""
    found = modules()
    graph = rooms_graph(found)
    sizes: Counter[str] = Counter()
    for module in own(found):
        sizes[module.room] += code_lines(module)
    by_floor: dict[int, list[str]] = defaultdict(list)
    for room, floor in floors(graph).items():
        by_floor[floor].append(room)
    for floor in sorted(by_floor, reverse=True):
        print(f"floor {floor:2}  {', '.join(sorted(by_floor[floor]))}")
    print(f"\n{sum(map(len, graph.values())):6}  arrows between rooms")
    for name, value in figures(found).items():
        print(f"{value:6}  {name} (at most {LIMITS[name]}){'' if value <= LIMITS[name] else '  <-- too many'}")
    print("\ncode lines:", ", ".join(f"{room} {lines}" for room, lines in sizes.most_common()))
    for room, target in arrows_up(graph, planned_floors()):
        print(f"arrow up: {room} -> {target}")
    for circle in [*circles(graph), *circles_of_files(found)]:
        print("circle:", " ".join(circle))
    for name, files in two_meanings(found).items():
        print(f"two meanings: {name} in {', '.join(files)}")
    for name, count in untyped(found).items():
        print(f"dict[str, Any]: {count} in {name}")


if __name__ == "__main__":
    main()
