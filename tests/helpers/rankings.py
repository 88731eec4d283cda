"""Records for tests of their readers: built from the record's types, and given as plain JSON types to be changed."""

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw

from esr.config.cards import Card
from esr.records import document as records
from esr.records import intervals
from esr.records import network as networks
from esr.records.document import FORMAT, VERSION, Document
from esr.records.recompute import possible_places
from esr.records.telemetry import Telemetry

Node = dict[str, Any]
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
IMDN = {"params": 893_936, "flops": 58_531_512_320, "macs": 58_430_849_024}
WORKER = networks.WorkerReport(
    pid=1,
    device=networks.Device("cpu"),
    threads=1,
    cpus=None,
    cudnn=networks.Cudnn(benchmark=True, deterministic=True, allow_tf32=True, available=True),
    torch="x",
    torch_cuda=None,
    torch_cudnn=None,
    torch_build="x",
    python="x",
)
ENVIRONMENT = records.Environment(
    esr=records.Program("x", None),
    cpu=records.Cpu(None, "x", None, None, None, None, None, None),
    memory_mib=1.0,
    os=records.OperatingSystem("x", "x", None),
    python="x",
    container=None,
    driver=records.Driver(None, None, None),
)


def network(name: str, ms: Sequence[float], psnr: float, team: str | None = None, **counts: int) -> networks.Network:
    """One network of a record, with its milliseconds in each round over one image; `counts` are its complexity's."""
    middle = float(np.median(ms))
    quality = networks.Quality(psnr_rgb=psnr, ssim_rgb=1.0, psnr_y=None, ssim_y=1.0)
    complexity = networks.Complexity(
        input_shape=(1, 3, 256, 256), **{"activations": 100, "convolutions": 10, **IMDN, **counts}
    )
    timing = networks.NetworkTiming(
        runtime_ms=networks.Estimate(middle),
        runtime_ms_plain=float(np.mean(ms)),
        median_ms=(middle,),
        complete_rounds=len(ms),
        outliers=0,
        passes=len(ms),
        warmup=Raw(b"[]"),
        samples=Raw(msgspec.json.encode(samples(ms))),
        blocks=Raw(b"[]"),
    )
    return networks.Network(
        name=name,
        card=Card(name=name, title=name, team=team),
        weights=networks.Weights("path", path="/weights.safetensors", sha256="0" * 64, bytes=1),
        failure=None,
        worker=WORKER,
        quality=networks.QualityPart(meaningful=True, mean=quality, images=(quality,)),
        complexity=complexity,
        memory=networks.Memory(2 * middle, "x"),
        timing=timing,
        output_check=networks.OutputCheck(tolerance=1),
        precisions={},
        switches_changed={},
    )


def samples(ms: Sequence[float], images: int = 1) -> networks.Samples:
    """Passes in rounds over so many images, all in one block."""
    count = len(ms)
    no, time = (False,) * count, tuple(ms)
    rounds, columns = (tuple(of(one) for one in range(count)) for of in (lambda n: n // images, lambda n: n % images))
    return networks.Samples(rounds, (0,) * count, columns, no, time, time, None, no)


def retime(made: Node, per_round: Sequence[float], baseline_ms: float = 100.0) -> None:
    """Gives a record other samples, from which these ratios follow, with the intervals that esr computes."""
    images, count = len(made["data"]["images"]), len(per_round)
    confidence = made["timing"]["confidence"]
    for role, ratios in (("candidate", per_round), ("baseline", [1.0] * count)):
        means = [baseline_ms * ratio for ratio in ratios]
        ms = [mean for mean in means for _ in range(images)]
        middle = float(np.median(means))
        made["networks"][role]["timing"] |= {
            "runtime_ms": msgspec.to_builtins(intervals.of_runtime(middle, means, confidence)),
            "runtime_ms_plain": float(np.mean(ms)),
            "median_ms": [middle] * images,
            "complete_rounds": count,
            "passes": len(ms),
            "samples": json.loads(msgspec.json.encode(samples(ms, images))),
            "blocks": [],
        }
    made["timing"] |= {
        "rounds": count,
        "ratio": msgspec.to_builtins(intervals.of_ratio(per_round, confidence)),
        "ratio_plain": msgspec.to_builtins(intervals.of_totals(per_round, [1.0] * count, confidence)),
        "ratio_per_round": list(per_round),
        "process_of_round": [0] * count,
        "spread": None,
        "precision": None,
        "processes": [],
        "dependence": msgspec.to_builtins(intervals.dependence(per_round)),
    }


def bootstrapped(made: Node) -> Node:
    """The record as esr wrote it when it resampled rounds for its intervals."""
    timing = made["timing"]
    for one in (made["networks"]["candidate"]["timing"], made["networks"]["baseline"]["timing"]):
        one["runtime_ms"] |= {"low": None, "high": None}
    timing["dependence"] = timing["ratio_plain"] = None
    ordered = sorted(timing["ratio_per_round"])
    if len(ordered) >= intervals.fewest_rounds(timing["confidence"]):
        at_least, at_most, _, _ = possible_places(len(ordered), timing["confidence"], 9999)
        place = (at_least + at_most) // 2
        timing["ratio"] |= {"low": ordered[place], "high": ordered[-1 - place]}
    return made


def document(
    name: str = "tiny",
    ratio: float = 0.5,
    *,
    spread: float = 0.01,
    rounds: int = 10,
    psnr: float = 28.9,
    team: str | None = None,
    seed: int = 0,
    **counts: int,
) -> Node:
    """A record of a network beside IMDN whose PSNR is 29 dB, as plain JSON types."""
    per_round = (ratio * (1 + spread * np.random.default_rng(seed).standard_normal(rounds))).tolist()
    made = Document(
        format=FORMAT,
        version=VERSION,
        id="x",
        cache_key="0" * 64,
        started=MOMENT,
        ended=MOMENT,
        duration_s=1.0,
        config=Raw(b"{}"),
        environment=ENVIRONMENT,
        data=records.Data("demo", True, "bicubic", images(("a", "0" * 64))),
        networks=records.Networks(
            candidate=network(name, [100 * one for one in per_round], psnr, team, **{"params": 300_000, **counts}),
            baseline=network("imdn", [100.0] * rounds, 29.0),
        ),
        timing=records.Timing(
            protocol="paired",
            rounds=rounds,
            confidence=0.95,
            seed=0,
            ratio=None,
            ratio_plain=None,
            ratio_per_round=tuple(per_round),
            process_of_round=(0,) * rounds,
            spread=None,
            precision=None,
            processes=(),
            aa=False,
        ),
        telemetry=Telemetry(enabled=False),
        pictures=records.Pictures(None, ()),
        verdict=records.Verdict("clean", ()),
    )
    plain: Node = json.loads(msgspec.json.encode(made))
    retime(plain, per_round)
    return plain


def images(*named: tuple[str, str]) -> Raw:
    """Images of 8×8 pixels by name and digest, as they stand in a record."""
    return Raw(msgspec.json.encode([records.Image(f"{name}.png", (8, 8), digest) for name, digest in named]))


def write(made: Node, folder: Path) -> Path:
    """Writes a record as it is, whether it fits or not."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "record.json"
    file.write_text(json.dumps(made), encoding="utf-8")
    return file
