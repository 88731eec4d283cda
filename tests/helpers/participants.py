"""A participant's folder: a tiny network that can misbehave, its YAML, and small images."""

from pathlib import Path

import numpy as np
from PIL import Image

NETWORK = '''
import os, time
import torch
from torch import nn


class Tiny(nn.Module):
    """A convolution and a pixel shuffle; `fault` makes it misbehave from its second forward pass on."""

    def __init__(self, channels=8, fault=None, after=1):
        super().__init__()
        self.features = nn.Conv2d(3, channels, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 48, 3, padding=1), nn.PixelShuffle(4))
        self.fault, self.after, self.passes = fault, after, 0
        if fault == "constructor":
            raise RuntimeError("no such luck")

    def forward(self, x):
        y = self.upsampler(torch.relu(self.features(x)))
        if x.device.type == "meta":
            return y
        self.passes += 1
        if self.passes <= self.after or self.fault is None:
            return y
        if self.fault == "crash":
            print("tiny: about to crash", flush=True)
            os.abort()
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "hang":
            open(os.path.join(os.environ["TMPDIR"], "hanging"), "w").close()
            time.sleep(3600)
        if self.fault == "memory":
            return torch.empty(1 << 60, dtype=torch.uint8)
        if self.fault == "shape":
            return y[..., :-4]
        if self.fault == "nan":
            return y * float("nan")
        if self.fault == "type":
            return [y]
        if self.fault == "raise":
            raise ValueError("the weather was bad")
        if self.fault == "constant":
            return torch.zeros_like(y)
        if self.fault == "talk":
            print('{"result": {}}')
            return y
        raise AssertionError(self.fault)
'''


def make_participant(folder: Path) -> Path:
    """Writes a participant's `tiny.py` and `tiny.yaml`, and three small HR images in `images`."""
    (folder / "tiny.py").write_text(NETWORK)
    (folder / "tiny.yaml").write_text("_target_: tiny.Tiny\ndata_range: 1.0\n")
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number, (height, width) in enumerate([(64, 64), (64, 96), (64, 64)]):
        pixels = random.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{number}.png")
    return folder


SMALL = (
    "model=tiny.yaml",
    "baseline=tiny.yaml",
    "weights=random",
    "baseline_weights=random",
    "data=folder",
    "data.root=images",
    "timing=quick",
    "device=cpu",
    "telemetry=off",
)
"""Overrides of an evaluation that takes seconds: a tiny network against itself on small images."""
ONCE = ("timing.rounds=1", "timing.warmup.max_passes=2")
"""Further ones for tests in which no runtime matters."""
