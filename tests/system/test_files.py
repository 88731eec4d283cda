"""Atomic writes: whole files, nothing left behind, one line for the user."""

import os

import pytest

from esr.errors import ConfigError, RecordError
from esr.system import files


def test_a_missing_folder_is_made_and_the_old_file_replaced(tmp_path):
    target = tmp_path / "new" / "file"
    for content in (b"old", b"new"):
        files.replace(target, content)
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    files.replace(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_interrupt_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failure_is_one_line_with_the_remedy(tmp_path):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "record.json"
    with pytest.raises(RecordError) as caught:
        files.write(target, b"", RecordError)
    reason = "(Not a directory)", "(File exists)"
    line = "{}: cannot be written {}; choose another folder with out=DIR"
    assert str(caught.value) in [line.format(target, one) for one in reason]
    with pytest.raises(ConfigError, match=r"; pass another --out$"):
        files.write(target, b"", ConfigError, "pass another --out")
