"""Records of the networks of 2022, as many and as different as a challenge has them, from its published table."""

from pathlib import Path

from esr.ranking.challenge import load_challenge
from esr.ranking.published import published_entries
from helpers import rankings

PAPER = 'Li et al., "A network", CVPR workshops 2022, arXiv:2205.05996'
TAINT = {"reason": "warmup_cap", "severity": "taint", "role": "candidate", "detail": "x"}
IMPRECISION = {"reason": "precision_not_reached", "severity": "imprecision", "role": None, "detail": "x"}


def write(folder: Path) -> int:
    """Writes a record per network: some tainted, some imprecise, some below the gate; returns their number."""
    entries = [one for one in published_entries(load_challenge("ntire2022")) if one.team_id != -1]
    for number, entry in enumerate(entries):
        figures = entry.figures
        counts = {name: round(getattr(figures, name)) for name in ("params", "flops", "activations", "convolutions")}
        made = rankings.document(
            entry.name.lower().replace(" ", "_"),
            figures.ratio,
            spread=0.01 + 0.01 * (number % 4),
            psnr=figures.psnr_rgb["div2k_valid"],
            team=entry.team,
            seed=number,
            macs=counts["flops"] - number,
            **counts,
        )
        candidate, baseline = made["networks"]["candidate"], made["networks"]["baseline"]
        baseline["quality"]["images"][0]["psnr_rgb"] = baseline["quality"]["mean"]["psnr_rgb"] = 29.13
        made["data"]["name"] = "div2k_valid"
        candidate["card"] |= {"paper": PAPER, "published": {"runtime_ms": figures.runtime_ms, "ranks": {}}}
        baseline["card"]["published"] = {"runtime_ms": 50.86}
        candidate["memory"]["memory_mib"] = figures.memory_mib
        if number % 9 == 4:
            made["verdict"] = {"status": "tainted", "reasons": [TAINT]}
        elif number % 9 == 7:
            made["verdict"] = {"status": "imprecise", "reasons": [IMPRECISION]}
        rankings.write(made, folder / str(number))
    return len(entries)
