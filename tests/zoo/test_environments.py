"""Packages of a submission in an environment of its own."""

import importlib.util
import zipfile
from pathlib import Path

import pytest

from esr.config.schema import ModelConf
from esr.errors import ConfigError, EsrError
from esr.zoo import environments


@pytest.fixture
def submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelConf:
    """A YAML's folder whose requirements name one wheel beside them, and an empty cache."""
    monkeypatch.setattr(environments.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.delenv("ESR_OFFLINE", raising=False)
    with zipfile.ZipFile(tmp_path / "small_layers-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("small_layers.py", "DEPTH = 3\n")
        facts = "small_layers-1.0.dist-info"
        wheel.writestr(
            f"{facts}/METADATA", "Metadata-Version: 2.1\nName: small-layers\nVersion: 1.0\nRequires-Dist: numpy\n"
        )
        wheel.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{facts}/RECORD", "")
    (tmp_path / "needs.txt").write_text(f"--no-index\n--find-links {tmp_path}\nsmall-layers\n")
    return ModelConf("net.Net", source=str(tmp_path / "model.yaml"), requirements="needs.txt")


def test_they_are_installed_once_on_top_of_the_pinned_ones(submission, monkeypatch):
    site = environments.packages_of(submission)
    assert (site / "small_layers.py").is_file()
    assert not (site / "numpy").exists()
    assert importlib.util.find_spec("small_layers") is None
    monkeypatch.setenv("ESR_OFFLINE", "1")
    assert environments.packages_of(submission) == site


def test_offline_a_line_says_what_is_missing(submission, monkeypatch):
    monkeypatch.setenv("ESR_OFFLINE", "1")
    with pytest.raises(EsrError, match=r"needs\.txt") as caught:
        environments.packages_of(submission)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["no-such-package-at-all", "numpy==0.0.1"])
def test_what_cannot_be_had_beside_the_pinned_ones_is_one_line(submission, tmp_path, line):
    (tmp_path / "needs.txt").write_text(f"--no-index\n{line}\n")
    with pytest.raises(ConfigError, match="leave `requirements` out") as caught:
        environments.packages_of(submission)
    assert "\n" not in str(caught.value)


def test_without_requirements_nothing_is_made(tmp_path):
    assert environments.packages_of(ModelConf("net.Net")) is None
    with pytest.raises(ConfigError, match="no such file"):
        environments.packages_of(ModelConf("net.Net", source=str(tmp_path / "a.yaml"), requirements="none.txt"))
