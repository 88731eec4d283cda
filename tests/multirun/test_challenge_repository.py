"""A challenge's repository from the command line: listed, measured beside its own baseline, resumed."""

import hashlib
import json
from pathlib import Path

import pytest
from helpers.challenge_repository import NETWORKS, make_repository
from helpers.participants import ONCE, SMALL

from esr.config.compose import compose
from esr.config.repository_words import expand
from esr.errors import ConfigError

SHARED = [
    *(word for word in SMALL if word.startswith(("data", "timing", "device", "telemetry"))),
    *ONCE,
    "data.limit=1",
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("checkouts") / "it's (a) repo", commit=True)


def test_listing_names_what_is_missing_and_suspicious(run_esr, repository, tmp_path):
    listed = run_esr("repo", "list", str(repository), "--format", "json", cwd=tmp_path)
    assert listed.code == 0, listed.err
    report = json.loads(listed.out)
    rows = {row["id"]: row for row in report["networks"]}
    assert sorted(rows) == NETWORKS
    assert report["baseline"] == 0
    assert report["changed"] == []
    assert len(report["commit"]) == 40
    assert rows[12]["weights_missing"] == ["model_zoo/team12.pth"]
    assert rows[9]["packages_missing"] == ["a_package_that_nobody_has"]
    assert rows[10]["packages_missing"] == []
    assert "strict=False (test_demo.py" in rows[2]["suspicious"][0]
    assert [reason.partition(" (")[0] for reason in rows[5]["suspicious"]] == ["redefines to", "a pass in to"]
    assert "half precision" in rows[14]["suspicious"][0]
    assert rows[0]["suspicious"] == []
    assert "without their weights" in run_esr("repo", "list", str(repository), cwd=tmp_path).out


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_fits_the_terminal_and_names_the_columns_that_do_not(run_esr, repository, tmp_path, width):
    run = run_esr("repo", "list", str(repository), cwd=tmp_path, env={"COLUMNS": str(width)})
    table, found, _ = run.out.partition("\n\n")
    assert found
    assert max(map(len, table.splitlines())) <= width
    assert ("not shown at this width: range, packages missing" in table) == (width == 80)
    assert "02_Loose" in table


def test_a_multirun_measures_each_and_says_why_others_cannot(run_esr, repository, participant):
    (repository / "model_zoo" / "notes.txt").write_text("changed since the commit")
    words = ("-m", "model=repo", f"repo={repository}", "id=2,9,12,14", *SHARED)
    done = run_esr(*words, cwd=participant)
    assert done.code == 1, done.err
    assert "needs the package a_package_that_nobody_has" in done.out
    assert "model_zoo/team12.pth is not in" in done.out
    records = {record["networks"]["candidate"]["name"]: record for record in map(_read, done.records)}
    assert sorted(records) == ["02_Loose", "14_Half"]
    candidate, baseline = (records["02_Loose"]["networks"][role] for role in ("candidate", "baseline"))
    assert baseline["name"] == "00_Plain_baseline"
    assert candidate["card"]["team_id"] == 2
    loading = candidate["loading"]
    assert (loading["strict"], loading["missing"], loading["unexpected"]) == (False, ["features.bias"], ["old.weight"])
    weights = repository / "model_zoo" / "team02.pth"
    digests = {file["path"]: file["sha256"] for file in loading["files"]}
    assert digests["model_zoo/team02.pth"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert candidate["weights"]["source"] == "repository"
    assert loading["repository"]["changed"] == ["model_zoo/notes.txt"]
    assert loading["repository"]["id"] == 2
    half = records["14_Half"]
    assert half["networks"]["candidate"]["precision"] == "fp16"
    assert "precision_changed" in [reason["reason"] for reason in half["verdict"]["reasons"]]
    again = run_esr(*words, cwd=participant)
    assert "2 skipped" in again.out
    assert "measured" not in again.out.splitlines()[-1]


def _read(file: Path) -> dict:
    return json.loads(file.read_text())


def test_words_are_completed_and_checked(repository):
    words = expand(["model=repo", f"repo={repository}", "id=all"], several=True)
    assert f"id={','.join(map(str, NETWORKS))}" in words
    assert "baseline=repo" in words
    assert expand(["model=imdn", "id=null"]) == ["model=imdn", "id=null"]
    settings = compose(["model=repo", f"repo={repository}", "id=7", "baseline=imdn"])
    assert (settings.model.name, settings.model.data_range, settings.model.title) == ("07_Range", 255.0, "Range")
    assert settings.baseline.name == "imdn"
    assert compose(["model=imdn", "baseline=repo", f"repo={repository}"]).baseline.repository.id == 0
    mixed = compose(["model=repo", f"repo={repository}", "id=7", "baseline_id=2"])
    assert mixed.baseline.repository.id == 2
    words = expand(["model=repo", f"repo={repository}", "id=7", "model.requirements=needs.txt"])
    assert "baseline.requirements=needs.txt" in words  # one script imports the packages of both
    words = expand(["model=repo", f"repo={repository}", "id=7", "baseline=imdn", "model.requirements=needs.txt"])
    assert not [word for word in words if word.startswith("baseline.requirements")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=repo"], "add repo=DIR"),
        (["model=repo", "repo=nowhere", "id=1"], "no such folder"),
        (["model=repo", "repo=.", "id=1"], "no test_demo.py that defines select_model"),
        (["model=repo", "repo={repository}"], "add id=N, or id=all"),
        (["model=repo", "repo={repository}", "id=3"], "id=3: no such network; it's"),
        (["model=repo", "repo={repository}", "id=1,2"], "several networks need esr -m"),
        (["model=repo", "repo={repository}", "id=one"], "is no number"),
        (["model=repo", "repo={repository}", "id=1", "baseline_id=99"], "baseline_id=99: no such network"),
        (["model=imdn", "repo={repository}"], "no use without model=repo or baseline=repo"),
        (["model=imdn", "baseline=repo", "repo={repository}", "id=1"], "id=1: no use without model=repo"),
        (["model=imdn", "baseline_id=1"], "baseline_id=1: no use without baseline=repo"),
        (["model=repo", "repo={repository}", "id=1", "weights=bundled"], None),
        (["model=repo", "repo={repository}", "id=1", "model.precision=fp17"], "no such choice; did you mean"),
    ],
)
def test_mistakes_end_in_one_line(words, message, repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [word.format(repository=repository) for word in words]
    if message is None:
        assert compose(given).weights == "bundled"  # refused when the weights are chosen
        return
    with pytest.raises(ConfigError, match=None) as caught:
        compose(given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def select_model(args, device):\n    return TABLE[args.model_id]\n", "is no chain of"),
        ("x = (\n", "not valid Python"),
        ("def other():\n    pass\n", "no test_demo.py that defines select_model"),
    ],
)
def test_scripts_whose_networks_cannot_be_told_are_refused(script, message, tmp_path):
    (tmp_path / "test_demo.py").write_text(script)
    with pytest.raises(ConfigError, match=message):
        expand(["model=repo", f"repo={tmp_path}", "id=0"])


def test_several_scripts_are_not_guessed_between(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text("def select_model(args, device):\n    if args.model_id == 0:\n        x = 1\n")
    with pytest.raises(
        ConfigError, match=r"several files define select_model \(one.py, two.py\): give the folder of one"
    ):
        expand(["model=repo", f"repo={tmp_path}", "id=0"])
