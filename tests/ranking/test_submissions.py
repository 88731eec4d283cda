"""Who stands in a ranking: submissions told apart, sets joined, perfect outputs kept apart, exclusions by hand."""

import hashlib
import json

import pytest
from helpers import rankings

from esr.cli import command
from esr.errors import ConfigError
from esr.ranking.challenge import load_challenge
from esr.ranking.collection import collect, rank_records
from esr.ranking.eligibility import eligibility

DIFFER = {"reason": "outputs_differ", "severity": "taint", "role": "candidate", "detail": "x"}
LOAD = {"reason": "host_load", "severity": "taint", "role": None, "detail": "x"}


def written(folder, made, *, config=None, weights=None, code=None, ended=None):
    """A record with its own configuration, weights and code."""
    candidate = made["networks"]["candidate"]
    if config is not None:
        made["config"] = {"model": config}
    if weights is not None:
        candidate["weights"] |= {"path": weights, "sha256": hashlib.sha256(weights.encode()).hexdigest()}
    if code is not None:
        candidate["code_sha256"] = code * 64
    if ended:
        made["ended"] = ended
    return rankings.write(made, folder)


def ranked(folder, **more):
    rules = eligibility(more.pop("require", "honest"), more.pop("exclude", ()))
    return rank_records(collect([folder]), load_challenge("ntire2022"), rules=rules, **more)


def keys(ranking):
    return [row.entry.key for row in ranking.rows if not row.entry.reference]


def test_two_checkpoints_of_one_network_are_two_rows_that_say_so(tmp_path):
    for name, ratio in (("first", 0.5), ("second", 0.6)):
        written(tmp_path / name, rankings.document("net", ratio), weights=f"/w/{name}.pth")
    ranking = ranked(tmp_path)
    assert keys(ranking) == ["net (weights first.pth)", "net (weights second.pth)"]
    assert "net: 2 networks of this name differ in weights" in ranking.notes


def test_names_that_differ_alike_are_one_note(tmp_path):
    for name in ("net", "other"):
        for file in ("first", "second"):
            written(tmp_path / name / file, rankings.document(name, 0.5), weights=f"/w/{file}.pth")
    notes = [note for note in ranked(tmp_path).notes if "of this name" in note]
    assert notes == ["net, other: 2 networks of this name differ in weights"]
    assert collect([tmp_path]).left_out == ()


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        (
            {"config": {"args": {"num_block": 2}}},
            {"config": {"args": {"num_block": 3}}},
            ["net (num_block=2)", "net (num_block=3)"],
        ),
        (
            {"config": {"source": "/s/red/m.yaml"}},
            {"config": {"source": "/s/blue/m.yaml"}},
            ["net (blue)", "net (red)"],
        ),
        (
            {"config": {"source": "red/m.yaml"}},
            {"config": {"source": "/s/blue/m.yaml"}},
            ["net (/s/blue/m.yaml)", "net (red/m.yaml)"],
        ),
        ({"config": {"source": "m.yaml"}}, {"config": {"source": "n.yaml"}}, ["net (m)", "net (n)"]),
        ({"code": "a"}, {"code": "b"}, ["net (code aaaaaaaa)", "net (code bbbbbbbb)"]),
        (
            {"config": {"tile": {"size": None}}},
            {"config": {"tile": {"size": 64}}},
            ["net (size=64)", "net (size=None)"],
        ),
        ({"weights": "/a/w.pth"}, {"weights": "/b/w.pth"}, None),
    ],
)
def test_whatever_makes_another_network_gets_a_row_of_its_own(tmp_path, one, other, named):
    written(tmp_path / "1", rankings.document("net", 0.5), **one)
    written(tmp_path / "2", rankings.document("net", 0.6), **other)
    found = sorted(keys(ranked(tmp_path)))
    assert len(set(found)) == 2
    assert named is None or found == named


def test_repetitions_of_one_network_are_still_one_row(tmp_path):
    same = {"config": {"args": {"a": 1}, "title": "T"}, "weights": "/w.pth", "code": "a"}
    written(tmp_path / "1", rankings.document("net"), ended="2026-01-01T00:00:00Z", **same)
    written(tmp_path / "2", rankings.document("net"), ended="2026-01-02T00:00:00Z", **same)
    found = collect([tmp_path])
    assert [one.entry.path for one in found.kept] == [str(tmp_path / "2" / "record.json")]
    assert len(found.left_out) == 1


def test_a_configuration_without_an_end_is_no_ones_stack(tmp_path):
    for number in (1, 2):
        made = rankings.document("net")
        file = written(tmp_path / str(number), made)
        text = file.read_text().replace('"config": {}', '"config": {"model": ' + '{"a": ' * 600 + "1" + "}" * 601)
        file.write_text(text)
    assert keys(ranked(tmp_path)) == ["net"]


def test_one_network_on_two_machines_is_shown_machine_by_machine(tmp_path):
    for model in ("fast", "slow"):
        made = rankings.document("net", 0.5)
        made["environment"]["cpu"]["model"] = model
        written(tmp_path / model, made)
    found = keys(ranked(tmp_path, mixed=True))
    assert found == ["net (CPU (fast))", "net (CPU (slow))"]


def on_two_sets(folder, name, ratios, ms=(100.0, 300.0), **more):
    """Records of one network on the validation and the test set; the baseline takes `ms` on them."""
    for data, ratio, of_baseline, psnr in zip(("div2k_valid", "div2k_test"), ratios, ms, (28.9, 28.7), strict=True):
        made = rankings.document(name, ratio, psnr=psnr, spread=0.0, **more)
        made["data"]["name"] = data
        made["data"]["images"][0]["lr_sha256"] = ("1" if data == "div2k_test" else "0") * 64
        rankings.retime(made, made["timing"]["ratio_per_round"], of_baseline)
        rankings.write(made, folder / f"{name}-{data}")


def test_records_of_two_sets_are_joined_as_the_paper_does(tmp_path):
    on_two_sets(tmp_path, "net", (0.5, 0.7))
    on_two_sets(tmp_path, "other", (0.6, 0.6))
    ranking = ranked(tmp_path)
    assert keys(ranking) == ["other", "net"]
    net = next(row.entry for row in ranking.rows if row.entry.key == "net")
    assert net.figures.psnr_rgb == {"div2k_valid": 28.9, "div2k_test": 28.7}
    assert net.figures.runtime_ms == pytest.approx((50 + 210) / 2)
    assert net.figures.ratio == pytest.approx((50 + 210) / (100 + 300))
    assert "div2k_valid + div2k_test" in ranking.conditions or "div2k_test + div2k_valid" in ranking.conditions
    assert collect([tmp_path]).left_out == ()
    assert {gate.data for row in ranking.rows for gate in row.gates} == {"div2k_valid", "div2k_test"}


def test_a_network_that_lacks_a_set_is_shown_without_a_rank(tmp_path):
    on_two_sets(tmp_path, "net", (0.5, 0.7))
    on_two_sets(tmp_path, "half", (0.4, 0.4))
    (tmp_path / "half-div2k_test" / "record.json").unlink()
    (half,) = (row for row in ranked(tmp_path).rows if row.entry.key == "half")
    assert (half.ranked, half.excluded) == (False, "not measured on div2k_test")


def test_other_images_under_one_sets_name_are_refused_all_the_same(tmp_path, capsys):
    on_two_sets(tmp_path, "net", (0.5, 0.7))
    on_two_sets(tmp_path, "other", (0.5, 0.7))
    file = tmp_path / "other-div2k_test" / "record.json"
    made = json.loads(file.read_text())
    made["data"]["images"][0]["lr_sha256"] = "7" * 64
    file.write_text(json.dumps(made))
    with pytest.raises(Exception, match=r"differ in images .* of div2k_test"):
        command.run(["rank", str(tmp_path)])
    capsys.readouterr()


def perfect(made, *roles):
    """The record's one image is perfect in the output of these networks."""
    for role in roles:
        quality = made["networks"][role]["quality"]
        for part in (quality["mean"], *quality["images"]):
            part["psnr_rgb"] = None
    return made


def test_a_perfect_output_is_flagged_and_not_ranked(tmp_path, capsys):
    written(tmp_path / "good", rankings.document("good", 0.9))
    written(tmp_path / "cheat", perfect(rankings.document("cheat", 0.1), "candidate"))
    ranking = ranked(tmp_path)
    (row,) = (row for row in ranking.rows if row.entry.key == "cheat")
    assert not row.ranked
    assert "infinite PSNR" in row.excluded
    command.run(["rank", str(tmp_path), "--format", "markdown"])
    assert "∞" in capsys.readouterr().out


def test_an_image_of_one_colour_is_perfect_for_everyone_and_left_out(tmp_path):
    made = rankings.document("net", 0.5)
    made["data"]["images"].append({"name": "b.png", "lr_shape": [8, 8], "lr_sha256": "1" * 64})
    rankings.retime(made, [0.5] * 10)
    for role in ("candidate", "baseline"):
        quality = made["networks"][role]["quality"]
        quality["images"].append({**quality["images"][0], "psnr_rgb": None})
        quality["mean"]["psnr_rgb"] = None
    written(tmp_path, made)
    (row,) = (row for row in ranked(tmp_path).rows if row.entry.key == "net")
    assert row.ranked
    assert row.entry.figures.psnr_rgb == {"demo": 28.9}
    assert [gate.verdict for gate in row.gates] == ["pass"]


@pytest.mark.parametrize(
    ("require", "expected"),
    [("honest", ["clean", "loaded"]), ("clean", ["clean"]), ("any", ["clean", "loaded", "liar"])],
)
def test_who_is_ranked_can_be_chosen(tmp_path, require, expected):
    for name, reasons in (("clean", []), ("loaded", [LOAD]), ("liar", [DIFFER])):
        made = rankings.document(name)
        made["verdict"] = {"status": "tainted" if reasons else "clean", "reasons": reasons}
        written(tmp_path / name, made)
    found = {row.entry.key for row in ranked(tmp_path, require=require).rows if row.ranked}
    assert found == set(expected)


def test_an_exclusion_by_hand_is_printed_with_its_reason(tmp_path, capsys):
    for name in ("one", "two"):
        written(tmp_path / name, rankings.document(name))
    command.run(["rank", str(tmp_path), "exclude=two: trained on the test set", "--format", "markdown"])
    out = capsys.readouterr().out
    assert "not ranked: excluded: trained on the test set" in out
    assert "excluded by hand: two: trained on the test set" in out
    for wrong, said in (
        ("three: x", "no such network"),
        ("two", "expected a network and a reason"),
        (": x", "expected"),
    ):
        with pytest.raises(ConfigError, match=said):
            command.run(["rank", str(tmp_path), f"exclude={wrong}"])
    with pytest.raises(ConfigError, match="given twice"):
        command.run(["rank", str(tmp_path), "exclude=two: x", "exclude=two: y"])


def test_milliseconds_that_contradict_the_ratios_are_explained(tmp_path):
    slow = rankings.document("slow", 0.5, spread=0.0)
    rankings.retime(slow, slow["timing"]["ratio_per_round"], 300.0)
    written(tmp_path / "slow", slow)
    written(tmp_path / "other", rankings.document("other", 0.6, spread=0.0))
    (note,) = (note for note in ranked(tmp_path).notes if note.startswith("by milliseconds"))
    assert "other is faster than slow" in note
    assert "300.00 ms beside slow" in note


def test_the_full_width_equals_sign_begins_no_formula(tmp_path, capsys):
    written(tmp_path, rankings.document("\uff1dHYPERLINK(1)"))
    command.run(["rank", str(tmp_path), "--format", "csv"])
    assert "\n'\uff1dHYPERLINK" in capsys.readouterr().out
