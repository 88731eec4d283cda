"""Records for tests of what reads them: built from the schema, so that they fit it whatever it holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from esr.records.files import schema

Node = dict[str, Any]
IMDN = {"params": 893_936, "flops": 58_531_512_320, "macs": 58_430_849_024}


def smallest(node: Node) -> Any:
    """The smallest value that fits a part of the schema."""
    if "$ref" in node:
        return smallest(schema()["$defs"][node["$ref"].rpartition("/")[2]])
    if "const" in node or "enum" in node:
        return node.get("const", node.get("enum", [None])[0])
    if "anyOf" in node:
        return smallest(node["anyOf"][-1])
    kinds = node.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[-1]
    if kind == "object":
        properties = node.get("properties", {})
        return {name: smallest(properties.get(name, {})) for name in node.get("required", [])}
    if kind == "array":
        return [smallest(node["items"]) for _ in range(node.get("minItems", 0))]
    return {"string": "x", "number": 1.0, "integer": 1, "boolean": True, "null": None}[kind]


def fitting(part: Node, **values: Any) -> Any:
    """The smallest value that fits, with some fields set; fields that the schema does not know are left out."""
    known = part.get("properties", {})
    return {**smallest(part), **{name: value for name, value in values.items() if name in known}}


def _part(*names: str, node: Node | None = None) -> Node:
    """A part of the schema by its path; of alternatives the fullest."""
    node = schema() if node is None else node
    if "$ref" in node:
        return _part(*names, node=schema()["$defs"][node["$ref"].rpartition("/")[2]])
    if "anyOf" in node:
        resolved = [_part(node=option) for option in node["anyOf"]]
        return _part(*names, node=max(resolved, key=lambda option: len(option.get("required", []))))
    return _part(*names[1:], node=node["properties"][names[0]]) if names else node


def network(name: str, ratio: float, psnr: float, team: str | None = None, **counts: int) -> Node:
    """One network of a record; `counts` are those of its complexity."""
    part = ("networks", "candidate")
    complexity = fitting(
        _part(*part, "complexity"),
        **{"activations": 100, "convolutions": 10, "input_shape": [1, 3, 256, 256], **IMDN, **counts},
    )
    timing = fitting(_part(*part, "timing"), complete_rounds=10, blocks=[], images=[], warmup=[])
    timing["ms_per_image"] = {"value": 100 * ratio, "low": None, "high": None}
    runtime = fitting(_part(*part, "runtime"), device={"kind": "cpu"}, threads=1)
    quality = fitting(_part(*part, "quality"), meaningful=True, images=[])
    quality["mean"]["psnr_rgb"] = psnr
    return fitting(
        _part(*part),
        name=name,
        card={"name": name, "title": name, "team": team, "data_range": 1.0, "published": {}},
        weights=fitting(_part(*part, "weights"), source="path"),
        failure=None,
        runtime=runtime,
        quality=quality,
        complexity=complexity,
        memory=fitting(_part(*part, "memory"), mib=200 * ratio),
        timing=timing,
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
    """A record of a network beside IMDN whose PSNR is 29 dB."""
    per_round = (ratio * (1 + spread * np.random.default_rng(seed).standard_normal(rounds))).tolist()
    made: Node = smallest(schema())
    made["ended"] = "2026-01-01T00:00:00+00:00"
    made["data"] = {
        "name": "demo",
        "has_hr": True,
        "lr_origin": "bicubic",
        "images": [{"name": "a.png", "lr_shape": [8, 8], "lr_sha256": "0" * 64}],
    }
    made["networks"] = {
        "candidate": network(name, ratio, psnr, team, **{"params": 300_000, **counts}),
        "baseline": network("imdn", 1.0, 29.0),
    }
    value = float(np.median(per_round))
    made["timing"] |= {
        "protocol": "paired",
        "rounds": rounds,
        "confidence": 0.95,
        "ratio": {"value": value, "low": value * 0.99, "high": value * 1.01},
        "ratio_per_round": per_round,
        "process_of_round": [0] * rounds,
        "aa": False,
    }
    made["verdict"] = {"status": "clean", "reasons": []}
    return made


def write(made: Node, folder: Path) -> Path:
    """Writes a record as it is, whether it fits or not."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "record.json"
    file.write_text(json.dumps(made), encoding="utf-8")
    return file
