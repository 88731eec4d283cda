"""The dependencies: tests import declared ones only, locks pin each with its hash and name no registry."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
VARIANTS = sorted(file.stem.removeprefix("torch-") for file in DOCKER.glob("torch-*.in"))
TESTS = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TARGETS = [("3.11", "x86_64"), ("3.12", "x86_64")]
"""Debian 12's Python and Ubuntu 24.04's."""


def declared() -> list[Requirement]:
    """Requirements that a checkout installs: the dependencies and the extra `dev`."""
    project = PROJECT["project"]
    return [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["dev"])]


def imported(file: Path) -> set[str]:
    """Top-level names of the packages that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def test_what_tests_and_benchmarks_import_is_declared():
    ours = {"esr", "hydra_plugins", "helpers", *(file.stem for file in TESTS), *(file.parent.name for file in TESTS)}
    known = {canonicalize_name(requirement.name) for requirement in declared()}
    distributions = packages_distributions()
    missing = {
        name: file.name
        for file in TESTS
        for name in imported(file) - ours - sys.stdlib_module_names
        if not {canonicalize_name(one) for one in distributions.get(name, [name])} & known
    }
    assert not missing, "declare them in the extra dev of pyproject.toml"


def locked(file: Path) -> list[Requirement]:
    """The pinned requirements of a lock, hashes cut off."""
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [re.sub(r"\s--hash=\S+", "", line).strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins(file: Path, python: str, machine: str) -> dict[str, str]:
    """Name -> version that a lock installs there."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0",
                   "platform_machine": machine, "sys_platform": "linux", "os_name": "posix"}  # fmt: skip
    found: dict[str, str] = {}
    for requirement in locked(file):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            (pin,) = requirement.specifier
            assert pin.operator == "=="
            assert requirement.name not in found, f"{requirement.name} is pinned twice for Python {python}"
            found[requirement.name] = pin.version
    return found


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("python", "machine"), TARGETS)
def test_each_lock_satisfies_every_dependency_of_the_project(variant, python, machine):
    found = pins(DOCKER / f"requirements-{variant}.txt", python, machine)
    for line in PROJECT["project"]["dependencies"]:
        wanted = Requirement(line)
        assert wanted.name.lower() in found, f"{line} is not in the lock: make lock"
        version = found[wanted.name.lower()]
        assert wanted.specifier.contains(version, prereleases=True), f"{line}, but {version} is locked: make lock"


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_the_constraints_satisfy_every_dependency_of_the_project(python):
    found = pins(ROOT / "constraints.txt", python, "x86_64")
    for wanted in declared():
        if wanted.marker and not wanted.marker.evaluate({"python_version": python}):
            continue
        version = found.get(canonicalize_name(wanted.name))
        assert version, f"{wanted} is not in constraints.txt: make lock"
        assert wanted.specifier.contains(version, prereleases=True), f"{wanted}, but {version} is pinned: make lock"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_torch_it_is_made_for(variant):
    wanted = Requirement((DOCKER / f"torch-{variant}.in").read_text().strip())
    found = pins(DOCKER / f"requirements-{variant}.txt", "3.12", "x86_64")
    assert wanted.specifier.contains(found["torch"], prereleases=True)


def test_the_default_variant_is_the_newest_torch_that_runs_on_a_titan_xp():
    found = pins(DOCKER / "requirements-cu126.txt", "3.12", "x86_64")
    assert found["torch"] == "2.7.1"
    assert found["nvidia-cuda-runtime-cu12"].startswith("12.6.")


@pytest.mark.parametrize("file", sorted(DOCKER.glob("requirements-*.txt")), ids=lambda file: file.stem)
def test_every_file_is_pinned_by_hash_and_none_by_place(file):
    text = file.read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    for entry in text.replace("\\\n", " ").splitlines():
        assert entry.startswith("#") or re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_dockerfiles_defaults_are_the_default_variants():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.+)"', (ROOT / "esr" / "__init__.py").read_text(encoding="utf-8"))
    torch = (DOCKER / "torch-cu126.in").read_text().strip().removeprefix("torch==")
    wanted = {"VARIANT": "cu126", "TORCH": torch, "CUDA": "12.6", "VERSION": version[1]}
    for name, value in wanted.items():
        defaults = set(re.findall(rf"^ARG {name}=(\S+)$", dockerfile, flags=re.MULTILINE))
        assert defaults == {value}, f"ARG {name} in the Dockerfile"
    assert re.search(r"^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$", dockerfile, flags=re.MULTILINE)
