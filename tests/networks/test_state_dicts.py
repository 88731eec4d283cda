"""State dicts: renamed, and loaded all or nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers.weight_files import PLAIN, Masked, Net, filled, refusal, same, save
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError
from esr.networks.state_dicts import load_into, load_weights, random_weights, to_own_names


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
    def test_what_is_no_regular_expression_is_a_fault_of_the_configuration(self, checkpoint: CheckpointConf) -> None:
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
        line = refusal(lambda: load_into(Masked(), {"mask": torch.tensor([-torch.inf, -torch.inf])}, "net.pth"))
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
        line = refusal(lambda: load_weights(Net(), path, CheckpointConf(rename={"^(conv_first|last)": "head"})))
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
