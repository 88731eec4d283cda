"""Ways out of a worker: each ends in an error, whoever runs it and whichever layers the machine allows."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from helpers.contained import ALLOWED, BEFORE_SEALING, Outcome, Plan
from helpers.participants import ONCE, SMALL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")

RUNNER = Path(__file__).parents[1] / "helpers" / "contained.py"
ROOT = RUNNER.parents[2]
USER = 10001
FILES_ALONE = {"read a home"}
"""Prevented by Landlock, whose list is of what may be read."""
PLANS = {
    "everything": Plan(),
    "no namespaces, as in a container that refuses them": Plan(without=("namespaces",)),
    "no /proc to mount, as in a container that allows them": Plan(without=("/proc",)),
    "no Landlock, as on an older kernel": Plan(without=("Landlock",)),
}


@functools.cache
def interpreter(user: int | None) -> tuple[str, str]:
    """A Python that a user can start, and its PYTHONPATH; skips where there is none."""
    packages = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(msgspec.__file__).parents[1])])
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")):
        probe = [python, "-c", "import msgspec, psutil, esr.sandbox.process"]
        place = {"PYTHONPATH": packages, "PATH": os.environ["PATH"]}
        try:
            if python and subprocess.run(probe, env=place, cwd="/", check=False, **whom(user)).returncode == 0:
                return python, packages
        except OSError:
            continue
    pytest.skip(f"uid {user} can start no Python {version} that finds the packages")


def whom(user: int | None) -> dict[str, object]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


@functools.cache
def outcome(name: str, user: int | None) -> Outcome:
    if user is not None and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    python, packages = interpreter(user)
    run = subprocess.run(
        [python, str(RUNNER), msgspec.json.encode(PLANS[name]).decode()],
        env={"PYTHONPATH": packages, "PATH": os.environ["PATH"], "TMPDIR": "/tmp"},
        cwd="/",
        capture_output=True,
        timeout=120,
        check=False,
        **whom(user),
    )
    assert run.returncode == 0, run.stderr.decode()
    return msgspec.json.decode(run.stdout, type=Outcome)


each = pytest.mark.parametrize("user", [None, USER], ids=["whoever runs the tests", "an ordinary user"])
every = pytest.mark.parametrize("name", PLANS)


@every
@each
def test_every_way_out_ends_in_an_error_and_a_network_can_do_its_work(name, user):
    found = outcome(name, user)
    done = {attempt for attempt, result in found.first.items() if result == "done"}
    expected = ALLOWED | BEFORE_SEALING
    assert done - (FILES_ALONE if "Landlock" in PLANS[name].without else set()) == expected
    assert {found.first[one] for one in ("an internet socket", "stop the sibling", "trace the parent")} == {"EPERM"}
    assert found.first["a process by clone3"] == "ENOSYS"


@every
@each
def test_a_sealed_network_starts_threads_and_no_process(name, user):
    found = outcome(name, user)
    assert found.sealed.pop("start a thread") == "done"
    assert set(found.sealed.values()) == {"EPERM"}


@every
@each
def test_nothing_is_left_of_it_and_what_it_started_before_sealing_ended_with_that(name, user):
    found = outcome(name, user)
    assert (found.strays, found.left, found.scratch_left, found.code) == (0, 0, False, 0)


@every
@each
def test_the_parent_names_the_layers_that_hold_and_the_reason_for_those_that_do_not(name, user):
    found = outcome(name, user)
    assert {"no new privileges", "capabilities dropped", "seccomp", "sealed"} <= set(found.layers)
    assert ("Landlock" in found.layers) == ("Landlock" not in PLANS[name].without)
    if "namespaces" in PLANS[name].without:
        assert "PID namespace" not in found.layers
        assert found.missing["PID namespace"] == "refused"
    if "/proc" in PLANS[name].without:
        assert "network namespace" in found.layers
        assert "/proc" in found.missing["PID namespace"]
    assert not set(found.layers) & set(found.missing)


ROGUE = '''
import os, subprocess
import tiny

class Rogue(tiny.Tiny):
    """Spins beside the baseline, plants a module, and tells what it reached."""

    def __init__(self):
        super().__init__()
        subprocess.Popen(["sleep", "5417"], start_new_session=True)
        for place in ("jsonschema.py", "images/0.png"):
            try:
                open(place, "rb" if place.endswith("png") else "w").close()
            except OSError:
                continue
            raise RuntimeError(f"reached {place}")
'''


def test_an_evaluation_contains_its_networks_says_so_and_leaves_nothing(run_esr, participant):
    (participant / "rogue.py").write_text(ROGUE)
    (participant / "rogue.yaml").write_text("_target_: rogue.Rogue\ndata_range: 1.0\n")
    words = [word for word in SMALL if not word.startswith("model=")]
    run = run_esr("model=rogue.yaml", *words, "sandbox=require", cwd=participant)
    assert run.code == 0, run.err
    networks = json.loads(run.records[0].read_text())["networks"]
    assert networks["candidate"]["failure"] is None
    for network in networks.values():
        assert {"seccomp", "sealed", "no new privileges"} <= set(network["worker"]["sandbox"]["layers"])
    assert not (participant / "jsonschema.py").exists()
    commands = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert not [file for file in commands if file.exists() and b"5417" in file.read_bytes()]


IMPORTS = """
import sys
import esr.evaluation.worker.parent as parent
from esr.cli import main

send, late = parent.Worker.send, []
def noting(self, request):
    if request.stage == "load" and not late:
        late.append(set(sys.modules))
    return send(self, request)
parent.Worker.send = noting
sys.argv[0] = "esr"
try:
    main()
finally:
    print(sorted(set(sys.modules) - late[0]), file=sys.stderr)
"""


@pytest.mark.slow
def test_the_parent_imports_nothing_once_a_strangers_code_exists(participant):
    run = subprocess.run(
        [sys.executable, "-c", IMPORTS, *SMALL, *ONCE],
        cwd=participant, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert run.stderr.strip().splitlines()[-1] == "[]", run.stderr
