"""Forks of a challenge's repository: other choices, signatures, places and results, built as a worker does."""

import contextlib
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.challenge_repository import FORK, make_fork, make_repository
from safetensors.torch import save_file

from esr.config.repository import read_layout
from esr.config.repository_sources import examine
from esr.config.repository_words import complete
from esr.config.schema import EsrConf, ModelConf, RepositoryConf
from esr.errors import ConfigError, EsrError, WeightsError
from esr.evaluation.worker import messages as to
from esr.evaluation.worker.child import Child
from esr.networks.repository.script import select
from esr.networks.watching import watched
from esr.records.network import Weights
from esr.zoo.repository import weights_of

FORKS: dict[str, tuple[str, dict[int, str]]] = {
    "several numbers": (
        "def select_model(args, device):\n"
        "    if args.model_id in (1, 2):\n"
        "        return load(args.model_id), f'{args.model_id:02}_Net', 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "a range": (
        "def select_model(args, device):\n"
        "    number = args.model_id\n"
        "    if number in range(1, 3):\n"
        "        model, name = load(number), f'{number:02}_Net'\n"
        "    return model, name, 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "either number": (
        "def select_model(args, device):\n"
        "    model_id = int(args.model_id)\n"
        "    with torch.no_grad():\n"
        "        if model_id == 1 or 2 == model_id:\n"
        "            net_name = '{:02}_Net'.format(model_id)\n"
        "            model = load(model_id)\n"
        "    return model, net_name, 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "texts": (
        "def select_model(args, device):\n"
        "    assert isinstance(args.model_id, str)\n"
        "    if args.model_id == '01':\n"
        "        model, name = load(args.model_id), '01_A'\n"
        "    elif args.model_id == 'team02':\n"
        "        model, name = load(2), '02_B'\n"
        "    return model, name, 1.0, None\n",
        {1: "01_A", 2: "02_B"},
    ),
    "match": (
        "def select_model(args, device):\n"
        "    match args.model_id:\n"
        "        case -1:\n"
        "            model, name = load(1), 'baseline'\n"
        "        case 2 | 3:\n"
        "            model, name = load(2), '02_Net'\n"
        "        case _:\n"
        "            raise NotImplementedError\n"
        "    return model, name, 1.0, None\n",
        {-1: "baseline", 2: "02_Net", 3: "02_Net"},
    ),
    "nested": (
        "def select_model(args, device):\n"
        "    if args.model_id < 2:\n"
        "        if args.model_id == 1:\n"
        "            return load(1), '01_Net', 1.0, None\n"
        "    elif args.model_id == 2:\n"
        "        return load(2), '02_Net', 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "a last else": (
        "def select_model(args, device):\n"
        "    if args.model_id == 1:\n"
        "        model, name = load(1), '01_Net'\n"
        "    else:\n"
        "        model, name = load(2), 'ours'\n"
        "    return model, name, 1.0, None\n"
        "def main():\n"
        "    argparse.ArgumentParser().add_argument('--model_id', default=22, type=int)\n",
        {1: "01_Net", 22: "ours"},
    ),
    "no choice": (
        "def select_model(args, device):\n"
        "    name = '07_Alone'\n"
        "    assert args.model_id == 7 and args.scale == 4 and not args.ssim\n"
        "    return load(1), name, 1.0, None\n"
        "def main():\n"
        "    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--model_id', default=7, type=int)\n"
        "    parser.add_argument('--scale', default=4, type=int)\n"
        "    parser.add_argument('--ssim', action='store_true')\n",
        {7: "07_Alone"},
    ),
    "a dictionary of functions": (
        "def first(device):\n    return load(1), '01_First', 1.0, None\n"
        "def second(device):\n    return load(2), '02_Second', 1.0, None\n"
        "NETWORKS = {1: first, 2: second}\n"
        "def select_model(args, device):\n    return NETWORKS[args.model_id](device)\n",
        {1: "01_First", 2: "02_Second"},
    ),
    "a dictionary of facts": (
        "def select_model(args, device):\n"
        "    table = {'1': {'name': '01_A', 'data_range': 1.0}, '2': {'name': '02_B', 'data_range': 1.0}}\n"
        "    facts = table.get(str(args.model_id))\n"
        "    return load(args.model_id), facts['name'], facts['data_range'], None\n",
        {1: "01_A", 2: "02_B"},
    ),
    "modules by number": (
        "def select_model(args, device):\n"
        "    network = importlib.import_module(f'models.team{args.model_id:02}').Net()\n"
        "    return network, f'{args.model_id:02}_Net', 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "another function": (
        "def _chosen(model_id):\n"
        "    if model_id == 1:\n        return load(1), '01_Net', 1.0, None\n"
        "    if model_id == 2:\n        return load(2), '02_Net', 1.0, None\n"
        "def select_model(args, device):\n    return _chosen(args.model_id)\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "the bare id": (
        "def select_model(model_id, device):\n    if model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "another order": (
        "def select_model(the_device, opt, verbose=False):\n"
        "    assert the_device.type == 'cpu'\n"
        "    if opt.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "another attribute": (
        "def select_model(args, device):\n"
        "    model_id = args.network\n"
        "    if model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "any arguments": (
        "def unwrapped(function):\n    return lambda *args, **kwargs: function(*args, **kwargs)\n"
        "@unwrapped\n"
        "def select_model(args, device):\n"
        "    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "arguments read at import": (
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--model_id', type=int, required=True)\n"
        "args = parser.parse_args()\n"
        "print('a line')\n"
        "def select_model(device):\n"
        "    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "a device from nowhere": (
        "def select_model(args):\n"
        "    torch.cuda.set_device(0)\n"
        "    if args.model_id == 1:\n        return load(1).to(device), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "tabs and an earlier definition": (
        "def select_model(args, device):\n\tif args.model_id == 9:\n\t\tmodel = 1\n"
        "def select_model(args, device):\n\tif args.model_id == 1:\n\t\treturn load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "five parts in a list": (
        "def select_model(args, device):\n"
        "    if args.model_id == 1:\n        model = load(1)\n"
        "    return [model, '01_Net', 1.0, None, {'scale': 4}]\n",
        {1: "01_Net"},
    ),
    "the network alone": (
        "def select_model(args, device):\n"
        "    if args.model_id == 1:\n        name, data_range = '01_Net', 1.0\n        return load(1)\n",
        {1: "01_Net"},
    ),
    "a new name in a test": (
        "def select_model(args, device):\n"
        "    if (m := args.model_id) == 1:\n"
        "        model, name = load(m), f'{m:02}_Net'\n"
        "    elif args.model_id == 2:\n"
        "        model, name = load(2), '02_Net'\n"
        "    return model, name, 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "an async function": (
        "async def select_model(args, device):\n"
        "    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "constants": (
        "ID_A = 1\n"
        "IDS_B: list = [2, 3]\n"
        "def select_model(args, device):\n"
        "    if args.model_id == ID_A:\n        return load(1), '01_Net', 1.0, None\n"
        "    elif args.model_id in IDS_B:\n        return load(2), f'{args.model_id:02}_Net', 1.0, None\n",
        {1: "01_Net", 2: "02_Net", 3: "03_Net"},
    ),
    "members of an Enum": (
        "from enum import Enum\n"
        "class Team(Enum):\n    A = 1\n    B = 2\n"
        "def select_model(args, device):\n"
        "    team = Team(args.model_id)\n"
        "    if team is Team.A:\n        model, name = load(team.value), '01_A'\n"
        "    elif team == Team.B:\n        model, name = load(Team.B.value), '02_B'\n"
        "    return model, name, 1.0, None\n",
        {1: "01_A", 2: "02_B"},
    ),
    "cases of an Enum": (
        "import enum\n"
        "class Team(enum.IntEnum):\n    A = 1\n    B = 2\n"
        "def select_model(args, device):\n"
        "    match Team(args.model_id):\n"
        "        case Team.A:\n            return load(1), '01_A', 1.0, None\n"
        "        case Team.B as chosen:\n            return load(chosen), '02_B', 1.0, None\n",
        {1: "01_A", 2: "02_B"},
    ),
    "a function in a function": (
        "def select_model(args, device):\n"
        "    def built(number):\n"
        "        if number == 1:\n            return load(1), '01_Net', 1.0, None\n"
        "        elif number == 2:\n            return load(2), '02_Net', 1.0, None\n"
        "    return built(args.model_id)\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "a table, then a change to one network": (
        "NETWORKS = {1: lambda: load(1), 2: lambda: load(2)}\n"
        "def select_model(args, device):\n"
        "    if args.model_id not in NETWORKS:\n        raise NotImplementedError\n"
        "    if args.model_id in NETWORKS.keys():\n        model = NETWORKS[args.model_id]()\n"
        "    if args.model_id == 2:\n        model.float()\n"
        "    return model, f'team{args.model_id:02}', 1.0, None\n",
        {1: "team01", 2: "team02"},
    ),
    "an attribute by its text": (
        "def select_model(args, device):\n"
        "    options = vars(args)\n"
        "    if options['model_id'] == 1:\n        return load(1), '01_Net', 1.0, None\n"
        "    if getattr(args, 'model_id', 0) == 2:\n        return load(2), '02_Net', 1.0, None\n",
        {1: "01_Net", 2: "02_Net"},
    ),
    "a definition in an attempt": (
        "try:\n    from an_absent_package import select_model\n"
        "except ImportError:\n"
        "    def select_model(args, device):\n"
        "        if args.model_id == 1:\n            return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "options as a dictionary": (
        "def select_model(config, device):\n"
        "    if config['model_id'] == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "an import in an attempt": (
        "try:\n    import tensorboardX\nexcept ImportError:\n    tensorboardX = None\n"
        "import ptflops\n"
        "def select_model(args, device):\n"
        "    if args.model_id == 1 and not tensorboardX:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "a return at the end": (
        "def select_model(args, device):\n"
        "    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n"
        "    return load(2), 'ours', 1.0, None\n"
        "def main():\n    argparse.ArgumentParser().add_argument('--model_id', default=22, type=int)\n",
        {1: "01_Net", 22: "ours"},
    ),
    "defaults in a dataclass": (
        "import dataclasses\n"
        "@dataclasses.dataclass\nclass Options:\n    model_id: int = 1\n    scale: int = 4\n"
        "def select_model(options: Options, device):\n"
        "    if options.model_id == 1 and options.scale == 4:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "keywords alone": (
        "def select_model(*, number, device='cuda'):\n"
        "    model_id = number\n"
        "    if model_id == 1:\n        return load(1).to(device), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
    "its own parameter for the id": (
        "def select_model(number, device):\n"
        "    model_id = number\n"
        "    if model_id == 1:\n        return load(1), '01_Net', 1.0, None\n",
        {1: "01_Net"},
    ),
}
"""Way of choosing -> the script's end, and the names by id."""


def built(root: Path, number: int) -> tuple[str, tuple[int, ...]] | str:
    """The name of a network and the shape of its output from a process of its own; or the error."""
    return in_a_process(_build, root, number)


def in_a_process(action: Callable[[Path, int, Connection], None], root: Path, number: int) -> Any:
    """What an action sends from a process of its own, which may change whatever it likes."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=action, args=(root, number, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(60)
        return ours.recv()
    finally:
        process.kill()
        process.join()


def _build(root: Path, number: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    try:
        found = select(RepositoryConf(str(root), number), torch.device("cpu"))
        pipe.send((found.name, tuple(found.network(torch.zeros(1, 3, 8, 8)).shape)))
    except EsrError as error:
        pipe.send(str(error))
    os._exit(0)


@pytest.mark.parametrize("way", FORKS)
def test_networks_are_told_apart_and_built(way: str, tmp_path: Path) -> None:
    script, names = FORKS[way]
    layout = read_layout(make_fork(tmp_path / "fork", script))
    assert {one.id: one.name for one in layout.entries} == names
    assert all(examine(layout, entry).packages == () for entry in layout.entries)
    last = layout.entries[-1]
    outcome = built(layout.root, last.id)
    assert isinstance(outcome, tuple), outcome
    name, shape = outcome
    assert shape == (1, 3, 32, 32)
    assert name in (last.name, f"{last.id:02}_Net")


BUILT = {
    "loaded from TorchScript": "torch.jit.load('model_zoo/scripted.pt', map_location=device)",
    "scripted": "torch.jit.script(load(1))",
    "with a train that returns nothing": "silent(load(1))",
    "on a GPU by its number": "load(1).to(0).to(device=0)",
    "on several GPUs": "torch.nn.DataParallel(load(1)).cuda()",
    "with streams and events of a GPU": "timed(load(1))",
    "from safetensors": "stored()",
}


HELPERS = """
import safetensors.torch

def silent(network):
    network.train = lambda mode=True: None
    return network

def timed(network):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    torch.cuda.current_stream().synchronize()
    end.record(torch.cuda.current_stream())
    assert begin.elapsed_time(end) >= 0
    forward = network.forward
    def passed(x):
        with torch.cuda.stream(torch.cuda.Stream(priority=-1)):
            y = forward(x)
        torch.cuda.synchronize()
        return y
    network.forward = passed
    return network

def stored():
    model = importlib.import_module("models.team01").Net()
    model.load_state_dict(safetensors.torch.load_file("model_zoo/one.safetensors", device="cuda:0"))
    return model

"""


@pytest.mark.parametrize("way", BUILT)
def test_networks_of_other_kinds_are_built(way: str, tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", HELPERS + ONE.replace("load(1)", BUILT[way]))
    scripted = torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 48, 1), torch.nn.PixelShuffle(4)))
    scripted.save(root / "model_zoo" / "scripted.pt")
    save_file(torch.load(root / "model_zoo" / "team01.pth"), root / "model_zoo" / "one.safetensors")
    assert built(root, 1) == ("01_Net", (1, 3, 32, 32))


ONE = "def select_model(args, device):\n    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n"


def _opened(root: Path, number: int, pipe: Connection) -> None:
    with watched() as seen:
        select(RepositoryConf(str(root), number), torch.device("cpu"))
    pipe.send([Path(path).name for path in seen.opened])
    os._exit(0)


def test_files_that_safetensors_opens_are_seen(tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", HELPERS + ONE.replace("load(1)", "stored()"))
    save_file(torch.load(root / "model_zoo" / "team01.pth"), root / "model_zoo" / "one.safetensors")
    assert "one.safetensors" in in_a_process(_opened, root, 1)


def test_a_moved_function_is_found_with_its_own_imports(tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", ONE.replace("'01_Net'", "NAME"), file="utils/choose.py")
    choose = root / "utils" / "choose.py"
    choose.write_text(f"from .names import NAME\n{choose.read_text()}")
    (root / "utils" / "names.py").write_text("NAME = '01_Moved'\n")
    (root / "test_demo.py").write_text("from utils.choose import select_model\n")
    layout = read_layout(root)
    assert layout.script == choose
    assert layout.root == root
    assert built(root, 1) == ("01_Moved", (1, 3, 32, 32))


def test_a_repository_in_a_folder_of_the_one_given(tmp_path: Path) -> None:
    outer = make_fork(tmp_path / "outer folder", ONE, file="code-main/test_demo.py", inside="code-main")
    (outer / "print2.py").write_text("def select_model():\n    print 'an old one'\n")
    layout = read_layout(outer)
    assert layout.root == outer / "code-main"
    assert read_layout(layout.root).script == layout.script
    assert complete(ModelConf("x", repository=RepositoryConf(str(outer), 1))).repository.root == str(layout.root)
    assert built(outer, 1) == ("01_Net", (1, 3, 32, 32))


def test_a_repository_behind_a_link_keeps_its_stand_ins(tmp_path: Path) -> None:
    make_repository(tmp_path / "original")
    (tmp_path / "link").symlink_to(tmp_path / "original", target_is_directory=True)
    assert built(tmp_path / "link", 0) == ("00_Plain_baseline", (1, 3, 32, 32))


@pytest.mark.parametrize(
    ("start", "encoding"), [("", "utf-8-sig"), ("# -*- coding: latin-1 -*-\n# Stra\u00dfe\n", "latin-1")]
)
def test_sources_in_other_encodings(start: str, encoding: str, tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", ONE)
    (root / "test_demo.py").write_text(start + FORK + ONE, encoding=encoding)
    assert built(root, 1) == ("01_Net", (1, 3, 32, 32))


WEIGHTS = {
    "os.path.join('model_zoo', f'team{model_id:02}.pth')": ("model_zoo/team01.pth",),
    "os.path.join(os.path.dirname(__file__), 'model_zoo', 'team01.pth')": ("model_zoo/team01.pth",),
    "Path('model_zoo') / f'team{args.model_id:02}.pth'": ("model_zoo/team01.pth",),
    "HERE / 'model_zoo' / 'team01.pth'": ("model_zoo/team01.pth",),
    "str(HERE.joinpath('model_zoo', 'team01.pth'))": ("model_zoo/team01.pth",),
    "f'{HERE}/model_zoo/team01.pth'": ("model_zoo/team01.pth",),
    "'model_zoo/team{:02}.pth'.format(model_id)": ("model_zoo/team01.pth",),
    "'./model_zoo/team' + str(model_id).zfill(2) + '.pth'": ("model_zoo/team01.pth",),
    "glob.glob('model_zoo/*01.pth')[0]": ("model_zoo/team01.pth",),
    "sorted(Path('model_zoo').glob('team0*.pth'))[0]": ("model_zoo/team01.pth", "model_zoo/team02.pth"),
    "os.path.join(args.folder, 'absent.pth')": (),
    "model_url.replace('.pth', '')": (),
    "'https://example.org/team01.pth'": (),
    "'model_zoo/gone.pth'": ("model_zoo/gone.pth",),
    "'model_zoo/[gone].pth'": ("model_zoo/[gone].pth",),
}
"""Expression for a path -> weight files that it names."""


@pytest.mark.parametrize("path", WEIGHTS)
def test_paths_of_weights_are_read_as_far_as_they_can_be_told(path: str, tmp_path: Path) -> None:
    head = "def select_model(args, device):\n    model_id = args.model_id\n    if model_id == 1:\n"
    layout = read_layout(make_fork(tmp_path / "fork", f"{head}        path = {path}\n"))
    assert layout.entry(1).weights == WEIGHTS[path]


def test_a_pointer_of_git_lfs_is_named_before_anything_is_run_and_after(tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", ONE.replace("load(1)", "load(1) or 'model_zoo/team01.pth'"))
    model = complete(ModelConf("x", repository=RepositoryConf(str(root), 1)))
    assert weights_of(model, "auto").path == str(root / "model_zoo" / "team01.pth")
    (root / "model_zoo" / "team01.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(WeightsError, match=r"id=1: model_zoo/team01\.pth is a Git LFS pointer: fetch it"):
        weights_of(model, "auto")
    assert "model_zoo/team01.pth is a Git LFS pointer, not the weights" in str(built(root, 1))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit(3)\n" + ONE, "its script ends the program (exit code 3)"),
        (ONE.replace("(args, device)", "(args, device, config)"), "select_model asks for config"),
        (ONE.replace("load(1), '01_Net', 1.0, None", "{'model': load(1)}"), "returned a dict as its network"),
        (ONE.replace("1.0, None", "'wide', None"), "a str and a NoneType as its range and tile"),
        (ONE.replace("1.0, None", "0.0, None"), "returned the range 0"),
        (ONE.replace("load(1)", "open('/nowhere/to/be/found.txt')"), "/nowhere/to/be/found.txt is missing"),
        (
            ONE.replace("load(1)", "torch.hub.load_state_dict_from_url('http://127.0.0.1:9/x.pth', 'downloads')"),
            "networks have no connection",
        ),
        (ONE.replace("load(1)", "torch.load('scripted.pt')"), "holds more (TorchScript archive)"),
        (ONE.replace("load(1)", "__import__('subprocess').run(['nvidia-smi-x'])"), "starts the program nvidia-smi-x"),
        ("input('Ready? ')\n" + ONE, "asks for a line from the keyboard"),
        (ONE.replace("load(1)", "load(args.width)"), "'Namespace' object has no attribute 'width'"),
        ("import models.team01.more\n" + ONE, "the repository has no module models.team01.more"),
        ("import shutil\nshutil.rmtree('models')\n" + ONE, "the repository has no module models"),
        (
            "def select_model(args, device):\n    which = int(os.environ.get('MODEL_ID', 2))\n"
            "    if which == 1:\n        return load(1), '01_Net', 1.0, None\n"
            "    elif which == 2:\n        return load(2), '02_Net', 1.0, None\n",
            "its script built 02_Net instead, and takes the id from elsewhere",
        ),
        ("import models.ops\n" + ONE, "no module models.ops for this Python (ops.cpython-27-arm.so is there)"),
        (ONE.replace("load(1)", "torch.load('away.pth')"), "away.pth leads out of the repository by a link"),
        ("if __name__ == '__main__':\n    " + ONE.replace("\n", "\n    "), "no select_model when it is imported"),
    ],
)
def test_what_cannot_be_built_says_why_in_one_line(script: str, reason: str, tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", script)
    torch.jit.script(torch.nn.ReLU()).save(root / "scripted.pt")
    (root / "models" / "ops.cpython-27-arm.so").touch()
    (root / "away.pth").symlink_to(tmp_path / "elsewhere.pth")
    outcome = str(built(root, 1))
    assert reason in outcome
    assert outcome.startswith("id=1 of fork: ")
    assert "\n" not in outcome


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("def select_model(args, device):\n    return build(args, device)\n", "no chain of"),
        ("def select_model(args, device):\n    return TABLE[args.model_id]\n", "no chain of"),
        ("def select_model(args, device):\n    if args.model == 'rlfn':\n        return 1\n", "no chain of"),
        ("def select_model(args, device):\n    print 'two'\n", "not valid Python"),
        ("def select_model(args, device):\n    if args.model_id == 1:\n        print('later')\n", "no chain of"),
        (
            ONE + "    elif args.model_id == teams.B:\n        return 2\n",
            r"\.py:\d+: the ids that `args.model_id == teams.B` stands",
        ),
        (
            ONE + "    elif 2 <= args.model_id < 5:\n        return 2\n",
            "cannot be told without running it; compare with num",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(script: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_layout(make_fork(tmp_path / "fork", script))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [f"{'-' * 400}1", f"'a'{' + b' * 900}", f"{'(' * 150}1{')' * 150}"])
def test_deep_nesting_is_read_or_refused(value: str, tmp_path: Path) -> None:
    script = f"def select_model(args, device):\n    if args.model_id == 1:\n        name = {value}\n"
    with contextlib.suppress(ConfigError):
        assert read_layout(make_fork(tmp_path / "fork", script)).entry(1).name == "team01"


def test_texts_that_double_in_every_line_stay_short(tmp_path: Path) -> None:
    lines = "".join("        x = x + x\n" for _ in range(64))
    script = f"def select_model(args, device):\n    if args.model_id == 1:\n        x = 'a'\n{lines}        name = x\n"
    assert set(read_layout(make_fork(tmp_path / "fork", script)).entry(1).name) == {"a"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("archive.zip", "a file, not a folder; unpack it"),
        ("https://example.org/NTIRE.git", "no folder; git clone it"),
        ("nowhere", "no such folder"),
    ],
)
def test_what_is_no_folder_says_what_to_do(given: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=message):
        read_layout(Path(given))


def _repeat(root: Path, number: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    child, settings = Child(), EsrConf(model=ModelConf("x"))
    settings.device.kind, settings.device.threads = "cpu", 1
    image = np.full((8, 8, 3), 100, np.uint8)
    child.answer(to.OpenRequest(settings.device, settings.cudnn))
    model = complete(ModelConf("x", repository=RepositoryConf(str(root), number)))
    child.answer(to.LoadRequest(model, Weights("repository"), 0))
    outputs = []
    for request in (to.PassRequest(image, 3), to.RecordRequest(image, 3), to.PassRequest(image, 4)):
        child.answer(request)
        outputs.append(child.answer(to.SampleRequest(20, 0)).values)
    first, again, other = outputs
    pipe.send(bool((first == again).all()) and not bool((first == other).all()))
    os._exit(0)


def test_a_recorded_pass_draws_the_random_numbers_of_the_pass_that_it_repeats(tmp_path: Path) -> None:
    assert in_a_process(_repeat, make_repository(tmp_path / "r"), 13) is True


def _count_twice(root: Path, number: int, pipe: Connection) -> None:
    torch.set_num_threads(1)
    child, settings = Child(), EsrConf(model=ModelConf("x"))
    settings.device.kind, settings.device.threads = "cpu", 1
    child.answer(to.OpenRequest(settings.device, settings.cudnn))
    model = complete(ModelConf("x", repository=RepositoryConf(str(root), number)))
    child.answer(to.LoadRequest(model, Weights("repository"), 0))
    counted = []
    for _ in range(2):
        counted.append(child.answer(to.ComplexityRequest(64, 64)).complexity)
        torch.rand(7)
    first, second = counted
    pipe.send((first.macs, first.flops_fvcore) == (second.macs, second.flops_fvcore))
    os._exit(0)


def test_counts_of_a_network_that_works_at_random_are_the_same_every_time(tmp_path: Path) -> None:
    root = make_fork(tmp_path / "fork", ONE)
    file = root / "models" / "team01.py"
    drawn = "        self.features(x[..., : int(torch.randint(4, 60, ()))])\n        return self.upsampler("
    file.write_text(file.read_text().replace("        return self.upsampler(", drawn))
    assert in_a_process(_count_twice, root, 1) is True
