"""A baseline's untimed results: taken from an earlier evaluation, and only where that is as good as measuring."""

import json
from types import SimpleNamespace

import pytest
from helpers.participants import SMALL
from msgspec.structs import replace

from esr.config.compose import compose
from esr.evaluation import untimed
from esr.evaluation.containment import RESULTS_CACHE
from esr.records.network import Cudnn, Device, Weights, WorkerReport


@pytest.fixture
def measure(run_esr, participant):
    """Runs an evaluation in the participant's folder; its exit code and record."""

    def run(*overrides):
        done = run_esr(*SMALL, *overrides, cwd=participant)
        assert done.code == 0, done.err
        newest = max(done.records, key=lambda file: file.stat().st_mtime_ns)
        return json.loads(newest.read_text())

    return run


def kept(participant):
    return [*(participant / RESULTS_CACHE).glob("*.json")]


def test_the_second_evaluation_takes_the_baselines_untimed_results_from_the_first(measure, participant):
    first, second = measure(), measure()
    assert first["networks"]["baseline"]["untimed_from"] is None
    assert second["networks"]["baseline"]["untimed_from"] == first["id"]
    assert second["networks"]["candidate"]["untimed_from"] is None
    for part in ("quality", "complexity", "memory", "precisions", "padded_to"):
        assert second["networks"]["baseline"][part] == first["networks"]["baseline"][part]
    assert second["networks"]["baseline"]["timing"] != first["networks"]["baseline"]["timing"]
    assert second["networks"]["baseline"]["output_check"]["compared"] >= 6  # timed passes are repeated all the same
    anew = measure("force=true")
    assert anew["networks"]["baseline"]["untimed_from"] is None
    (file,) = kept(participant)
    assert untimed._read(file).evaluation == anew["id"]
    file.write_text(file.read_text().replace('"params":', '"params":1'))
    assert untimed._read(file) is None


def test_nothing_is_kept_where_networks_are_not_contained(measure, participant):
    measure("sandbox=off")
    assert not kept(participant)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 10_000, b'{"key":"a","sha256":"b","content":1}'])
def test_a_file_that_is_not_as_it_was_written_is_no_result(tmp_path, content):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    assert untimed._read(file) is None
    assert untimed._read(tmp_path / "none.json") is None


@pytest.fixture
def evaluation(tmp_path):
    """As far as the cache looks at it."""
    hr = tmp_path / "0.png"
    hr.write_bytes(b"HR")
    settings = compose(["model=rlfn", f"out={tmp_path}"])
    report = WorkerReport(
        1, Device("cpu"), 2, (0, 1), Cudnn(False, False, False, False), "2.13", None, None, "", "3.11"
    )
    subject = SimpleNamespace(report=report, code_sha256="0" * 64, weights=Weights("random"), contained=True)
    pair = SimpleNamespace(lr_sha256="1" * 64, hr_file=hr)
    return SimpleNamespace(
        settings=settings,
        folder=tmp_path,
        baseline=subject,
        subjects=[subject],
        dataset=SimpleNamespace(pairs=[pair]),
    )


def test_whatever_untimed_results_depend_on_has_another_file(evaluation):
    files = {untimed._file(evaluation)}
    assert files == {untimed._file(evaluation)}

    def changes(target, name, value):
        plain = getattr(target, name)
        setattr(target, name, value)
        files.add(untimed._file(evaluation))
        setattr(target, name, plain)

    settings, subject = evaluation.settings, evaluation.baseline
    changes(settings.quality, "border", 2)
    changes(settings.complexity, "height", 64)
    changes(settings.baseline, "data_range", 255.0)
    changes(settings.timing, "protocol", "single")
    changes(subject, "weights", Weights("path", None, "2" * 64))
    changes(subject, "code_sha256", "3" * 64)
    changes(subject, "report", replace(subject.report, torch="2.7"))
    changes(subject, "report", replace(subject.report, threads=1))
    changes(evaluation.dataset.pairs[0], "lr_sha256", "4" * 64)
    evaluation.dataset.pairs[0].hr_file.write_bytes(b"another HR")
    files.add(untimed._file(evaluation))
    assert len(files) == 11
    assert None not in files


def test_an_evaluation_without_a_folder_code_or_containment_has_no_file(evaluation):
    for target, name, value in (
        (evaluation, "folder", None),
        (evaluation.baseline, "code_sha256", None),
        (evaluation.baseline, "contained", False),
    ):
        plain = getattr(target, name)
        setattr(target, name, value)
        assert untimed._file(evaluation) is None
        setattr(target, name, plain)
