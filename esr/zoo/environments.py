"""Packages that a submission asks for: a cached virtual environment of its own, on top of esr's.

What esr's environment has stays as it is, torch included; only wheels are installed, since a source distribution would
run the submission's code outside its worker.
"""

import hashlib
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

import platformdirs
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from esr.config.schema import ModelConf
from esr.errors import ConfigError
from esr.system.files import expanded
from esr.text import escaped, listed, one_line, shown_path
from esr.zoo.download import refuse_offline

_PIP_SECONDS = 1800
_COMPLETE = "complete"
_REMEDY = "install the packages into esr's environment, or leave `requirements` out"
_MOST_BYTES = 1 << 20
"""Of a file of packages."""
_VERSION = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[\w.*+!-]+"
_NAMED = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(?:\[[\w\s,.-]*\])?\s*"
    rf"\(?(?:{_VERSION}(?:\s*,\s*{_VERSION})*)?\)?\s*(?:;(?:(?!\s-).)*)?(?:\s--hash=[\w:]+)*"
)
"""A package by name, with extras, versions, a condition and hashes; nothing by which pip would build from source."""
_PIN = re.compile(r"([A-Za-z0-9][\w.-]*)\s*={2,3}\s*([\w.+!-]+)(?:\s--hash=.*)?")
_OPTION = re.compile(
    r"--no-index|--pre|--prefer-binary|(?:--index-url|-i|--extra-index-url)[ =][^\s'\"]+"
    r"|(?:--find-links|-f)[ =]([^\s'\"]+)"
)
"""Where wheels are; other options could ask for something else than wheels."""


def packages_of(model: ModelConf) -> Path | None:
    """Folder of the packages in a network's `requirements` file, installed if necessary; `None` if none are needed.

    Raises:
        ConfigError: The file is not there, asks for more than wheels, or for what cannot be had beside the pinned ones.
        FetchError: Packages would have to be fetched, and `ESR_OFFLINE` forbids that.
    """
    if model.requirements is None:
        return None
    base = model.repository.root or (Path(model.source).parent if model.source else Path.cwd())
    file = Path(base) / expanded(model.requirements)
    if not os.path.isfile(file):
        raise ConfigError(f"requirements={model.requirements}: no such file in {shown_path(base)}")
    installed = {canonicalize_name(one.name): one.version for one in importlib.metadata.distributions() if one.name}
    lines = _wanted(file, installed)
    if all(_is_here(line, installed) for line in lines):
        return None
    pinned = sorted(f"{name}=={version}" for name, version in installed.items())
    key = hashlib.sha256("\n".join([sys.version, *pinned, "", *lines]).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("esr") / "environments" / key
    if not (folder / _COMPLETE).is_file():
        refuse_offline(f"the environment of {shown_path(file)}")
        _install(file, lines, pinned, folder)
    return _site(folder)


def _wanted(file: Path, installed: Mapping[NormalizedName, str]) -> list[str]:
    """Lines of a file of packages: names that wheels can serve, and where to look for them.

    Raises:
        ConfigError: It asks for anything else, as source or a folder, or pins what esr's environment has otherwise.
    """
    wanted: list[str] = []
    other: list[str] = []
    for line in _lines(file):
        named, option = _NAMED.fullmatch(line), _OPTION.fullmatch(line)
        if "${" in line or not (named or option):  # pip would put a secret of the environment there
            what = "only names of packages with versions, which are installed as wheels"
            raise ConfigError(f"{shown_path(file)}: {escaped(line)}: {what}; {_REMEDY}")
        beside = file.parent / option[1] if option and option[1] else None
        is_folder = beside is not None and os.path.isdir(beside)
        wanted.append(f"--find-links {shlex.quote(os.path.abspath(beside))}" if beside and is_folder else line)
        pin = _PIN.fullmatch(line)
        version = installed.get(canonicalize_name(pin[1])) if pin else None
        if pin and version and _release(pin[2]) != _release(version):
            other.append(f"{pin[1]}=={pin[2]} ({version} here)")
    if other:
        what = "esr's environment keeps its versions; take these lines out, or leave `requirements` out"
        raise ConfigError(f"{shown_path(file)}: {listed(other, most=6)}: {what}")
    return wanted


def _is_here(line: str, installed: Mapping[NormalizedName, str]) -> bool:
    """True if esr's environment satisfies a line already, as in an image that was made for the submission."""
    if line.startswith("-"):
        return True  # says where packages are, and names none
    try:
        wanted = Requirement(line.partition(" --hash")[0])
    except InvalidRequirement:
        return False
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    version = installed.get(canonicalize_name(wanted.name))
    return version is not None and not wanted.extras and wanted.specifier.contains(version, prereleases=True)


def _release(version: str) -> str:
    """A version without what does not tell it from another: trailing zeros, and the build after a plus."""
    return re.sub(r"(\.0)+$", "", version.partition("+")[0])


def _lines(file: Path) -> Iterator[str]:
    """Logical lines without comments; in UTF-8, or in UTF-16 as a Windows shell writes it."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown_path(file)}: cannot be read ({one_line(str(error))}); {_REMEDY}") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{shown_path(file)}: larger than {_MOST_BYTES >> 20} MiB, no list of packages; {_REMEDY}")
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if wanted := re.sub(r"(^|\s)#.*", "", line).strip():
            yield " ".join(wanted.split())


def _site(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


def _install(file: Path, lines: list[str], pinned: list[str], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    venv.EnvBuilder(with_pip=False).create(folder)
    # pip then takes esr's own packages for installed.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (_site(folder) / "esr.pth").write_text("\n".join(sorted(paths)) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        constraints, wanted = Path(scratch, "constraints.txt"), Path(scratch, "wanted.txt")
        constraints.write_text("\n".join(pinned), encoding="utf-8")
        wanted.write_text("\n".join(lines), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
        words = [*pip, "install", "--quiet", "--only-binary", ":all:", "-c", str(constraints), "-r", str(wanted)]
        try:
            # In an empty folder: pip would take a name for a file that lies there.
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{shown_path(file)}: pip did not finish ({one_line(str(error))}); {_REMEDY}") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
        telling = [line for line in errors if "ResolutionImpossible" not in line] or errors
        fault = one_line(telling[-1]).removeprefix("ERROR: ").replace("No matching distribution", "No matching wheel")
        fault = re.sub(r"because these package.*", "beside the versions that esr's environment keeps", fault)[:400]
        fault += " (an index cannot be reached)" * ("connection broken" in done.stderr)
        raise ConfigError(f"{shown_path(file)}: {fault}; {_REMEDY}")
    (folder / _COMPLETE).touch()
