"""Multiruns of tiny networks, and what they leave behind."""

import json
from pathlib import Path

from helpers.command import Run
from helpers.participants import ONCE, SMALL

SHARED = (*(word for word in SMALL if not word.startswith(("model=", "weights="))), *ONCE)
"""Overrides of a multirun apart from its networks and their weights."""


def multirun(run_esr, folder: Path, networks: str, *more: str, **named) -> Run:
    """`esr -m` over YAMLs in a participant's folder."""
    return run_esr("-m", f"model={networks}", "weights=random", *SHARED, *more, cwd=folder, **named)


def by_network(records: list[Path]) -> dict[str, Path]:
    """The one record of each network."""
    found = {json.loads(file.read_text())["networks"]["candidate"]["name"]: file for file in records}
    assert len(found) == len(records), records
    return found


def times(records: list[Path]) -> dict[str, str]:
    """Time of each network's measurement: equal as long as nothing was measured again."""
    return {name: json.loads(file.read_text())["ended"] for name, file in by_network(records).items()}


def network(folder: Path, name: str, /, **keys: object) -> None:
    """Another participant's YAML beside `tiny.yaml`."""
    (folder / f"{name}.yaml").write_text(json.dumps({"_target_": "tiny.Tiny", **keys}))
