"""The installed package: `models/`, `conf/` and `model_zoo/` as `esr.models`, `esr.conf` and `esr.model_zoo`."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import pathlib, sys
import esr, esr.conf, esr.models.rlfn, esr.model_zoo
from esr.config.cards import model_names
from esr.config.compose import compose
from hydra.core.plugins import Plugins
home = pathlib.Path(esr.__file__).parent
assert str(home).startswith(sys.argv[1]), home
assert compose(["model=rlfn"]).model._target_ == "esr.models.rlfn.RLFN"
assert (home / "records" / "record.schema.json").is_file()
assert "Slurm" in {kind.__name__ for kind in Plugins.instance().discover()}
assert esr.models.rlfn.__file__.startswith(str(home))
print(*model_names())
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel built from the source distribution, as a release is, with the environment's own setuptools."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_networks_configuration_and_zoo_and_no_top_level_models(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"esr", "hydra_plugins"}
    for name in ("esr/models/blocks/attention.py", "esr/conf/config.yaml", "esr/conf/model/imdn.yaml",
                 "esr/model_zoo/__init__.py", "hydra_plugins/esr_plugins/cluster.py",
                 "esr/records/record.schema.json", "esr/py.typed",
                 "esr/data/demo/coffee.png", "esr/data/demo/LICENCES.md"):  # fmt: skip
        assert name in names
    shipped = {Path(name).name for name in names if name.startswith("esr/conf/model/")}
    assert shipped == {file.name for file in (ROOT / "conf" / "model").glob("*.yaml")}
    assert not [name for name in names if name.endswith((".pth", ".pt"))]


@pytest.mark.slow
def test_a_built_wheel_works_in_an_environment_of_its_own(wheel, tmp_path):
    venv.create(tmp_path / "env", symlinks=True, with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    subprocess.run([str(python), "-I", "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    # The dependencies are those of the environment that runs the tests; esr itself must come from the wheel.
    outside = [path for path in sys.path if path.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *outside])}
    command = [str(python), "-c", PROBE, str(site)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "rlfn" in run.stdout.split()


def test_the_checkout_is_installed_in_place():
    run = subprocess.run([sys.executable, "-c", PROBE, str(ROOT)], cwd="/", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_the_links_are_relative():
    for name in ("models", "conf", "model_zoo"):
        assert os.readlink(ROOT / "esr" / name) == f"../{name}"
