"""Submissions at intake: what is ready, and what each team must fix."""

import os
import zipfile
from pathlib import Path

import pytest
import torch
from helpers.challenge_repository import make_fork, make_repository
from helpers.participants import NETWORK

from esr.doctor.intake import submissions
from esr.errors import ConfigError

PARAMS = 3 * 8 * 9 + 8 + 8 * 48 * 9 + 48


def _submission(folder: Path, yaml: str | None = "", *, name: str | None = None) -> Path:
    """A folder with a tiny network, its weights and a licence; `yaml` adds keys, `None` leaves the YAML out."""
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text(NETWORK)
    (folder / "LICENSE").write_text("MIT")
    state = {"features.weight": torch.zeros(8, 3, 3, 3), "features.bias": torch.zeros(8)}
    state |= {"upsampler.0.weight": torch.zeros(48, 8, 3, 3), "upsampler.0.bias": torch.zeros(48)}
    torch.save(state, folder / "tiny.pth")
    if yaml is not None:
        text = f"_target_: tiny.Tiny\nname: {name or folder.name}\ncheckpoint:\n  file: tiny.pth\n{yaml}"
        (folder / "model.yaml").write_text(text)
    return folder


def test_a_table_to_send_back_after_a_dry_run(run_esr, tmp_path):
    _submission(
        tmp_path / "all" / "team a", "claims:\n  params_m: 0.004\n  psnr_rgb: {div2k_valid: 26.9}\n", name="alpha"
    )
    _submission(tmp_path / "all" / "bare", None)
    _submission(tmp_path / "all" / "broken", "args: {fault: raise, after: 0}\n")
    checked = run_esr("check", *map(str, sorted((tmp_path / "all").iterdir())), "--format", "markdown", cwd=tmp_path)
    assert checked.code == 1, checked.err
    rows = {line.split(" | ")[0].strip("| "): line for line in checked.out.splitlines() if line.startswith("|")}
    assert "| yes | 0.004 | 0.004 |" in rows["alpha"]
    assert "| yes | 0.004 | – |" in rows["bare"]
    assert "| team a |" in rows["alpha"]
    assert "| no |" in rows["broken"]
    assert "the weather was bad" in rows["broken"]
    assert "2 of 3 networks are ready" in checked.out


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (lambda folder: (folder / "LICENSE").unlink(), "no licence"),
        (lambda folder: (folder / "tiny.pth").unlink(), "tiny.pth is not there"),
        (lambda folder: (folder / "tiny.pth").write_bytes(b""), "tiny.pth is empty"),
        (
            lambda folder: (folder / "tiny.pth").write_text("version https://git-lfs.github.com/spec/v1"),
            "Git LFS pointer",
        ),
        (lambda folder: (folder / "tiny.pth").write_bytes((folder / "tiny.pth").read_bytes()[:2000]), "is damaged"),
        (lambda folder: (folder / "tiny.py").write_text("x = 1"), "tiny.py defines no Tiny"),
        (lambda folder: (folder / "tiny.py").unlink(), "no tiny.py beside the YAML"),
        (lambda folder: (folder / "model.yaml").write_text("_target_: tiny.Tiny\nnmae: x"), "did you mean name"),
        (lambda folder: (folder / "model.yaml").write_text("_target_: tiny.Tiny\nbuild: ops"), "make image-submission"),
    ],
)
def test_faults_show_without_running_anything(fault, problem, tmp_path):
    folder = _submission(tmp_path / "one")
    marker = tmp_path / "ran"
    (folder / "tiny.py").write_text(f"open({str(marker)!r}, 'w')\n{NETWORK}")
    fault(folder)
    (found,) = submissions([folder])
    assert any(problem in one for one in found.problems), found.problems
    assert not marker.exists()


def test_archives_stray_files_and_folders_in_folders(tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    for file in (packed / "network.zip", tmp_path / "loose.zip"):
        file.write_bytes(b"PK")
    unpacked = tmp_path / "unpacked"
    _submission(unpacked / "its own folder", None)
    (unpacked / "__MACOSX").mkdir()
    (unpacked / "its own folder" / "LICENSE").rename(unpacked / "its own folder" / "License.md")
    found = submissions([packed, tmp_path / "loose.zip", unpacked])
    assert "unpack network.zip" in found[0].problems[0]
    assert found[1].problems == ["no folder: hand in a folder, unpacked"]
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert submissions([tmp_path / "link"])[0].problems == ["no folder: hand in a folder, unpacked"]
    assert (found[2].name, found[2].problems) == ("its own folder", [])


def test_a_bare_folder_needs_one_class_that_can_be_told(tmp_path):
    folder = _submission(tmp_path / "bare", None)
    (found,) = submissions([folder])
    assert found.ready
    assert found.model._target_ == "tiny.Tiny"
    (folder / "tiny.py").write_text(
        NETWORK + "\n\nclass Other(nn.Module):\n    def forward(self, x):\n        return x\n"
    )
    assert "which class is the network (Tiny, Other)?" in submissions([folder])[0].problems[0]
    (folder / "tiny.py").write_text(NETWORK.replace("channels=8", "channels"))
    assert "Tiny asks for channels" in submissions([folder])[0].problems[0]
    (folder / "more.py").write_text("")
    assert "2 Python files and 1 weight files" in submissions([folder])[0].problems[0]


def test_names_are_unique_and_a_repository_gives_a_row_for_each_network(tmp_path):
    first, second = (_submission(tmp_path / name, name="Same") for name in ("a", "b"))
    assert all("is also that of" in one.problems[0] for one in submissions([first, second]))
    repository = make_repository(tmp_path / "r")
    (repository / "LICENSE").write_text("MIT")
    fork = make_repository(tmp_path / "fork")  # with the same baseline
    named = [one.model.repository.id for one in submissions([repository, fork]) if "also that of" in str(one.problems)]
    assert named
    assert 0 not in named
    rows = {one.model.repository.id: one for one in submissions([repository])}
    assert rows[0].ready
    assert rows[9].problems == ["needs packages: a_package_that_nobody_has"]
    assert rows[12].problems == ["model_zoo/team12.pth is not there"]
    assert rows[5].notes == ["redefines to", "a pass in to"]
    with pytest.raises(ConfigError, match="no such folder"):
        submissions([tmp_path / "nowhere"])


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal_and_names_the_columns_that_do_not(run_esr, tmp_path, width):
    _submission(tmp_path / "a_team" / "with_a_long_name", "claims: {params_m: 0.004}\n", name="alpha")
    (_submission(tmp_path / "beta") / "LICENSE").unlink()
    (tmp_path / "beta" / "tiny.pth").unlink()
    folders = [str(tmp_path / "a_team" / "with_a_long_name"), str(tmp_path / "beta")]
    run = run_esr("check", *folders, "--no-run", env={"COLUMNS": str(width)})
    assert run.code == 1, run.err
    assert max(map(len, run.out.splitlines())) <= width
    assert ("not shown at this width: claimed [M]" in run.out) == (width == 80)
    said = " ".join(run.out.split())
    for words in ("alpha", "beta", "yes", "1 of 2 networks are ready"):
        assert words in said
    assert "no licence" in said


def test_a_repository_is_known_by_more_than_a_script_at_its_top(tmp_path):
    choice = (
        "def select_model(args, device):\n    if args.model_id == 1:\n        return load(1), '01_Net', 1.0, None\n"
    )
    moved = make_fork(tmp_path / "moved", choice, file="utils/choose.py")
    (moved / "test_demo.py").write_text("from utils.choose import select_model\n")
    below = make_fork(tmp_path / "below", choice.replace("01_Net", "01_Other"), file="code/test_demo.py", inside="code")
    for folder in (moved, below):
        (folder / "LICENSE").write_text("MIT")
    assert [(one.name, one.problems) for one in submissions([moved, below])] == [("01_Net", []), ("01_Other", [])]


def test_odd_files_of_strangers_are_named_and_stop_nothing(tmp_path):
    folder = _submission(tmp_path / "one")
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    assert submissions([folder])[0].ready
    with zipfile.ZipFile(folder / "tiny.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000)
    content = bytearray((folder / "tiny.pth").read_bytes())
    place = content.index(b"PK\x01\x02")  # the directory's entry: encrypted, then larger than any file
    for at, value in ((place + 8, b"\x01\x00"), (place + 24, b"\xf0\xff\xff\xff")):
        changed = bytes(content[:at]) + value + bytes(content[at + len(value) :])
        (folder / "tiny.pth").write_bytes(changed)
        assert submissions([folder])[0].problems == ["tiny.pth is damaged"]
    (folder / "model.yaml").write_text(f"_target_: tiny.Tiny\ncheckpoint:\n  file: {'x' * 300}.pth\n")
    assert "is not there" in submissions([folder])[0].problems[0]
