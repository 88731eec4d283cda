"""The container's files, checked without building it."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


def told(variant: str, **environment: str) -> list[str]:
    """Arguments of `docker/build.sh` to the engine."""
    run = subprocess.run(
        ["sh", "docker/build.sh", variant],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if name != "TAG"},
            "ENGINE": "echo",
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return shlex.split(run.stdout)


@pytest.mark.parametrize(
    ("variant", "tag", "torch", "cuda"),
    [("cu126", "esr", "2.7.1", "12.6"), ("cpu", "esr:cpu", "2.13.0", "none")],
)
def test_the_build_is_told_what_the_lock_holds(variant, tag, torch, cuda):
    words = told(variant)
    assert words[words.index("--tag") + 1] == tag
    assert {f"VARIANT={variant}", f"TORCH={torch}", f"CUDA={cuda}"} <= set(words)
    (version,) = (word.removeprefix("VERSION=") for word in words if word.startswith("VERSION="))
    assert str(Version(version)) == version, "what Python takes for a version"
    assert ("APT_SNAPSHOT=" in words) is (variant == "cpu")


def test_base_weights_and_secrets_come_from_the_environment():
    words = told("cu126", BASE_IMAGE="localhost/base", WEIGHTS="published", PIP_CONF="pip.conf", CA="ca.pem")
    assert {"BASE_IMAGE=localhost/base", "WEIGHTS=published"} <= set(words)
    assert {"id=pip,src=pip.conf", "id=ca,src=ca.pem"} <= set(words)
    assert "WEIGHTS=bundled" in told("cu126")


def test_podman_is_told_the_time_of_the_commit(tmp_path):
    (tmp_path / "podman").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "podman").chmod(0o755)
    words = told("cu126", ENGINE="podman --root=/there", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert words[:2] == ["--root=/there", "build"]
    assert words[words.index("--timestamp") + 1].isdigit()


@pytest.mark.parametrize(
    ("variant", "engine", "named"),
    [("cu999", "echo", "cu999"), ("", "echo", "cpu"), ("cpu", "nobody-has-this x", "nobody-has-this")],
)
def test_a_variant_or_engine_that_is_not_there_ends_in_one_line(variant, engine, named):
    run = subprocess.run(
        ["sh", "docker/build.sh", variant],
        cwd=ROOT,
        env={**os.environ, "ENGINE": engine},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
    assert named in run.stderr


def test_every_service_of_compose_is_shut_in_and_gets_one_gpu():
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    assert {"esr", "doctor", "eval-all", "rank"} == set(services)
    for service in services.values():
        assert service["read_only"]
        assert service["network_mode"] == "none"
        assert service["cap_drop"] == ["ALL"]
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert len(device["device_ids"]) == 1
        assert {"gpu", "compute", "utility"} == set(device["capabilities"])
    assert services["eval-all"]["command"] == ["-m", "model=glob(*)"]


def test_nothing_but_the_images_parts_is_sent_to_a_build():
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    for rule in rules[1:]:
        assert not rule.startswith("!") or list(ROOT.glob(rule[1:])), f"{rule}: nothing of that name"
