"""One grammar for every subcommand: options, words of the form KEY=VALUE, and what Hydra's options are."""

import pytest
from hydra._internal.utils import get_args_parser

from esr.cli import measure
from esr.cli.command import COMMANDS, run
from esr.cli.parser import Parser, key_values
from esr.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rank", "--fromat", "csv"], r"^--fromat: no such option; did you mean --format\?; esr rank --help"),
        (["rank", "--fromat=csv"], r"^--fromat: no such option; did you mean --format\?; esr rank --help"),
        (["rank", "--format", "htm"], r"--format: htm: no such choice; did you mean html\?"),
        (["compare"], r"required: RECORDS; esr compare --help"),
        (["compare", "a", "b", "--margin", "2"], r"--margin: 2: expected a fraction"),
        (["fetch", "--jobs", "many"], r"--jobs: many: expected a number from 1 to 64"),
        (["doctor", "--secnds", "3"], r"^--secnds: no such option; did you mean --seconds\?"),
        (["doctor", "device"], r"^device: expected KEY=VALUE"),
        (["doctor", "out=a", "out=b"], r"^out=b: out is given twice"),
        (["export", "modle=rlfn"], r"^modle=rlfn: no such key modle; did you mean model\?"),
        (["export", "model="], r"^model=: no value given"),
        (["export", "model=rlfn", "model=imdn"], r"^model=imdn: model is given twice"),
        (["rank", "x", "chalenge=ntire2024"], r"no such key chalenge; did you mean challenge\?"),
        (
            ["rank", "x", "constraints=enforced"],
            r"^constraints=enforced: no such choice; did you mean enforce\?",
        ),
        (["train", "fast"], r"^fast: expected KEY=VALUE"),
        (["rnak"], r"^rnak: no such command; did you mean rank\?"),
        (["model=imdn", "--resolve"], r"^--resolve: belongs to --cfg job"),
        (["model=imdn", "--outt", "x"], r"^--outt: no such option; write out=x; esr --help"),
        (["model=imdn", "--devcie=cpu"], r"^--devcie: no such option; write device=cpu"),
        (["model=imdn", "--batchsize", "3"], r"^--batchsize: no such option; each pass takes one image"),
        (["model=imdn", "--cgf", "job"], r"^--cgf: no such option; did you mean --cfg\?"),
        (["model=imdn", "--multirum"], r"^--multirum: no such option; did you mean --multirun\?; esr --help"),
    ],
)
def test_a_usage_error_is_one_line_with_the_nearest_name(words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        run(words)
    assert "\n" not in str(caught.value)


def test_options_may_stand_among_the_words():
    parser = Parser("esr rank", "Ranks.")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--format")
    options = parser.parse(["one", "--format", "csv", "two"])
    assert (options.words, options.format) == (["one", "two"], "csv")


def test_any_key_is_taken_where_hydra_checks_it():
    assert key_values(["+model.args.x=1", "out=a=b"]) == {"+model.args.x": "1", "out": "a=b"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        run([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: esr {command}")
    assert f"  esr {command}" in text or "esr show" in text


def test_hydras_options_are_all_declared():
    ours = Parser("esr", None)
    measure.add(ours)
    theirs = [word for action in get_args_parser()._actions for word in action.option_strings]
    declared = {word for action in ours._actions for word in action.option_strings}
    assert declared - set(theirs) == {"--verbose", "-v", "--format"}  # which Hydra is not given
    assert set(theirs) - declared == {
        *("--config-path", "-cp", "--config-name", "-cn", "--experimental-rerun"),
    }


def test_hydra_gets_the_overrides_before_the_options():
    parser = Parser("esr", None)
    measure.add(parser)
    options = parser.parse(["-m", "model=imdn,rlfn", "--package", "here", "data=set5"])
    assert measure._hydra_words(options) == [
        "model=imdn,rlfn", "data=set5", "--multirun", "--package", "here"
    ]  # fmt: skip
