"""Standard output that is full, closed, read by nobody, or of few characters."""

import os
import subprocess
import sys

import pytest
from helpers.forked import run_forked
from helpers.participants import ONCE, SMALL

COMMANDS = (
    ("--help",),
    ("show",),
    ("fetch", "--list"),
    ("rank", "--published"),
    ("rank", "--published", "--format", "markdown"),
)
ASKS_A_WORKER = ("show", "imdn")
"""Takes the seconds of importing torch."""
FULL = "esr: standard output: cannot be written (No space left on device)\n"
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


def esr(*words, stdout, **settings):
    return subprocess.run(
        [sys.executable, "-m", "esr", *words],
        env={**os.environ, "ESR_OFFLINE": "1", **settings},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [*COMMANDS, pytest.param(ASKS_A_WORKER, marks=pytest.mark.slow)], ids=" ".join)
def test_a_screen_of_few_characters_shows_the_rest_by_number(words):
    done = esr(*words, stdout=subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    if words[-1] == "markdown":
        assert "\\u2013" in done.stdout


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_disk_behind_standard_output_is_one_line(words, unbuffered):
    with open("/dev/full", "w") as full:
        done = esr(*words, stdout=full, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (2, FULL)


@needs_full
def test_a_full_disk_behind_standard_output_costs_no_record(participant):
    full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    done = run_forked([*SMALL, *ONCE, "data.limit=1"], participant, {**os.environ, "ESR_OFFLINE": "1"}, before=full)
    assert (done.code, done.err.splitlines()[-1]) == (2, FULL.strip())
    assert done.records


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_gone_is_not_complained_of(words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = esr(*words, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("words", [*COMMANDS, pytest.param(ASKS_A_WORKER, marks=pytest.mark.slow)], ids=" ".join)
def test_a_closed_standard_output_is_not_missed(words):
    command = 'exec "$0" -m esr "$@" >&-'
    done = subprocess.run(["sh", "-c", command, sys.executable, *words], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
