"""Words as people type them: paths with any characters, other programs' options and commands, keys to be explained."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from helpers.cases import with_slow

from esr.cli import command
from esr.config.compose import compose
from esr.config.explain import keys, options
from esr.config.quoting import quoted, readable
from esr.config.schema import EsrConf
from esr.errors import ConfigError, EsrError
from esr.training.config import TrainConf
from esr.training.config import compose as compose_training

NAMES = [
    *("a=b", "a b", "a,b", "ümlaut", "it's", 'a"b', "a(b)", "a$b", "a#b", "{a}", "[a].x", "a;b", "a&b", "a!b", "日本"),
    *("~x", "a:b", "a@b", "100%", "back\\slash", "end\\", "*", "a?b", "-", "(", "null x", "'quoted", "a\tb"),
]


def message(*words: str) -> str:
    with pytest.raises(EsrError) as caught:
        command.run(list(words))
    line = str(caught.value)
    assert "\n" not in line
    assert "LexerNoViableAlt" not in line
    return line


@pytest.mark.parametrize("name", NAMES)
def test_a_path_with_any_characters_is_read_as_it_was_typed(name):
    settings = compose(["model=imdn", "data=folder", f"data.root=d/{name}", f"weights=w/{name}.pth", f"out=o/{name}"])
    assert (settings.data.root, settings.weights, settings.out) == (f"d/{name}", f"w/{name}.pth", f"o/{name}")


def test_a_training_reads_paths_in_the_same_way():
    settings = compose_training(["model=imdn", "data_root=my images, x4=HR", "out=a=b"])
    assert (settings.data_root, settings.out) == ("my images, x4=HR", "a=b")


def test_a_yaml_and_a_sweep_of_yamls_keep_their_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a=1.yaml", "b c.yaml"):
        (tmp_path / name).write_text("_target_: esr.models.imdn.IMDN\n")
    assert compose(["model=a=1.yaml"]).model.name == "a=1"
    assert readable(["model=a=1.yaml,b c.yaml"], several=True) == ["model='a=1.yaml',b c.yaml"]


@pytest.mark.parametrize(
    ("word", "cpus"),
    [
        *(("0-1", [0, 1]), ("0", [0]), ("0,1", [0, 1]), ("[0-1]", [0, 1]), ("0-2,5", [0, 1, 2, 5]), ("[1, 3]", [1, 3])),
        *(("'0-1'", [0, 1]), ("null", None)),
    ],
)
def test_cpus_are_typed_as_taskset_takes_them(word, cpus):
    assert compose(["model=imdn", f"device.cpus={word}"]).device.cpus == cpus


@pytest.mark.parametrize("word", ["3-1", "0-99999", "a-b", "0-1-2", "1.5", "", "all", "'0;1'", "[a]", "0-1,x", "-1"])
def test_what_is_no_range_of_cpus_is_refused_in_one_line(word):
    for typed in (["model=imdn"], ["-m", "model=imdn"]):
        line = message(*typed, f"device.cpus={word}")
        assert line.startswith("device.cpus=")
        assert "as 0-3" in line


def test_a_sweep_takes_ranges_of_cpus():
    words = ("device.cpus=0-1,3", "device.cpus=[0-1],[3]", "device.cpus=[0-1,3]", "device.cpus=null,0")
    made = ("[0,1],[3]", "[0,1],[3]", "[0,1,3]", "null,[0]")
    assert readable(words, several=True) == [f"device.cpus={one}" for one in made]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["model=imdn", "+model.args.x=a(b)"], "type \"+model.args.x='a(b)'\""),
        (["model=imdn", "model.args.x=1"], "type +model.args.x=1"),
        (["model==imdn"], "type model=imdn"),
        (["=imdn"], "expected KEY=VALUE"),
        (["=3"], "=3: expected KEY=VALUE"),
        (["~model=0"], "~model=0: no such choice; esr --help lists those of model"),
        (["model=imdn", "~timing=nan"], "~timing=nan: no such choice"),
        (["~model=[]"], "~model=[]: no such choice"),
        (["model=null"], "model=null: no such choice"),
        (["model=imdn", "hydra/launcher=NULL"], "hydra/launcher=NULL: no such choice"),
        (["model=imdn", "~hydra/launcher=3"], "~hydra/launcher=3: no such choice"),
        (["+model@baseline=3"], "+model@baseline=3: no such choice"),
        (["model=imdn", "~challenge=1"], "~challenge=1: no such choice"),
        (["model=imdn", "~data='a b'"], "no such choice"),
        (["model=imdn", "~device=choice(1,2)"], "no such choice"),
        (["model=imdn", "\n"], "'': a word without letters among the arguments; leave it out"),
        (["show", ""], "'': a word without letters among the arguments; leave it out"),
        (["model=imdn", "a\nb"], "a b: expected KEY=VALUE"),
        (["model=imdn", "+=true"], "+=true: expected KEY=VALUE"),
        (["-m", "=null"], "=null: expected KEY=VALUE"),
        (["model=imdn,rfdn"], "esr -m model=imdn,rfdn measures each"),
        (["model=[imdn,rfdn]"], "esr -m model=imdn,rfdn measures each"),
        (["model=imdn", "baseline=[imdn]"], "one at a time"),
        (["model=imdn", "timing.rounds=1,2"], "esr -m timing.rounds=1,2"),
        (["model=imdn", "timing.rounds=ten"], "expected a whole number"),
        (["model=imdn", "timing.max_seconds=5m"], "expected a number without a unit"),
        (["model=imdn", "force=maybe"], "expected true or false"),
        (["model=imdn", "device=gpu"], "device=cuda"),
        (["model=imdn", "device=cuda:1"], "device.index=N"),
        (["model=imdn", "hydra.job.chdir=true"], "paths are relative to the folder where esr starts"),
        (["model=imdn", "timming.rounds=3"], "did you mean timing.rounds"),
        (["run"], "esr model=NAME"),
        (["run", "rlfn", "data=set5"], "esr model=rlfn data=set5"),
        (["benchmark", "my.yaml"], "esr model=my.yaml"),
        (["imdn"], "esr model=imdn"),
        (["RLFN"], "esr model=rlfn"),
        (["mine.pth"], "esr model=NAME weights=mine.pth"),
        (["list"], "that is esr show"),
        (["diff", "a", "b"], "that is esr compare a b"),
        (["shwo"], "did you mean show"),
        (["model=imdn", "-o", "x"], "write out=x"),
        (["model=imdn", "--output"], "write out=DIR"),
        (["--model", "imdn"], "write model=imdn"),
        (["--modle=rlfn"], "--modle: no such option; write model=rlfn"),
        (["--model=rlfn", "-v"], "write model=rlfn"),
        (["-model", "rlfn", "data=set5"], "-model: no such option; write model=rlfn"),
        (["-m", "--model", "a b.yaml"], "write model='a b.yaml'"),
        (["model=imdn", "--data", "set5"], "write data=set5"),
        (["model=imdn", "--dataset", "."], "write data=folder data.root=."),
        (["model=imdn", "--baseline_weights=w.pth"], "write baseline_weights=w.pth"),
        (["model=imdn", "--timing.rounds", "20"], "write timing.rounds=20"),
        (["model=imdn", "--data.root", "x"], "write data.root=x"),
        (["--model"], "write model=NAME"),
        (["export", "--model=rlfn", "--format=onnx"], "--model: no such option; write model=rlfn"),
        (["export", "model=rlfn", "--fromat", "onnx"], "write format=onnx"),
        (["train", "--data-root", "images"], "write data_root=images"),
        (["rank", "x", "--chalenge", "ntire2024"], "write challenge=ntire2024"),
        (["model=imdn", "--gpu"], "write device=cuda"),
        (["model=imdn", "--divice", "cpu"], "write device=cpu"),
        (["model=imdn", "--precision", "fp16"], "networks are measured in float32"),
        (["show", "--model", "imdn"], "--model: no such option; esr show --help says more"),
        (["doctor", "--out", "x"], "--out: no such option; write out=x"),
        (["model=imdn", "--lock", "fail"], "write lock=fail"),
        (["model=imdn", "--verbos1"], "did you mean --verbose?"),
        (["rank", "x", "-f", "html"], "did you mean --format?"),
        (["rank", "x", "-o", "y"], "did you mean --out?"),
        (["rank", "x", "--fromat", "html"], "did you mean --format?"),
        (["doctor", "--json"], "--json: no such option"),
        (["config", "timing.round"], "did you mean timing.rounds"),
        (["config", "rounds"], "did you mean timing.rounds"),
        (["imdn", "rlfn", "data=set5"], "write esr -m model=imdn,rlfn data=set5"),
        (["run", "imdn", "rlfn"], "esr -m model=imdn,rlfn"),
        (["run", "data=set5"], "esr model=NAME data=set5"),
        (["-m", "imdn", "rfdn"], "imdn: expected KEY=VALUE; type esr -m model=imdn,rfdn"),
        (["-v", "rlfn"], "type esr model=rlfn"),
        (["model", "imdn"], "write esr model=imdn"),
        (["model", "=", "imdn"], "write esr model=imdn"),
        (["model", "=imdn", "data=set5"], "write esr model=imdn data=set5"),
        (["model=", "imdn"], "type esr model=imdn"),
        (["timing.rounds", "20"], "write esr model=NAME timing.rounds=20"),
        (["timing"], "esr config timing explains it"),
        (["timing.round", "20"], "did you mean timing.rounds"),
        (["version"], "that is esr --version"),
        (["mine.py"], "esr model=PATH.yaml"),
        (["photograph.png"], "data=folder data.root=DIR"),
        (["rlfn", "set5"], "to measure a network write esr model=rlfn data=set5"),
        (["SET5"], "esr model=NAME data=set5"),
        (["rlfn", "on", "set5"], "to measure a network write esr model=rlfn data=set5"),
        (["rlfn", "vs", "imdn"], "write esr model=rlfn baseline=imdn"),
        (["run", "rlfn", "against", "RFDN", "with", "cuda"], "esr model=rlfn baseline=rfdn device=cuda"),
        (["rlfn", "--data", "demo"], "write esr model=rlfn data=demo"),
        (["rlfn", "-n", "20", "--quick"], "write esr model=rlfn timing.rounds=20 timing=quick"),
        (["rlfn", "-v"], "write esr model=rlfn -v"),
        (["rlfn", "--data"], "write esr model=rlfn data=folder data.root=DIR"),
        (["rlfn", "--gpu", "--weights", "a b.pth"], "write esr model=rlfn device=cuda 'weights=a b.pth'"),
        (["rlfn", "--list"], "write esr model=rlfn --list"),
        (["rlfn", "vs"], "write esr model=rlfn baseline=NAME"),
        (["config", "rlfn", "timing"], "rlfn.timing: no such key; did you mean timing?"),
        (["all"], "that is esr -m 'model=glob(*)'"),
        (["model=rlfn data=set5"], "several in one word; type model=rlfn data=set5"),
        (["model=rlfn,timing.rounds=3"], "several in one word; type model=rlfn timing.rounds=3"),
        (["model=rlfn", "gpu=0"], "gpu=0: no such key; write device=cuda, or device.index=N"),
        (["network=rlfn"], "network=rlfn: no such key; write model=rlfn"),
        (["-m", "model=rlfn,imdn", "batch-size=4"], "batch-size=4: no such key; each pass takes one image"),
        (["config", "timing", "quick"], "timing.quick: no such key; that is timing=quick"),
        (["quick"], "esr model=NAME timing=quick"),
        (["run", "rlfn", "imdn", "quick", "gpu"], "esr -m model=rlfn,imdn timing=quick device=cuda"),
        (["model=rlfn", "quick"], "quick: expected KEY=VALUE; type esr model=rlfn timing=quick"),
        (["export", "rlfn", "demo"], "rlfn: expected KEY=VALUE"),
        (["csv", "outputs"], "that is esr rank --format csv outputs"),
        (["latex"], "that is esr rank --format latex"),
        (["plot", "."], "that is esr rank --format svg ."),
        (["datasets"], "that is esr fetch --list"),
        (["tutorial"], "that is esr --help"),
        (["new"], "esr model=PATH.yaml, see docs/own-network.md"),
        (["esr", "model=rlfn"], "type esr model=rlfn"),
        (["esr"], "type esr --help"),
        (["model:", "rlfn"], "write esr model=rlfn"),
        (["frobnicate"], "a measurement is written esr model=NAME"),
        (["config", "quick"], "no such key; that is timing=quick; esr config timing explains it"),
        (["config", "rlfn"], "no such key; that is model=rlfn"),
        (["config", "xyz"], "timing, "),
        (["model=rlfn", "data=myimages"], "a folder of images is data=folder data.root=DIR"),
        (["--versoin"], "write esr --version"),
        (["help", "shwo"], "did you mean show"),
        (["help", "run"], "a measurement needs none"),
        (["help", "=3"], "=3: no such command; known: check"),
        (["zzz.qqq"], "zzz.qqq: no such command; known: check, compare"),
        (["--models"], "write esr show"),
        (["--list"], "write esr show"),
        (["--datasets"], "write esr fetch --list"),
        (["model=imdn", "--dry-run"], "write --cfg job"),
        (["model=imdn", "--batch-size", "4"], "each pass takes one image"),
        (["model=imdn", "--fp16"], "measured in float32"),
        (["-V"], "write esr --version"),
        (["model=imdn", "--json"], "write --format json"),
        (["rank", "x", "--html"], "write --format html"),
        (["check", "x", "--markdown"], "write --format markdown"),
        (["rank"], "nothing to rank: name record files or folders, as esr rank outputs"),
        (["rank", "."], "no record that can be ranked; esr model=NAME makes one"),
        (["rank", "nothing"], "nothing: no such file or folder; esr model=NAME writes records"),
        (["rank", "imdn", "rlfn"], "imdn: a network, and no record; esr -m model=imdn,rlfn measures"),
        (["rank", "ntire2024"], "--published ntire2024 ranks its own table"),
        (["rank", "nowhere", "latex"], "write --format latex"),
        (["rank", "--published", "ntire2027"], "no such challenge; did you mean ntire202"),
        (["compare", "one"], "one: no such file or folder; esr model=NAME writes records"),
        (["compare", "imdn", "rfdn"], "esr model=imdn baseline=rfdn measures two networks beside each other"),
        (["compare", "."], "contains no record; esr model=NAME writes one"),
        (["show", "nothing"], "no network, YAML or record of that name; esr show lists the networks"),
        (["show", "imdm"], "did you mean imdn?"),
        (["show", "model=imdm"], "did you mean imdn?"),
        (["show", "mine.pth"], "no network, YAML or record of that name"),
        (["export", "rlfn", "onnx"], "type esr export model=rlfn format=onnx"),
        (["export", "model", "rlfn", "format=onnx"], "type esr export model=rlfn format=onnx"),
        (["rerun", "rlfn"], "rlfn: a network, and no record; esr model=rlfn measures it"),
        (["rerun", "."], "holds no record.json; name one record, as outputs/DAY/TIME"),
        (["train", "imdn", "data_root=images"], "type esr train model=imdn data_root=images"),
        (["model=all"], "esr -m 'model=glob(*)' measures every network"),
        (["model=mine.pth"], "weights=mine.pth, beside model=NAME"),
        (["model=imdn", "baseline=mine.pth"], "baseline_weights=mine.pth, beside baseline=NAME"),
        (["model=imdn", "data=../my images"], "data=folder 'data.root=../my images'"),
        (["model=imdn", "data=/images"], "data=folder data.root=/images"),
        (["model=imdn", "device=1"], "type device.index=1"),
        (["model=imdn", "timing=20"], "type timing.rounds=20"),
    ],
)
def test_what_people_try_is_answered_by_the_words_to_type(words, advice, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert advice in message(*words)


def test_the_words_to_type_work():
    typed = re.search(r'type "(.*)"$', message("model=imdn", "+model.args.x=a(b)"))[1]
    assert compose(["model=imdn", typed]).model.args["x"] == "a(b)"
    typed = re.search(r"type (.*)$", message("model=imdn", "model.checkpoint.drop=[^(ema|aux)_, b$]"))[1]
    assert compose(["model=imdn", *shlex.split(typed)]).model.checkpoint.drop == ["^(ema|aux)_", "b$"]
    assert "write it into the YAML" in message("model=imdn", 'model.checkpoint.rename={"^(a)": b}')


def test_help_can_be_asked_for_as_a_word(capsys):
    assert command.run(["help"]) == 0
    assert "esr model=imdn" in capsys.readouterr().out
    assert command.run(["help", "--help"]) == 0
    assert "esr model=imdn" in capsys.readouterr().out
    for words in (["help", "rank"], ["--help", "rank"], ["rank", "--help"]):
        with pytest.raises(SystemExit) as ended:
            command.run(words)
        assert ended.value.code == 0
        assert "esr rank outputs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        *(["help", "timing.rounds"], ["--help", "timing.rounds"], ["-h", "timing.rounds"], ["timing.rounds", "--help"]),
        *(["help", "timing", "rounds"], ["config", "timing", "rounds"], ["config", "timing.rounds=5"]),
        *(["help", "timing.rounds=5"], ["help", "help", "timing.rounds"]),
    ],
)
def test_help_on_a_key_is_its_explanation(words, capsys):
    assert command.run(["config", "timing.rounds"]) == 0
    explained = capsys.readouterr().out
    assert command.run(words) == 0
    assert capsys.readouterr().out == explained


def test_help_on_a_group_lists_its_options(capsys):
    for words in (["config", "timing"], ["help", "timing"], ["timing", "-h"], ["config", "timing=quick"]):
        assert command.run(words) == 0
        said = capsys.readouterr().out
        assert said.startswith("timing=OPTION\n  default\n")


@pytest.mark.parametrize(
    "words", [["--version"], ["model=rlfn", "--version"], ["--version", "--help"], ["-m", "--version"]]
)
def test_the_version_is_that_of_esr_beside_any_words(words, capsys):
    assert command.run(words) == 0
    assert re.fullmatch(r"esr \S+\n", capsys.readouterr().out)


def test_quotes_are_escaped():
    assert quoted("it's") == r"'it\'s'"


def test_every_key_is_explained_with_its_default(capsys):
    every = {key.name: key for key in keys(EsrConf)}
    assert not [name for name, key in every.items() if not key.meaning]
    assert not [key.name for key in keys(TrainConf, {}) if not key.meaning and not key.name.startswith("model.")]
    said = [*every.values(), *keys(TrainConf, {})]
    assert not [key.name for key in said if re.search(r"\bof (that|those)\b|^The same\b", key.meaning)]
    assert every["timing.max_seconds"].default == 60
    assert every["timing.rounds"].default is None
    assert every["quality.save"].allowed == "none, crops, images"
    assert every["model.tile.overlap"].kind == "int"
    assert {option.name for option in options("timing")} >= {"default", "quick", "thorough"}
    assert all(option.meaning for option in options("data"))
    assert command.run(["config", "timing.max_seconds"]) == 0
    assert re.match(r"timing.max_seconds \(float, default 60.0\)\nSeconds of rounds", capsys.readouterr().out)
    assert command.run(["config", "baseline.tile", "--format", "json"]) == 0
    assert [key["name"] for key in json.loads(capsys.readouterr().out)["keys"]] == [
        "baseline.tile.size",
        "baseline.tile.overlap",
    ]
    assert command.run(["config", "--train", "l1.steps"]) == 0
    assert capsys.readouterr().out.startswith("l1.steps (int, default 500000)")


def test_an_unknown_key_names_the_nearest_ones():
    with pytest.raises(ConfigError, match=r"did you mean timing\.rounds"):
        compose(["model=imdn", "timing.round=3"])


BOMB = "_target_: tiny.Tiny\nargs:\n  a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"  {new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN = {
    "latin": "_target_: tiny.Tiny\nteam: Universit\xe9\n".encode("latin-1"),
    "bomb": BOMB.encode(),
    "deep": f"_target_: tiny.Tiny\nargs: {{x: {'[' * 5000}{']' * 5000}}}\n".encode(),
    "defaults": b"_target_: tiny.Tiny\ndefaults: [base]\n",
    "list": b"_target_: tiny.Tiny\nargs: [1, 2]\n",
    "nan": b"_target_: tiny.Tiny\ndata_range: .nan\n",
    "nan_argument": b"_target_: tiny.Tiny\nargs: {x: .nan}\n",
    "binary": bytes(range(256)),
    "empty": b"",
    "text": b"hello",
    "tabs": b"_target_:\ttiny.Tiny\n\targs: 3\n",
    "twice": b"--- {}\n--- {}\n",
    "itself": b"_target_: tiny.Tiny\nargs: &a {x: *a}\n",
    "utf-16": "_target_: tiny.Tiny\n".encode("utf-16"),
    "key_twice": b"_target_: tiny.Tiny\nargs: {a: 1, a: 2}\n",
    "python": b"_target_: !!python/object/apply:os.system ['true']\n",
    "no_character": b'_target_: tiny.Tiny\nname: "\\ud800"\n',
    "no_character_as_key": b'_target_: tiny.Tiny\nargs: {"\\udcff": 1}\n',
    "many_digits": b"_target_: tiny.Tiny\nargs: {x: 1" + b"0" * 5000 + b"}\n",
    "many_hexadecimal_digits": b"_target_: tiny.Tiny\nargs: {x: 0x" + b"f" * 5000 + b"}\n",
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "endless": lambda file: file.symlink_to("/dev/zero"),
    "loop": lambda file: file.symlink_to(file.name),
    "interpolated": b"_target_: tiny.Tiny\nname: ${oc.env:NOBODYS_VARIABLE}\n",
}


READING = [
    ["model=FILE"],
    ["model=imdn", "baseline=FILE"],
    ["-m", "model=FILE"],
    ["show", "FILE"],
    ["export", "model=FILE", "format=onnx"],
    ["train", "model=FILE", "data_root=images"],
    ["rank", "challenge=FILE", "outputs"],
    ["rank", "--published", "FILE"],
]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        *((kind, READING[0]) for kind in BROKEN),
        *((kind, words) for kind in ("latin", "pipe", "interpolated") for words in READING[1:]),
        *with_slow(((kind, words) for kind in BROKEN for words in READING), BROKEN),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_yaml_that_is_no_networks_is_one_line_in_every_command(participant, monkeypatch, kind, words):
    monkeypatch.chdir(participant)
    content, file = BROKEN[kind], participant / "broken.yaml"
    file.write_bytes(content) if isinstance(content, bytes) else content(file)
    line = message(*(word.replace("FILE", "broken.yaml") for word in words))
    assert len(line) < 1000


@pytest.mark.parametrize(
    "words",
    [
        ["model=imdn", "data=folder", "data.root=~nobody-here/x"],
        ["-m", "model=imdn,rlfn", "out=~nobody-here/x", "data=folder", "data.root=absent"],
        ["model=imdn", "weights=~nobody-here/x.pth"],
        ["model=~nobody-here/x.yaml"],
        ["-m", "model=repo", "repo=~nobody-here/x"],
        ["show", "~nobody-here/x.yaml"],
        ["check", "~nobody-here/x"],
        ["fetch", "imdn", "--folder", "~nobody-here/x"],
        ["train", "model=imdn", "data_root=~nobody-here/x"],
        ["train", "model=imdn", "data_root=absent", "out=~nobody-here/x"],
        ["train", "model=imdn", "data_root=absent", "init=~nobody-here/x.pth"],
        ["rank", "~nobody-here/x"],
        ["compare", "~nobody-here/x", "~nobody-here/y"],
        ["rerun", "~nobody-here/x"],
        ["export", "model=rlfn", "format=onnx", "out=~nobody-here/x"],
    ],
    ids=" ".join,
)
def test_a_home_of_nobody_is_a_folder_like_any_other(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESR_OFFLINE", "1")
    try:
        assert command.run(words) in (0, 2)
        said = "".join(capsys.readouterr())
    except EsrError as error:
        said = str(error)
    assert "Error" not in said
    assert "home directory" not in said
