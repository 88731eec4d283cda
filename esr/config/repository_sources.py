"""Source files behind a repository's network: packages they need, and what deserves a second look. Read, never run."""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from esr.config.repository import Branch, Layout, parsed
from esr.config.repository_branches import imports_by_name
from esr.config.repository_values import called, constant, dotted
from esr.errors import ConfigError
from esr.text import one_line

TOOLS = frozenset(
    {
        "FLOPs", "IPython", "audioop", "calflops", "cv2", "deepspeed", "fvcore", "imageio", "imp", "lmdb", "matplotlib",
        "onnx", "onnxruntime", "onnxsim", "option", "pandas", "ptflops", "seaborn", "skimage", "tensorboard",
        "tensorboardX", "thop", "torchinfo", "torchprofile", "torchstat", "torchsummary", "torchvision", "wandb",
    }
)  # fmt: skip
"""Packages that count, plot, convert or load images, and modules that newer Pythons dropped: imported by networks, used
by none."""
_CALLS = {
    "half": "half precision",
    "bfloat16": "bfloat16",
    "autocast": "autocast",
    "load_inline": "compiles an extension",
    "jiterator": "a kernel compiled at run time (jiterator)",
    "_create_jit_fn": "a kernel compiled at run time (jiterator)",
    "CDLL": "calls a C library (ctypes)",
    "Thread": "starts threads",
    "Popen": "starts a program",
    "set_num_threads": "sets threads",
    "torch.compile": "torch.compile",
    "subprocess.run": "starts a program",
    "CUDAGraph": "captures a CUDA graph",
    "gumbel_softmax": "random at inference",
    "rand_like": "may be random at inference",
    "randn_like": "may be random at inference",
}
"""Called name, whole or its last part -> what a reader should know."""
_SWITCHES = ("benchmark", "deterministic", "allow_tf32", "fp32_precision")
_LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Try)
"""Kinds of nodes that are not carried out when a module is imported, or whose failure a handler catches."""
_OVERRIDDEN = ("to", "cuda", "eval", "load_state_dict", "__call__")
"""Methods of a network that do more than they say where they are redefined."""


class Sources(msgspec.Struct, frozen=True):
    """Findings on a network's source files."""

    files: tuple[Path, ...]
    packages: tuple[str, ...]
    """Packages imported that are not installed and for which nothing stands in."""
    suspicious: tuple[str, ...]
    """Short phrases, each with `file:line`."""


def examine(layout: Layout, entry: Branch) -> Sources:
    """Follows a branch's imports through the repository.

    Imports inside `if __name__ == "__main__"` and inside functions are left out, those of the branch itself are not.
    """
    files: dict[Path, None] = {}
    packages: dict[str, None] = {}
    found = list(_in_branch(entry, layout))
    named = (_absolute(one, layout.script, layout.root) for one in _imported(entry.body, whole=True))
    waiting = [*entry.modules, *named]
    while waiting:
        name = waiting.pop(0)
        inside = _files(layout.root, name)
        if not inside and not os.path.isdir(layout.root / name.partition(".")[0]):
            packages.setdefault(name.partition(".")[0])
        for file in inside:
            if file in files:
                continue
            files[file] = None
            try:
                tree = parsed(file)
                waiting += [_absolute(one, file, layout.root) for one in _imported(tree, whole=False)]
                found += _suspicious(tree, str(file.relative_to(layout.root)))
            except (ConfigError, RecursionError) as error:
                found.append(one_line(str(error)))
    return Sources(tuple(files), tuple(filter(_is_missing, packages)), tuple(dict.fromkeys(found)))


def _is_missing(package: str) -> bool:
    if package in sys.stdlib_module_names or package in (*TOOLS, "models", "utils") or not package.isidentifier():
        return False
    try:
        return importlib.util.find_spec(package) is None
    except (ImportError, ValueError):
        return True


def _imported(tree: ast.AST, *, whole: bool) -> Iterator[str]:
    """Dotted names of imported modules; relative ones begin with their dots."""
    for node in ast.walk(tree) if whole else _networks(tree, _LATER):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            between = "." if node.module else ""
            yield from (f"{base}{between}{alias.name}" for alias in node.names)
        elif imports_by_name(node) and isinstance(name := constant(node.args[0], {}), str):
            yield name


def _is_main(node: ast.AST) -> bool:
    """True for `if __name__ == "__main__"`."""
    test = node.test if isinstance(node, ast.If) else None
    return test is not None and any(getattr(one, "id", "") == "__name__" for one in ast.walk(test))


def _absolute(name: str, file: Path, root: Path) -> str:
    if not name.startswith("."):
        return name
    rest = name.lstrip(".")
    folder = file.parents[len(name) - len(rest) - 1] if len(name) - len(rest) <= len(file.parents) else root
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    return ".".join([*parts, rest]).strip(".")


def _files(root: Path, name: str) -> list[Path]:
    """Files of the repository that importing a module reads: its own and its packages'."""
    found: list[Path] = []
    path = root
    for part in (one for one in name.split(".") if one and "/" not in one):
        path /= part
        candidates = (path / "__init__.py", path.with_name(f"{part}.py"))
        found += [file for file in candidates if os.path.isfile(file)]
    return found


def _in_branch(entry: Branch, layout: Layout) -> Iterator[str]:
    for node in ast.walk(entry.body):
        if isinstance(node, ast.Call):
            loose = any(one.arg == "strict" and getattr(one.value, "value", None) is False for one in node.keywords)
            where = f"{layout.script.name}:{node.lineno}"
            if called(node) == "load_state_dict" and loose:
                yield f"strict=False ({where})"
            if called(node) in ("model", "net", "network"):
                yield f"passes before any clock runs ({where})"
            if reason := _CALLS.get(dotted(node.func)) or _CALLS.get(called(node)):
                yield f"{reason} ({where})"


def _suspicious(tree: ast.Module, name: str) -> Iterator[str]:
    for node in _networks(tree):
        line = f"{name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and (reason := _CALLS.get(dotted(node.func)) or _CALLS.get(called(node))):
            yield f"{reason} ({line})"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Attribute) and target.attr in _SWITCHES:
                    yield f"sets {target.attr} ({line})"
        elif isinstance(node, ast.ClassDef):
            yield from _in_class(node, name)


def _networks(tree: ast.AST, skipped: tuple[type[ast.AST], ...] = ()) -> Iterator[ast.AST]:
    """Every node outside `if __name__ == "__main__"` and of no skipped kind."""
    waiting = [tree]
    while waiting:
        node = waiting.pop(0)
        if not _is_main(node) and not isinstance(node, skipped):
            yield node
            waiting += ast.iter_child_nodes(node)


def _in_class(node: ast.ClassDef, name: str) -> Iterator[str]:
    """Methods that are redefined, and passes in methods other than `forward`."""
    for method in node.body:
        if not isinstance(method, ast.FunctionDef):
            continue
        line = f"{name}:{method.lineno}"
        if method.name in _OVERRIDDEN:
            yield f"redefines {method.name} ({line})"
        if method.name != "forward":
            for call in ast.walk(method):
                if isinstance(call, ast.Call) and _is_pass(call):
                    yield f"a pass in {method.name} ({name}:{call.lineno})"


def _is_pass(call: ast.Call) -> bool:
    """`self(…)`, `self.cuda()(…)` or `self.forward(…)`."""
    function = call.func.func if isinstance(call.func, ast.Call) else call.func
    owner, _, method = dotted(function).partition(".")
    return owner == "self" and (method in ("", "forward") or (function is not call.func and "." not in method))
