"""The network's own loading decides, strictly; nothing of the file is left over, and the message names what is."""

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.weight_files import PLAIN, Net, filled, refusal, same, save
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from esr.config.schema import CheckpointConf
from esr.networks.state_dicts import load_weights
from esr.networks.strict_load import overrides_loading


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


class Fusing(nn.Module):
    """Has two branches until it loads, and one from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3 = nn.Conv2d(3, 4, 3, padding=1)
        self.branch1 = nn.Conv2d(3, 4, 1)

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(self, "fused"):
            self.fused = nn.Conv2d(3, 4, 3, padding=1)
            del self.branch3, self.branch1
        return super().load_state_dict(state_dict, *args, **kwargs)


class Renaming(nn.Module):
    """Takes the names of its first version."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(f"{prefix}conv_first.")]:
            state_dict[key.replace("conv_first", "head")] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


class Copying(nn.Module):
    """Copies what it knows and ignores the rest, as older projects do."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3)

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> None:  # type: ignore[override]
        own = self.state_dict()
        for name, value in state_dict.items():
            if name in own:
                own[name].copy_(value)


class Lenient(Copying):
    def load_state_dict(self, state_dict: Any, strict: bool = True) -> Any:  # type: ignore[override]
        return nn.Module.load_state_dict(self, state_dict, strict=False)


class Versioned(nn.Module):
    """Halves what its first version saved."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *args: Any) -> None:
        if local_metadata.get("version", 1) < 2:
            state_dict[f"{prefix}scale"] = state_dict[f"{prefix}scale"] / 2
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.second = self.first


class WithExtraState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 4, 3)

    def get_extra_state(self) -> str:
        return "calibrated"

    def set_extra_state(self, state: object) -> None:
        assert state == "calibrated"


class TestTheNetworkDecides:
    def test_a_network_that_fuses_while_it_loads(self, tmp_path: Path) -> None:
        deployed = Fusing()
        state = {"fused.weight": torch.randn(4, 3, 3, 3), "fused.bias": torch.randn(4)}
        load_weights(deployed, save(tmp_path / "net.pth", state), PLAIN)
        assert same(state_of(deployed), state)

    @pytest.mark.parametrize("wrap", ["", "module."])
    def test_a_hook_that_renames(self, tmp_path: Path, wrap: str) -> None:
        state = state_of(Renaming())
        old = {f"{wrap}{name.replace('head', 'conv_first')}": value for name, value in state.items()}
        network = Renaming()
        load_weights(network, save(tmp_path / "net.pth", old), PLAIN)
        assert same(state_of(network), state)

    def test_old_weight_normalisation_under_the_new_one(self, tmp_path: Path) -> None:
        with pytest.warns(FutureWarning):
            old: nn.Module = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))  # type: ignore[no-untyped-call]
        new = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
        load_weights(new, save(tmp_path / "net.pth", state_of(old)), PLAIN)
        x = torch.randn(1, 3, 8, 8)
        assert torch.allclose(new(x), old(x), atol=1e-6)

    @pytest.mark.parametrize("versioned", [False, True])
    def test_batch_normalisation_without_its_counter(self, tmp_path: Path, versioned: bool) -> None:
        state: Any = Net().state_dict()
        state = state if versioned else OrderedDict(state)
        del state["norm.num_batches_tracked"]
        network = Net()
        load_weights(network, save(tmp_path / "net.pth", state), PLAIN)
        assert torch.equal(network.head.weight, state["head.weight"])

    def test_tied_modules_of_which_the_file_has_one(self, tmp_path: Path) -> None:
        saved, network = Tied(), Tied()
        save_model(saved, str(tmp_path / "net.safetensors"))
        load_weights(network, tmp_path / "net.safetensors", PLAIN)
        assert torch.equal(network.second.weight, saved.first.weight)

    def test_tied_modules_of_which_the_file_has_two(self, tmp_path: Path) -> None:
        state = state_of(Tied())
        state["second.bias"] = torch.full((3,), 9.0)
        line = refusal(lambda: load_weights(Tied(), save(tmp_path / "net.pth", state), PLAIN))
        assert "first.bias and second.bias are one tensor in the network, and differ in the file" in line

    @pytest.mark.parametrize("strip", [None, "module."])
    def test_versions_of_layouts_are_heeded(self, tmp_path: Path, strip: str | None) -> None:
        saved = Versioned()
        saved.scale.data.fill_(6)
        wrapped: nn.Module = saved if strip is None else nn.ModuleDict({"module": saved})
        network = Versioned()
        load_weights(network, save(tmp_path / "net.pth", wrapped.state_dict()), CheckpointConf(strip_prefix=strip))
        assert network.scale.tolist() == [6, 6, 6]
        load_weights(network, save(tmp_path / "old.pth", {"scale": torch.full((3,), 6.0)}), PLAIN)
        assert network.scale.tolist() == [3, 3, 3]

    def test_an_extra_state_is_kept(self, tmp_path: Path) -> None:
        network, saved = WithExtraState(), WithExtraState()
        state = {name: value for name, value in saved.state_dict().items() if isinstance(value, Tensor)}
        load_weights(network, save(tmp_path / "net.pth", state), PLAIN)
        assert torch.equal(network.head.weight, state["head.weight"])

    @pytest.mark.parametrize("kind", [Copying, Lenient])
    def test_a_loader_that_ignores_entries_is_found_out(self, tmp_path: Path, kind: type[Copying]) -> None:
        network = kind()
        before, state = state_of(network), state_of(kind())
        load_weights(network, save(tmp_path / "net.pth", state), PLAIN)
        assert same(state_of(network), state)
        line = refusal(
            lambda: load_weights(kind(), save(tmp_path / "more.pth", {**state, "extra": torch.ones(1)}), PLAIN)
        )
        assert "1 are unexpected (extra); if the network does not use them, set checkpoint.drop: ['^extra$']" in line
        del state["head.bias"]
        network.load_state_dict(before)
        line = refusal(lambda: load_weights(network, save(tmp_path / "less.pth", state), PLAIN))
        assert "1 of 2 entries are missing (head.bias)" in line
        assert same(state_of(network), before)


@pytest.mark.parametrize("kind", [Fusing, Renaming, Copying])
def test_a_network_with_a_loading_of_its_own_is_recognised(kind: type[nn.Module]) -> None:
    assert overrides_loading(nn.Sequential(kind()))


def test_a_hook_is_a_loading_of_its_own() -> None:
    network = nn.Conv2d(3, 4, 3)
    network.register_load_state_dict_pre_hook(lambda *_: None)
    assert overrides_loading(network)


@pytest.mark.parametrize(
    "network", [Net(), nn.MultiheadAttention(4, 2), parametrizations.weight_norm(nn.Conv2d(3, 4, 3))]
)
def test_torchs_own_loading_is_none(network: nn.Module) -> None:
    assert not overrides_loading(network)


class TestTheMessage:
    """It speaks of what is left after the user's own rules, and gives the rule that would take it."""

    def refused(self, tmp_path: Path, content: object, checkpoint: CheckpointConf = PLAIN) -> str:
        line = refusal(lambda: load_weights(Net(), save(tmp_path / "net.pth", content), checkpoint))
        assert "another network's weights" not in line
        return line

    def test_rules_that_are_partly_right(self, tmp_path: Path) -> None:
        names = {"head": "a", "norm": "b", "tail": "c"}
        state = {names[k.partition(".")[0]] + "." + k.partition(".")[2]: v for k, v in filled().items()}
        state |= {"loss.weight": torch.ones(2), "mean": torch.ones(3)}
        rules = CheckpointConf(rename={r"^a\.": "head."}, drop=["^mean$"])
        line = self.refused(tmp_path, state, rules)
        assert "7 of 9 entries are missing (norm.weight" in line
        assert line.endswith("(beside the drop and rename that are there; names as they are after them)")
        assert "8 are unexpected (b.weight" in line
        assert r"set checkpoint.rename: {'^b\.': 'norm.', '^c\.': 'tail.'} and checkpoint.drop: ['^loss\.']" in line
        better = CheckpointConf(rename={r"^a\.": "head.", r"^b\.": "norm.", r"^c\.": "tail."}, drop=["^mean$"])
        assert (
            r"1 are unexpected (loss.weight); if the network does not use them, set checkpoint.drop: ['^loss\.']"
            in (self.refused(tmp_path, state, better))
        )

    @pytest.mark.parametrize(
        ("outer", "prefix", "beside", "kind"),
        [
            ({"pytorch-lightning_version": "2.1"}, "model.", "loss_fn.vgg.weight", "a Lightning checkpoint"),
            ({"pytorch-lightning_version": "2.1"}, "net.", "metric.lpips.weight", "a Lightning checkpoint"),
            ({"meta": {"mmengine_version": "1"}}, "generator.", "perceptual.vgg.weight", "an OpenMMLab checkpoint"),
            ({}, "module.", "n_averaged", "a stochastic weight average"),
            ({}, "ema_model.", "online_model.weight", "a moving average of ema-pytorch"),
            ({}, "netG.body.", "netD.weight", None),
        ],
    )
    def test_files_of_training_frameworks(
        self, tmp_path: Path, outer: dict[str, object], prefix: str, beside: str, kind: str | None
    ) -> None:
        state = {f"{prefix}{name}": value for name, value in filled().items()} | {beside: torch.ones(2)}
        content = {**outer, "state_dict": state} if outer else state
        line = self.refused(tmp_path, content)
        assert f"set checkpoint.strip_prefix: '{prefix}' and checkpoint.drop: ['^" in line
        assert kind is None or f"net.pth, {kind}, does not fit" in line
        head = beside.partition(".")[0] + (r"\." if "." in beside else "$")
        network = Net()
        load_weights(network, tmp_path / "net.pth", CheckpointConf(strip_prefix=prefix, drop=[f"^{head}"]))
        assert same(state_of(network), filled())

    def test_of_two_copies_both_are_offered(self, tmp_path: Path) -> None:
        state = {f"{prefix}{k}": v for prefix in ("generator.", "generator_ema.") for k, v in filled().items()}
        line = self.refused(tmp_path, {"state_dict": state, "meta": {"mmcv_version": "2"}})
        assert "strip_prefix: 'generator.'" in line
        assert "or set checkpoint.strip_prefix: 'generator_ema.'" in line

    def test_a_wrapper_of_layers_is_named(self, tmp_path: Path) -> None:
        state = {k: v for k, v in filled().items() if k != "tail.weight"}
        state |= {"tail.weight_g": torch.ones(3, 1, 1, 1), "tail.weight_v": torch.ones(3, 4, 1, 1)}
        assert "the file was saved with weight normalisation" in self.refused(tmp_path, state)

    def test_what_is_to_be_dropped_takes_nothing_along_that_is_used(self, tmp_path: Path) -> None:
        state = filled() | {"head.extra": torch.ones(1), "head.aux.weight": torch.ones(1)}
        line = self.refused(tmp_path, state)
        assert r"set checkpoint.drop: ['^head\.extra$', '^head\.aux\.']" in line
        network = Net()
        load_weights(network, tmp_path / "net.pth", CheckpointConf(drop=[r"^head\.extra$", r"^head\.aux\."]))
        assert same(state_of(network), filled())

    def test_another_network_is_still_called_one(self, tmp_path: Path) -> None:
        state = {"conv.weight": torch.ones(4, 4), "conv.bias": torch.ones(4)}
        line = refusal(lambda: load_weights(Net(), save(tmp_path / "net.pth", state), PLAIN))
        assert "these look like another network's weights" in line


def test_loading_leaves_torchs_compiler_unimported():
    """It takes seconds, in every worker."""
    program = (
        "import sys; from torch import nn; from esr.networks.strict_load import load_strictly; "
        "network = nn.Conv2d(1, 1, 1); load_strictly(network, network.state_dict()); "
        "print('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
