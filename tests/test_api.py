"""`esr.evaluate` from Python: names, paths and modules; what a worker process cannot import is refused."""

import importlib
import sys
from pathlib import Path

import pytest
from helpers import rankings
from helpers.forked import run_program

import esr
from esr.errors import ConfigError

QUICK = {
    "baseline": "tiny.yaml",
    "baseline_weights": "random",
    "timing": "quick",
    "device": "cpu",
    "telemetry": "off",
}


@pytest.fixture
def tiny(participant, monkeypatch):
    """The participant's module, imported as a user's script would import it."""
    monkeypatch.chdir(participant)
    monkeypatch.syspath_prepend(str(participant))
    sys.modules.pop("tiny", None)
    yield importlib.import_module("tiny")
    sys.modules.pop("tiny", None)


@pytest.fixture
def configured(monkeypatch):
    """Configurations that would be measured, each with the bytes of its weight file."""
    evaluation = importlib.import_module("esr.evaluation.evaluate")
    seen = []

    def evaluate(settings, folder):
        weights = Path(settings.weights)
        seen.append((settings, weights.read_bytes() if weights.suffix == ".safetensors" else None, folder))

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    return seen


def test_an_instance_is_rebuilt_with_its_arguments_and_its_own_weights(tiny, configured):
    import torch
    from safetensors.torch import load

    network = tiny.Tiny(channels=4)
    esr.evaluate(model=network, args={"channels": 4}, data="images", out="out", **QUICK)
    ((settings, weights, folder),) = configured
    assert (settings.model._target_, settings.model.args) == ("tiny.Tiny", {"channels": 4})
    assert Path(settings.model.source).parent == Path.cwd()
    assert (settings.data.kind, settings.data.root, folder) == ("folder", "images", Path("out"))
    assert torch.equal(load(weights)["features.weight"], network.features.weight)
    assert not Path(settings.weights).exists()


def test_a_class_is_measured_with_the_weights_that_are_named(tiny, configured):
    esr.evaluate(model=tiny.Tiny, weights="random", data="demo", **QUICK, **{"timing.rounds": 20, "device.cpus": [0]})
    ((settings, _, _),) = configured
    assert (settings.weights, settings.data.kind, settings.timing.rounds) == ("random", "demo", 20)
    assert settings.device.cpus == [0]


def test_names_and_paths_are_what_they_are_on_the_command_line(participant, configured, monkeypatch):
    monkeypatch.chdir(participant)
    (participant / "it's mine.yaml").write_text("_target_: tiny.Tiny\n")
    esr.evaluate(model=participant / "it's mine.yaml", weights="random")
    esr.evaluate(["model=rlfn"], data="set5")
    (mine, _, _), (shipped, _, _) = configured
    assert (mine.model.name, mine.baseline.name) == ("it's mine", "imdn")
    assert (shipped.model.name, shipped.data.name) == ("rlfn", "set5")


def test_a_network_of_the_package_keeps_its_range_and_its_name(configured):
    esr.evaluate(model=esr.create_model("rlfn", weights="random"))
    ((settings, _, _),) = configured
    assert (settings.model.name, settings.model.data_range, settings.model.source) == ("rlfn", 255.0, None)


def test_a_class_that_a_worker_cannot_import_is_refused(tiny):
    class Local(tiny.Tiny):
        pass

    class Script(tiny.Tiny):
        pass

    Script.__module__, Script.__qualname__ = "__main__", "Script"
    for kind in (Local, Script):
        with pytest.raises(ConfigError, match=rf"{kind.__name__}: no worker process can import.*module file"):
            esr.evaluate(model=kind, weights="random", **QUICK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": "model=rlfn"}, r"overrides: expected a list, as \['model=rlfn'\]"),
        ({"model": "rlfn", "args": {"channels": 3}}, r"args: for a module only"),
        ({"model": "rlfm"}, r"model=rlfm: .*did you mean rlfn"),
        ({"model": "rlfn", "timing_rounds": 3}, r"timing_rounds"),
        ({"model": "rlfn", "data": "sett5"}, r"data=sett5: .*did you mean set5"),
        ({}, r"no network chosen"),
    ],
)
def test_a_usage_error_is_one_line(arguments, message):
    with pytest.raises(ConfigError, match=message) as caught:
        esr.evaluate(**arguments)
    assert "\n" not in str(caught.value)


def test_weights_beside_an_instance_and_arguments_that_are_no_data_are_refused(tiny):
    with pytest.raises(ConfigError, match="weights=random: an instance is measured with its own weights"):
        esr.evaluate(model=tiny.Tiny(), weights="random", **QUICK)
    with pytest.raises(ConfigError, match="args: expected plain data"):
        esr.evaluate(model=tiny.Tiny, args={"channels": object()}, weights="random", **QUICK)


MEASURED = f"""
import esr, tiny
network = tiny.Tiny(channels=4)
record = esr.evaluate(model=network, args={{"channels": 4}}, data="images", out="out", **{QUICK!r})
assert not record.failed
assert record.candidate.complexity.params == sum(weight.numel() for weight in network.parameters())
print(repr(record))
"""


def test_a_module_is_measured_from_python(participant):
    run = run_program(MEASURED, participant)
    assert run.code == 0, run.err
    assert (participant / "out" / "record.json").is_file()
    assert run.out.startswith("<Record Tiny beside tiny: ")
    assert len(run.out) < 200


def test_a_folder_among_the_overrides_is_written_to_as_by_the_command(tiny, configured):
    esr.evaluate(["model=tiny.yaml", "weights=random", "out=results"], **QUICK)
    esr.evaluate(["model=tiny.yaml", "weights=random"], **QUICK)
    (_, _, written), (_, _, nowhere) = configured
    assert written.is_dir()
    assert written.parents[1] == Path("results/outputs")
    assert nowhere is None


def test_records_are_ranked_and_compared_as_by_the_command(tmp_path):
    files = [rankings.write(rankings.document(name), tmp_path / name) for name in ("one", "two")]
    ranking = esr.rank(tmp_path, exclude={"two": "withdrawn"})
    assert [(row.entry.key, row.excluded) for row in ranking.rows][:2] == [
        ("one", None),
        ("two", "excluded: withdrawn"),
    ]
    assert esr.rank(files).rows
    record = esr.load_record(files[0])
    assert esr.compare(record, files[1]).a is record
    for margin in (-1, 1, float("nan")):
        with pytest.raises(ConfigError, match="expected a fraction from 0 to below 1"):
            esr.compare(record, files[1], margin=margin)
    assert len(repr(record)) < 300
    for wrong in ({"require": "best"}, {"constraints": "some"}, {"exclude": {"three": "x"}}):
        with pytest.raises(ConfigError):
            esr.rank(tmp_path, **wrong)
