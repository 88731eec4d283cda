"""Whole evaluations with both workers inside the test's process: as strict as real ones, without their start."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from esr.config.compose import compose
from esr.evaluation import crew
from esr.evaluation import evaluate as main_job
from esr.evaluation.worker.child import Child
from esr.evaluation.worker.messages import LoadRequest, Refusal, Request
from esr.evaluation.worker.parent import WorkerFailure
from esr.networks import devices
from esr.records.files import Record
from esr.sandbox.process import Wishes

MODULES = ("cheats", "honest")
"""Imported anew by every worker, as in a process of its own."""
SIZES = ((160, 192), (160, 192), (128, 160))
"""HR, in pixels: a pass takes milliseconds."""


class InsideWorker:
    """A worker without a process; its modules are its own."""

    sandbox = None
    replaced = frozenset()

    def __init__(self, timeout_s: float, wishes: Wishes, packages: Path | None = None) -> None:
        self.pid = os.getpid()
        self._child = Child()
        gc.freeze()  # as a worker does
        self._answer: object = None

    def __enter__(self) -> "InsideWorker":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, request: Request) -> None:
        if isinstance(request, LoadRequest):
            for name in MODULES:
                sys.modules.pop(name, None)
        self._answer = self._child.answer(request)

    def receive(self, request: Request) -> object:
        if isinstance(self._answer, Refusal):
            raise WorkerFailure(request.stage, "exception", self._answer.message)
        request.check(self._answer)
        return self._answer

    def ask(self, request: Request) -> object:
        self.send(request)
        return self.receive(request)

    def confirm_sandbox(self) -> None:
        pass

    def seal(self) -> None:
        pass

    def pause(self) -> None:
        pass

    def require_still(self) -> None:
        pass

    def resume(self) -> None:
        pass


def draw(size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """A picture with edges and gradients."""
    height, width = size
    rows, columns = np.mgrid[:height, :width] / 160.0
    picture = np.empty((height, width, 3))
    for channel in range(3):
        a, b, c = random.uniform(-1, 1, 3)
        picture[..., channel] = 128 + 50 * np.sin(9 * (a * rows + b * columns) + c)
    for _ in range(25):
        top, left = random.integers(0, height - 10), random.integers(0, width - 10)
        bottom, right = top + random.integers(5, 60), left + random.integers(5, 60)
        picture[top:bottom, left:right] += random.uniform(-70, 70, 3)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the networks of `networks.py` as `cheats.py`, and images."""
    folder = tmp_path_factory.mktemp("scene")
    (folder / "cheats.py").write_text(Path(__file__).with_name("networks.py").read_text())
    (folder / "images").mkdir()
    random = np.random.default_rng(3)
    for number, size in enumerate(SIZES):
        Image.fromarray(draw(size, random)).save(folder / "images" / f"{number}.png")
    return folder


@pytest.fixture
def judge(scene: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Record]:
    """Evaluates two networks of `cheats.py`, the second as the baseline."""
    monkeypatch.chdir(scene)
    monkeypatch.setattr(crew, "Worker", InsideWorker)
    monkeypatch.setattr(devices, "keep_freed_memory", lambda: True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    threads = torch.get_num_threads()

    def run(name: str, beside: str = "Honest", *overrides: str) -> Record:
        (scene / "cheat.yaml").write_text(f"_target_: cheats.{name}\n")
        (scene / "honest.yaml").write_text(f"_target_: cheats.{beside}\n")
        words = [
            "model=cheat.yaml", "baseline=honest.yaml", "weights=random", "baseline_weights=random", "data=folder",
            "data.root=images", "timing=quick", "timing.rounds=8", "device=cpu",
            "device.threads=1", "telemetry=off",
        ]  # fmt: skip
        return main_job.evaluate(compose([*words, *overrides]))

    yield run
    torch.set_num_threads(threads)
    for name in MODULES:
        sys.modules.pop(name, None)


def reasons(record: Record, role: str = "candidate") -> dict[str, str]:
    """Reason -> detail, of one network; those of a busy machine left out."""
    found = {r.reason: r.detail for r in record.document.verdict.reasons if r.role == role}
    found.pop("warmup_cap", None)
    return found
