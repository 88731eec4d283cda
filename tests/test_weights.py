"""State dicts: read without running anything, renamed, and loaded all or nothing."""

import hashlib
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from esr.config import CheckpointConf
from esr.errors import ConfigError, EsrError, WeightsError
from esr.weights import load_into, load_weights, random_weights, read_state_dict, to_own_names

PLAIN = CheckpointConf()


class Net(nn.Module):
    """Two convolutions and a batch normalisation, as small as a network can be."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.tail = nn.Conv2d(channels, 3, 1)


class Masked(nn.Module):
    """A network with an infinite constant, as attention masks are."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def filled(network: nn.Module | None = None, seed: int = 1) -> dict[str, Tensor]:
    network = network or Net()
    random_weights(network, seed)
    return {name: value.clone() for name, value in network.state_dict().items()}


def save(path: Path, content: object, *, old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    assert "\x1b" not in line
    return line


def reading(path: Path, checkpoint: CheckpointConf = PLAIN) -> str:
    """The line in which reading a file ends."""
    line = refusal(lambda: read_state_dict(path, checkpoint))
    assert str(path) in line
    return line


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
            assert {key: list(value.shape) for key, value in state.items()} == shapes_in_graph(
                reference, name
            )


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

    def test_a_bundled_file_need_not_have_the_published_files_key(self, tmp_path: Path) -> None:
        state = filled()
        save_file(state, tmp_path / "net.safetensors")
        checkpoint = CheckpointConf(state_dict_under="params", strip_prefix="module.")
        assert same(read_state_dict(tmp_path / "net.safetensors", checkpoint), state)

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
            (b"\x89HDF\r\n\x1a\n", "is neither a safetensors nor a PyTorch file"),
            (b"\x80", "is damaged"),
        ],
    )
    def test_what_is_no_weight_file_is_called_what_it_is(
        self, tmp_path: Path, content: bytes, words: str
    ) -> None:
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
    def test_content_that_is_no_state_dict_is_refused(
        self, tmp_path: Path, content: object, words: str
    ) -> None:
        assert words in reading(save(tmp_path / "net.pth", content))

    def test_a_stated_key_that_holds_something_else_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"params": 3, "net": filled()})
        assert "holds a int under `params`" in reading(path, CheckpointConf(state_dict_under="params"))


class TestRenaming:
    STATE: ClassVar = {
        "model.0.weight": torch.zeros(1),
        "model.1.sub.0.bias": torch.ones(1),
        "mean": torch.ones(2),
    }

    def test_drops_first_then_applies_every_expression_in_order(self) -> None:
        table = {r"^model\.0\.": "head.", r"^model\.1\.sub\.(\d)\.": r"blocks.\1.", "^blocks": "body"}
        renamed = to_own_names(self.STATE, CheckpointConf(rename=table, drop=["^mean$"]))
        assert list(renamed) == ["head.weight", "body.0.bias"]
        assert renamed["body.0.bias"] is self.STATE["model.1.sub.0.bias"]

    def test_without_tables_nothing_changes(self) -> None:
        assert to_own_names(self.STATE, PLAIN) == self.STATE

    def test_two_keys_under_one_name_are_refused(self) -> None:
        line = refusal(lambda: to_own_names(self.STATE, CheckpointConf(rename={r"^model.*": "head"})))
        assert "puts both `model.0.weight` and `model.1.sub.0.bias` under `head`" in line

    @pytest.mark.parametrize(
        "checkpoint",
        [CheckpointConf(rename={"(": ""}), CheckpointConf(rename={"a": r"\9"}), CheckpointConf(drop=["["])],
    )
    def test_what_is_no_regular_expression_is_a_fault_of_the_configuration(
        self, checkpoint: CheckpointConf
    ) -> None:
        with pytest.raises(ConfigError, match=r"checkpoint\.(rename|drop): .* is not a"):
            to_own_names(self.STATE, checkpoint)

    @given(st.dictionaries(st.text("ab.", min_size=1), st.integers(), min_size=1))
    def test_no_entry_is_ever_lost_without_a_word(self, names: dict[str, int]) -> None:
        state = {name: torch.tensor(value % 100) for name, value in names.items()}
        try:
            renamed = to_own_names(state, CheckpointConf(rename={"a+": "a", r"\.b": "."}))
        except WeightsError:
            return
        assert sorted(map(id, renamed.values())) == sorted(map(id, state.values()))


class TestLoading:
    def test_copies_every_entry(self) -> None:
        state, network = filled(), Net()
        load_into(network, state, "net.pth")
        assert same(dict(network.state_dict()), state)

    def test_half_precision_files_become_the_networks_precision(self) -> None:
        state, network = filled(), Net()
        halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
        load_into(network, halves, "net.pth")
        assert network.head.weight.dtype == torch.float32
        assert torch.equal(network.head.weight, state["head.weight"].half().float())
        assert network.state_dict()["norm.num_batches_tracked"].dtype == torch.int64

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda state: state.pop("head.bias"), "1 of 9 entries are missing (head.bias)"),
            (lambda state: state.update(extra=torch.ones(1)), "1 are unexpected (extra)"),
            (
                lambda state: state.update({"tail.weight": torch.ones(3, 4, 3, 3)}),
                "1 have another shape (tail.weight is [3, 4, 3, 3] for [3, 4, 1, 1])",
            ),
            (
                lambda state: state.update({"head.bias": torch.ones(4, dtype=torch.uint8)}),
                "1 have another kind of number (head.bias is torch.uint8 for torch.float32)",
            ),
            (
                lambda state: state.update({"head.bias": torch.ones(4, dtype=torch.complex64)}),
                "1 have another kind of number (head.bias is torch.complex64 for torch.float32)",
            ),
            (
                lambda state: state.update({"head.bias": torch.tensor([0, torch.nan, 0, 0])}),
                "1 of 9 entries hold infinities or NaN as torch.float32 (head.bias)",
            ),
            (
                lambda state: state.update({"head.bias": torch.full((4,), 1e300, dtype=torch.float64)}),
                "1 of 9 entries hold infinities or NaN as torch.float32 (head.bias)",
            ),
        ],
    )
    def test_anything_that_does_not_fit_changes_nothing(
        self, change: Callable[[dict[str, Tensor]], object], words: str
    ) -> None:
        network, state = Net(), filled()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        change(state)
        line = refusal(lambda: load_into(network, state, "net.pth"))
        assert line.startswith("net.pth")
        assert words in line
        assert "another network's weights" not in line
        assert same(dict(network.state_dict()), before)

    def test_many_misfits_are_counted_and_the_first_few_named(self) -> None:
        line = refusal(lambda: load_into(Net(), {"head.bias": torch.ones(4)}, "net.pth"))
        assert "8 of 9 entries are missing (head.weight, norm.weight, norm.bias, …)" in line

    def test_other_names_look_like_another_networks_weights(self) -> None:
        line = refusal(lambda: load_into(Net(), {"conv.weight": torch.ones(4)}, "net.pth"))
        assert "these look like another network's weights" in line

    def test_other_shapes_look_like_another_networks_weights(self) -> None:
        line = refusal(lambda: load_into(Net(), filled(Net(channels=8)), "net.pth"))
        assert "these look like another network's weights" in line

    def test_an_infinity_that_the_constructor_put_there_is_sound(self) -> None:
        network = Masked()
        load_into(network, {"mask": torch.tensor([1.0, -torch.inf])}, "net.pth")
        assert network.mask.tolist() == [1.0, -torch.inf]

    def test_an_infinity_anywhere_else_is_not(self) -> None:
        line = refusal(
            lambda: load_into(Masked(), {"mask": torch.tensor([-torch.inf, -torch.inf])}, "net.pth")
        )
        assert "hold infinities" in line

    def test_a_networks_own_loading_hook_that_fails_is_one_line(self) -> None:
        network: Any = Net()

        def refuse(*args: object) -> None:
            raise RuntimeError("not\nthese")

        network.register_load_state_dict_pre_hook(refuse)
        assert "does not fit Net: not" in refusal(lambda: load_into(network, filled(), "net.pth"))


class TestLoadingAFile:
    RENAME = CheckpointConf(rename={"^conv_first": "head", "^bn": "norm", "^last": "tail"}, drop=["^mean$"])

    def published(self) -> dict[str, Tensor]:
        names = {"head": "conv_first", "norm": "bn", "tail": "last"}
        state = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in filled().items()}
        return {**state, "mean": torch.ones(3)}

    @pytest.mark.parametrize("wrap", ["", "module.", "module.model.", "_orig_mod.", "net_g."])
    @pytest.mark.parametrize("under", [None, "state_dict", "params"])
    def test_published_names_go_through_the_table(self, tmp_path: Path, wrap: str, under: str | None) -> None:
        state = {f"{wrap}{name}": value for name, value in self.published().items()}
        path = save(tmp_path / "net.pth", {under: state} if under else state)
        network = Net()
        load_weights(network, path, self.RENAME)
        assert same(dict(network.state_dict()), filled())

    @pytest.mark.parametrize("wrap", ["", "module.", "model."])
    def test_the_networks_own_names_need_no_table(self, tmp_path: Path, wrap: str) -> None:
        path = save(tmp_path / "net.pth", {f"{wrap}{name}": value for name, value in filled().items()})
        network = Net()
        load_weights(network, path, self.RENAME)
        assert same(dict(network.state_dict()), filled())

    def test_own_names_load_even_if_the_table_would_merge_them(self, tmp_path: Path) -> None:
        save_file(filled(), tmp_path / "net.safetensors")
        network = Net()
        load_weights(network, tmp_path / "net.safetensors", CheckpointConf(rename={"^(head|tail)": "norm"}))
        assert same(dict(network.state_dict()), filled())

    def test_a_table_that_merges_the_files_names_is_named(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", self.published())
        line = refusal(
            lambda: load_weights(Net(), path, CheckpointConf(rename={"^(conv_first|last)": "head"}))
        )
        assert line.startswith(f"{path}: checkpoint.rename puts both")

    def test_a_file_that_can_be_read_in_two_ways_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "net.pth", {"0.weight": torch.ones(1), "1.weight": torch.zeros(1)})
        network = nn.Sequential(nn.PReLU(), nn.PReLU())
        swap = CheckpointConf(rename={r"^0\.": "x.", r"^1\.": "0.", r"^x\.": "1."})
        assert "can be read in two ways" in refusal(lambda: load_weights(network, path, swap))

    def test_the_reading_that_comes_nearest_is_the_one_reported(self, tmp_path: Path) -> None:
        state = {f"module.{name}": value for name, value in self.published().items()}
        del state["module.last.bias"]
        path = save(tmp_path / "net.pth", state)
        line = refusal(lambda: load_weights(Net(), path, self.RENAME))
        assert f"{path} does not fit Net: 1 of 9 entries are missing (tail.bias); check model.args" in line


class TestRandomWeights:
    def test_are_the_same_for_the_same_seed_whatever_was_there_before(self) -> None:
        torch.manual_seed(1)
        first = filled(seed=7)
        torch.manual_seed(2)
        assert same(filled(seed=7), first)
        assert not same(filled(seed=8), first)

    def test_do_not_touch_torchs_or_numpys_generators(self) -> None:
        network = Net()
        torch.manual_seed(3)
        before = torch.rand(1)
        torch.manual_seed(3)
        random_weights(network)
        assert torch.equal(torch.rand(1), before)

    def test_are_known_numbers(self) -> None:
        network = nn.Conv2d(2, 1, 1)
        random_weights(network, 0)
        assert network.weight.flatten().tolist() == pytest.approx([0.23198232, -0.08726582])

    def test_keep_the_scale_of_what_passes_through(self) -> None:
        network = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1) for _ in range(12)))
        random_weights(network)
        noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 64, 24, 24), dtype=np.float32))
        with torch.no_grad():
            assert 0.2 < float(network(noise).std()) < 5

    def test_fill_frozen_parameters_and_running_statistics_but_no_constants(self) -> None:
        network = nn.Sequential(nn.BatchNorm2d(4), Masked()).requires_grad_(False)
        random_weights(network)
        norm, masked = network
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(masked, Masked)
        assert norm.running_var is not None
        assert bool((norm.running_var >= 1).all())
        assert norm.num_batches_tracked is not None
        assert int(norm.num_batches_tracked) == 0
        assert masked.mask.tolist() == [0.0, -torch.inf]

    def test_take_the_precision_and_the_shapes_of_the_network(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU())
        network.register_parameter("scale", nn.Parameter(torch.ones(())))
        network.to(torch.bfloat16)
        random_weights(network)
        assert {value.dtype for value in network.parameters()} == {torch.bfloat16}
        assert all(bool(torch.isfinite(value).all()) for value in network.parameters())
