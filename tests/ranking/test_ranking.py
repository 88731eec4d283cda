"""The challenge's rules: gates, ranks, tracks; the published table is recomputed from its own figures."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from esr.errors import ConfigError
from esr.ranking.challenge import load_challenge, names
from esr.ranking.published import published_entries, published_ranking
from esr.ranking.structures import Entry, Figures
from esr.ranking.table import rank_entries
from esr.ranking.tracks import ranks_of

UNRANKED = {2, 8, 24, 29, 33, 35, 37, 38}
"""Teams whose PSNR the organisers did not find on par."""


@pytest.fixture(scope="module")
def challenge():
    return load_challenge("ntire2022")


@pytest.fixture(scope="module")
def published(challenge):
    return published_ranking(challenge)


def entry(key, ratio=0.5, psnr=29.0, **figures):
    """A measured network whose baseline has 29 dB and 1000 of everything."""
    counts = {"params": 500, "flops": 500, "flops_fvcore": 500, "macs": 500, "activations": 500, "memory_mib": 500}
    beside = Figures(ratio=1.0, psnr_rgb={"div2k_valid": 29.0}, **dict.fromkeys(counts, 1000))
    own = {} if psnr is None else {"div2k_valid": psnr}
    return Entry(
        key=key,
        name=key,
        title=key,
        team=None,
        team_id=None,
        source="measured",
        figures=Figures(ratio=ratio, psnr_rgb=own, **{**counts, **figures}),
        baseline=beside,
        weights="path",
        baseline_weights="published",
    )


def by_key(ranking):
    return {row.entry.key: row for row in ranking.rows}


def test_the_published_table_is_reproduced_but_for_one_cell(published):
    ranked = [row for row in published.rows if row.ranked]
    assert len(ranked) == 35
    cells, differing = 0, {}
    for row in ranked:
        mine = {**{key: place.rank for key, place in row.places.items()}, **row.ranks}
        for key, printed in row.entry.published_ranks.items():
            cells += 1
            if mine[key] != printed:
                differing[row.entry.key, key] = (mine[key], printed)
    assert cells == 35 * 8
    # Its score is MegSR's, whose rank it does not share in print.
    assert differing == {("Alpan Team", "sub1"): (9, 10)}


def test_printed_figures_alone_give_every_metrics_rank_but_where_they_tie(challenge):
    blind = [replace(one, published_ranks={}) for one in published_entries(challenge)]
    for row in rank_entries(blind, challenge).rows:
        printed = next(one for one in published_entries(challenge) if one.key == row.entry.key).published_ranks
        for metric, rank in row.ranks.items():
            twins = [
                one.key
                for one in blind
                if not one.reference and one.figures.metric(metric) == row.entry.figures.metric(metric)
            ]
            assert abs(rank - printed[metric]) < len(twins)


def test_the_gate_leaves_out_whom_the_organisers_left_out(published):
    left_out = {row.entry.team_id for row in published.rows if not row.ranked and not row.entry.reference}
    assert left_out == UNRANKED
    assert [row.entry.team_id for row in published.rows[-2:]] == [0, -1]


def test_flops_predict_the_published_runtime_poorly(published):
    found = {one.metric: one for one in published.correlations}
    assert set(found) == {"params", "flops", "activations", "memory"}
    assert found["flops"].spearman < found["activations"].spearman < found["memory"].spearman
    for one in found.values():
        assert one.spearman_interval.low < one.spearman < one.spearman_interval.high


@given(st.lists(st.one_of(st.none(), st.integers(0, 5).map(float))))
def test_equal_values_share_the_smaller_rank(values):
    from scipy.stats import rankdata

    known = [value for value in values if value is not None]
    expected = iter(rankdata(known, "min") if known else [])
    assert ranks_of(values) == [None if value is None else next(expected) for value in values]


def test_unrounded_psnr_decides_and_the_report_says_where_rounding_would(challenge):
    # The gate is 28.80 dB.
    entries = [entry("above", psnr=28.8001), entry("below", psnr=28.7951), entry("far", psnr=28.7)]
    rows = by_key(rank_entries(entries, challenge))
    assert rows["above"].ranked
    assert rows["above"].notes == ()
    assert not rows["below"].ranked
    assert any("rounded to two decimals it would pass" in note for note in rows["below"].notes)
    assert not rows["far"].ranked
    assert not any("rounded" in note for note in rows["far"].notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "random"}, "random weights"),
        ({"weights": "bundled"}, "only one of the two"),
    ],
)
def test_a_psnr_that_cannot_be_compared_is_not_held_against_the_gate(challenge, changes, words):
    one = entry("tiny", psnr=None if changes["weights"] == "random" else 20.0)
    row = by_key(rank_entries([replace(one, **changes)], challenge))["tiny"]
    assert row.ranked
    assert row.gates[0].verdict == "untested"
    assert words in row.gates[0].reason


def test_enforced_constraints_take_places_but_no_ranks(challenge):
    entries = [
        entry("big", ratio=0.4, params=1001),
        entry("slow", ratio=1.1, params=400),
        entry("good", ratio=0.6),
    ]
    reported = by_key(rank_entries(entries, challenge))
    assert [reported[key].places["main"].rank for key in ("big", "good", "slow")] == [1, 2, 3]
    enforced = by_key(rank_entries(entries, challenge, "enforce"))
    assert enforced["big"].places["main"].rank is None
    assert enforced["big"].places["main"].excluded == "more parameters than the baseline"
    assert enforced["good"].places["main"].rank == 1
    assert enforced["slow"].places["sub1"].excluded == "slower than the baseline"
    assert enforced["slow"].places["sub2"].rank == reported["slow"].places["sub2"].rank
    assert enforced["big"].ranks == reported["big"].ranks


def test_a_network_without_a_figure_has_no_place_where_it_counts(challenge):
    rows = by_key(rank_entries([entry("whole"), entry("uncounted", flops=None)], challenge))
    assert rows["uncounted"].places["main"].rank == 1
    assert rows["uncounted"].places["sub1"].rank is None
    assert rows["uncounted"].places["sub1"].excluded == "no figure for flops"


def test_later_years_score_exponentially():
    later = load_challenge("ntire2024")
    rows = by_key(rank_entries([entry("one", ratio=0.5, flops=999, flops_fvcore=250, params=750), entry("two")], later))
    expected = 0.7 * math.exp(1.0) + 0.15 * math.exp(0.5) + 0.15 * math.exp(1.5)
    assert rows["one"].places["main"].score == pytest.approx(expected, rel=1e-12)
    assert rows["two"].places["main"].rank == 1
    assert rows["one"].places["sub2"].rank == 1


def test_a_monstrous_network_has_a_finite_score():
    row = rank_entries([entry("monster", ratio=1e6)], load_challenge("ntire2024")).rows[0]
    assert math.isfinite(row.places["main"].score)


@pytest.mark.parametrize(("psnr", "ranked"), [(26.90, True), (26.899, False), (26.8, False)])
def test_later_years_gates_are_absolute(psnr, ranked):
    one = entry("one")
    one = replace(one, figures=replace(one.figures, psnr_rgb={"div2k_lsdir_valid": psnr}))
    row = rank_entries([one], load_challenge("ntire2025")).rows[0]
    assert row.ranked is ranked
    assert row.gates[0].rounding_decides is (psnr == 26.899)


def test_failed_networks_are_shown_without_a_rank(challenge):
    rows = by_key(rank_entries([replace(entry("broken"), failure="crashed"), entry("whole")], challenge))
    assert rows["broken"].excluded == "failed: crashed"
    assert "not ranked: failed: crashed" in rows["broken"].notes
    assert rows["whole"].places["main"].rank == 1


def test_counts_that_disagree_are_named_with_what_the_hooks_missed(challenge):
    entries = [
        replace(entry("hidden", flops=100, macs=900), missed_by_hooks={"aten.mm": 800}),
        entry("honest", flops=300, macs=300),
        entry("last", flops=1000, macs=1000),
    ]
    changes = rank_entries(entries, challenge).changes
    assert [(one.key, one.flops_rank, one.macs_rank) for one in changes] == [
        ("hidden", 1, 2),
        ("honest", 2, 1),
    ]
    assert changes[0].missed_by_hooks == {"aten.mm": 800}


def test_nothing_to_rank_is_an_empty_table(challenge):
    assert rank_entries([], challenge).rows == ()


@pytest.mark.parametrize("name", names())
def test_every_shipped_challenge_loads(name):
    assert load_challenge(name).name == name


GOOD = "name: x\ntitle: x\nbaseline: imdn\npsnr: [{data: any, at_least: 1.0}]\n"
TRACK = "tracks: [{key: main, title: x, ranks: [runtime]}]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD + "tracks: [{key: main, title: x, ranks: [speed]}]", "speed"),
        (GOOD + "tracks: []", "at least one"),
        (GOOD + "tracks: [{key: main, title: x}]", "ranks or weights"),
        (GOOD + TRACK + "prize: 1", "prize"),
        (GOOD.replace("at_least: 1.0", "at_least: 1.0, below_baseline: 0.1") + TRACK, "either"),
        (GOOD + "tracks: [{key: main, title: x, weights: {runtime: -1}}]", "positive"),
        ("{", "not valid YAML"),
        ("[]", "array"),
    ],
)
def test_a_challenge_that_does_not_fit_is_refused_by_name(tmp_path, text, words):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_challenge(str(file))
    assert "own.yaml" in str(caught.value)


def test_an_own_challenge_is_read_from_a_file(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text(GOOD + TRACK)
    assert rank_entries([entry("a")], load_challenge(str(file))).challenge == "x"


def test_an_unknown_challenge_has_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean ntire20"):
        load_challenge("ntire2002")


def test_ranks_do_not_depend_on_the_order_given(challenge):
    entries = [entry(f"net{number}", ratio=0.3 + number % 7 / 10) for number in range(20)]
    shuffled = [entries[index] for index in np.random.default_rng(0).permutation(20)]
    first, second = (rank_entries(some, challenge) for some in (entries, shuffled))
    assert [row.entry.key for row in first.rows] == [row.entry.key for row in second.rows]
    assert [row.places for row in first.rows] == [row.places for row in second.rows]


def test_the_example_in_the_documentation_is_up_to_date(published):
    from esr.report import markdown

    example = Path(__file__).resolve().parents[2] / "docs" / "example-published.md"
    assert example.read_text(encoding="utf-8") == markdown.render(published)
