"""Weight files: every format is read, and none is ever run."""

import hashlib
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from helpers.weight_files import PLAIN, Net, filled, read_state_dict, reading, refusal, same, save
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import EsrError, WeightsError
from esr.networks.state_dicts import load_weights
from esr.networks.weight_files import count_values


class TestFormats:
    @pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
    def test_both_of_pytorchs_formats_are_read(self, tmp_path: Path, old: bool) -> None:
        state = filled()
        assert same(read_state_dict(save(tmp_path / "net.pth", state, old=old), PLAIN), state)

    def test_safetensors_are_read(self, tmp_path: Path) -> None:
        state = filled()
        save_file(state, tmp_path / "net.safetensors")
        assert same(read_state_dict(tmp_path / "net.safetensors", PLAIN), state)

    def test_the_content_decides_not_the_suffix(self, tmp_path: Path) -> None:
        state = filled()
        save_file(state, tmp_path / "net.pth")
        save(tmp_path / "net.safetensors", state)
        assert same(read_state_dict(tmp_path / "net.pth", PLAIN), state)
        assert same(read_state_dict(tmp_path / "net.safetensors", PLAIN), state)

    def test_safetensors_that_begin_like_a_pickle_are_safetensors(self, tmp_path: Path) -> None:
        path = tmp_path / "net.safetensors"
        for padding in range(300):
            save_file(filled(), path, {"note": "x" * padding})
            if path.read_bytes()[0] == 0x80:
                break
        assert path.read_bytes()[0] == 0x80
        assert same(read_state_dict(path, PLAIN), filled())

    def test_tensors_saved_on_another_device_come_to_the_cpu(self, tmp_path: Path) -> None:
        state = read_state_dict(save(tmp_path / "net.pth", filled()), PLAIN)
        assert {value.device.type for value in state.values()} == {"cpu"}

    def test_every_published_file_is_read_under_its_published_names(self, reference: Path) -> None:
        facts = json.loads((reference / "facts.json").read_text())
        files = {name: fact["weights"] for name, fact in facts.items() if isinstance(fact["weights"], dict)}
        assert len(files) == 41
        for name, stated in files.items():
            path = reference / "model_zoo" / stated["file"]
            assert hashlib.sha256(path.read_bytes()).hexdigest() == stated["sha256"]
            checkpoint = CheckpointConf(
                state_dict_under=stated["state_dict_under"], strip_prefix=stated["strip_prefix"]
            )
            state = read_state_dict(path, checkpoint)
            assert {key: list(value.shape) for key, value in state.items()} == shapes_in_graph(reference, name)


def shapes_in_graph(reference: Path, name: str) -> dict[str, list[int]]:
    """The section of a graph file that lists the state dict."""
    section = (reference / "graphs" / f"{name}.txt").read_text().split("## ")[1]
    rows = [line.split("\t") for line in section.splitlines() if "\t" in line]
    return {key: json.loads(shape) for key, shape, _ in rows}


class TestWhereTheStateDictHides:
    def test_the_yaml_says_under_which_key(self, tmp_path: Path) -> None:
        state, average = filled(seed=1), filled(seed=2)
        path = save(tmp_path / "net.pth", {"params": state, "params_ema": average, "epoch": 3})
        assert same(read_state_dict(path, CheckpointConf(state_dict_under="params_ema")), average)

    @pytest.mark.parametrize("key", ["state_dict", "params", "params_ema", "model", "net", "generator"])
    def test_the_only_state_dict_in_a_training_checkpoint_is_found(self, tmp_path: Path, key: str) -> None:
        state = filled()
        optimizer = {"state": {0: {"step": 9, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
        path = save(tmp_path / "net.pth", {key: state, "optimizer": optimizer, "epoch": 3, "loss": 0.5})
        assert same(read_state_dict(path, PLAIN), state)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"params": filled()}, "has no such key, but params; choose one of them"),
            (filled(), "has no such key, it is a plain state dict; remove the setting"),
            ({"epoch": 3}, "has no such key, and no other that holds a state dict (epoch)"),
        ],
    )
    def test_a_key_that_was_asked_for_is_required(self, tmp_path: Path, content: object, words: str) -> None:
        path = save(tmp_path / "net.pth", content)
        line = reading(path, CheckpointConf(state_dict_under="params_ema"))
        assert "state_dict_under=params_ema" in line
        assert words in line

    def test_dots_lead_into_nested_dicts(self, tmp_path: Path) -> None:
        state = filled()
        path = save(tmp_path / "net.pth", {"model": {"ema": state, "raw": filled(seed=2)}})
        assert same(read_state_dict(path, CheckpointConf(state_dict_under="model.ema")), state)

    @pytest.mark.parametrize("under", [None, "model", "model.networks"])
    def test_the_remedy_leads_to_a_state_dict_in_nested_dicts(self, tmp_path: Path, under: str | None) -> None:
        path = save(tmp_path / "net.pth", {"model": {"networks": {"net_g": filled()}, "step": 3}, "epoch": 1})
        line = reading(path, CheckpointConf(state_dict_under=under))
        assert line.endswith("set model.checkpoint.state_dict_under=model.networks.net_g")
        assert same(read_state_dict(path, CheckpointConf(state_dict_under="model.networks.net_g")), filled())

    def test_a_prefix_that_was_asked_for_is_required(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", filled())
        line = reading(path, CheckpointConf(strip_prefix="modul."))
        assert "strip_prefix=modul.: no entry of" in line

    def test_what_is_no_tensor_can_be_dropped(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {**filled(), "epoch": 3})
        assert "leave it out with checkpoint.drop: ['^epoch$']" in reading(path)
        assert same(read_state_dict(path, CheckpointConf(drop=["^epoch$"])), filled())

    def test_averages_without_names_say_how_to_give_them_names(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"decay": 0.9, "shadow_params": [torch.ones(1)], "collected_params": []})
        assert "the averages of torch_ema, a list without names" in reading(path)

    def test_a_bundled_file_need_not_have_the_published_files_key(self, tmp_path: Path) -> None:
        state = filled()
        save_file(state, tmp_path / "net.safetensors")
        checkpoint = CheckpointConf(state_dict_under="params", strip_prefix="module.")
        assert same(read_state_dict(tmp_path / "net.safetensors", checkpoint, required=False), state)

    def test_of_several_the_user_has_to_choose(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"params": filled(), "params_ema": filled()})
        line = reading(path)
        assert "holds 2 state dicts (params, params_ema)" in line
        assert "model.checkpoint.state_dict_under=params" in line

    def test_the_prefix_in_the_yaml_is_cut(self, tmp_path: Path) -> None:
        state = filled()
        path = save(tmp_path / "net.pth", {f"module.{name}": value for name, value in state.items()})
        assert same(read_state_dict(path, CheckpointConf(strip_prefix="module.")), state)

    def test_a_prefix_whose_removal_merges_two_keys_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"a": torch.ones(1), "module.a": torch.ones(1)})
        line = refusal(lambda: read_state_dict(path, CheckpointConf(strip_prefix="module.")))
        assert "puts both `a` and `module.a` under `a`" in line


class Payload:
    """Would make a folder if it were unpickled as pickle does."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


class TestHostileFiles:
    @pytest.mark.parametrize("old", [False, True], ids=["zip", "before zip"])
    def test_a_payload_is_named_and_never_run(self, tmp_path: Path, old: bool) -> None:
        path = save(tmp_path / "net.pth", {"weight": Payload(tmp_path / "trace")}, old=old)
        assert re.search(r"was not opened: it asks for `\w+\.mkdir`", reading(path))
        assert not (tmp_path / "trace").exists()

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_a_bare_pickle_is_never_run(self, tmp_path: Path, protocol: int) -> None:
        path = tmp_path / "net.pth"
        path.write_bytes(pickle.dumps({"weight": Payload(tmp_path / "trace")}, protocol=protocol))
        reading(path)
        assert not (tmp_path / "trace").exists()

    def test_the_environment_cannot_talk_pytorch_into_running_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        reading(save(tmp_path / "net.pth", {"weight": Payload(tmp_path / "trace")}))
        assert not (tmp_path / "trace").exists()

    def test_a_whole_network_is_refused_with_the_way_to_save_it(self, tmp_path: Path) -> None:
        line = reading(save(tmp_path / "net.pth", nn.Conv2d(1, 1, 1)))
        assert "asks for `torch.nn.modules.conv.Conv2d`" in line
        assert "torch.save(network.state_dict(), PATH)" in line

    @pytest.mark.filterwarnings("ignore")
    def test_a_torchscript_archive_is_refused(self, tmp_path: Path) -> None:
        script: Any = torch.jit.script(nn.Conv2d(1, 1, 1))
        script.save(tmp_path / "net.pt")
        assert "is a TorchScript archive, which holds code" in reading(tmp_path / "net.pt")

    def test_names_cannot_write_to_the_terminal(self, tmp_path: Path) -> None:
        state = {"\x1b[2Jweight\n" + "x" * 5000: torch.ones(1)}
        path = save(tmp_path / "net.pth", state)
        line = refusal(lambda: load_weights(Net(), path, PLAIN))
        assert len(line) < 1500

    @given(data=st.data())
    def test_whatever_is_changed_in_a_file_ends_in_tensors_or_one_line(
        self, data: st.DataObject, specimens: dict[str, bytes], scratch: Path
    ) -> None:
        content = bytearray(specimens[data.draw(st.sampled_from(sorted(specimens)))])
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        scratch.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        try:
            state = read_state_dict(scratch, PLAIN)
        except EsrError as error:
            state, lines = {}, str(error).splitlines()
        else:
            lines = ["read"]
        assert len(lines) == 1
        assert all(isinstance(value, Tensor) for value in state.values())


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A sound file of each format."""
    folder = tmp_path_factory.mktemp("specimens")
    save(folder / "zip", filled())
    save(folder / "old", filled(), old=True)
    save_file(filled(), folder / "safetensors")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "net.pth"


class TestDamagedAndForeignFiles:
    @pytest.mark.parametrize("specimen", ["zip", "old", "safetensors"])
    @pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
    def test_a_file_that_is_cut_off_says_so(
        self, tmp_path: Path, specimens: dict[str, bytes], specimen: str, share: float
    ) -> None:
        content = specimens[specimen]
        path = tmp_path / "net.pth"
        path.write_bytes(content[: int(len(content) * share)])
        assert re.search("damaged", reading(path))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty (0 bytes)"),
            (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page, not weights"),
            (b"<html>404</html>", "is a web page, not weights"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
            (b'{"message": "Not found"}', "is neither a safetensors nor a PyTorch file"),
            (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
            (b"\x1f\x8b\x08\0", "is compressed: unpack it"),
            (b"\xfd7zXZ\0", "is compressed: unpack it"),
            (b"BZh91AY&SY", "is compressed: unpack it"),
            (b"(\xb5/\xfd", "is compressed: unpack it"),
            (b"7z\xbc\xaf\x27\x1c", "is compressed: unpack it"),
            (b"\x93NUMPY\x01\0", "is a NumPy array, not a state dict"),
            (b"GGUF\x03\0", "is a GGUF file"),
            (b'{\n  "metadata": {}, "weight_map": {}}', "is the index of weights in several files"),
            (b"\x01\x02\x03\x04", "is neither a safetensors nor a PyTorch file"),
            (b"\x80", "is damaged"),
        ],
    )
    def test_what_is_no_weight_file_is_called_what_it_is(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "net.pth"
        path.write_bytes(content)
        assert words in reading(path)

    def test_a_zip_archive_of_something_else_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:
            archive.writestr("readme.txt", "hello")
        assert "a zip archive that PyTorch did not write" in reading(tmp_path / "net.pth")

    def test_a_missing_file_and_a_folder_are_refused(self, tmp_path: Path) -> None:
        assert "cannot be read: No such file or directory" in reading(tmp_path / "missing.pth")
        assert "is not a file" in reading(tmp_path)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ([torch.ones(1)], "holds a list, not a state dict"),
            (torch.ones(1), "holds a Tensor, not a state dict"),
            ({}, "holds an empty dict, not a state dict"),
            ({"weight": torch.ones(1), "epoch": 3}, "`epoch` is of type int, not a tensor"),
            ({"weight": [1.0]}, "`weight` is of type list, not a tensor"),
            ({1: torch.ones(1)}, "has the key 1, which is not a name"),
            ({"weight": torch.ones(2, 2).to_sparse()}, "`weight` is not a plain dense tensor"),
            ({"weight": torch.empty(2, device="meta")}, "`weight` is not a plain dense tensor"),
        ],
    )
    def test_content_that_is_no_state_dict_is_refused(self, tmp_path: Path, content: object, words: str) -> None:
        assert words in reading(save(tmp_path / "net.pth", content))

    def test_a_stated_key_that_holds_something_else_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"params": 3, "net": filled()})
        assert "holds a int under `params`" in reading(path, CheckpointConf(state_dict_under="params"))


class TestCountingValues:
    """Of what the network is to take, and of nothing else in the file."""

    STATE: ClassVar = {"a": torch.zeros(10, 10), "b": torch.zeros(50)}

    @pytest.mark.parametrize(
        ("content", "checkpoint"),
        [
            (STATE, PLAIN),
            ({"state_dict": STATE, "optimizer": {"state": {0: {"exp_avg": torch.zeros(5000)}}}}, PLAIN),
            ({"params": STATE, "params_ema": STATE}, CheckpointConf(state_dict_under="params_ema")),
            (STATE | {"tied": STATE["a"]}, PLAIN),
            (STATE | {"teacher.c": torch.zeros(900)}, CheckpointConf(drop=["^teacher"])),
            ({f"module.{name}": value for name, value in STATE.items()}, CheckpointConf(strip_prefix="module.")),
        ],
    )
    def test_a_checkpoint_of_training_counts_as_its_weights_alone(self, tmp_path, content, checkpoint):
        assert count_values(tmp_path / "w", checkpoint, save(tmp_path / "w", content).read_bytes()) == 150

    def test_safetensors_count_alike(self, tmp_path):
        save_file(self.STATE, tmp_path / "w")
        assert count_values(tmp_path / "w", PLAIN, (tmp_path / "w").read_bytes()) == 150

    def test_what_is_no_weight_file_is_refused(self):
        with pytest.raises(WeightsError, match="w"):
            count_values(Path("w"), PLAIN, b"not weights")
