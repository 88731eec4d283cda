"""Training loop: steps, validation, log and checkpoints; an interrupted run resumes bit for bit."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from esr.config.compose import out_folder
from esr.config.schema import SCALE, network_name
from esr.errors import ConfigError, EsrError, NetworkError
from esr.images.quality import SSIM_WINDOW, decibels
from esr.networks import devices
from esr.networks.inference import check_output
from esr.records.network import Quality
from esr.system.files import expanded
from esr.text import described, duration, file_stem
from esr.training import checkpoint, data, recipe, start
from esr.training.config import TrainConf
from esr.training.log import Log
from esr.training.validation import validate

BETAS = (0.9, 0.99)
"""Adam's decay rates; averaging the second moment over 100 steps suits short runs."""

LONG_STEPS = 10_000
"""Steps from which a training on a CPU is estimated before it starts."""
LONGEST_S = 7 * 24 * 3600.0
"""Seconds beyond which it is refused unless `device=cpu` asks for it."""
CHECKPOINT, LOG = "checkpoint.pt", "log.csv"


class TrainingError(EsrError):
    """Training cannot continue: the loss is not finite, or memory is exhausted."""


@dataclass(frozen=True)
class Trained:
    """Result of a finished run."""

    weights: Path
    """File of the averaged weights, safetensors."""
    steps: int
    seconds: float
    """Training time, over all sittings."""
    quality: Quality | None
    """Of the averaged weights on `validate_root`; `None` without that folder."""


def train(settings: TrainConf, say: Callable[[str], None] = lambda _: None) -> Trained:
    """Trains a network, or resumes from the checkpoint in `out`.

    Writes `checkpoint.pt`, `log.csv` and `NAME.safetensors`, the averaged weights at the checkpoint, to `out`.

    Args:
        settings: Checked by `esr.training.config.compose`.
        say: Called with each line of progress.

    Raises:
        EsrError: The images, the network, its weights, the device or the checkpoint in `out` are unusable, or the
            loss is not finite.
    """
    try:
        run = _Run(settings, say)
        run.resume()
        run.estimate()
        run.begin()
        while run.step < settings.steps:
            run.advance()
        return run.result()
    except (MemoryError, RuntimeError) as error:
        if not devices.is_out_of_memory(error):
            raise
        fault = f"batch={settings.batch} of patch={settings.patch} (or an image in validate_root) does not fit"
        raise TrainingError(f"out of memory: {fault}; lower one of them and pass another out=FOLDER") from error


@dataclass
class _Run:
    settings: TrainConf
    say: Callable[[str], None]
    step: int = 0
    seconds: float = 0.0
    quality: Quality | None = None
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.settings
        devices.set_threads(settings.device.threads)
        devices.apply_switches(benchmark=False, deterministic=True, allow_tf32=False)
        self.device = devices.open_device(settings.device.kind, settings.device.index).torch_device
        name = file_stem(network_name(settings.model), "network")
        own = Path(out_folder(), "outputs", "training", name)
        self.out = expanded(settings.out) if settings.out else own
        self.file = self.out / f"{name}.safetensors"
        self.range = settings.model.data_range
        pairs = data.read_pairs(settings.data_root, "data_root", settings.patch)
        least = math.ceil((2 * SCALE + SSIM_WINDOW) / SCALE)
        root = settings.validate_root
        self.validation = data.read_pairs(root, "validate_root", least) if root else []
        self.patches = data.Patches(pairs, settings.batch, settings.patch, settings.seed)
        self.weights = start.weights_of(settings.model, settings.init)
        sha256 = self.weights.sha256 if self.weights else None
        self.identity = checkpoint.identity_of(settings, data.digest(pairs), sha256)
        self.network = self._build()
        self.average = recipe.Average(self.network, self._build(), settings.ema)
        self.optimiser = self._new_optimiser()
        self.clock = time.monotonic()
        self.say(f"{len(pairs)} images, {settings.steps:,} steps, on {self.device}, into {self.out}")

    def _build(self) -> nn.Module:
        settings = self.settings
        return start.build(settings.model, settings.init, self.weights, settings.seed).to(self.device)

    def _new_optimiser(self) -> torch.optim.Adam:
        return torch.optim.Adam(self.network.parameters(), lr=0.0, betas=BETAS)

    def resume(self) -> None:
        """Restores the checkpoint in `out`, if there is one."""
        path = self.out / CHECKPOINT
        if os.path.lexists(path):
            if saved := checkpoint.load(path, self.identity):
                try:
                    self._restore(saved)
                except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
                    raise checkpoint.damaged(path, error) from error
        elif os.path.lexists(self.file):
            remedy = "move it away, or pass another out=FOLDER"
            raise ConfigError(f"{self.file} exists without its checkpoint; {remedy}")

    def begin(self) -> None:
        """Writes the first checkpoint and the log's head, or says where an earlier run goes on."""
        if self.step:
            self._export()  # a run killed just after a checkpoint left older weights
            self.say(f"resuming from step {self.step}")
        else:
            self._save()
        self.log = Log(self.out / LOG, self.step)

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        self.step, self.seconds = saved.step, saved.seconds
        self.network.load_state_dict(saved.network)
        self.average.network.load_state_dict(saved.average)
        self.optimiser.load_state_dict(saved.optimiser)
        torch.set_rng_state(saved.random[0])
        if self.device.type == "cuda" and saved.random[1:]:
            torch.cuda.set_rng_state(saved.random[1], self.device)

    def estimate(self) -> None:
        """Says how long a long training takes on a CPU, by the time of one step.

        Raises:
            TrainingError: It takes months, and nobody asked for the CPU.
        """
        left = self.settings.steps - self.step
        if self.device.type != "cpu" or left < LONG_STEPS:
            return
        seconds = left * self._trial()
        about = f"about {duration(seconds)} for {left:,} steps on this CPU"
        if seconds > LONGEST_S and self.settings.device.kind != "cpu":
            raise TrainingError(
                f"{about}: there is no GPU here; train=cpu is the recipe for a CPU, l1.steps=N and l2.steps=0 take "
                "fewer steps, and device=cpu starts it all the same"
            )
        self.say(f"{about}; train=cpu is the recipe for a CPU")

    def _trial(self) -> float:
        """Seconds of a step that changes nothing."""
        state = torch.get_rng_state()
        network = self._build()
        torch.set_rng_state(state)
        started = time.monotonic()
        lr, hr = (side.to(torch.float32).mul_(self.range / 255) for side in self.patches.at(self.step))
        recipe.loss("l1", self._forward(lr, network), hr, self.range).backward()  # type: ignore[no-untyped-call]
        return time.monotonic() - started

    def advance(self) -> None:
        """Performs one step, then validates, logs and saves if due."""
        now = recipe.recipe_step(self.settings, self.step)
        if now.begins:
            self.optimiser = self._new_optimiser()
        for group in self.optimiser.param_groups:
            group["lr"] = now.lr
        self.losses.append(self._learn(now.phase))
        self.step += 1
        self.average.update(self.step)
        last = self.step == self.settings.steps
        if self.validation and (self.step % self.settings.validate_every == 0 or last):
            self._validate()
        if self.step % self.settings.log_every == 0 or last or self.quality:
            self._report(now)
        if self.step % self.settings.checkpoint_every == 0 or last:
            self._save()
        if not last:
            self.quality = None

    def _learn(self, phase: str) -> float:
        """Updates the weights on one batch; returns its loss."""
        lr, hr = (side.to(self.device, torch.float32).mul_(self.range / 255) for side in self.patches.at(self.step))
        self.optimiser.zero_grad(set_to_none=True)
        output = self._forward(lr)
        if self.step == 0:
            check_output(output, lr)
        error = recipe.loss(phase, output, hr, self.range)
        value = float(error.detach())
        if not math.isfinite(value):
            remedy = f"lower {phase}.lr={getattr(self.settings, phase).lr} and pass another out=FOLDER"
            raise TrainingError(f"the loss is {value} at step {self.step}; {remedy}")
        error.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return value

    def _forward(self, lr: Tensor, network: nn.Module | None = None) -> Tensor:
        try:
            output: Tensor = (network or self.network)(lr)
        except Exception as error:
            if devices.is_out_of_memory(error):
                raise
            fault = f"its forward pass failed at step {self.step} on {tuple(lr.shape)} ({described(error)})"
            remedy = "fix the network, or choose another patch="
            raise NetworkError(f"model={network_name(self.settings.model)}: {fault}; {remedy}") from error
        return output

    def _validate(self) -> None:
        self.quality = validate(self.average.network, self.validation, self.range, self.device)

    def _elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.clock

    def _report(self, now: recipe.RecipeStep) -> None:
        loss, seconds, quality = math.fsum(self.losses) / len(self.losses), self._elapsed(), self.quality
        self.losses.clear()
        shown = {"psnr_y": decibels(quality.psnr_y), "psnr_rgb": decibels(quality.psnr_rgb)} if quality else {}
        self.log.add(step=self.step, phase=now.phase, lr=now.lr, loss=loss, seconds=round(seconds, 1), **shown)
        psnr = ", validation {psnr_y:.3f} dB luma, {psnr_rgb:.3f} dB RGB".format(**shown) if shown else ""
        left = (self.settings.steps - self.step) * seconds / self.step
        rest = f", about {duration(left)} left" if left else ""
        self.say(f"step {self.step}: {now.phase} {loss:.5f}, lr {now.lr:.2e}, {seconds:.0f} s{rest}{psnr}")

    def _save(self) -> None:
        random = [torch.get_rng_state()]
        if self.device.type == "cuda":
            random.append(torch.cuda.get_rng_state(self.device))
        network, average = self.network.state_dict(), self.average.network.state_dict()
        optimiser = self.optimiser.state_dict()
        progress = (self.identity, self.step, self._elapsed())
        checkpoint.save(checkpoint.Checkpoint(*progress, network, average, optimiser, random), self.out / CHECKPOINT)
        self._export()

    def _export(self) -> None:
        about = {key: str(value) for key, value in {**self.identity, "steps_done": self.step}.items()}
        checkpoint.export(self.average.network, self.file, self.settings.save_as, about)

    def result(self) -> Trained:
        """Result of the finished run."""
        if self.validation and self.quality is None:
            self._validate()
        return Trained(self.file, self.step, self._elapsed(), self.quality)
