"""The terminal: the answer first, then the table, a few notes; no figure is cut, whatever the width."""

import copy
import json
import re

import pytest
from helpers import rankings
from helpers.participants import SMALL
from rich.cells import cell_len

from esr.cli import command
from esr.records.files import Record, decode, load_record
from esr.records.network import Estimate
from esr.records.reasons import REASONS
from esr.report.answer import answer, faster_or_slower, notes, verdict_line
from esr.report.fitting import fitted, texts
from esr.report.record_table import MOST_LINES, MOST_NOTES, print_record
from esr.report.wording import footnotes
from esr.system.console import captured
from esr.text import one_line

WIDTHS = (80, 120)


def plain(name="rlfn", ratio=0.53, **changes):
    """A record of a network that takes this fraction of the baseline's time, changed by dotted path."""
    document = rankings.document(name, ratio, psnr=29.08)
    document["networks"]["candidate"]["weights"]["sha256"] = f"{sum(name.encode()):064d}"
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = document
        for part in parents:
            place = place[part]
        place[last] = value
    return document


def record(*args, **changes):
    return Record(decode(json.dumps(plain(*args, **changes)).encode()))


def reason(name, role=None, severity="taint"):
    return {"reason": name, "severity": severity, "role": role, "detail": "x"}


def figures(document):
    """Every figure of a record's table, as it has to be readable."""
    timing = document["timing"]["ratio"]
    return [f"{timing[end]:.3f}" for end in ("value", "low", "high")] + ["29.08", "0.300 M", "58.53 G", "58.43 G"]


def check_screen(text, width, wanted):
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES
    table = [line for line in lines if not re.match(r"(record|picture|every figure|\d+ more notes)", line)]
    assert max(map(len, table)) <= width
    assert not re.search(r"\d…|…\d|\.\.\.", text)
    missing = [figure for figure in wanted if figure not in text]
    assert not missing


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (Estimate(0.53, 0.52, 0.55), "a is 1.89× faster than b (95 % CI 1.82 to 1.92)"),
        (Estimate(12.0, 11.0, 13.0), "a is 12.0× slower than b (95 % CI 11.0 to 13.0)"),
        (Estimate(1.02, 1.01, 1.03), "a is 1.020× slower than b (95 % CI 1.010 to 1.030)"),
        (Estimate(0.99, 0.97, 1.01), "inconclusive: a takes 0.970 to 1.010 times as long as b (95 % CI)"),
        (Estimate(0.5), "a is 2.00× faster than b (one pass)"),
    ],
)
def test_a_ratio_becomes_a_sentence(ratio, words):
    assert faster_or_slower("a", "b", ratio, 0.95, " (one pass)") == words


def test_the_answer_says_which_is_faster_by_how_much_and_how_sure_it_is():
    found = re.fullmatch(
        r"rlfn is (1\.\d\d)× faster than imdn \(95 % CI (1\.\d\d) to (1\.\d\d)\), PSNR \+0\.08 dB: clean",
        answer(record()),
    )
    value, low, high = map(float, found.groups())
    assert low <= value <= high


FAILURE = {"stage": "time", "kind": "crashed", "message": "boom"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"networks__candidate__quality": None}, "PSNR not measured (no HR images): clean"),
        ({"networks__candidate__quality__meaningful": False}, "no PSNR (path weights of rlfn): clean"),
        ({"networks__candidate__quality__mean__psnr_rgb": None}, "its output is identical to HR: clean"),
        ({"networks__candidate__quality__mean__psnr_rgb": 29.0}, "PSNR +0.00 dB: clean"),
        ({"networks__candidate__quality__mean__psnr_rgb": 28.5}, "PSNR −0.50 dB: clean"),
        ({"timing__aa": True}, "rlfn against itself (A/A): ratio 0.5"),
        ({"networks__candidate__failure": FAILURE, "timing__ratio": None}, "rlfn failed during 'time' (crashed): boom"),
        ({"networks__baseline__failure": FAILURE, "timing__ratio": None}, "its baseline imdn failed during 'time'"),
        ({"timing__ratio": {"value": 0.5, "low": None, "high": None}}, "2.00× faster than imdn (10 rounds: no interv"),
    ],
)
def test_every_case_has_its_own_sentence(changes, words):
    assert words in answer(record(**changes))


def test_the_verdict_names_each_cause_once_and_the_network_if_it_is_one():
    taints = [reason("host_load", "candidate"), reason("host_load"), reason("warmup_cap", "baseline")]
    line = verdict_line(record(verdict={"status": "tainted", "reasons": taints}))
    assert line == (
        "tainted: CPU contention from other processes; warm-up limit reached before runtimes stabilised (imdn)"
    )
    assert not verdict_line(record())


def test_bundled_weights_are_one_note_for_both_networks():
    offline = {"source": "bundled", "path": "x", "sha256": "0" * 64, "bytes": 1, "note": "bundled weights, because …"}
    made = record(networks__candidate__weights=offline, networks__baseline__weights=offline)
    said = [note for note in notes(made) if "weights" in note]
    assert said == [
        "rlfn and imdn: bundled weights (lower PSNR than published); the published ones could not be fetched"
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("detail", ["first look", "figures", "everything"])
def test_no_figure_of_a_record_is_cut(width, detail):
    warnings = [reason(name, "candidate", "warning") for name in ("training_form", "below_bicubic", "input_changed")]
    document = plain(name="a_network_with_a_name_that_is_longer_than_its_column", ratio=1234.567)
    document["verdict"]["reasons"] = [*warnings, reason("power_cap", None, "warning")]
    published = {"params_m": 0.3, "flops_g": 58.53, "runtime_ms": 27.11, "memory_mib": 377.91}
    document["networks"]["candidate"]["card"]["published"] = {**published, "psnr_rgb": {"div2k_valid": 29.0}}
    made = Record(decode(json.dumps(document).encode()))
    text = captured(lambda screen: print_record(made, screen, detail), width)
    check_screen(text, width, figures(document))
    assert text.startswith("a_network_with_a_name_that_is_longer_than_its_column is ")
    assert "27.11" not in text  # milliseconds of another machine say nothing beside a CPU's
    assert "377.9" not in text
    bullets = [line for line in text.splitlines() if line.startswith("·") and "not shown" not in line]
    assert detail != "first look" or len(bullets) <= MOST_NOTES


LONG = {
    "letters": f"a_{'very_' * 37}long_network",
    "wide": "超解像ネットワーク改良版第二" * 6,
    "right to left": "شبكة_فائقة_الدقة_" * 11,
    "words": "one more word " * 13 + "at last",
}


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("name", LONG.values(), ids=LONG)
def test_a_name_of_any_length_leaves_room_for_the_figures(name, width):
    made = record(name, 0.4)
    for detail in ("first look", "figures"):
        text = captured(lambda screen, detail=detail: print_record(made, screen, detail), width)
        lines = text.splitlines()
        assert len(lines) <= MOST_LINES
        assert max(map(cell_len, lines)) <= width
        assert "2.5" in text
        assert "100.00" in text
        assert {"29.08", "0.300 M"} <= {word for line in lines for word in re.split(" {2,}", line)}
        assert all(line.count("[") == line.count("]") for line in lines if re.search(r"\d, \d", line))
    assert one_line(name) in " ".join(captured(lambda screen: print_record(made, screen, "everything"), 500).split())


@pytest.mark.parametrize("width", [60, 80, 140])
def test_networks_whose_long_names_differ_at_an_end_are_told_apart_everywhere(capsys, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for number in range(3):
        rankings.write(plain(f"a_{'very_' * 37}long_{number}", 0.4 + number / 10), tmp_path / str(number))
    one, other = tmp_path / "0", tmp_path / "1"
    for words in (["rank", tmp_path], ["compare", tmp_path], ["compare", one, other], ["compare", one, one]):
        _, out = esr(capsys, *words)
        assert max(map(cell_len, out.splitlines())) <= width
        assert "very_long_0" in "".join(out.split())
        assert (words[0] == "compare" and words[-1] == one) or "long_1" in out
        assert not re.search(r"\d…|\[[\d.]+,\s*\n", out)


def crowded():
    """A record with every reason for both networks, and every other note, each of them long."""
    document = plain(name="a_network_with_a_name_that_is_longer_than_its_column")
    severity = {name: "warning" if name in WARNED else "taint" for name in REASONS}
    document["verdict"] = {
        "status": "tainted",
        "reasons": [
            {"reason": name, "severity": severity[name], "role": role, "detail": "12.50 % instead of 5.00 %, " * 4}
            for name in REASONS
            for role in ("candidate", "baseline")
        ],
    }
    beside = [f"methods/{number} (1 image)" for number in range(5)]
    document["data"] |= {"skipped": 5, "skipped_from": beside, "complete": 100}
    for network in document["networks"].values():
        network["weights"] |= {"source": "bundled", "note": "bundled weights, because the published ones are away"}
        network["complexity"] |= {"scripted": 3, "without_formula": {f"aten.operator_{n}": n for n in range(1, 60)}}
        network |= {"padded_to": 16, "uncounted": "an operator refuses the meta device " * 4}
        network["loading"] = {
            "data_range": 1.0,
            "passes": 50,
            "settings_reset": {"torch.backends.cudnn.benchmark": True},
            "missing": ["a"],
            "repository": {"path": "/home/somebody/NTIRE2026_ESR", "id": 22, "commit": "0" * 40, "changed": ["b"]},
        }
    claims = {"params_m": 0.3, "flops_g": 58.53, "activations_m": 154.14, "psnr_rgb": {"div2k_valid": 29.0}}
    document["networks"]["candidate"]["card"] |= {"published": claims, "claims": claims}
    return document


WARNED = ("training_form", "below_bicubic", "launch_bound", "power_cap", "rounds_dependent", "stochastic")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("detail", ["first look", "figures"])
def test_a_record_with_every_note_keeps_to_a_screen_and_counts_the_notes_left_out(tmp_path, width, detail):
    document = crowded()
    made = load_record(rankings.write(document, tmp_path))
    text = captured(lambda screen: print_record(made, screen, detail), width)
    check_screen(text, width, figures(document))
    assert text.startswith("a_network_with_a_name_that_is_longer_than_its_column is ")
    shown = len([line for line in text.splitlines() if line.startswith("· ") and "not shown" not in line])
    said = notes(made) if detail == "first look" else footnotes(made)
    assert 0 < shown < len(said)
    assert f"{len(said) - shown} more notes: esr show {tmp_path}" in text
    assert "– G" not in text  # of a count that the record does not have
    assert ("PSNR div2k_valid" in text) == bool(re.search(r"baseline\).* published", text) and detail == "figures")
    assert re.search(r"tainted: .*; \d+ more reasons a_network", " ".join(text.split()))


def test_every_note_of_a_record_can_be_had(run_esr, tmp_path):
    made = load_record(rankings.write(crowded(), tmp_path / "r"))
    run = run_esr("show", "r", "-v", env={"COLUMNS": "80"})
    printed = " ".join(run.out.split())
    assert run.code == 0
    assert not [note for note in footnotes(made) if " ".join(f"· {note}".split()) not in printed]
    assert "more notes" not in run.out
    short = run_esr("show", "r", env={"COLUMNS": "80"})
    assert "more notes: esr show r -v\n" in short.out


def test_a_failures_message_may_be_long(run_esr, tmp_path):
    failure = {"stage": "time", "kind": "exception", "message": "RuntimeError: " + "no memory for 12.50 GiB " * 400}
    document = plain(verdict__status="failed", networks__candidate__failure=failure, timing__ratio=None)
    text = captured(lambda screen: print_record(Record(decode(json.dumps(document).encode())), screen), 80)
    assert len(text.splitlines()) <= MOST_LINES
    assert text.startswith("rlfn failed during 'time' (exception): RuntimeError: no memory for 12.50 GiB")


@pytest.mark.parametrize("room", [40, 60, 80, 200])
def test_words_share_the_room_that_figures_leave(room):
    headers = ("name", "figure", "to fix", "notes")
    rows = [("net", "12345.678", "a sentence that goes on and on " * 5, "short"), ("\x1b[2J", "1", "", "x" * 90)]
    grid = texts(headers, rows, left=("name", "to fix", "notes"))
    table, _ = fitted(grid, room, sentences=("to fix", "notes"))
    lines = captured(lambda screen: screen.print(table), room).splitlines()
    assert max(map(len, lines)) <= room
    assert any("12345.678" in line for line in lines)
    assert "\x1b" not in "".join(lines)
    assert "net " in "".join(lines)


def test_the_screen_of_a_real_measurement_keeps_its_shape_at_every_width(run_esr, participant):
    words = [*SMALL, "timing.rounds=6", "quality.save=crops", "out=results"]
    run = run_esr(*words, cwd=participant, env={"COLUMNS": "80"})
    document = json.loads(run.records[0].read_text())
    for width in WIDTHS:
        again = run_esr("show", str(run.records[0].parent), cwd=participant, env={"COLUMNS": str(width)})
        assert again.code == 0
        for text in (again.out, run.out) if width == 80 else (again.out,):
            value = document["timing"]["ratio"]
            check_screen(text, width, [f"{value[end]:.3f}" for end in ("value", "low", "high")])
            assert re.match(r"tiny (is [\d.]+× (faster|slower) than|against itself)|inconclusive: tiny", text)
    assert "every figure" in run.out
    raw = run_esr("show", str(run.records[0]), "--format", "json", cwd=participant)
    assert json.loads(raw.out)["id"] == document["id"]


@pytest.fixture
def folder(tmp_path):
    """Records of three networks beside the same baseline: b is twice as fast as a, c just as fast as b."""
    for name, ratio in (("a", 0.8), ("b", 0.4), ("c", 0.4001)):
        rankings.write(plain(name, ratio), tmp_path / name)
    return tmp_path


def esr(capsys, *words):
    code = command.run(list(map(str, words)))
    return code, capsys.readouterr().out


def test_two_networks_are_compared_through_their_baseline(capsys, folder):
    code, out = esr(capsys, "compare", folder / "a", folder / "b")
    assert code == 3
    assert re.match(r"b is (1\.9|2\.0)\d× faster than a \(95 % CI [\d.]+ to [\d.]+\), PSNR \+0\.00 dB\n", out)
    assert "each was measured beside imdn on demo" in out
    code, out = esr(capsys, "compare", folder / "b", folder / "c")
    assert code == 4
    assert out.startswith("inconclusive: b against c, ratio 1.0")
    assert out.count("the interval includes 1") == 1


@pytest.mark.parametrize(
    ("later", "answer"),
    [
        ({"a": 0.8}, r"a in B is as fast as in A: 1\.000 \[0\.\d+, 1\.\d+\] times its ratio, 95 % CI"),
        ({"a": 0.4}, r"a in B is (1\.9|2\.0)\d× faster than in A \(95 % CI [\d.]+ to [\d.]+\)"),
        ({"a": 1.2}, r"a in B is 1\.[45]\d× slower than in A \(95 % CI [\d.]+ to [\d.]+\)"),
        (
            {"a": 0.816},
            r"inconclusive: a in B (is 1\.0\d\d× slower than|takes [\d.]+ to [\d.]+ times as long as) in A \(95 % CI.*",
        ),
        ({"a": 0.8, "b": 0.2, "c": 0.8}, r"3 networks in B against A: 1 same, 1 faster, 1 slower"),
    ],
)
def test_the_comparison_of_a_network_with_itself_begins_with_its_outcome(capsys, folder, tmp_path, later, answer):
    for name, ratio in later.items():
        rankings.write(plain(name, ratio), tmp_path / "later" / name)
    before = [folder / name for name in later]
    if len(before) > 1:
        (tmp_path / "before").mkdir()
        for one in before:
            one.rename(tmp_path / "before" / one.name)
        before = [tmp_path / "before"]
    _, out = esr(capsys, "compare", *before, tmp_path / "later")
    assert re.match(f"{answer}\n", out)


@pytest.mark.parametrize("by", ["args", "team"])
def test_networks_of_one_name_are_told_apart(capsys, tmp_path, by):
    for word, ratio, params in (("red", 0.8, 300_000), ("blue", 0.4, 200_000)):
        made = plain("mine", ratio, networks__candidate__complexity__params=params)
        made["config"] = {"model": {"args": {"kind": word if by == "args" else "any"}}}
        made["networks"]["candidate"]["card"]["team"] = word if by == "team" else None
        rankings.write(made, tmp_path / word)
    for words in ([tmp_path / "red", tmp_path / "blue"], [tmp_path]):
        code, out = esr(capsys, "compare", *words)
        assert code == 3
        assert re.match(r"mine \(.*blue.*\) is (1\.9|2\.0)\d× faster than mine \(.*red.*\) \(95 % CI", out)
    rankings.write(made, tmp_path / "again")
    command.run(["compare", str(tmp_path)])
    assert capsys.readouterr().err == "esr: left out 1 older or failed records of the same networks\n"


def test_a_damaged_record_among_several_is_left_out_by_name(capsys, folder):
    (folder / "b" / "record.json").write_text("{")
    code = command.run(["compare", str(folder)])
    printed = capsys.readouterr()
    assert code == 3
    assert printed.out.startswith("c is ")
    assert printed.err.startswith(f"esr: left out {folder}/b/record.json: not JSON")
    assert printed.err.count("record.json") == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_several_networks_become_a_matrix_whose_cells_agree_with_its_sentence(capsys, folder, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    code, out = esr(capsys, "compare", folder)
    assert code == 4  # the two fastest
    assert len([line for line in out.splitlines() if re.match(r"[abc] ", line)]) == 3
    assert max(map(len, out.splitlines())) <= width
    code, out = esr(capsys, "compare", folder, "--format", "json")
    pairs = {(one["a"], one["b"]): one for one in json.loads(out)}
    assert len(pairs) == 6
    assert pairs["b", "a"]["outcome"] == "faster"
    assert pairs["a", "b"]["ratio"]["value"] == pytest.approx(1 / pairs["b", "a"]["ratio"]["value"])


@pytest.mark.parametrize("width", [60, 120])
def test_the_grounds_of_many_pairs_stand_once(capsys, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for number in range(8):
        made = plain(f"net{number}", 0.5)
        if number == 7:
            made["verdict"] = {"status": "tainted", "reasons": [reason("warmup_cap", "candidate")]}
        rankings.write(made, tmp_path / str(number))
    for form in ([], ["--format", "markdown"]):
        code, out = esr(capsys, "compare", tmp_path, *form)
        assert code == 4
        assert len(out.splitlines()) <= MOST_LINES
        assert " ".join(out.split()).count("the interval includes 1") == 2  # the answer's pair and the others
        assert "net0 and net2, net0 and net3 and 25 more pairs: the interval includes 1" in " ".join(out.split())


def test_networks_measured_on_different_machines_are_compared_only_by_force(capsys, folder):
    other = copy.deepcopy(plain("d", 0.2))
    other["networks"]["candidate"]["worker"]["threads"] = 8
    rankings.write(other, folder / "d")
    with pytest.raises(Exception, match=r"differ in what voids a comparison: threads .*--force"):
        command.run(["compare", str(folder / "a"), str(folder / "d")])
    assert esr(capsys, "compare", folder / "a", folder / "d", "--force")[0] == 3


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", [["show"], ["rank", "--published", "ntire2022"], ["rank", "FOLDER"]])
def test_tables_name_the_columns_that_do_not_fit_and_cut_no_figure(capsys, folder, monkeypatch, width, words):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out = esr(capsys, *(folder if word == "FOLDER" else word for word in words))
    assert max(map(len, out.splitlines())) <= width
    assert not re.search(r"\d…", out)
    monkeypatch.setenv("COLUMNS", "300")
    _, wide = esr(capsys, *(folder if word == "FOLDER" else word for word in words))
    assert "not shown at this width" not in wide
    figures_of = lambda text: set(re.findall(r"\d+\.\d+", text))  # noqa: E731
    assert figures_of(out) <= figures_of(wide)
    if width == 80:
        assert "not shown at this width: " in out


def test_layers_with_long_names_keep_their_figures(run_esr):
    run = run_esr("show", "nlffc", env={"COLUMNS": "80"})
    assert run.code == 0
    assert "body.0.1.block.spectral.mix " in run.out
    assert "2,151,677,952" in run.out
    assert "not shown at this width: type" in run.out


def test_colour_is_left_out_where_nobody_wants_it(run_esr, folder):
    run = run_esr("show", str(folder / "a"), env={"NO_COLOR": "1", "FORCE_COLOR": "1"}, fresh=True)
    assert "\x1b[3" not in run.out
    assert "a is 1.25× faster" in run.out
