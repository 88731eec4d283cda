"""Tidy tables for a notebook: one row per network, one per pass, units in the names, integers as integers."""

import csv
import io
import re
import sys

import pytest
from helpers import rankings
from helpers.paths import ROOT

import esr
from esr.errors import ConfigError
from esr.ranking.collection import collect, collect_records
from esr.ranking.structures import Figures
from esr.report import data


@pytest.fixture
def records(tmp_path):
    for number in range(3):
        made = rankings.document(f"net{number}", 0.4 + number / 10, seed=number, params=100_001 + number)
        made["networks"]["candidate"]["card"]["published"] = {"runtime_ms": 27.11, "params_m": 0.317, "ranks": {}}
        made["networks"]["baseline"]["card"]["published"] = {"runtime_ms": 50.86}
        rankings.write(made, tmp_path / str(number))
    return tmp_path


def test_a_name_holds_the_unit_and_a_ratio_is_called_one(records):
    (row, *_) = csv.DictReader(io.StringIO(data.to_csv(esr.rank(records))))
    assert float(row["published_runtime_ms"]) == 27.11
    assert float(row["published_ratio"]) == pytest.approx(27.11 / 50.86)
    assert "published_runtime" not in row
    assert float(row["psnr_rgb_demo_db"]) == 28.9
    assert (row["baseline"], row["device"], row["torch"]) == ("imdn", "CPU (unknown)", "x")
    named = {name.removeprefix("published_") for name in row}
    assert {*Figures.__struct_fields__} - {"psnr_rgb", "ratio_interval"} <= named


def test_integers_stay_integers(records):
    for row in csv.DictReader(io.StringIO(data.to_csv(esr.rank(records)))):
        for name in ("params", "flops", "macs", "activations", "convolutions"):
            assert row[name].isdigit(), name
    first = next(csv.DictReader(io.StringIO(data.to_csv(esr.rank(records)))))
    assert first["score_sub1"].isdigit()
    assert first["published_params"] == "317000"


def test_published_rows_have_no_verdict(challenge):
    from esr.ranking.published import published_entries
    from esr.ranking.table import rank_entries

    rows = data.tidy(rank_entries(published_entries(challenge), challenge))
    assert {row["status"] for row in rows} == {None}


def test_a_figure_that_is_not_known_is_one_that_charts_leave_out(records):
    pytest.importorskip("pandas", reason="pandas is not installed: esr[dev]")
    made = rankings.document("blind", 0.6, params=100_004)
    made["networks"]["candidate"]["quality"] = None
    rankings.write(made, records / "blind")
    frame = esr.to_frame(records)
    assert str(frame.psnr_rgb_demo_db.dtype) == "float64"
    assert frame.psnr_rgb_demo_db.isna().sum() == 1
    assert str(frame.params.dtype) == "Int64"


def test_a_frame_is_the_tables_rows(records):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: esr[dev]")
    ranking = esr.rank(records)
    frame = esr.to_frame(records)
    assert list(frame.network) == [row.entry.key for row in ranking.rows]
    assert list(frame.columns) == next(csv.reader(io.StringIO(data.to_csv(ranking))))
    assert pandas.api.types.is_integer_dtype(frame.params.dtype)
    assert pandas.api.types.is_integer_dtype(frame.rank_main.dtype)  # though the baseline has none
    assert frame.rank_main.isna().sum() == 1
    assert frame.ratio[0] == ranking.rows[0].entry.figures.ratio
    pandas.testing.assert_frame_equal(esr.to_frame(ranking), frame)
    assert not esr.to_frame(records, exclude={"net0": "withdrawn"}).ranked[3]


def test_records_at_hand_are_ranked_like_their_files(records):
    loaded = [esr.load_record(records / str(number)) for number in range(3)]
    by_path, by_record = esr.rank(records), esr.rank(loaded)
    assert data.to_json(by_record) == data.to_json(by_path)
    unwritten = [esr.Record(one.document) for one in loaded]
    assert [row.entry.figures for row in esr.rank(unwritten).rows] == [row.entry.figures for row in by_path.rows]
    assert len(esr.rank(loaded[0]).rows) == 2
    assert [one.entry.key for one in collect_records(loaded).kept] == [one.entry.key for one in collect([records]).kept]
    with pytest.raises(ConfigError, match="records or paths, not both"):
        esr.rank([loaded[0], records])


def test_samples_are_one_row_per_pass(records):
    pytest.importorskip("pandas", reason="pandas is not installed: esr[dev]")
    record = esr.load_record(records / "0")
    frame = esr.samples(record)
    own = record.candidate.timing.load_samples()
    assert len(frame) == 2 * len(own.ms)
    candidate = frame[frame.role == "candidate"]
    assert list(candidate.ms) == list(own.ms)
    assert list(candidate["round"]) == list(own.round)
    assert set(candidate.image) == {"a.png"}
    assert set(frame.network) == {"net0", "imdn"}
    assert set(candidate.lr_height) == {8}
    medians = frame.groupby("role").ms.median()
    assert medians["candidate"] / medians["baseline"] == pytest.approx(record.ratio.value, rel=0.01)


def test_a_network_that_was_not_timed_has_no_samples(records, tmp_path):
    pytest.importorskip("pandas", reason="pandas is not installed: esr[dev]")
    made = rankings.document("gone")
    made["networks"]["candidate"] |= {
        "timing": None,
        "failure": {"stage": "time", "kind": "crashed", "message": "x"},
    }
    made["timing"] |= {
        "ratio": None,
        "ratio_plain": None,
        "ratio_per_round": [],
        "process_of_round": [],
        "dependence": None,
    }
    made["verdict"] = {"status": "failed", "reasons": []}
    frame = esr.samples(rankings.write(made, tmp_path / "gone"))
    assert set(frame.role) == {"baseline"}


def test_without_pandas_one_line_says_what_to_install(records, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for made in (lambda: esr.to_frame(records), lambda: esr.samples(records / "0")):
        with pytest.raises(ConfigError, match=r"data frames need pandas.*pip install pandas"):
            made()


def test_the_pages_ten_lines_plot(tmp_path, monkeypatch):
    pytest.importorskip("pandas", reason="pandas is not installed: esr[dev]")
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: esr[dev]")
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for number in range(3):
        rankings.write(rankings.document(f"net{number}", 0.5 + number, seed=number), tmp_path / "outputs" / str(number))
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    exec(compile(lines, "report.md", "exec"), {})
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF-")
