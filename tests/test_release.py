"""What releases are made from: workflows, the apptainer image, the devcontainer, the changelog and the citation."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(file: Path) -> dict[str, dict[str, object]]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(file):
    used = re.findall(r"uses: (?!\./)(\S+)(.*)", file.read_text(encoding="utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: its version as a comment"


def test_one_action_is_pinned_to_one_commit():
    used = {tuple(one.split("@")) for file in WORKFLOWS for one in re.findall(r"uses: (\S+@\S+)", file.read_text())}
    assert len(used) == len({action for action, _ in used})


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_rights_are_given_job_by_job_and_no_expression_is_part_of_a_script(file):
    whole = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert whole["permissions"] in ({}, {"contents": "read"})
    for job in jobs(file).values():
        for step in job.get("steps", []):
            assert "${{" not in step.get("run", ""), "a tag's name is a stranger's text: pass it as a variable"


def test_nothing_is_pushed_before_the_checks_have_passed():
    release = jobs(ROOT / ".github" / "workflows" / "release.yml")
    waits = {
        name: {job["needs"]} if isinstance(job.get("needs"), str) else set(job.get("needs", ()))
        for name, job in release.items()
    }
    assert waits == {"check": set(), "wheel": {"check"}, "image": {"check"}, "publish": {"wheel", "image"}}
    writing = {name for name, job in release.items() if "write" in job["permissions"].values()}
    assert "check" not in writing


def executable(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.skipif(not shutil.which("git"), reason="docker/build.sh asks git for the commit")
def test_the_pushed_image_bears_the_tags_version_and_what_is_signed_is_its_digest(tmp_path):
    steps = jobs(ROOT / ".github" / "workflows" / "release.yml")["image"]["steps"]
    (script,) = [step["run"] for step in steps if "--push" in step.get("run", "")]
    executable(tmp_path / "docker", f'printf "%s\\n" "$@" >> {tmp_path}/words')
    executable(tmp_path / "jq", "echo sha256:0123")
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "REPOSITORY": "Someone/esr",
        "TAG": "v1.2.3",
        "GITHUB_ENV": str(tmp_path / "env"),
    }
    subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=environment, check=True, capture_output=True)
    words = (tmp_path / "words").read_text().splitlines()
    tags = [words[index + 1] for index, word in enumerate(words) if word == "--tag"]
    assert tags == ["ghcr.io/someone/esr:1.2.3", "ghcr.io/someone/esr:latest"]
    assert "VERSION=1.2.3" in words
    assert (tmp_path / "env").read_text() == "IMAGE=ghcr.io/someone/esr@sha256:0123\n"


def test_every_make_target_of_the_workflows_exists():
    known = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    used = {target for file in WORKFLOWS for target in re.findall(r"run: make ([\w-]+)", file.read_text())}
    assert used
    assert used <= known


def test_the_apptainer_image_is_made_from_what_the_container_is_made_from():
    container = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    definition = (ROOT / "docker" / "apptainer.def").read_text(encoding="utf-8")
    pinned = re.search(r"^ARG BASE_IMAGE=docker\.io/(\S+):(\S+)(@\S+)$", container, flags=re.MULTILINE)
    name, tag, digest = pinned.groups()
    assert f"# {tag}; " in definition
    assert f"From: {name}{digest}\n" in definition, "apptainer refuses a tag beside a digest"
    files = {line.split()[0] for line in definition.partition("%files")[2].partition("%post")[0].splitlines() if line}
    assert all((ROOT / name).exists() for name in files)
    torch = (ROOT / "docker" / "torch-cu126.in").read_text().strip().removeprefix("torch==")
    assert f"gate.py cu126 {torch} 12.6" in definition
    for name in ("ESR_OUT=/out", "ESR_DATA=/data", "ESR_ZOO=/zoo"):
        assert name in container
        assert name in definition


def test_the_devcontainer_makes_the_environment_of_make_setup():
    made = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert made["postCreateCommand"] == "make setup"
    assert (ROOT / ".devcontainer" / made["build"]["dockerfile"]).is_file()


def test_the_latest_section_of_the_changelog_is_the_version_that_is_cited():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]? – (\d{4}-\d\d-\d\d)$", changelog, flags=re.MULTILINE)
    assert released, "a first release"
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], str(cited["date-released"])) == released[0]
