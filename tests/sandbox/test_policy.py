"""What a worker may read, and what is hidden from it."""

import platform
import re
import sys
from pathlib import Path

import pytest

from esr.errors import SandboxError
from esr.sandbox import policy, seccomp
from esr.sandbox.policy import Policy
from esr.sandbox.process import ContainedProcess, Held, Wishes


@pytest.fixture
def tree(tmp_path):
    for name in ("code/data/hr", "code/data/other", "code/package", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("code/network.py", "code/data/hr/1.png", "code/data/readme", "code/package/part.py", "code/lr.png"):
        (tmp_path / name).touch()
    return tmp_path.resolve()


def granted(tree: Path, readable: str, *hidden: str) -> tuple[set[str], set[str]]:
    """Paths that may be read, and folders that may be listed only, relative to the tree."""
    one = Policy((str(tree / readable),), str(tree / "scratch"), tuple(str(tree / path) for path in hidden))
    read, listed = set(), set()
    for path, only_listed in one.grants():
        (listed if only_listed else read).add(str(Path(path).relative_to(tree)))
    return read, listed


def test_a_folder_in_which_nothing_is_hidden_is_granted_whole(tree):
    assert granted(tree, "code", "elsewhere") == ({"code"}, set())


def test_a_folder_in_which_something_is_hidden_is_granted_in_pieces(tree):
    read, listed = granted(tree, "code", "code/data/hr")
    assert read == {"code/network.py", "code/lr.png", "code/package", "code/data/other", "code/data/readme"}
    assert listed == {"code", "code/data"}


def test_what_does_not_exist_yet_is_hidden_as_well(tree):
    read, listed = granted(tree, "code", "code/outputs")
    assert "code" not in read
    assert listed == {"code"}


def test_code_beside_images_is_granted_without_them(tree):
    read, _ = granted(tree, "code", "code")
    assert {"code/network.py", "code/package/part.py"} <= read
    assert not [path for path in read if path.endswith(".png")]


def test_links_are_not_followed_out_of_a_folder_granted_in_pieces(tree):
    (tree / "code" / "link").symlink_to(tree / "elsewhere")
    read, _ = granted(tree, "code", "code/data")
    assert "code/link" not in read


def test_the_environment_tells_no_place_of_images_and_keeps_caches_in_scratch(tmp_path):
    found = policy.environment(tmp_path, {"ESR_DATA": "/images", "HOME": "/root", "LANG": "C"})
    assert "ESR_DATA" not in found
    assert found["LANG"] == "C"
    assert Path(found["HOME"]) == Path(found["TMPDIR"]) == tmp_path


def test_require_names_what_is_missing_and_auto_runs_all_the_same(capsys):
    process = ContainedProcess.__new__(ContainedProcess)
    process.state = Held(["no new privileges", "seccomp", "sealed"], {"Landlock": "Function not implemented"})
    process.wishes = Wishes("require")
    with pytest.raises(SandboxError, match=r"Landlock: Function not implemented.*esr doctor"):
        process.judge(sealed=True)
    process.wishes = Wishes("auto")
    process.judge(sealed=True)
    process.judge(sealed=True)
    assert capsys.readouterr().err.count("esr doctor explains") == 1
    process.state.layers.append("Landlock")
    process.wishes = Wishes("require")
    process.judge(sealed=True)


def numbers(header: Path) -> dict[str, int]:
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    return {name: int(number) for name, number in found}


@pytest.mark.skipif(not Path("/usr/include/asm-generic/unistd.h").exists(), reason="the kernel's headers are absent")
def test_the_numbers_of_system_calls_are_the_kernels():
    machine = numbers(next(Path("/usr/include").glob("*/asm/unistd_64.h")))
    generic = numbers(Path("/usr/include/asm-generic/unistd.h"))
    tables = (seccomp._FORBIDDEN, seccomp._SILENT, seccomp._OWN_SIGNALS, seccomp._OWN_SETTINGS, seccomp._STARTS)
    checked = 0
    for name, (x86, arm) in (pair for table in tables for pair in table.items()):
        if platform.machine() == "x86_64" and name in machine:
            assert machine[name] == x86, name
            checked += 1
        if arm >= 0 and name in generic:
            assert generic[name] == arm, name
    assert checked > 50 or platform.machine() != "x86_64"


@pytest.mark.skipif(sys.platform != "linux", reason="the filter is Linux's")
def test_the_filter_is_within_the_kernels_limit_and_ends_in_a_decision():
    code = seccomp.program(2, alone=False)
    assert len(code) < 4096
    for at, (kind, when, otherwise, _) in enumerate(code):
        if kind in (seccomp._JUMP_EQUAL, seccomp._JUMP_ABOVE, seccomp._JUMP_SET):
            assert at + 1 + max(when, otherwise) < len(code)
    assert code[-1] == (seccomp._RETURN, 0, 0, seccomp._ALLOW)
