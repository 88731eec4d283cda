"""Packages that a submission asks for: a cached virtual environment of its own, on top of esr's.

What esr's environment has stays as it is, torch included; only wheels are installed, since a source distribution would
run the submission's code outside its worker.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import platformdirs

from esr.config.schema import ModelConf
from esr.errors import ConfigError
from esr.text import one_line, shown_path
from esr.zoo.download import refuse_offline

_PIP_SECONDS = 1800
_COMPLETE = "complete"
_REMEDY = "install the packages into esr's environment, or leave `requirements` out"


def packages_of(model: ModelConf) -> Path | None:
    """Folder of the packages in a network's `requirements` file, installed if necessary; `None` without such a file.

    Raises:
        ConfigError: The file is not there, or a package cannot be installed beside the pinned ones.
        FetchError: Packages would have to be fetched, and `ESR_OFFLINE` forbids that.
    """
    if model.requirements is None:
        return None
    base = model.repository.root or (Path(model.source).parent if model.source else Path.cwd())
    file = Path(base) / os.path.expanduser(model.requirements)
    if not file.is_file():
        raise ConfigError(f"requirements={model.requirements}: no such file in {shown_path(base)}")
    pinned = sorted({f"{one.name}=={one.version}" for one in importlib.metadata.distributions() if one.name})
    key = hashlib.sha256("\n".join([sys.version, *pinned, file.read_text("utf-8")]).encode()).hexdigest()[:16]
    folder = platformdirs.user_cache_path("esr") / "environments" / key
    if not (folder / _COMPLETE).is_file():
        refuse_offline(f"packages of {shown_path(file)}")
        _install(file, pinned, folder)
    return _site(folder)


def _site(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


def _install(file: Path, pinned: list[str], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    venv.EnvBuilder(with_pip=False).create(folder)
    # pip then takes esr's own packages for installed.
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (_site(folder) / "esr.pth").write_text("\n".join(sorted(paths)) + "\n", encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as constraints:
        constraints.write("\n".join(pinned))
        constraints.flush()
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
        words = ["--disable-pip-version-check", "--only-binary", ":all:", "-c", constraints.name, "-r", str(file)]
        try:
            done = subprocess.run([*pip, *words], capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"{shown_path(file)}: pip did not finish ({one_line(str(error))}); {_REMEDY}") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr]
        raise ConfigError(f"{shown_path(file)}: {one_line(errors[-1])[:400]}; {_REMEDY}")
    (folder / _COMPLETE).touch()
