"""Records for tests of their readers: built from the record's types, and given as plain JSON types to be changed."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw

from esr.config.cards import Card
from esr.records import document as records
from esr.records import network as networks
from esr.records.document import FORMAT, VERSION, Document
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


def network(name: str, ratio: float, psnr: float, team: str | None = None, **counts: int) -> networks.Network:
    """One network of a record; `counts` are those of its complexity."""
    quality = networks.Quality(psnr_rgb=psnr, ssim_rgb=1.0, psnr_y=None, ssim_y=1.0)
    complexity = networks.Complexity(
        input_shape=(1, 3, 256, 256), **{"activations": 100, "convolutions": 10, **IMDN, **counts}
    )
    timing = networks.NetworkTiming(
        runtime_ms=networks.Estimate(100 * ratio),
        runtime_ms_plain=100 * ratio,
        median_ms=(100 * ratio,),
        complete_rounds=10,
        outliers=0,
        passes=0,
        warmup=Raw(b"[]"),
        samples=Raw(msgspec.json.encode(networks.Samples((), (), (), (), (), (), (), ()))),
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
        memory=networks.Memory(200 * ratio, "x"),
        timing=timing,
        output_check=networks.OutputCheck(tolerance=1),
        precisions={},
        switches_changed={},
    )


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
    value = float(np.median(per_round))
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
            candidate=network(name, ratio, psnr, team, **{"params": 300_000, **counts}),
            baseline=network("imdn", 1.0, 29.0),
        ),
        timing=records.Timing(
            protocol="paired",
            rounds=rounds,
            confidence=0.95,
            seed=0,
            ratio=networks.Estimate(value, value * 0.99, value * 1.01),
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
