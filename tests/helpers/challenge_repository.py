"""A small repository in the layout of the challenges', with one network for each quirk that real ones have."""

import subprocess
from pathlib import Path

import torch
from torch import nn

_SCRIPT = """
import os.path
import torch
from fvcore.nn import FlopCountAnalysis
import absent_plotting_library as plots
from utils import utils_image as util


def select_model(args, device):
    model_id = args.model_id
{chain}
    else:
        raise NotImplementedError(f"Model {{model_id}} is not implemented.")
    model.eval()
    tile = {tile}
    for k, v in model.named_parameters():
        v.requires_grad = False
    model = model.to(device)
    return model, name, data_range, tile
"""
_BRANCH = """
        from models.team{id:02} import Net
        name, data_range = f"{{model_id:02}}_{name}", {data_range}
        model_path = os.path.join('model_zoo', f'team{{model_id:02}}.pth')
        model = Net()
"""
_LOAD = "        model.load_state_dict(torch.load(model_path){under}, strict={strict})\n"

_NETWORK = """
import torch
from torch import nn
import torch.nn.functional as F
{imports}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4))
{constructor}

    def forward(self, x):
{body}
        return self.upsampler(F.relu(self.features(x))){after}
{methods}
"""

QUIRKS: dict[int, dict[str, str]] = {
    0: {"name": "Plain_baseline"},
    1: {"name": "Under", "under": "['params_ema']"},
    2: {"name": "Loose", "strict": "False"},
    3: {"name": "Withdrawn"},
    4: {"name": "Warm", "constructor": "        self.cuda().forward(torch.randn(1, 3, 16, 16).cuda())"},
    5: {
        "name": "WarmTo",
        "methods": "    def to(self, device):\n        super().to(device)\n        for _ in range(3):\n"
        "            self(torch.randn(1, 3, 8, 8).to(device))\n        return self",
    },
    6: {"name": "WarmBranch", "more": "        for _ in range(2):\n            model(torch.randn(1, 3, 8, 8))\n"},
    7: {"name": "Range", "data_range": "255.0", "body": "        x = x / 255", "after": " * 255"},
    8: {"name": "Window", "body": "        x.reshape(x.shape[0], 3, -1, 8, x.shape[3] // 8, 8)"},
    9: {"name": "Package", "imports": "import a_package_that_nobody_has"},
    10: {"name": "Tool", "imports": "from fvcore.nn import flop_count_table\nimport imp, audioop"},
    11: {"name": "UsesTool", "imports": "import thop", "constructor": "        thop.profile(self)"},
    12: {"name": "Absent"},
    13: {"name": "Gumbel", "after": " + 0.2 * torch.rand(())"},
    14: {
        "name": "Half",
        "constructor": "        self.features.half()",
        "body": "        return self.upsampler(F.relu(self.features(x.half())).float())",
    },
    15: {"name": "Switch", "constructor": "        torch.backends.cudnn.benchmark = True"},
    16: {
        "name": "Fuses",
        "methods": "    def load_state_dict(self, state, strict=True):\n"
        "        return super().load_state_dict({k: v for k, v in state.items() if k != 'extra'}, strict)",
    },
    17: {"name": "Cuda", "more": "        model = model.cuda()\n        model.to('cuda:0')\n"},
    18: {
        "name": "Mapped",
        "load": "        model.load_state_dict(torch.load(model_path, map_location='cuda', weights_only=False))\n",
    },
    19: {"name": "Pickled"},
    20: {"name": "Raises", "constructor": "        raise RuntimeError('no kernel\\nfor this \\x1b[2J device')"},
}
"""Id -> the parts of its branch and network that differ; 3 is a branch that is `pass`."""
NETWORKS = sorted(set(QUIRKS) - {3})


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


def make_repository(folder: Path, *, commit: bool = False, tile: str = "None") -> Path:
    """Writes the repository; with `commit` as a git checkout."""
    for name in ("models", "utils", "model_zoo"):
        (folder / name).mkdir(parents=True)
    (folder / "utils" / "utils_image.py").write_text("import cv2\nimport another_absent_one\n")
    chain = []
    for number, quirk in QUIRKS.items():
        chain.append(f"    {'el' if chain else ''}if model_id == {number}:")
        chain.append(_branch(number, quirk) if number in NETWORKS else "        pass")
        (folder / "models" / f"team{number:02}.py").write_text(_network(quirk))
        if number not in (3, 12):
            torch.save(_state(number), folder / "model_zoo" / f"team{number:02}.pth")
    (folder / "test_demo.py").write_text(_SCRIPT.format(chain="\n".join(chain), tile=tile))
    if commit:
        git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
            subprocess.run([*git, *words], cwd=folder, check=True, capture_output=True)
    return folder


def _branch(number: int, quirk: dict[str, str]) -> str:
    text = _BRANCH.format(id=number, name=quirk["name"], data_range=quirk.get("data_range", "1.0"))
    load = quirk.get("load", _LOAD.format(under=quirk.get("under", ""), strict=quirk.get("strict", "True")))
    return text + load + quirk.get("more", "")


def _network(quirk: dict[str, str]) -> str:
    names = ("imports", "constructor", "body", "after", "methods")
    return _NETWORK.format(**{name: quirk.get(name, "") for name in names})


def _state(number: int) -> object:
    torch.manual_seed(number)
    convolutions = {"features": nn.Conv2d(3, 8, 3), "upsampler.0": nn.Conv2d(8, 48, 3)}
    state = {
        f"{at}.{name}": 0.3 * value for at, one in convolutions.items() for name, value in one.state_dict().items()
    }
    if number == 1:
        return {"params_ema": state, "iteration": 5}
    if number == 2:
        del state["features.bias"]
        return {**state, "old.weight": torch.zeros(1)}
    if number == 16:
        return {**state, "extra": torch.zeros(1)}
    return {**state, "hostile": _Hostile()} if number == 19 else state


FORK = """
import argparse
import glob
import importlib
import os
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def load(number):
    model = importlib.import_module(f"models.team{int(number):02}").Net()
    model.load_state_dict(torch.load(f"model_zoo/team{int(number):02}.pth"))
    return model

"""
"""What the script of a fork begins with."""


def make_fork(folder: Path, script: str, *, file: str = "test_demo.py", inside: str = ".") -> Path:
    """Writes a repository with the networks 1 and 2 and a script of its own; `inside` is the folder of the networks."""
    own = folder / inside
    for name in ("models", "model_zoo"):
        (own / name).mkdir(parents=True)
    for number in (1, 2):
        (own / "models" / f"team{number:02}.py").write_text(_network({}))
        torch.save(_state(0), own / "model_zoo" / f"team{number:02}.pth")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(FORK + script)
    return folder
