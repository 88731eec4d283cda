"""Packages of a submission in an environment of its own."""

import hashlib
import importlib.metadata
import importlib.util
import zipfile
from pathlib import Path

import pytest
from helpers.cases import with_slow

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


@pytest.mark.parametrize("lines", ["numpy", "--no-index\nnumpy>=1.20  # of esr", "gone; python_version < '3'"])
def test_what_is_here_already_needs_no_environment(submission, tmp_path, monkeypatch, lines):
    monkeypatch.setenv("ESR_OFFLINE", "1")
    (tmp_path / "needs.txt").write_text(lines)
    assert environments.packages_of(submission) is None


def test_offline_a_line_says_what_is_missing(submission, monkeypatch):
    monkeypatch.setenv("ESR_OFFLINE", "1")
    with pytest.raises(EsrError, match=r"needs\.txt") as caught:
        environments.packages_of(submission)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("no-such-package-at-all", "No matching wheel found for no-such-package-at-all;"),
        ("numpy==0.0.1", "esr's environment keeps its versions"),
        ("numpy<0.1", "Cannot install numpy<0.1 beside the versions that esr's environment keeps;"),
    ],
)
def test_what_cannot_be_had_beside_the_pinned_ones_is_one_line(submission, tmp_path, line, fault):
    (tmp_path / "needs.txt").write_text(f"--no-index\n{line}\n")
    with pytest.raises(ConfigError, match="leave `requirements` out") as caught:
        environments.packages_of(submission)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_index_that_cannot_be_reached_is_told_from_a_package_that_is_not_there(submission, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_RETRIES", "1")
    (tmp_path / "needs.txt").write_text("--index-url http://127.0.0.1:9/simple\nno-such-package-at-all\n")
    with pytest.raises(ConfigError, match=r"no-such-package-at-all \(an index cannot be reached\); install"):
        environments.packages_of(submission)


def test_without_requirements_nothing_is_made(tmp_path):
    assert environments.packages_of(ModelConf("net.Net")) is None
    with pytest.raises(ConfigError, match="no such file"):
        environments.packages_of(ModelConf("net.Net", source=str(tmp_path / "a.yaml"), requirements="none.txt"))


@pytest.mark.parametrize(
    "line",
    [
        "git+https://example.org/layers.git",
        "layers @ git+https://example.org/layers.git",
        "layers @ file:///somewhere/layers-1.0.tar.gz",
        "https://example.org/layers-1.0.tar.gz",
        "-e .",
        "./layers",
        "-r others.txt",
        "--no-binary :all:",
        "--no-index --no-binary :all:",
        "--find-links . --no-binary :all:",
        "small-layers --global-option=build",
        "small-layers --config-settings=x=y",
        "small-layers; python_version > '3' --global-option=build",
        "--extra-index-url https://example.org/${HOME}/simple",
    ],
)
def test_nothing_is_asked_of_pip_but_wheels_by_name(submission, tmp_path, line, monkeypatch):
    monkeypatch.setattr(environments.subprocess, "run", None)
    (tmp_path / "needs.txt").write_text(f"--no-index\n{line}\n")
    with pytest.raises(ConfigError, match="only names of packages with versions") as caught:
        environments.packages_of(submission)
    assert "\n" not in str(caught.value)


def test_pins_of_esrs_own_packages_are_named_all_at_once(submission, tmp_path):
    (tmp_path / "needs.txt").write_text("--no-index\nsmall-layers==1.0\ntorch==1.13.1\nNumPy == 1.24.0  # old\n")
    with pytest.raises(
        ConfigError, match=r"torch==1\.13\.1 \(.* here\), NumPy==1\.24\.0 \(.* here\): esr's environment"
    ):
        environments.packages_of(submission)


@pytest.mark.parametrize("encoding", with_slow(["utf-8", "utf-8-sig", "utf-16"], {"utf-8", "utf-16"}))
def test_a_file_as_tools_write_it(submission, tmp_path, encoding):
    own = importlib.metadata.version("numpy")
    text = (
        f"# comment\r\n--no-index\r\n-f .\r\nsmall_layers==1.0 ; \\\r\n  python_version >= '3'\r\n\r\nnumpy=={own}\r\n"
    )
    (tmp_path / "needs.txt").write_bytes(text.encode(encoding))
    assert (environments.packages_of(submission) / "small_layers.py").is_file()


def test_hashes_are_checked(submission, tmp_path):
    wheel = tmp_path / "small_layers-1.0-py3-none-any.whl"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for expected, ends_well in ((digest, True), ("0" * 64, False)):
        (tmp_path / "needs.txt").write_text(f"--no-index\n-f .\nsmall-layers==1.0 \\\n  --hash=sha256:{expected}\n")
        if ends_well:
            assert (environments.packages_of(submission) / "small_layers.py").is_file()
            continue
        with pytest.raises(ConfigError, match="leave `requirements` out"):
            environments.packages_of(submission)


def test_a_file_that_is_no_text_is_refused(submission, tmp_path):
    (tmp_path / "needs.txt").write_bytes(b"small-layers\n\xff\xfe\x80")
    with pytest.raises(ConfigError, match="cannot be read"):
        environments.packages_of(submission)
