"""Records found, read and sorted out: one bad file is named and left out, and the rest is ranked."""

import json
import os

import pytest
from helpers import rankings
from helpers.participants import SMALL

from esr.ranking.collection import collect
from esr.records.document import VERSION
from esr.records.files import decode, load_record

BAD = {
    "cut": lambda made: json.dumps(made)[:500],
    "empty": lambda made: "",
    "binary": lambda made: "\x00\x01",
    "deep": lambda made: '{"format": ' + "[" * 100_000,
    "newer": lambda made: json.dumps({**made, "version": VERSION + 1}),
    "older": lambda made: json.dumps({**made, "version": VERSION - 1}),
    "nought": lambda made: json.dumps({**made, "version": 0}),
    "other": lambda made: '{"format": "another"}',
    "list": lambda made: "[1]",
    "nan": lambda made: json.dumps(changed(made, ["timing", "ratio", "value"], float("nan"))),
    "huge": lambda made: json.dumps(made).replace('"ratio_per_round": [', '"ratio_per_round": [1e999, '),
    "negative": lambda made: json.dumps(changed(made, ["timing", "ratio", "value"], -0.5)),
    "missing": lambda made: json.dumps({key: value for key, value in made.items() if key != "timing"}),
    "type": lambda made: json.dumps(changed(made, ["networks", "candidate", "name"], 7)),
    "script": lambda made: json.dumps(
        changed(made, ["networks", "candidate", "card", "team"], "<script>alert(1)</script>")
    ),
    "control": lambda made: json.dumps(changed(made, ["networks", "candidate", "name"], "a\x1b[2J\nb")),
    "long": lambda made: json.dumps(changed(made, ["networks", "candidate", "name"], "n" * 10_000)),
    "bidi": lambda made: json.dumps(changed(made, ["networks", "candidate", "name"], "a\u202eb")),
    "blank": lambda made: json.dumps(changed(made, ["networks", "candidate", "name"], "   ")),
    "path": lambda made: json.dumps(changed(made, ["data", "images", 0, "name"], "../../etc/passwd")),
    "operator": lambda made: json.dumps(
        changed(made, ["networks", "candidate", "complexity", "missed_by_hooks"], {"<img src=x>": 1})
    ),
}
CANDIDATE = ["networks", "candidate"]
TAINT = {"reason": "host_load", "severity": "taint", "role": None, "detail": "x"}
ENERGY = {"joules": 1, "images": 1, "joules_per_image": 1, "method": "counter"}
ODD = {
    "a count beyond floats": ([*CANDIDATE, "complexity", "params"], 10**400),
    "a count beyond reason": ([*CANDIDATE, "complexity", "flops"], 2**62),
    "missed MACs below nought": ([*CANDIDATE, "complexity", "missed_by_hooks"], {"aten.bmm": -1}),
    "a thousand sides": ([*CANDIDATE, "complexity", "input_shape"], [1] * 1000),
    "PSNR of pages": ([*CANDIDATE, "quality", "mean", "psnr_rgb"], 1e308),
    "memory below nought": ([*CANDIDATE, "memory", "memory_mib"], -1),
    "time below nought": ([*CANDIDATE, "timing", "runtime_ms", "value"], -5.0),
    "time without end": (["networks", "baseline", "timing", "runtime_ms", "value"], 1e308),
    "ratio of nought": (["timing", "ratio", "value"], 1e-320),
    "published beyond floats": ([*CANDIDATE, "card", "published"], {"params_m": 1e308}),
    "published rank beyond floats": ([*CANDIDATE, "card", "published"], {"ranks": {"runtime": 10**400}}),
    "team's number": ([*CANDIDATE, "card", "team_id"], 10**30),
    "protocol with escapes": (["timing", "protocol"], "x\x1b[31mred"),
    "confidence above one": (["timing", "confidence"], 1e308),
    "processes of other rounds": (["timing", "process_of_round"], [0, 1]),
    "version of torch with escapes": ([*CANDIDATE, "worker", "torch"], "2\x1b[31m"),
    "switch with markup": ([*CANDIDATE, "worker", "cudnn"], {"<b>": True}),
    "device of no kind": ([*CANDIDATE, "worker", "device"], {"kind": "tpu\n"}),
    "failure with markup": ([*CANDIDATE, "failure"], {"stage": "x", "kind": "<b>", "message": "x"}),
    "unknown reason": (
        ["verdict", "reasons"],
        [{"reason": "\x1b[2J", "severity": "taint", "role": None, "detail": "x"}],
    ),
    "another's verdict": (
        ["verdict", "reasons"],
        [{"reason": "host_load", "severity": "taint", "role": "rival", "detail": "x"}],
    ),
    "weights from nowhere": ([*CANDIDATE, "weights", "source"], "stolen"),
    "energy below nought": (
        ["telemetry", "energy_per_image"],
        {"candidate": {"gpu": {**ENERGY, "joules_per_image": -1}, "host": None}},
    ),
    "an end at no time": (["ended"], "zzzz"),
    "an end in no zone": (["ended"], "2026-01-01T00:00:00"),
    "no images": (["data", "images"], []),
    "a digest of none": (["data", "images", 0, "lr_sha256"], "x" * 5000),
}


def changed(made, path, value):
    """A copy of a document with one value replaced."""
    copy = json.loads(json.dumps(made))
    node = copy
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return copy


def names(collection):
    return {one.entry.key for one in collection.kept}


def test_the_documents_of_these_tests_are_records(tmp_path):
    load_record(rankings.write(rankings.document(), tmp_path))


@pytest.mark.parametrize("kind", [*BAD, *ODD])
def test_a_bad_record_is_named_in_one_line_and_the_rest_is_ranked(tmp_path, kind):
    rankings.write(rankings.document("good"), tmp_path / "good")
    (tmp_path / "bad").mkdir()
    made = rankings.document("bad")
    text = BAD[kind](made) if kind in BAD else json.dumps(changed(made, *ODD[kind]))
    (tmp_path / "bad" / "record.json").write_text(text)
    collection = collect([tmp_path])
    assert names(collection) == {"good"}
    (left_out,) = collection.left_out
    assert left_out.path == tmp_path / "bad" / "record.json"
    assert left_out.reason.isprintable()
    assert len(left_out.reason) < 400


def test_the_command_says_what_it_leaves_out_and_ranks_the_rest(tmp_path, run_esr):
    rankings.write(rankings.document("good"), tmp_path / "results" / "good")
    for kind in ("cut", "newer", "script", "path"):
        (tmp_path / "results" / kind).mkdir()
        (tmp_path / "results" / kind / "record.json").write_text(BAD[kind](rankings.document("bad")))
    run = run_esr("rank", "results")
    assert run.code == 0
    lines = run.err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("esr: left out results/") for line in lines)
    assert "update esr" in run.err
    assert "good" in run.out
    assert "bad" not in run.out


def test_with_nothing_left_to_rank_it_is_a_mistake(tmp_path, run_esr):
    (tmp_path / "record.json").write_text("{}")
    run = run_esr("rank", "record.json")
    assert run.code == 2
    assert run.out == ""
    assert "not a record of esr" in run.err
    assert run.err.splitlines()[-1].startswith("esr: no record that can be ranked")


def test_folders_are_searched_to_the_bottom_and_no_file_is_read_twice(tmp_path):
    deep = rankings.write(rankings.document("deep"), tmp_path / "a" / "b" / "c")
    rankings.write(rankings.document("other"), tmp_path / "d")
    os.link(deep, tmp_path / "linked.json")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "nowhere.json").symlink_to(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe.json")
    collection = collect([tmp_path, deep, tmp_path / "a"])
    assert names(collection) == {"deep", "other"}
    assert collection.left_out == ()


def test_other_json_in_a_folder_is_no_concern_unless_it_is_named(tmp_path):
    rankings.write(rankings.document("good"), tmp_path)
    settings = tmp_path / "settings.json"
    settings.write_text('{"colour": "green"}')
    assert collect([tmp_path]).left_out == ()
    assert [one.path for one in collect([tmp_path, settings]).left_out] == []
    assert [one.path for one in collect([settings, tmp_path]).left_out] == [settings]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_folder_whose_name_is_no_text_can_be_ranked(tmp_path, run_esr, form):
    rankings.write(rankings.document("net"), tmp_path / os.fsdecode(b"=caf\xe9"))
    run = run_esr("rank", os.fsdecode(b"=caf\xe9"), "--format", form)
    assert run.code == 0
    assert "dce9/record.json" in run.out
    assert not any(cell.startswith("=") for line in run.out.splitlines() for cell in line.split(","))


def test_what_cannot_be_looked_at_is_said(tmp_path, monkeypatch):
    rankings.write(rankings.document("good"), tmp_path / "good")
    rankings.write(rankings.document("locked"), tmp_path / "locked")
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "round").symlink_to(tmp_path)
    (tmp_path / "gone.json").symlink_to("nowhere")

    def scandir(path, real=os.scandir):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may read everything
    collection = collect([tmp_path])
    assert names(collection) == {"good"}
    assert {left.path.name: left.reason for left in collection.left_out} == {
        "locked": "cannot be read (Permission denied)",
        "loop.json": "cannot be read (Too many levels of symbolic links)",
    }


def test_the_machine_is_named_and_cpu_figures_are_marked_as_such(tmp_path, run_esr):
    made = rankings.document("net")
    made["environment"]["cpu"] |= {"model": "Some Processor", "usable_cores": 2}
    rankings.write(made, tmp_path)
    run = run_esr("rank", ".", "--format", "markdown")
    assert "CPU (Some Processor, 2 cores)" in run.out.splitlines()[0]
    assert "- CPU; not comparable with published milliseconds" in run.out


def test_a_path_that_cannot_be_looked_at_is_a_mistake(tmp_path, run_esr):
    (tmp_path / "loop").symlink_to("loop")
    run = run_esr("rank", "loop")
    assert run.code == 2
    assert run.err == "esr: loop: cannot be read (Too many levels of symbolic links)\n"


def test_a_record_under_another_name_is_found(tmp_path):
    rankings.write(rankings.document("team"), tmp_path).rename(tmp_path / "team07.json")
    assert names(collect([tmp_path])) == {"team"}


def test_of_several_records_of_one_network_the_newest_clean_one_stays(tmp_path, run_esr):
    for number, (ended, status) in enumerate(
        [("2026-01-01", "clean"), ("2026-01-02", "clean"), ("2026-01-03", "tainted")]
    ):
        made = rankings.document("net", 0.5 + number / 10)
        reasons = [TAINT] if status == "tainted" else []
        made |= {"ended": f"{ended}T00:00:00+00:00", "verdict": {"status": status, "reasons": reasons}}
        rankings.write(made, tmp_path / str(number))
    run = run_esr("rank", ".", "--format", "csv")
    assert run.code == 0
    assert len(run.err.splitlines()) == 2
    assert "net (tainted) is ranked by 1/record.json (clean)" in run.err
    assert "1/record.json" in run.out


def test_networks_of_two_teams_may_share_a_name(tmp_path):
    for team in ("red", "blue"):
        rankings.write(rankings.document("net", team=team), tmp_path / team)
    collection = collect([tmp_path])
    assert names(collection) == {"net (red)", "net (blue)"}
    assert collection.left_out == ()


def test_a_network_cannot_take_anothers_key(tmp_path):
    for folder, name, team in (("1", "net", "red"), ("2", "net", "blue"), ("3", "net (red)", None)):
        rankings.write(rankings.document(name, team=team), tmp_path / folder)
    assert names(collect([tmp_path])) == {"net (red)", "net (blue)", "net (red) #2"}


def of_another(made, what):
    """A record from elsewhere."""
    if what == "device":
        made["environment"]["cpu"]["model"] = "another"
    elif what == "settings":
        for network in made["networks"].values():
            network["worker"]["threads"] = 8
    elif what == "images":
        made["data"]["images"][0]["lr_sha256"] = "1" * 64
    elif what == "data set":
        made["data"]["name"] = "set5"
    elif what == "timing protocol":
        made["timing"]["protocol"] = "single"
    elif what == "baseline":
        made["networks"]["baseline"]["name"] = "rfdn"
    else:
        made["networks"]["candidate"]["complexity"]["input_shape"] = [1, 3, 64, 64]
    return made


@pytest.mark.parametrize("what", ["data set", "images", "timing protocol", "baseline", "input size"])
def test_what_cannot_be_compared_is_refused(tmp_path, run_esr, what):
    rankings.write(rankings.document("one"), tmp_path / "one")
    rankings.write(of_another(rankings.document("two"), what), tmp_path / "two")
    for arguments in ([], ["--mixed"]):
        run = run_esr("rank", ".", *arguments)
        assert run.code == 2
        assert run.out == ""
        assert len(run.err.splitlines()) == 1
        assert f"differ in {what}" in run.err
        assert "1, as two/record.json" in run.err


@pytest.mark.parametrize("what", ["device", "settings"])
def test_ratios_of_several_machines_mix_only_when_asked(tmp_path, run_esr, what):
    rankings.write(rankings.document("one"), tmp_path / "one")
    rankings.write(of_another(rankings.document("two", 0.9), what), tmp_path / "two")
    refused = run_esr("rank", ".")
    assert refused.code == 2
    assert "--mixed" in refused.err
    mixed = run_esr("rank", ".", "--mixed", "--format", "json")
    assert mixed.code == 0
    ranking = json.loads(mixed.out)
    assert any(note.startswith("mixed:") for note in ranking["notes"])
    for row in ranking["rows"]:
        figures = row["entry"]["figures"]
        assert figures["ratio"]
        assert figures["runtime_ms"] is figures["memory_mib"] is figures["energy_mj"] is None


def test_a_network_that_failed_is_shown_unranked(tmp_path, run_esr):
    made = rankings.document("broken")
    made["networks"]["candidate"] |= {
        "failure": {"stage": "load", "kind": "crashed", "message": "x"},
        "worker": None,
        "quality": None,
        "complexity": None,
        "memory": None,
        "timing": None,
    }
    made["timing"] |= {
        "ratio": None,
        "ratio_plain": None,
        "dependence": None,
        "ratio_per_round": [],
        "process_of_round": [],
    }
    made["verdict"]["status"] = "failed"
    decode(json.dumps(made).encode())
    rankings.write(made, tmp_path / "broken")
    rankings.write(rankings.document("whole"), tmp_path / "whole")
    run = run_esr("rank", ".")
    assert run.code == 0
    assert "not ranked: failed: crashed" in run.out


def test_random_weights_have_no_psnr(tmp_path):
    made = rankings.document("random", psnr=5.0)
    made["networks"]["candidate"]["weights"]["source"] = "random"
    made["networks"]["candidate"]["quality"]["meaningful"] = False
    rankings.write(made, tmp_path)
    (one,) = collect([tmp_path]).kept
    assert one.entry.figures.psnr_rgb == {}


def test_the_baseline_gets_a_row_of_its_own(tmp_path, run_esr):
    rankings.write(rankings.document("net"), tmp_path)
    rows = json.loads(run_esr("rank", ".", "--format", "json").out)["rows"]
    assert [(row["entry"]["key"], row["ranked"]) for row in rows] == [("net", True), ("imdn", False)]
    assert rows[1]["entry"]["figures"]["ratio"] == 1.0


def test_figures_are_the_records_own(tmp_path):
    file = rankings.write(rankings.document("net", macs=123), tmp_path)
    (one,) = collect([file]).kept
    record = load_record(file)
    assert one.entry.figures.ratio == record.ratio.value
    assert one.entry.figures.macs == record.candidate.complexity.macs == 123
    assert one.entry.confidence == record.document.timing.confidence


def test_a_measured_network_is_ranked_from_end_to_end(participant, run_esr):
    measured = run_esr(*SMALL, "data.limit=1", "out=results", cwd=participant)
    assert measured.records, measured.err
    run = run_esr("rank", "results", "--format", "csv", cwd=participant)
    assert run.code == 0, run.err
    assert "tiny" in run.out


def test_ranking_needs_no_torch(tmp_path):
    import subprocess
    import sys

    rankings.write(rankings.document("net"), tmp_path)
    code = (
        "import sys; from esr.cli.command import run; "
        f"run(['rank', {str(tmp_path)!r}]); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
