"""A stranger's network, weights, YAML and images by the command line, as people have them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.command import Run
from helpers.paths import ROOT
from helpers.sweeps import SHARED, by_network, multirun, network
from PIL import Image

RunEsr = Callable[..., Run]

NETWORK = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.deploy = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1), False

    def forward(self, x):
        return self.a(x) if self.deploy else self.a(x) + self.b(x)

    def switch_to_deploy(self):
        self.a.weight.data[..., 1:2, 1:2] += self.b.weight.data
        self.a.bias.data += self.b.bias.data
        del self.b
        self.deploy = True


class Net(nn.Module):
    def __init__(self, in_place=False, scripted=False):
        super().__init__()
        self.tile, self.card, self.in_place = nn.Conv2d(3, 3, 1), None, in_place
        self.body, self.tail = nn.Sequential(Block(), Block()), nn.Conv2d(3, 48, 1)
        if scripted:
            self.tail = torch.jit.script(self.tail)

    def forward(self, x):
        if self.in_place:
            x.mul_(0.9)
        return nn.functional.pixel_shuffle(self.tail(self.body(self.tile(x))), 4)
"""
STATE = {
    "tile.weight": torch.zeros(3, 3, 1, 1),
    "tile.bias": torch.zeros(3),
    **{f"body.{n}.a.weight": torch.zeros(3, 3, 3, 3) for n in (0, 1)},
    **{f"body.{n}.b.weight": torch.zeros(3, 3, 1, 1) for n in (0, 1)},
    **{f"body.{n}.{branch}.bias": torch.zeros(3) for n in (0, 1) for branch in "ab"},
    "tail.weight": torch.zeros(48, 3, 1, 1),
    "tail.bias": torch.full((48,), 0.5),
}


@pytest.fixture
def stranger(participant: Path) -> Path:
    """A participant's folder with `rep.py` and its weights; HR in `images/HR`, LR of their own in `images/lq`."""
    (participant / "rep.py").write_text(NETWORK)
    torch.save({"state_dict": {f"model.{name}": value for name, value in STATE.items()}}, participant / "w.ckpt")
    for folder in ("HR", "lq", "swinir"):
        (participant / "images" / folder).mkdir()
    for file in list((participant / "images").glob("*.png")):
        image = Image.open(file)
        image.save(participant / "images" / "swinir" / file.name)
        image.resize((image.width // 4, image.height // 4)).save(participant / "images" / "lq" / f"{file.stem}x4.png")
        file.rename(participant / "images" / "HR" / file.name)
    return participant


def test_a_strangers_network_and_images_are_measured_as_they_are_and_named(run_esr: RunEsr, stranger: Path) -> None:
    (stranger / "rep.yaml").write_text(
        "_target_: rep.Net\nargs: {in_place: true, scripted: true}\n"
        "checkpoint: {file: w.ckpt, state_dict_under: state_dict, strip_prefix: 'model.'}\n"
    )
    run = run_esr("model=rep.yaml", *SHARED, cwd=stranger)
    assert run.code == 0, run.err
    assert "rep against tiny on folder: 3 images, LR given: lq" in run.out
    assert "3 images beside the set were skipped: swinir (3 images, no known name)" in run.out
    assert "published weights" not in run.out
    document = json.loads(run.records[0].read_text())
    data, candidate = document["data"], document["networks"]["candidate"]
    assert (data["lr_origin"], data["lr_folder"], data["skipped"], len(data["images"])) == ("files", "lq", 3, 3)
    assert (candidate["weights"]["source"], candidate["complexity"]["scripted"]) == ("path", 1)
    reasons = {found["reason"]: found for found in document["verdict"]["reasons"] if found["role"] == "candidate"}
    assert {"training_form", "below_bicubic", "input_changed"} <= reasons.keys()
    assert "set after_load=switch_to_deploy" in reasons["training_form"]["detail"]
    assert f"bicubic {data['bicubic_psnr_rgb']:.2f} dB" in reasons["below_bicubic"]["detail"]
    assert candidate["quality"]["mean"]["psnr_rgb"] < data["bicubic_psnr_rgb"]
    assert document["verdict"]["status"] == "tainted"


def test_in_a_multirun_only_the_network_whose_yaml_is_broken_fails(run_esr: RunEsr, participant: Path) -> None:
    network(participant, "sound")
    (participant / "latin.yaml").write_bytes("_target_: tiny.Tiny\nteam: Universit\xe9\n".encode("latin-1"))
    (participant / "deep.yaml").write_text(f"_target_: tiny.Tiny\nargs: {{x: {'[' * 5000}{']' * 5000}}}\n")
    (participant / "list.yaml").write_text("_target_: tiny.Tiny\nargs: [1, 2]\n")
    (participant / "folder.yaml").mkdir()
    os.mkfifo(participant / "pipe.yaml")
    (participant / "endless.yaml").symlink_to("/dev/zero")
    names = ("latin", "sound", "deep", "list", "folder", "pipe", "endless")
    run = multirun(run_esr, participant, ",".join(f"{name}.yaml" for name in names), "data.limit=1")
    assert run.code == 1
    assert "Traceback" not in run.err + run.out
    assert by_network(run.records).keys() == {"sound"}
    for words in ("is not UTF-8 (line 2)", "nested more than 30 deep", "args: must be a mapping"):
        assert words in run.out
    assert run.out.count("is no file") == 3


@pytest.mark.parametrize(
    ("command", "target", "words"),
    [
        ("show", "sys.exit", "is a function of Python's own"),
        ("export", "../../x.Y", "is a file's path; put the file beside the YAML"),
        ("show", "needy.Net", "needs the package nobodys_package (pip install nobodys_package)"),
        ("export", "quits.Net", "quits cannot be imported (SystemExit: 0)"),
        ("show", "stops.Net", "stops cannot be imported (KeyboardInterrupt); a network's code must not end"),
    ],
)
def test_a_class_that_cannot_be_had_ends_every_command_in_one_line(
    run_esr: RunEsr, tmp_path: Path, command: str, target: str, words: str
) -> None:
    (tmp_path / "needy.py").write_text("import nobodys_package\n")
    (tmp_path / "quits.py").write_text("import sys; sys.exit(0)\n")
    (tmp_path / "stops.py").write_text("raise KeyboardInterrupt\n")
    (tmp_path / "net.yaml").write_text(f"_target_: {target}\n")
    how = ["net.yaml"] if command == "show" else ["model=net.yaml", "format=torchscript", "weights=random"]
    run = run_esr(command, *how)
    assert run.code == 2, run.err
    assert len(run.err.splitlines()) == 1
    assert words in run.err


def test_a_folder_of_ones_own_configurations_is_read_within_limits(run_esr: RunEsr, participant: Path) -> None:
    (participant / "own" / "timing").mkdir(parents=True)
    (participant / "own" / "timing" / "mine.yaml").write_text("protocol: paired\nrounds: 7\n")
    words = ("model=imdn", "--config-dir", "own", "timing=mine", "--cfg", "job")
    run = run_esr(*words, cwd=participant)
    assert run.code == 0
    assert "rounds: 7" in run.out
    for content in ("a: \xe9".encode("latin-1"), b"[" * 9000, b"a: &a [1,1]\nb: &b [*a,*a]\nb: 1\n", b"a: {"):
        (participant / "own" / "bad.yaml").write_bytes(content)
        run = run_esr(*words, cwd=participant)
        assert run.code == 2
        assert run.err.startswith("esr: own/bad.yaml: ")
        assert len(run.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words", "never"),
    [
        (["model=spandrel"], "add weights=FILE to model=spandrel", "random"),
        (["model=spandrel", "weights=random"], "add weights=FILE to model=spandrel", "pass"),
        (["rerun"], "required: RECORD;", "KEY=VALUE"),
        (["rank", "challenge=tiny.yaml", "x"], "unknown field `_target_`", "altered"),
        (["rerun", "tiny.yaml"], "name a record.json, or its folder", "altered"),
        (["show", "tiny.yaml", "--height", "9" * 20], "a number of pixels, 1 to 100,000", "_target_"),
        (["doctor", "--seconds", "1e300"], "a number of seconds above 0, at most a million", "timing"),
        (["-m", "model=imdn", "timing.seed=interval(0,1)"], "as KEY=1,2,3 or KEY=range(1,4)", "did you mean"),
        (["model=imdn", "--experimental-rerun", "tiny.yaml"], "esr rerun RECORD measures a record again", "did you"),
        (["model=imdn", "--config-name", "tiny"], "model=PATH.yaml names a network of your own", "did you mean"),
        (["model=imdn", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder", "did you mean"),
        (["model=imdn", "hydra.searchpath=[images]"], "model=PATH.yaml names a network of your own", "did you mean"),
        (["model=imdn", "repo=nowhere"], "repo=nowhere: no use without model=repo or baseline=repo", "known"),
        (["model=imdn", "id=3"], "id=3: no use without model=repo", "known"),
        (["model=imdn", "precision=fp16"], "networks are measured in float32", "timing.precision"),
        (["model=imdn", "+model.args.x=.nan", "dtype=bf16"], "networks are measured in float32", "did you mean"),
        (["export", "model=imdn", "format=tensorrt"], "known: onnx, torchscript, safetensors", "did you mean"),
        (["+model._target_=tiny.Tiny"], "Tiny has no weights, none were given: pass weights=random", "conf/model"),
        (["-m", "model=imdn", "hydra/launcher=slurm"], "esr", "esr[cluster]"),
    ],
)
def test_a_remedy_is_one_that_works(
    run_esr: RunEsr, participant: Path, arguments: list[str], words: str, never: str
) -> None:
    run = run_esr(*arguments, cwd=participant)
    assert run.code == 2
    assert words in run.err
    assert never not in run.err


def test_nobody_is_told_to_install_esr_by_a_name_that_anyone_may_take() -> None:
    """On a package index: extras are named by the packages that they add."""
    told = re.compile(r"pip install [^`\n]*\besr\b(?!/)")
    files = [file for folder in ("esr", "docs", "hydra_plugins") for file in (ROOT / folder).rglob("*.[pm][yd]")]
    found = [f"{file}: {line}" for file in files for line in file.read_text().splitlines() if told.search(line)]
    assert len(files) > 200
    assert not found
