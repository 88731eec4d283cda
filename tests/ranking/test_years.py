"""The rules and the published tables of the years since 2023."""

import csv

import pytest
from helpers.rankings import document, write
from helpers.years_page import PAGE, with_table
from msgspec.structs import replace

from esr.errors import ConfigError
from esr.ranking.challenge import flops_of, load_challenge, set_key
from esr.ranking.collection import collect, rank_records
from esr.ranking.published import published_entries, published_ranking
from esr.ranking.structures import Entry, Figures
from esr.ranking.table import rank_entries

ORGANISERS_ORDER = [22, 1, 16, 18, 15, 20, 17, 10, 4, 5, 11, 6, 12]
"""Teams of 2026 by the organisers' formula over the mean times."""
DECIDED_BY_ROUNDING = {1, 15, 17, 4, 11}
LATER = ("ntire2024", "ntire2025", "ntire2026")


def measured(psnr: dict[str, float], **figures: float) -> Entry:
    """A network whose baseline has 27 dB everywhere and 1000 of everything."""
    counts = {"params": 500.0, "flops": 500.0, "flops_fvcore": 500.0}
    beside = Figures(ratio=1.0, psnr_rgb=dict.fromkeys(psnr, 27.0), **dict.fromkeys(counts, 1000.0))
    own = Figures(psnr_rgb=psnr, **{"ratio": 0.5, **counts, **figures})
    facts = {"key": "one", "name": "one", "title": "one", "team": None, "team_id": None}
    return Entry(**facts, source="measured", figures=own, baseline=beside, weights="path", baseline_weights="path")


# Gates


@pytest.mark.parametrize(
    "name",
    ["div2k_lsdir_valid", "DIV2K_LSDIR_valid", "DIV2K_LSDIR_valid_HR", "DIV2K_LSDIR_valid_LR", "div2k-lsdir valid"],
)
@pytest.mark.parametrize("year", LATER)
def test_the_organisers_names_of_the_data_find_the_gate(name: str, year: str) -> None:
    row = rank_entries([measured({name: 2.8})], load_challenge(year)).rows[0]
    assert not row.ranked
    assert row.gates[0].verdict == "fail"


@pytest.mark.parametrize("name", ["div2k_valid", "lsdir_valid", "div2k_lsdir_validation", "hr"])
def test_another_set_is_not_taken_for_it(name: str) -> None:
    assert set_key(name) == name
    assert load_challenge("ntire2026").gate(name) is None


def test_a_folder_without_the_sets_name_says_which_to_give() -> None:
    row = rank_entries([measured({"folder": 27.0})], load_challenge("ntire2026")).rows[0]
    assert row.ranked
    (note,) = row.notes
    assert "data.name=div2k_lsdir_valid or data.name=div2k_lsdir_test" in note


def test_a_gate_that_the_rules_do_not_give_is_reported_and_excludes_nobody() -> None:
    far, near = measured({"set5": 20.0}), measured({"set5": 26.9})
    rows = {
        row.entry.key: row for row in rank_entries([far, replace(near, key="two")], load_challenge("ntire2022")).rows
    }
    assert rows["one"].ranked
    assert rows["one"].places["main"].rank == 1
    assert any("the rules give no gate for these images" in note for note in rows["one"].notes)
    assert rows["two"].notes == ()
    gated = rank_entries([measured({"DIV2K_valid_HR": 20.0})], load_challenge("ntire2022")).rows[0]
    assert not gated.ranked


# Tracks


@pytest.mark.parametrize("year", LATER)
def test_later_years_count_by_fvcore_and_constrain_each_sub_track_by_the_other_two(year: str) -> None:
    challenge = load_challenge(year)
    entries = [
        replace(measured({}, ratio=1.1, flops_fvcore=1.0), key="slow"),
        replace(measured({}, ratio=0.1, flops_fvcore=1001.0), key="heavy"),
        replace(measured({}, params=1001.0), key="big"),
        replace(measured({}, flops=10_000.0), key="fair"),
    ]
    free = {row.entry.key: row.places for row in rank_entries(entries, challenge).rows}
    bound = {row.entry.key: row.places for row in rank_entries(entries, challenge, "enforce").rows}
    assert flops_of(challenge.tracks) == "flops_fvcore"
    assert [free[key][track].rank for key, track in (("heavy", "sub1"), ("slow", "sub2"))] == [1, 1]
    assert [bound["slow"][key].excluded for key in ("sub1", "sub2", "sub3")] == [
        None,
        *2 * ["slower than the baseline"],
    ]
    assert [bound["heavy"][key].excluded for key in ("sub1", "sub3")] == 2 * ["more FLOPs than the baseline"]
    assert [bound["big"][key].excluded for key in ("sub1", "sub2")] == 2 * ["more parameters than the baseline"]
    assert all(bound["fair"][key].rank for key in ("sub1", "sub2", "sub3"))


def test_2023_has_the_figures_of_its_script_and_no_gate() -> None:
    challenge = load_challenge("ntire2023")
    assert (challenge.baseline, challenge.psnr, flops_of(challenge.tracks)) == ("rfdn", (), "flops")
    with pytest.raises(ConfigError, match="--published knows ntire2022, ntire2024, ntire2025, ntire2026"):
        published_ranking(challenge)


# Published tables


def test_the_table_of_2026_has_the_organisers_scores_and_order(reference) -> None:
    ranking = published_ranking(load_challenge("ntire2026"))
    ranked = [row for row in ranking.rows if row.ranked]
    assert [row.entry.team_id for row in ranked] == ORGANISERS_ORDER
    with (reference / "challenges" / "results_2026.csv").open() as file:
        printed = {int(row["team_id"]): float(row["score_as_published_formula"]) for row in csv.DictReader(file)}
    for row in ranked:
        assert row.places["main"].score == pytest.approx(printed[row.entry.team_id], rel=1e-9)


def test_rounding_decides_the_gate_of_five_entries_of_2026() -> None:
    rows = published_ranking(load_challenge("ntire2026")).rows
    decided = {row.entry.team_id for row in rows if any(gate.rounding_decides for gate in row.gates)}
    assert decided == DECIDED_BY_ROUNDING
    assert all(row.ranked for row in rows if row.entry.team_id in decided)
    assert all(
        "rounded to two decimals, as the organisers" in row.notes[0] for row in rows if row.entry.team_id in decided
    )
    assert {row.entry.team_id for row in rows if not row.ranked and not row.entry.reference} == {9, 21}


def test_medians_change_places_two_to_four() -> None:
    ranking = published_ranking(load_challenge("ntire2026"), runtime="median")
    assert [row.entry.team_id for row in ranking.rows[:5]] == [22, 18, 1, 16, 15]
    assert any("median over the images" in note for note in ranking.notes)


def test_the_page_about_times_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page, "run: python tests/helpers/years_page.py"


@pytest.mark.parametrize("year", ["ntire2022", *LATER])
def test_a_published_baseline_has_a_ratio_of_one_and_is_no_participant(year: str) -> None:
    references = [one for one in published_entries(load_challenge(year)) if one.reference]
    assert 1.0 in [one.figures.ratio for one in references]
    assert all(one.published_in == year for one in references)


def test_a_partial_table_says_so() -> None:
    assert any(note.startswith("partial:") for note in published_ranking(load_challenge("ntire2025")).notes)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--published", "ntire2023"), "challenge=ntire2023: its published table is not shipped"),
        (("--published", "ntire2024", "--runtime", "median"), "--runtime median: ntire2024 has no times per image"),
        (("outputs", "--runtime", "median"), "--runtime median: chooses among published times; add --published"),
        (("--published", "outputs"), "--published outputs: no such challenge"),
        (("--published", "."), "leave out ."),
    ],
)
def test_mistakes_end_in_one_line(run_esr, words, line) -> None:
    run = run_esr("rank", *words)
    assert run.code == 2
    assert line in run.err
    assert len(run.err.splitlines()) == 1


def test_the_command_takes_the_challenge_after_published(run_esr) -> None:
    run = run_esr("rank", "--published", "ntire2026", "--format", "csv")
    assert run.code == 0, run.err
    first = next(csv.DictReader(run.out.splitlines()))
    assert (first["network"], first["flops_fvcore"], first["rank_main"]) == ("SPANV2_ESR_C2", "1591738368", "1")


# Figures of one year under the rules of another


def test_no_rank_of_another_year_is_quoted(tmp_path) -> None:
    made = document("rlfn", 0.5)
    published = {"params_m": 0.317, "ranks": {"main": 1, "runtime": 1}}
    made["networks"]["candidate"]["card"]["published"] = published
    write(made, tmp_path)

    def quoted(year: str) -> dict[str, int]:
        rows = rank_records(collect([tmp_path]), load_challenge(year)).rows
        row = next(row for row in rows if row.entry.name == "rlfn")
        assert (row.entry.published is None) == (row.entry.published_ranks == {})
        return dict(row.entry.published_ranks)

    assert quoted("ntire2022") == {"main": 1, "runtime": 1}
    assert quoted("ntire2024") == {}
    published["challenge"] = "ntire2024"
    write(made, tmp_path)
    assert quoted("ntire2022") == {}
    assert quoted("ntire2024") == {"main": 1, "runtime": 1}
