"""Training: an interrupted run loses nothing, and a run is never mistaken for another."""

import math
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.training_runs import ONE_STEP, THIRTY_STEPS, log_of, same, train
from safetensors.torch import load_file

from esr.config.schema import ModelConf
from esr.errors import ConfigError, WeightsError
from esr.training import checkpoint, loop
from esr.training.config import PhaseConf, compose
from esr.training.data import Patches


@pytest.fixture
def here(participant, monkeypatch):
    """The participant's folder, as the working directory."""
    monkeypatch.chdir(participant)
    return participant


KILLED = """
import os, signal, sys
from esr.cli.command import main
from esr.training.data import Patches
batch_at = Patches.at

def killed_at_17(self, step):
    if step == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch_at(self, step)

Patches.at = killed_at_17
main(["train", *sys.argv[1:]])
"""


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(here):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *THIRTY_STEPS, "out=killed"], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert torch.load("killed/checkpoint.pt", weights_only=True)["step"] == 14

    resumed, whole = (loop.train(compose([*THIRTY_STEPS, f"out={out}"])) for out in ("killed", "whole"))
    assert resumed.steps == whole.steps == 30
    assert same(load_file(resumed.weights), load_file(whole.weights))
    one, other = (torch.load(f"{out}/checkpoint.pt", weights_only=True) for out in ("killed", "whole"))
    assert same(one["network"], other["network"])
    assert [row["step"] for row in log_of("killed")] == [row["step"] for row in log_of("whole")]


@pytest.mark.parametrize("step", [3, 20, 25])
def test_an_exception_between_steps_loses_nothing_either(here, monkeypatch, step):
    batch_at = Patches.at

    def interrupted(self, at):
        if at == step:
            raise KeyboardInterrupt
        return batch_at(self, at)

    with monkeypatch.context() as patched:
        patched.setattr(Patches, "at", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(out="cut", checkpoint_every=5)
    assert same(load_file(train(out="cut", checkpoint_every=5).weights), load_file(train(out="whole").weights))


def test_every_checkpoint_comes_with_its_averaged_weights(here, monkeypatch):
    monkeypatch.setattr(loop.recipe, "loss", lambda *_: torch.tensor(math.nan))
    with pytest.raises(loop.TrainingError, match=r"the loss is nan at step 0; lower l1\.lr=0\.001"):
        train(out="diverged")
    state = torch.load("diverged/checkpoint.pt", weights_only=True)
    assert same(load_file("diverged/tiny.safetensors"), state["average"])


def test_a_finished_run_is_not_trained_again(here):
    first = train(out="done")
    again = train(out="done")
    assert again.steps == first.steps
    assert same(load_file(first.weights), load_file(again.weights))


def test_where_files_go_and_how_often_they_are_written_does_not_make_it_another_run(here, monkeypatch):
    monkeypatch.setenv("ESR_OUT", "results")
    first = train()
    assert first.weights == Path("results/outputs/training/tiny/tiny.safetensors")
    Path("results/outputs/training/tiny").rename("moved")
    Path("images").rename("pictures")
    train(out="moved", data_root="pictures", checkpoint_every=11, validate_root="pictures")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"l1": PhaseConf(steps=1, lr=5e-4)}, "l1.lr is 0.001 there and 0.0005 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"model": ModelConf(_target_="tiny.Tiny", name="tiny", args={"channels": 4})}, r"model\.args is"),
        ({"model": ModelConf(_target_="esr.models.imdn.IMDN", name="imdn")}, "model is tiny there and imdn here"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(here, change, difference):
    train(out="mine", **ONE_STEP)
    with pytest.raises(ConfigError, match=difference):
        train(out="mine", **{**ONE_STEP, **change})


def test_a_checkpoint_of_other_images_is_refused(here):
    train(out="mine", **ONE_STEP)
    Path("images/0.png").unlink()
    with pytest.raises(ConfigError, match="SHA-256 of the images in data_root is"):
        train(out="mine", **ONE_STEP)


def test_a_damaged_checkpoint_is_refused(here):
    Path("mine").mkdir()
    Path("mine/checkpoint.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(WeightsError, match=r"mine/checkpoint.pt is damaged .*; move it away"):
        train(out="mine")


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"step": "x"},
        {"step": -3},
        {"identity": None},
        {"network": {}},
        {"optimiser": {}},
        {"random": []},
        {"random": [torch.zeros(3, dtype=torch.uint8)]},
    ],
)
def test_a_checkpoint_with_other_content_is_refused(here, change):
    train(out="mine", **ONE_STEP)
    content = torch.load("mine/checkpoint.pt", weights_only=True)
    torch.save({**content, **change}, "mine/checkpoint.pt")
    with pytest.raises(WeightsError, match=r"mine/checkpoint.pt is damaged .*; move it away"):
        train(out="mine", **ONE_STEP)


class Hostile:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


def test_nothing_in_a_checkpoint_is_executed(here, recwarn):
    Path("mine").mkdir()
    for write in (torch.save, lambda content, path: Path(path).write_bytes(pickle.dumps(content))):
        write({"version": 1, "identity": Hostile()}, "mine/checkpoint.pt")
        with pytest.raises(WeightsError, match=r"mine/checkpoint.pt is damaged"):
            train(out="mine", **ONE_STEP)
    assert not Path("executed").exists()
    assert not recwarn.list


def test_a_run_killed_between_checkpoint_and_weights_writes_them_when_it_goes_on(here):
    whole = train(out="mine", **ONE_STEP)
    expected = load_file(whole.weights)
    whole.weights.unlink()
    assert same(load_file(train(out="mine", **ONE_STEP).weights), expected)


def test_a_run_killed_before_its_first_weights_starts(here, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "export", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(out="mine", **ONE_STEP)
    assert train(out="mine", **ONE_STEP).steps == 1


def test_a_damaged_log_is_replaced_by_what_is_left_of_it(here):
    train(out="mine", **ONE_STEP)
    rows = Path("mine/log.csv").read_bytes()
    Path("mine/log.csv").write_bytes(rows + b"\xff\xfe\n1\n\xc2\xb2,l1,0,0,0,0,0\n")
    train(out="mine", **ONE_STEP)
    assert Path("mine/log.csv").read_bytes() == rows


def test_a_folder_name_that_cannot_be_is_one_line(here):
    with pytest.raises(ConfigError, match="name too long"):
        train(out="a" * 300, **ONE_STEP)


def test_running_out_of_memory_says_what_to_lower(here, monkeypatch):
    def full(self, step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Patches, "at", full)
    with pytest.raises(loop.TrainingError, match=r"batch=\d+ of patch=\d+ .* lower one"):
        train(out="mine", **ONE_STEP)


def test_weights_that_no_run_left_there_are_not_overwritten(here):
    first = train(out="first", **ONE_STEP)
    Path("zoo").mkdir()
    kept = first.weights.rename("zoo/tiny.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"zoo/tiny\.safetensors exists without its checkpoint"):
        train(out="zoo")
    assert Path("zoo/tiny.safetensors").read_bytes() == kept


def test_a_checkpoint_of_another_version_is_refused(here, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "VERSION", 0)
        train(out="old", **ONE_STEP)
    with pytest.raises(WeightsError, match="is a checkpoint of version 0, not 1; move it away"):
        train(out="old", **ONE_STEP)
