"""One network's folder: which attempts stay, and what is measured again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import rankings
from helpers.sweeps import multirun, network
from hypothesis import given
from hypothesis import strategies as st

from esr.config import compose as composition
from esr.config.schema import EsrConf, ModelConf
from esr.data.datasets import find_images
from esr.errors import DataError
from esr.evaluation.cache_key import cache_key
from esr.images.files import write_png
from esr.multirun import resume
from esr.multirun.folders import folder_name
from esr.multirun.overview import Overview
from esr.multirun.task import labels
from esr.records.files import load_record
from esr.records.network import Weights
from esr.zoo.own_code import code_digest
from esr.zoo.weights import resolve


def key_of(settings, weights):
    code = [code_digest(model) for model in (settings.model, settings.baseline)]
    return cache_key(settings, weights, code, find_images(settings.data))


@pytest.fixture
def measure(participant, monkeypatch):
    """`one_of_many` on a tiny network in the folder `job`; the evaluation is a stand-in that writes at once.

    Each keyword stands for a change of the configuration; `failure` and `during` are the stand-in's.
    """
    monkeypatch.chdir(participant)
    job = participant / "job"
    job.mkdir()
    state = {"evaluated": 0}

    def evaluate(settings, folder, progress):
        state["evaluated"] += 1
        folder.mkdir()
        write_png(folder / "comparison.png", np.full((8, 8, 3), state["evaluated"], np.uint8))
        state["during"](folder)
        key = key_of(settings, [resolve(settings.model, settings.weights), resolve(settings.baseline, "random")])
        return load_record(rankings.write(stub(key, state["evaluated"], state["failure"]), folder))

    monkeypatch.setattr(resume, "evaluate", evaluate)

    def run(*overrides, failure=None, during=lambda folder: None):
        state.update(failure=failure, during=during)
        config = composition.compose_unchecked(
            "config",
            ["model=tiny.yaml", "baseline=tiny.yaml", "weights=random", "baseline_weights=random", "data=folder",
             "data.root=images", *overrides],
        )  # fmt: skip
        return resume.one_of_many(config, job, Overview(1))

    run.state = state
    run.job = job
    return run


def stub(key: str, number: int, failure: str | None) -> dict:
    """A tainted or failed record; its `id` is the evaluation's number."""
    made = rankings.document("tiny", 1.0) | {"id": str(number), "cache_key": key}
    taint = {"reason": "host_load", "severity": "taint", "role": None, "detail": "x"}
    made["verdict"] = {"status": "failed" if failure else "tainted", "reasons": [taint]}
    if failure:
        failed = {"stage": "time", "kind": "exception", "message": failure}
        made["networks"]["candidate"]["failure"] = failed
    return made


def numbers(job: Path) -> list[int]:
    """Evaluation of each record in the folder; each has its own picture."""
    found = []
    for file in sorted(job.rglob("record.json")):
        from PIL import Image

        number = int(json.loads(file.read_text())["id"])
        assert np.asarray(Image.open(file.with_name("comparison.png"))).max() == number
        found.append(number)
    return found


def test_a_finished_network_is_skipped_even_if_tainted(measure):
    assert measure().status == "measured"
    again = measure()
    assert (again.status, again.tainted) == ("skipped", True)
    assert measure("lock=fail", "out=/elsewhere").status == "skipped"
    assert measure.state["evaluated"] == 1


def test_force_measures_again_and_leaves_one_record(measure):
    measure()
    assert measure("force=true").status == "measured"
    assert numbers(measure.job) == [2]


def test_a_failed_network_is_measured_again(measure):
    outcome = measure(failure="the weather was bad")
    assert (outcome.status, outcome.detail) == ("failed", "exception: the weather was bad")
    assert "the weather was bad" in (measure.job / resume.FAILURE).read_text()
    assert measure().status == "measured"
    assert numbers(measure.job) == [2]
    assert not (measure.job / resume.FAILURE).exists()


def test_a_record_that_succeeded_outlives_a_forced_failure_but_not_other_code(measure):
    measure()
    assert measure("force=true", failure="too hot").status == "failed"
    assert numbers(measure.job) == [1, 2]
    assert measure().status == "skipped"
    Path("tiny.py").write_text(Path("tiny.py").read_text() + "\n")
    assert measure(failure="worse").status == "failed"
    assert numbers(measure.job) == [3]


def test_a_killed_attempt_is_removed_and_the_old_record_stays_whole_meanwhile(measure):
    measure()

    def killed(folder):
        assert numbers(measure.job) == [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure("force=true", during=killed)
    assert numbers(measure.job) == [1]
    assert (measure.job / "2" / "comparison.png").exists()
    assert measure().status == "skipped"
    assert not (measure.job / "2").exists()


def test_a_damaged_record_is_measured_again(measure):
    measure()
    (measure.job / "1" / "record.json").write_text('{"format": ')
    assert measure().status == "measured"
    assert numbers(measure.job) == [2]


def test_what_cannot_begin_is_refused_with_its_reason_and_the_old_record_stays(measure):
    measure()

    def spoiled(folder):
        raise DataError("the disk is full")

    outcome = measure("force=true", during=spoiled)
    assert (outcome.status, outcome.detail) == ("refused", "the disk is full")
    assert numbers(measure.job) == [1]


def test_a_defect_of_ours_is_one_networks_outcome_and_keeps_its_traceback(measure, capsys):
    def defect(folder):
        raise ZeroDivisionError("oh")

    assert measure(during=defect).status == "refused"
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def settings(participant, monkeypatch):
    monkeypatch.chdir(participant)
    network(participant, "other")
    return composition.compose(["model=tiny.yaml", "baseline=tiny.yaml", "data=folder", "data.root=images"])


RANDOM = Weights("random")


def test_the_cache_key_follows_what_figures_depend_on_and_nothing_else(settings):
    first = key_of(settings, [RANDOM, RANDOM])
    elsewhere = replace(settings, out="/elsewhere", lock="fail", force=True)
    renamed = replace(settings, model=replace(settings.model, title="A Title", paper="a paper"))
    assert key_of(elsewhere, [RANDOM, RANDOM]) == key_of(renamed, [RANDOM, RANDOM]) == first
    changed = {key_of(settings, [Weights("path", "w", digest), RANDOM]) for digest in ("ab", "cd")}
    changed.add(key_of(settings, [RANDOM, Weights("path", "w", "ab")]))
    changed.add(key_of(replace(settings, timing=replace(settings.timing, seed=9)), [RANDOM, RANDOM]))
    changed.add(key_of(replace(settings, model=replace(settings.model, data_range=255.0)), [RANDOM, RANDOM]))
    Path("images/0.png").write_bytes(Path("images/0.png").read_bytes() + b"more")
    changed.add(key_of(settings, [RANDOM, RANDOM]))
    Path("tiny.py").write_text(Path("tiny.py").read_text() + "\n")
    changed.add(key_of(settings, [RANDOM, RANDOM]))
    assert len(changed | {first}) == 8


def test_the_code_of_a_network_is_found_without_importing_it(participant, monkeypatch):
    monkeypatch.chdir(participant)
    (participant / "package").mkdir()
    (participant / "package" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (participant / "package" / "net.py").write_text("first = 1\n")
    model = replace(composed().model, _target_="package.net.Net")
    before = key_of(replace(composed(), model=model), [RANDOM, RANDOM])
    (participant / "package" / "net.py").write_text("second = 2\n")
    assert key_of(replace(composed(), model=model), [RANDOM, RANDOM]) != before


def composed() -> EsrConf:
    return composition.compose(["model=tiny.yaml"])


@given(st.text(), st.text())
def test_no_name_leads_out_of_the_folder(name, data):
    for word in (folder_name(name, {"data": data}), folder_name(data, {})):
        assert "/" not in word
        assert not word.startswith(".")
        assert len(word) < 80


def job_folders(*jobs: list[str]) -> list[str]:
    """Names of the folders of several networks' configurations."""
    from esr.multirun import folders

    folders.register()
    found = []
    for overrides in jobs:
        config = composition.compose_unchecked("config", overrides)
        found.append(f"{folders.sweep_folder(_root_=config)}/{folders.job_folder(_root_=config)}")
    return found


def teams(folder: Path, *names: str, **keys: object) -> list[str]:
    """YAMLs of one name in folders of their own."""
    for name in names:
        (folder / name).mkdir()
        (folder / name / "tiny.py").write_text((folder / "tiny.py").read_text())
        network(folder / name, "model", **keys)
    return [f"model={name}/model.yaml" for name in names]


APART = {
    "two YAMLs of one name": (["model=red/model.yaml"], ["model=blue/model.yaml"]),
    "two files of weights": (["model=red/model.yaml", "weights=a.pth"], ["model=red/model.yaml", "weights=b.pth"]),
    "other arguments": (["model=red/model.yaml"], ["model=red/model.yaml", "+model.args.channels=4"]),
    "another team": (["model=red/model.yaml", "model.team=red"], ["model=red/model.yaml", "model.team=blue"]),
    "another number": (["model=red/model.yaml", "model.team_id=1"], ["model=red/model.yaml", "model.team_id=2"]),
    "two baselines of one name": (
        ["model=imdn", "baseline=red/model.yaml"],
        ["model=imdn", "baseline=blue/model.yaml"],
    ),
    "other images of one name": (
        ["model=imdn", "data=folder", "data.root=red"],
        ["model=imdn", "data=folder", "data.root=blue"],
    ),
}


@pytest.mark.parametrize("kind", APART)
def test_what_tells_submissions_apart_is_part_of_where_their_records_lie(participant, monkeypatch, kind):
    monkeypatch.chdir(participant)
    teams(participant, "red", "blue")
    one, other = job_folders(*APART[kind])
    assert one != other
    assert [one, other] == job_folders(*APART[kind])


def test_weights_and_arguments_share_a_table_and_the_current_folder_tells_nothing(participant, monkeypatch):
    monkeypatch.chdir(participant)
    teams(participant, "red", "blue")
    one, other = job_folders(*APART["two files of weights"])
    assert Path(one).parent == Path(other).parent
    out = f"out={participant}"
    here = job_folders(["+model._target_=tiny.Tiny", "weights=w.pth", out])
    monkeypatch.chdir(participant / "red")
    assert job_folders(["+model._target_=tiny.Tiny", "weights=w.pth", out]) != here
    assert job_folders(["model=model.yaml"]) == job_folders([f"model={participant}/red/model.yaml"])


def test_two_teams_with_one_file_name_have_two_records_in_one_table(participant, run_esr):
    teams(participant, "one", "two")
    run = multirun(run_esr, participant, "one/model.yaml,two/model.yaml", "data.limit=1")
    assert run.code == 0
    assert len(run.records) == 2
    assert "2 networks: 2 measured" in run.out
    assert all(f"model ({name}): measured" in run.err for name in ("one", "two"))
    ranked = run_esr("rank", "multirun/latest", "--format", "csv", cwd=participant)
    assert {line.partition(",")[0] for line in ranked.out.splitlines()[1:]} >= {"model (one)", "model (two)"}
    assert ranked.err == ""
    again = multirun(run_esr, participant, "one/model.yaml,./one/model.yaml", "data.limit=1")
    assert (again.code, len(again.err.splitlines())) == (2, 1)
    assert "one submission 2 times" in again.err
    assert len(again.records) == 2


def test_jobs_are_labelled_by_what_tells_them_apart():
    assert labels([["model=imdn"], ["model=rfdn"]]) == {("model=imdn",): "", ("model=rfdn",): ""}
    swept = [["model=rlfn", f"+model.args.num_block={count}", "data=set5"] for count in (2, 3)]
    assert list(labels(swept).values()) == ["num_block=2", "num_block=3"]
    spaced = [[f"model='of {team}/it\\'s/net.yaml'", f"weights='w {team}=1.pth'"] for team in ("a", "b")]
    assert list(labels(spaced).values()) == ["of a/it's weights=w a=1.pth", "of b/it's weights=w b=1.pth"]


HELPERS = {
    "a re-exported class": {"mynet/__init__.py": "from .arch import Net", "mynet/arch.py": "class Net: 1"},
    "a helper beside it": {"mynet.py": "import helper", "helper.py": "x = 1"},
    "a helper of a helper": {"mynet.py": "import one", "one.py": "from two import x", "two.py": "x = 1"},
    "a relative import": {
        "mynet/__init__.py": "from .a.b import Net",
        "mynet/a/b.py": "from .. import c",
        "mynet/c.py": "x = 1",
    },
    "a star": {"mynet/__init__.py": "from .arch import *", "mynet/arch.py": "x = 1"},
    "an import in a function": {"mynet.py": "def f():\\n    from late import x", "late.py": "x = 1"},
    "a submodule by name": {
        "mynet/__init__.py": "",
        "mynet/net.py": "from mynet import parts",
        "mynet/parts.py": "x = 1",
    },
    "a package's own start": {
        "mynet.py": "from parts.conv import x",
        "parts/conv.py": "x = 1",
        "parts/__init__.py": "y = 1",
    },
    "an import at run time": {
        "mynet/__init__.py": "import importlib\\nimportlib.import_module('.deep.x', __name__)",
        "mynet/deep/x.py": "x = 1",
    },
    "a file that is run": {"mynet.py": "exec(open('part.txt').read())", "part.py": "x = 1"},
    "a folder put on the path": {
        "mynet.py": "import sys\\nsys.path.insert(0, 'lib')\\nimport far",
        "lib/far.py": "x = 1",
    },
    "a text that names a file": {"mynet.py": "W = open('part/w.json').read()", "part/w.json": "{}"},
    "a file beside a helper": {
        "mynet.py": "import parts.conv",
        "parts/conv.py": "p = __file__.replace('conv.py', 'w.npy')",
        "parts/w.npy": "1",
    },
    "lazy names": {
        "mynet/__init__.py": "def __getattr__(name):\\n    return __import__('mynet.' + name)",
        "mynet/lazy.py": "x = 1",
    },
}


@pytest.mark.parametrize("kind", HELPERS)
def test_a_changed_module_of_the_submission_is_other_code(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "unrelated.py").write_text("x = 1")
    for name, text in HELPERS[kind].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("\\n", "\n"))
    module = "mynet.net" if kind == "a submodule by name" else "mynet"
    model = ModelConf(_target_=f"{module}.Net", source=str(tmp_path / "model.yaml"))
    before = code_digest(model)
    assert before == code_digest(model)
    last = tmp_path / list(HELPERS[kind])[-1]
    last.write_text(last.read_text() + "\n# changed\n")
    after = code_digest(model)
    assert after != before
    if kind not in ("a file that is run", "a folder put on the path"):
        (tmp_path / "unrelated.py").write_text("x = 2")
        assert code_digest(model) == after


@pytest.mark.parametrize(
    "text", ["def (", "\0", "import " + "a." * 5000 + "a", "(" * 5000, "é".encode("latin-1").decode("latin-1")]
)
def test_code_that_no_parser_reads_has_a_digest_all_the_same(tmp_path, text):
    (tmp_path / "mynet.py").write_text(text)
    assert code_digest(ModelConf(_target_="mynet.Net", source=str(tmp_path / "model.yaml")))


def test_a_text_that_leads_out_of_the_submission_names_no_file_of_it(tmp_path):
    """Below /proc, for one, a file may have no end."""
    folder, outside = tmp_path / "team", tmp_path / "w.json"
    folder.mkdir()
    outside.write_text("1")
    (folder / "link.json").symlink_to(outside)
    (folder / "mynet.py").write_text(f"paths = {str(outside)!r}, '../w.json', 'link.json'")
    model = ModelConf(_target_="mynet.Net", source=str(folder / "model.yaml"))
    before = code_digest(model)
    outside.write_text("2")
    assert code_digest(model) == before


def test_a_pipe_and_a_circle_of_imports_end(tmp_path):
    import os

    (tmp_path / "mynet.py").write_text("import pipe, other")
    (tmp_path / "other.py").write_text("import mynet")
    os.mkfifo(tmp_path / "pipe.py")
    assert code_digest(ModelConf(_target_="mynet.Net", source=str(tmp_path / "model.yaml")))


def test_the_digest_follows_the_code_wherever_it_lies(tmp_path):
    digests = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mynet.py").write_text("import helper")
        (tmp_path / place / "helper.py").write_text("x = 1")
        digests.add(code_digest(ModelConf(_target_="mynet.Net", source=str(tmp_path / place / "model.yaml"))))
    assert len(digests) == 1


def test_a_shipped_networks_code_is_its_file_and_its_parts():
    model = composition.compose(["model=rlfn"]).model
    assert code_digest(model) != code_digest(replace(model, _target_="esr.models.imdn.IMDN"))
    assert code_digest(replace(model, _target_="nowhere.at.All")) is None
