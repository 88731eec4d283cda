"""Every network as a file for other software, run there on another size than it was exported with."""

import inspect
import io
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.cases import with_slow
from helpers.networks_page import NETWORKS
from helpers.synthetic import rounding
from hydra.utils import get_class
from packaging.version import Version
from torch import Tensor, nn

from esr.errors import ConfigError, NetworkError
from esr.networks.export import Exported, export, to_program
from esr.networks.formats import EXAMPLE, write
from esr.networks.state_dicts import random_weights

OTHER = (48, 72)
"""Height and width of another image."""
TOLERANCE = 1e-4
"""Of the output's range."""
EVERY = os.environ.get("ESR_TEST_EXPORT") == "1"
"""`make test-export`: ONNX for all networks, everything in its full depth, which takes ten minutes."""
SHALLOW = {"num_blocks": 2, "num_stages": 1}
KINDS = ("imdn", "rlfn", "efdn", "bsrn", "scet", "rfdn_dilated", "mdan")
"""One network of each kind of operator; HNCT, NLFFC and MobileSR take a minute each and run with `EVERY`."""


def build(name: str, *, shallow: bool = False) -> nn.Module:
    """A network with random weights; `shallow` leaves out blocks that repeat, over which torch.export takes long."""
    kind = get_class(NETWORKS[name]._target_)
    depth = {key: value for key, value in SHALLOW.items() if shallow and key in inspect.signature(kind).parameters}
    network: nn.Module = kind(**{**NETWORKS[name].args, **depth})
    random_weights(network)
    return network.eval().requires_grad_(False)


@cache
def exported(name: str, kind: str) -> Exported:
    return export(build(name, shallow=not EVERY), kind)


def image(name: str, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, *size, generator=generator) * NETWORKS[name].data_range


def compare(network: nn.Module, x: Tensor, run: Callable[[Tensor], Any]) -> None:
    expected = network(x).numpy()
    excess = np.abs(np.asarray(run(x)) - expected).max() - TOLERANCE * np.ptp(expected)
    assert excess <= 0 or excess <= rounding(network, x)  # which takes several passes


@pytest.mark.parametrize("name", NETWORKS if EVERY else with_slow(KINDS, {*KINDS} - {"rlfn"}))
def test_onnxruntime_computes_what_the_network_computes(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs esr[export]")
    if name == "hnct" and Version(torch.__version__) < Version("2.8"):
        pytest.skip("torch.export of 2.7 takes more than five minutes over the sizes of its windows")
    network = build(name, shallow=not EVERY)
    file = exported(name, "onnx")
    assert file.any_size
    session = onnxruntime.InferenceSession(file.content, providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Any:
        return session.run(["sr"], {"lr": x.numpy()})[0]

    compare(network, image(name, EXAMPLE), run)
    compare(network, image(name, OTHER), run)


@pytest.mark.parametrize("name", NETWORKS if EVERY else with_slow(NETWORKS, {*NETWORKS} - {*KINDS}))
def test_torchscript_computes_what_the_network_computes(name: str) -> None:
    network = build(name, shallow=not EVERY)
    file = export(network, "torchscript")
    assert file.any_size
    traced = torch.jit.load(io.BytesIO(file.content))
    compare(network, image(name, EXAMPLE), traced)
    compare(network, image(name, OTHER), traced)


def test_safetensors_hold_the_weights_under_our_names() -> None:
    network = build("rlfn")
    state = safetensors.torch.load(export(network, "safetensors").content)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


def test_weights_that_two_modules_share_are_written_for_both() -> None:
    tied = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    tied[1].weight = nn.Parameter(tied[0].weight.transpose(0, 1))  # neither contiguous nor a tensor of its own
    tied.append(tied[0])
    state = safetensors.torch.load(export(tied, "safetensors").content)
    assert all(torch.equal(state[name], value) for name, value in tied.state_dict().items())


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])  # TorchScript: as the command, below
def test_the_same_network_gives_the_same_bytes(kind: str) -> None:
    if kind == "onnx":
        pytest.importorskip("onnxscript", reason="needs esr[export]")
    content = exported("rlfn", kind).content
    assert content == export(build("rlfn", shallow=not EVERY), kind).content
    assert str(Path.cwd()).encode() not in content


def test_a_network_that_looks_at_values_is_refused_in_one_line() -> None:
    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(NetworkError, match=r"Looks cannot be exported: torch\.export says"):
        to_program(Looks())


def test_onnx_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs onnx and onnxscript, .* pip install onnx onnxscript"):
        export(nn.Identity(), "onnx")


def test_a_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(b"content", tmp_path / "new" / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o640
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be written"):
        write(b"content", tmp_path / "file" / "below")


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError, match="is not a regular file; choose another file"):
            write(b"content", target)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_an_interrupt_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(b"content", tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_the_command_writes_a_file_and_says_what_it_takes(run_esr: Any, tmp_path: Path) -> None:
    out = tmp_path / "rlfn.pt"
    words = ("export", "model=rlfn", "format=torchscript", "weights=random", f"out={out}")
    first = run_esr(*words)
    assert first.code == 0, first.err
    assert "bytes, random weights; images of any size, values from 0 to 255" in first.out
    content = out.read_bytes()
    run_esr(*words)
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to export: add model="),
        (["model=rlfn"], "nothing to export: add format="),
        (["model=rlfn", "format=onxx"], "format=onxx: no such format; known: onnx"),
        (["model=rlfm", "format=onnx"], "did you mean"),
        (["model=rlfn", "format=onnx", "opset=9"], "no such key opset"),
        (["rlfn"], "rlfn: expected KEY=VALUE"),
        (["model=rlfn", "format=onnx", "weights=absent.pth"], "weights=absent.pth"),
        (["model=team07", "format=onnx"], "team07: its network is confidential"),
        (
            ["model=rlfn", "format=onnx", "out=~nobody-here/file"],
            "out=~nobody-here/file: there is no such home",
        ),
    ],
)
def test_a_mistake_is_one_line(run_esr: Any, words: list[str], message: str) -> None:
    result = run_esr("export", *words)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
