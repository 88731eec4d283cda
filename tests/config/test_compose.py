"""Overrides become a checked configuration, or one line that says what is wrong."""

import pytest
from hydra.core.global_hydra import GlobalHydra

from esr.config import compose as composition
from esr.config.cards import card, card_of_model
from esr.errors import ConfigError


@pytest.fixture(autouse=True)
def _fresh_hydra():
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()


def test_a_network_by_name_gets_the_defaults_of_every_group():
    config = composition.compose(["model=rlfn"])
    assert config.model.name == "rlfn"
    assert config.baseline.name == "imdn"
    assert config.timing.rounds is None
    assert config.timing.precision is config.timing.seed is config.timing.processes is None  # the device decides
    assert config.cudnn.benchmark is False


def test_the_baseline_has_the_same_choices_as_the_model():
    config = composition.compose(["model=imdn", "baseline=rfdn"])
    assert config.baseline._target_ == "esr.models.rfdn.RFDN"


def test_a_participants_yaml_is_chosen_by_its_path(participant, monkeypatch):
    monkeypatch.chdir(participant)
    config = composition.compose(["model=tiny.yaml"])
    assert config.model.name == "tiny"
    assert config.model.source == str(participant / "tiny.yaml")
    absolute = composition.compose([f"model={participant}/tiny.yaml", "baseline=./tiny.yaml"])
    assert absolute.model.source == absolute.baseline.source == str(participant / "tiny.yaml")


def test_a_participants_yaml_named_like_a_shipped_network_is_the_participants(participant, monkeypatch):
    monkeypatch.chdir(participant)
    (participant / "imdn.yaml").write_text("_target_: tiny.Tiny\n")
    assert composition.compose(["model=imdn.yaml"]).model._target_ == "tiny.Tiny"
    assert composition.compose(["model=imdn"]).model._target_ == "esr.models.imdn.IMDN"


def test_a_team_of_the_challenge_stands_for_its_network():
    config = composition.compose(["model=team04", "baseline=team3"])
    assert (config.model.name, config.baseline.name) == ("rlfn", "fmen")


@pytest.mark.parametrize("number", ["07", "21", "32", "41"])
def test_a_team_that_kept_its_network_to_itself_is_named(number):
    with pytest.raises(ConfigError, match=f"team{number}.*confidential"):
        composition.compose([f"model=team{number}"])


def test_a_network_can_be_given_without_a_yaml():
    config = composition.compose(["+model._target_=package.Network", "+model.args.channels=48"])
    assert config.model._target_ == "package.Network"
    assert config.model.args == {"channels": 48}


@pytest.mark.parametrize(
    ("overrides", "named", "remedy"),
    [
        (["model=imdm"], "model=imdm", "did you mean imdn"),
        (["model=imdn", "baseline=rfdm"], "baseline=rfdm", "did you mean rfdn"),
        (["model=imdn", "timing=quik"], "timing=quik", "did you mean quick?"),
        (["model=imdn", "timing.round=3"], "timing.round", "timing.rounds"),
        (["model=imdn", "+timing.roundz=3"], "timing.roundz", "timing.rounds"),
        (["model=imdn", "cudnn.bench=true"], "cudnn.bench", "cudnn.benchmark"),
        (["modl=imdn"], "modl=imdn", "did you mean model?"),
        (["model=imdn", "timing.rounds=abc"], "timing.rounds=abc", "whole number"),
        (["model=imdn", "cudnn.benchmark=perhaps"], "cudnn.benchmark=perhaps", "true or false"),
        (["model=imdn", "timing.rounds=0"], "timing.rounds=0", "at least 1"),
        (["model=imdn", "timing.precision=0"], "timing.precision=0", "positive"),
        (["model=imdn", "timing.precision=-0.1"], "timing.precision=-0.1", "positive"),
        (["model=imdn", "timing.precision=nan"], "timing.precision=nan", "positive"),
        (["model=imdn", "timing.max_seconds=0"], "timing.max_seconds=0", "positive"),
        (["model=imdn", "timing.max_seconds=inf"], "timing.max_seconds=inf", "finite"),
        (["model=imdn", "timing.warmup.max_seconds=inf"], "timing.warmup.max_seconds=inf", "finite"),
        (["model=imdn", "telemetry.host_load=nan"], "telemetry.host_load=nan", "finite"),
        (["model=imdn", "device.cpus=a"], "device.cpus", ""),
        (["model=imdn", "lock=perhaps"], "lock=perhaps", "wait"),
        (["model=imdn", "timing.confidence=95"], "timing.confidence=95", "between 0 and 1"),
        (["model=imdn", "timing.timeout_s=-1"], "timing.timeout_s=-1", "positive"),
        (["model=imdn", "timing.protocol=fast"], "timing.protocol=fast", "paired"),
        (["model=imdn", "device.threads=0"], "device.threads=0", "at least 1"),
        (["model=imdn", "data.limit=0"], "data.limit=0", "at least 1"),
        (["model=imdn", "data.limit=-1"], "data.limit=-1", "at least 1"),
        (["model=imdn", "data.kind=demos"], "data.kind=demos", "did you mean demo?"),
        (["model=imdn", "timing.warmup.max_passes=1"], "timing.warmup.max_passes=1", "min_passes"),
        (["model=imdn", "model.tile.size=64", "model.tile.overlap=40"], "overlap=40", "half"),
        (["model=imdn", "out=${nowhere}"], "nowhere", "not found"),
        (["model=nowhere/net.yaml"], "model=nowhere/net.yaml", "no such file"),
        (["timing.rounds=3"], "no network chosen", "model=NAME"),
        (["model=imdn", "timing=["], "timing", ""),
    ],
)
def test_a_mistake_gets_one_line_with_the_name_and_the_remedy(overrides, named, remedy):
    with pytest.raises(ConfigError) as caught:
        composition.compose(overrides)
    line = str(caught.value)
    assert "\n" not in line
    assert named in line
    assert remedy in line


@pytest.mark.parametrize("text", ["", "- a\n- list\n", "a: [1\n", "just words"])
def test_a_yaml_that_is_not_a_network_is_named(participant, monkeypatch, text):
    monkeypatch.chdir(participant)
    (participant / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml") as caught:
        composition.compose(["model=bad.yaml"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data_rnage: 255", r"tiny\.yaml: data_rnage: .*data_range"),
        ("data_range: wide", r"tiny\.yaml: data_range: .*wide"),
        ("published: {runtime_s: 1}", r"tiny\.yaml: published: .*runtime_s.*did you mean runtime_ms"),
        ("published: {ranks: {main: first}}", r"tiny\.yaml: published\.ranks\.main: .*`int"),
    ],
)
def test_a_key_that_a_network_cannot_have_is_named(participant, monkeypatch, line, message):
    monkeypatch.chdir(participant)
    (participant / "tiny.yaml").write_text(f"_target_: tiny.Tiny\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        composition.compose(["model=tiny.yaml"])


def test_published_figures_arrive_as_they_stand_in_the_yaml_and_on_the_card():
    model = composition.compose(["model=rlfn"]).model
    assert model.published is not None
    assert model.published["ranks"]["main"] == 1
    assert card_of_model(model) == card("rlfn")


def test_an_override_of_a_published_figure_is_checked():
    with pytest.raises(ConfigError, match=r"model\.published\.ranks: .*mian.*did you mean main"):
        composition.compose(["model=rlfn", "++model.published.ranks.mian=1"])


@pytest.mark.parametrize("word", ["model=0", "data=3", "timing=true", "baseline=1e3", "device={a: 1}", "model=imdn,7"])
def test_a_number_where_a_name_is_expected_is_one_line(word):
    with pytest.raises(ConfigError, match="no such choice; esr --help lists those of"):
        composition.compose([word])
