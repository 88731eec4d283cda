"""A stranger's class: looked up, built, loaded and fused; nothing of ours is written onto it."""

import copy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import esr
from esr.config.schema import CheckpointConf, ModelConf, TileConf
from esr.errors import ConfigError, EsrError
from esr.networks.build import build, load
from esr.networks.facts import card_of
from esr.networks.inference import super_resolve
from esr.records.network import Weights

CODE = """
import sys
import torch
from torch import nn
from functools import partial, lru_cache


class Plain(nn.Module):
    def __init__(self, bias=0.0):
        super().__init__()
        self.tail = nn.Sequential(nn.Conv2d(3, 48, 1), nn.PixelShuffle(4))

    def forward(self, x):
        return self.tail(x)


class OwnTile(Plain):
    def __init__(self):
        super().__init__()
        self.tile = nn.Conv2d(3, 3, 1)
        self.card = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.tail(self.tile(x) + self.card(x))


class TileIsNone(Plain):
    tile = None

    def forward(self, x):
        return self.tail(x) if self.tile is None else torch.zeros_like(self.tail(x))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.tail = nn.Sequential(nn.LazyConv2d(48, 1), nn.PixelShuffle(4))

    def forward(self, x):
        return self.tail(x)


class LazyAndNarrow(Lazy):
    def forward(self, x):
        return self.tail(x.reshape(1, 3, 7, 7))


class ReturnsNothing(Plain):
    def train(self, mode=True):
        super().train(mode)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.deploy = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), False

    def forward(self, x):
        return self.a(x) if self.deploy else self.a(x) + self.b(x)

    def switch_to_deploy(self):
        self.a.weight.data += self.b.weight.data
        self.a.bias.data += self.b.bias.data
        del self.b
        self.deploy = True


class Fusible(Plain):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(Block(), Block())

    def forward(self, x):
        return self.tail(self.body(x))


class FusesItself(Fusible):
    def switch_deploy(self):
        for block in self.body:
            block.switch_to_deploy()
        self.train()

    def deployed(self):
        return Plain()

    def breaks(self):
        raise ValueError("no")


def make(**args):
    return Plain(**args)


def wrong():
    return 3


def leave():
    sys.exit(0)


def interrupt():
    raise KeyboardInterrupt


made = partial(Plain)
cached = lru_cache(Plain)
instance = Plain()
number = 3
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A participant's YAML, with the module `strangers_net` beside it."""
    (tmp_path / "strangers_net.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield str(tmp_path / "net.yaml")
    for name in set(sys.modules) - before:
        if name.startswith("strangers_"):
            del sys.modules[name]


def conf(source: str, target: str, **more: object) -> ModelConf:
    return ModelConf(_target_=target, source=source, **more)  # type: ignore[arg-type]


def loaded(model: ModelConf) -> nn.Module:
    return load(build(model), model, Weights("random"))


LR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["OwnTile", "TileIsNone", "ReturnsNothing"])
def test_nothing_of_ours_is_written_onto_a_strangers_module(source: str, name: str) -> None:
    model = conf(source, f"strangers_net.{name}", data_range=255.0, tile=TileConf(size=8, overlap=2))
    untouched = build(model)
    attributes = set(vars(untouched))
    network = loaded(model)
    assert set(vars(network)) == attributes
    assert not network.training
    card = card_of(network)
    assert card is not None
    assert (card.name, card.data_range) == (name, 255.0)
    assert super_resolve(network, LR).any()


def test_a_shipped_network_keeps_its_card_even_in_a_copy() -> None:
    network = esr.create_model("rlfn", weights="random")
    assert esr.card_of(network).data_range == 255.0
    twin = copy.deepcopy(network)
    assert np.array_equal(super_resolve(twin, LR), super_resolve(network, LR))
    assert esr.card_of(nn.Conv2d(3, 3, 1)) is None


@pytest.mark.parametrize("name", ["Plain", "make", "made", "cached"])
def test_classes_and_functions_that_return_a_module_build_one(source: str, name: str) -> None:
    assert isinstance(build(conf(source, f"strangers_net.{name}")), nn.Module)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("sys.exit", "is a function of Python's own, expected a torch.nn.Module class"),
        ("os.system", "is a function of Python's own"),
        ("shutil.rmtree", "is a function of Python's own"),
        ("builtins.print", "is a function of Python's own"),
        ("functools.partial", "is the class partial"),
        ("collections.OrderedDict", "is the class OrderedDict"),
        ("strangers_net.instance", "is an instance of Plain"),
        ("strangers_net.number", "is a int"),
        ("strangers_net.wrong", "gave a int, expected a torch.nn.Module"),
        ("strangers_net.leave", "cannot be built with args {}; it takes () (SystemExit: 0)"),
        ("strangers_net.interrupt", "cannot be built with args {}; it takes () (KeyboardInterrupt); a network's code"),
        ("strangers_net.Plane", "strangers_net has no Plane; did you mean Plain?"),
        ("strangers_net.Plain.Inner", "strangers_net.Plain has no Inner"),
        ("nowhere_at_all.Net", "there is no module nowhere_at_all; looked up in the YAML's folder"),
        ("queue.MyNet", "queue is a module of Python's own, give your file another name"),
    ],
)
def test_what_cannot_build_a_network_is_named_and_not_called(source: str, target: str, words: str) -> None:
    with pytest.raises(EsrError) as caught:
        build(conf(source, target))
    assert str(caught.value).startswith(f"_target_={target}: ")
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("target", ["../../x.Y", "x", "a" * 100_000 + ".Y", "a..b", "a.b-c", "", "a:b", "a.b\n"])
def test_what_is_no_class_path_is_refused(source: str, target: str) -> None:
    with pytest.raises(ConfigError, match=r"write MODULE\.CLASS") as caught:
        build(conf(source, target))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import einops_of_nobody", "strangers_net needs the package einops_of_nobody (pip install einops_of_nobody)"),
        ("import skimage_of_nobody.metrics", "needs the package skimage_of_nobody"),
        ("from strangers_blocks.missing import X", "needs the module strangers_blocks.missing, which is not there"),
        ("from strangers_blocks import X", "strangers_net cannot be imported (ImportError: cannot import name 'X'"),
        ("raise RuntimeError('not\\ntoday')", "strangers_net cannot be imported (RuntimeError: not today)"),
        ("import sys; sys.exit(0)", "strangers_net cannot be imported (SystemExit: 0); a network's code must"),
        ("raise KeyboardInterrupt", "cannot be imported (KeyboardInterrupt); a network's code must not end"),
        ("raise GeneratorExit(1)", "cannot be imported (GeneratorExit: 1); a network's code must not"),
        ("class Stop(BaseException): pass\nraise Stop('enough')", "cannot be imported (Stop: enough); a network"),
        ("class Net(:", "strangers_net cannot be imported (SyntaxError: "),
    ],
)
def test_an_import_that_fails_is_named_as_it_is(source: str, code: str, words: str) -> None:
    folder = Path(source).parent
    (folder / "strangers_net.py").write_text(code)
    (folder / "strangers_blocks").mkdir()
    (folder / "strangers_blocks" / "__init__.py").touch()
    with pytest.raises(EsrError) as caught:
        build(conf(source, "strangers_net.Net"))
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_ctrl_c_while_a_module_is_imported_stays_ctrl_c(source: str) -> None:
    Path(source).with_name("strangers_net.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    with pytest.raises(KeyboardInterrupt):
        build(conf(source, "strangers_net.Net"))


def test_a_network_that_learns_its_shapes_from_the_first_input_gets_one(source: str) -> None:
    network = load(build(conf(source, "strangers_net.Lazy")), conf(source, "strangers_net.Lazy"), Weights("random"))
    assert network(torch.zeros(1, 3, 5, 6)).shape == (1, 3, 20, 24)
    assert not any(one.requires_grad for one in network.parameters())
    with pytest.raises(EsrError, match=r"lazy parameters need a pass, which fails on 1×3×64×64"):
        build(conf(source, "strangers_net.LazyAndNarrow"))


@pytest.mark.parametrize(
    ("name", "method"),
    [("Fusible", "switch_to_deploy"), ("FusesItself", "switch_deploy"), ("Fusible", ["switch_to_deploy"])],
)
def test_a_method_fuses_the_network_after_its_weights_are_loaded(source: str, name: str, method: object) -> None:
    trained = loaded(conf(source, f"strangers_net.{name}"))
    path = Path(source).with_name("w.pth")
    torch.save(trained.state_dict(), path)
    model = conf(source, f"strangers_net.{name}", after_load=method)
    network = load(build(model), model, Weights("path", str(path)))
    assert len(list(network.parameters())) == len(list(trained.parameters())) - 4
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x = torch.rand(1, 3, 8, 8)
    assert torch.allclose(network(x), trained(x), atol=1e-5)


def test_a_method_may_return_the_network_to_measure(source: str) -> None:
    assert type(loaded(conf(source, "strangers_net.FusesItself", after_load="deployed"))).__name__ == "Plain"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("switch_to_deploi", "no module of FusesItself has this method; did you mean switch_to_deploy"),
        ("breaks", "it is called without arguments, and fails (ValueError: no)"),
        ("trunk.fuse", "FusesItself has no module trunk"),
    ],
)
def test_a_method_that_is_missing_or_fails_is_named(source: str, method: str, words: str) -> None:
    with pytest.raises(EsrError) as caught:
        loaded(conf(source, "strangers_net.FusesItself", after_load=method))
    assert str(caught.value).startswith(f"after_load={method}: ")
    assert words in str(caught.value)


def test_a_key_of_ones_own_yaml_is_required_and_a_shipped_ones_is_not(source: str) -> None:
    path = Path(source).with_name("w.pth")
    model = conf(source, "strangers_net.Plain", checkpoint=CheckpointConf(state_dict_under="params_ema"))
    torch.save({"params": loaded(conf(source, "strangers_net.Plain")).state_dict()}, path)
    with pytest.raises(EsrError, match=r"state_dict_under=params_ema: .* has no such key, but params"):
        load(build(model), model, Weights("path", str(path)))
