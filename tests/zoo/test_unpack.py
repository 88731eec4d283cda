"""Unpacking an untrusted archive: images below one folder, or one clear line."""

import stat
import zipfile

import pytest
from helpers.zips import HOSTILE, of_kind, png, tree, zipped

from esr.errors import DownloadError
from esr.zoo.unpack import UnpackError, UnpackLimits, unpack


@pytest.fixture
def archive(tmp_path):
    """Writes an archive and returns its path."""

    def write(content: bytes):
        path = tmp_path / "set.zip"
        path.write_bytes(content)
        return path

    return write


def test_images_keep_their_paths_and_everything_else_stays_out(archive, tmp_path):
    members = {
        "Set5/HR/baby.png": png(),
        "Set5/HR/bird.BMP": b"not looked into",
        "Set5/readme.txt": b"hello",
        "Set5/HR/run.sh": b"rm -rf /",
        "__MACOSX/Set5/HR/._baby.png": b"resource fork",
        "Set5/.DS_Store": b"",
        "Set5/HR/.hidden.png": png(),
    }
    seen = []
    count = unpack(archive(zipped(members)), tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert count == 2
    assert tree(tmp_path / "out") == ["Set5", "Set5/HR", "Set5/HR/baby.png", "Set5/HR/bird.BMP"]
    assert (tmp_path / "out/Set5/HR/baby.png").read_bytes() == png()
    assert seen[-1] == (len(png()) + 15, len(png()) + 15)


def test_executable_bits_and_directories_are_not_taken_over(archive, tmp_path):
    members = [("d/", b""), (of_kind("d/a.png", stat.S_IFREG), png())]
    unpack(archive(zipped(members)), tmp_path / "out")
    assert not (tmp_path / "out/d/a.png").stat().st_mode & 0o111


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_damaged_archives_are_refused_in_one_line(kind, archive, tmp_path):
    content, reason = HOSTILE[kind]
    with pytest.raises(UnpackError, match=reason) as refused:
        unpack(archive(content), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "set.zip") in str(refused.value)
    assert not list(tmp_path.parent.rglob("escaped.png"))


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(UnpackLimits(files=2), "holds 3 members, at most 2"), (UnpackLimits(bytes=1000), "zip bomb")],
)
def test_size_and_number_are_bounded(limits, reason, archive, tmp_path):
    content = zipped({f"{number}.png": png(seed=number) for number in range(3)})
    with pytest.raises(UnpackError, match=reason):
        unpack(archive(content), tmp_path / "out", limits=limits)
    assert tree(tmp_path) == ["set.zip"]


def test_a_member_larger_than_it_claims_is_refused(archive, tmp_path):
    content = bytearray(zipped({"a.png": png()}))
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (100).to_bytes(4, "little")
    with pytest.raises(UnpackError, match="is damaged"):
        unpack(archive(bytes(content)), tmp_path / "out")
    assert all(path.stat().st_size <= 100 for path in (tmp_path / "out").rglob("*.png"))


def test_a_disk_without_room_is_told_before_anything_is_written(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(DownloadError, match=r"has 100 free: make room, or set ESR_DATA=FOLDER"):
        unpack(archive(zipped({"a.png": png()})), tmp_path / "out")
    assert tree(tmp_path / "out") == []


def test_an_unknown_compression_is_damage(archive, tmp_path):
    path = archive(zipped({"a.png": png()}))
    with zipfile.ZipFile(path) as opened:
        offset = opened.start_dir
    content = bytearray(path.read_bytes())
    content[offset + 10] = content[8] = 99
    with pytest.raises(UnpackError, match="is damaged"):
        unpack(archive(bytes(content)), tmp_path / "out")
