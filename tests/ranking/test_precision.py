"""Precision classes are ranked apart, and shown."""

from esr.ranking.challenge import load_challenge
from esr.ranking.structures import Entry, Figures
from esr.ranking.table import rank_entries

BASELINE = Figures(runtime_ms=10.0, ratio=1.0, params=100.0, flops=100.0, activations=100.0, memory_mib=1.0)


def _entry(name: str, ratio: float, precision: str = "fp32") -> Entry:
    figures = Figures(runtime_ms=10 * ratio, ratio=ratio, params=50.0, flops=50.0, activations=50.0, memory_mib=1.0)
    return Entry(
        key=name,
        name=name,
        title=name,
        team=None,
        team_id=None,
        source="measured",
        figures=figures,
        baseline=BASELINE,
        precision=precision,
    )


def test_each_class_has_its_own_first_place():
    entries = [_entry("slow", 0.9), _entry("half", 0.3, "fp16"), _entry("fast", 0.5), _entry("half2", 0.2, "fp16")]
    ranking = rank_entries(entries, load_challenge("ntire2022"))
    order = [(row.entry.key, row.ranks["runtime"]) for row in ranking.rows]
    assert order == [("fast", 1), ("slow", 2), ("half2", 1), ("half", 2)]
    notes = {row.entry.key: row.notes for row in ranking.rows}
    assert "fp16, ranked apart" in notes["half"]
    assert not any("fp32" in note for note in notes["fast"])
    assert any("precision classes are ranked apart: fp32, fp16" in note for note in ranking.notes)
