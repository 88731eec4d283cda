"""The real image: the Dockerfile built by podman as its CPU variant on a base of our own, and run as users run it.

`make test-image` runs these, as root on Linux; without those marked slow it takes about half as long. The CPU variant
needs torch's CPU build, from the folder PIP_FIND_LINKS or the index PIP_EXTRA_INDEX_URL.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import pytest
from helpers.contained import ALLOWED, BEFORE_SEALING
from helpers.image_folders import photograph, save
from helpers.nvml_stub import build as build_stub
from helpers.participants import NETWORK

from esr.cli.compare import INCONCLUSIVE, SAME

pytestmark = [
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not os.environ.get("ESR_TEST_IMAGE"), reason="make test-image builds and runs the image"),
]

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = ("Dockerfile", ".dockerignore", "docker", "esr", "hydra_plugins", "models", "conf", "model_zoo",
           "pyproject.toml", "README.md", "LICENSE")  # fmt: skip
VERSION = "1.2.3"
WITH_LANDLOCK = "not older"
"""Without it and without namespaces, as here, files are protected by their permissions only."""
PYTHON, INSIDE = "/opt/esr/bin/python3", "/work"
"""The image's Python, and the folder of a test in it."""
BASE = "localhost/esr-test-base:bookworm"
HARDENED = ("--network", "none", "--read-only", "--tmpfs", "/tmp:rw,size=64m", "--cap-drop", "all", "--security-opt",
            "no-new-privileges", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")  # fmt: skip
TINY = ("model=tiny.yaml", "baseline=tiny.yaml", "weights=random", "baseline_weights=random", "timing=quick",
        "data.limit=1")  # fmt: skip


OPERATOR = {
    "ops/setup.py": """
from setuptools import Extension, setup
setup(name="fourfold", version="1.0", ext_modules=[Extension("fourfold", ["fourfold.c"])])
""",
    "ops/fourfold.c": """
#include <Python.h>
static PyObject *scale(PyObject *self, PyObject *args) { return PyLong_FromLong(4); }
static PyMethodDef methods[] = {{"scale", scale, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "fourfold", NULL, -1, methods};
PyMODINIT_FUNC PyInit_fourfold(void) { return PyModule_Create(&module); }
""",
    "needs.txt": "einops\nnumpy  # is there\n",
    "operated.py": """
import einops
import fourfold
from torch import nn


class Operated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3 * fourfold.scale() ** 2, 3, padding=1)

    def forward(self, x):
        return einops.rearrange(self.conv(x), "n (c i j) h w -> n c (h i) (w j)", i=4, j=4)
""",
    "model.yaml": "_target_: operated.Operated\ndata_range: 1.0\nrequirements: needs.txt\nbuild: ops\n",
}
"""A submission with a package and an operator to be compiled."""


@dataclass(frozen=True)
class Podman:
    """podman with a store of its own, which outlives the tests: base and unchanged layers are made once."""

    store: Path

    @property
    def command(self) -> list[str]:
        return ["podman", "--root", str(self.store / "root"), "--runroot", str(self.store / "run"),
                "--cgroup-manager=cgroupfs", "--storage-driver=overlay"]  # fmt: skip

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        run = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False, timeout=1200)
        if check and run.returncode:
            pytest.fail(f"podman {' '.join(arguments)}\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}")
        return run

    def image_exists(self, name: str) -> bool:
        return self("image", "exists", name, check=False).returncode == 0


@pytest.fixture(scope="session")
def podman() -> Podman:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Podman(cache / "esr" / "podman")


@pytest.fixture(scope="session")
def base(podman, tmp_path_factory) -> str:
    """Debian 12 as debootstrap makes it: what the CPU variant's own base is, without a registry of images."""
    if not podman.image_exists(BASE):
        folder = tmp_path_factory.mktemp("base")
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(folder / "root")],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
        subprocess.run(["tar", "-C", str(folder / "root"), "-cf", str(folder / "root.tar"), "."], check=True)
        podman("import", str(folder / "root.tar"), BASE)
        shutil.rmtree(folder)
    return BASE


@pytest.fixture(scope="session")
def build(podman, base, tmp_path_factory):
    """Builds an image under a name from one still copy of the sources, as `make image-cpu` does."""
    folder = tmp_path_factory.mktemp("build")
    for name in CONTEXT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, folder / name)
    index = os.environ.get("PIP_EXTRA_INDEX_URL")
    places = os.environ.get("PIP_FIND_LINKS", "").split()
    links = next((place for place in places if Path(place).is_dir()), None)
    if not (links or index):
        pytest.skip("nobody says where torch's CPU build is: set PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL")
    settings = {"index-url": os.environ.get("PIP_INDEX_URL"), "extra-index-url": index,
                "find-links": "/wheels" if links else None}  # fmt: skip
    lines = [f"{key} = {value}\n" for key, value in settings.items() if value]
    (folder / "pip.conf").write_text("".join(["[global]\n", *lines]))
    authority = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    environment = {
        "ENGINE": " ".join(podman.command),
        "VERSION": VERSION,
        "BASE_IMAGE": base,
        "PIP_CONF": str(folder / "pip.conf"),
    }

    def run(tag: str, *options: str) -> str:
        mounts = ["--volume", f"{links}:/wheels:ro"] if links else []
        done = subprocess.run(
            ["sh", "docker/build.sh", "cpu", "--isolation=chroot", *mounts, *options],
            cwd=folder,
            env={**os.environ, **environment, "TAG": tag, **({"CA": authority} if authority else {})},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return tag

    return run


@pytest.fixture(scope="session")
def image(podman, build):
    yield build("localhost/esr-test:first")
    podman("image", "prune", "--force", check=False)  # what an earlier run left, but not the layers of this one


@dataclass
class Container:
    """Runs the image with the flags that the documentation recommends, with a folder for results and a network."""

    podman: Podman
    image: str
    folder: Path
    out: Path = field(init=False)

    def __post_init__(self) -> None:
        self.out = self.folder / "out"
        self.out.mkdir(exist_ok=True)
        self.out.chmod(0o777)
        (self.folder / "tiny.py").write_text(NETWORK)
        (self.folder / "tiny.yaml").write_text("_target_: tiny.Tiny\ndata_range: 1.0\n")
        self.folder.chmod(0o755)

    def words(self, *arguments: str, options: tuple[str, ...] = (), mount_out: bool = True) -> list[str]:
        """The command line, with the folder for results mounted or not."""
        mounts = ["--volume", f"{self.folder}:/work:ro", "--workdir", "/work"]
        mounts += ["--volume", f"{self.out}:/out"] if mount_out else []
        return [*self.podman.command, "--runtime", "runc", "run", "--rm", *HARDENED, *mounts, *options, self.image,
                *arguments]  # fmt: skip

    def __call__(
        self, *arguments: str, options: tuple[str, ...] = (), mount_out: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = self.words(*arguments, options=options, mount_out=mount_out)
        return subprocess.run(
            command,
            cwd=self.folder,  # where podman leaves a file named oom, if it comes to that
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    @property
    def records(self) -> list[Path]:
        return sorted(self.out.rglob("record.json"))


@pytest.fixture
def container(podman, image, tmp_path_factory) -> Container:
    # Not tmp_path: its parents are closed to the image's user.
    folder = tmp_path_factory.mktemp("container")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    return Container(podman, image, folder)


@pytest.mark.slow
def test_two_builds_of_one_commit_give_the_same_digest(podman, image, build):
    second = build("localhost/esr-test:second", "--no-cache")
    try:
        first, again = (json.loads(podman("image", "inspect", name).stdout)[0] for name in (image, second))
        assert again["RootFS"]["Layers"] == first["RootFS"]["Layers"]
        assert again["Digest"] == first["Digest"]
    finally:
        podman("rmi", "--force", second, check=False)


def test_the_labels_say_what_is_inside(podman, image):
    found = json.loads(podman("image", "inspect", image).stdout)[0]["Config"]
    version = podman("--runtime", "runc", "run", "--rm", *HARDENED, image, "--version").stdout.split()[1]
    assert found["Labels"]["org.opencontainers.image.version"] == version == VERSION
    assert found["Labels"]["org.opencontainers.image.revision"]
    assert found["Labels"]["esr.variant"] == "cpu"
    assert f"torch=={found['Labels']['esr.torch']}" in (ROOT / "docker" / "torch-cpu.in").read_text()
    assert found["User"] == "10001:10001"
    assert (found["Entrypoint"], found["Cmd"], found["StopSignal"]) == (["esr"], ["model=imdn"], "SIGINT")


def test_nothing_secret_and_nothing_that_builds_is_left_in_it(podman, image, container):
    history = podman("history", "--no-trunc", image).stdout
    assert "find-links" not in history
    script = """
        for tool in pip pip3 gcc cc g++ make git; do command -v $tool; done
        find / -xdev -path /proc -prune -o \\( -name pip.conf -o -name ca.pem -o -name .git \\) -print
        find / -xdev -path '*/site-packages/pip' -print 2> /dev/null
        find /opt/esr /zoo /data -perm /o+w -not -type l
        id -u"""
    run = container("-c", script, options=("--entrypoint", "sh"))
    assert run.stdout.split() == ["10001"]


def test_help_and_the_doctor_of_the_image(container):
    run = container("--help")
    assert run.returncode == 0
    assert "esr model=imdn" in run.stdout
    run = container("doctor", "--image", "--format", "json")
    assert run.returncode == 0, run.stdout + run.stderr
    findings = {found["check"]: found for found in json.loads(run.stdout)["findings"]}
    assert findings["user"]["message"] == "uid 10001"
    assert findings["out"]["status"] == "ok"


def test_one_network_on_the_demo_images_with_the_results_in_the_callers_folder(container):
    run = container("model=imdn", "timing=quick", "data.limit=1")
    assert run.returncode == 0, run.stderr
    assert "ratio to baseline" in run.stdout
    (record,) = container.records
    assert record.stat().st_uid == 10001
    document = json.loads(record.read_text())
    assert document["environment"]["container"] == "podman"
    assert document["environment"]["esr"]["commit"]
    ranked = container("rank", "/out")
    assert ranked.returncode == 0, ranked.stderr
    assert "imdn" in ranked.stdout


def test_without_a_mounted_folder_it_runs_all_the_same(container):
    run = container(*TINY, mount_out=False)
    assert run.returncode == 0, run.stderr
    assert "ratio to baseline" in run.stdout
    assert not container.records


def test_results_belong_to_the_uid_that_the_caller_names(container):
    run = container(*TINY, options=("--user", "4321:4321"))
    assert run.returncode == 0, run.stderr
    (record,) = container.records
    assert (record.stat().st_uid, record.stat().st_gid) == (4321, 4321)


def test_a_folder_that_the_uid_may_not_write_to_ends_in_one_line(container):
    container.out.chmod(0o700)
    run = container(*TINY)
    assert run.returncode == 2, run.stderr
    (line,) = [line for line in run.stderr.splitlines() if line.strip()]
    assert line.startswith("esr: ")
    assert "/out" in line
    assert "Permission denied" in line
    doctor = container("doctor")
    assert doctor.returncode == 1
    assert "--user $(id -u):$(id -g)" in doctor.stdout


def test_the_root_file_system_is_read_only(container):
    run = container("-c", "touch /opt/esr/mark /zoo/mark /home/mark", options=("--entrypoint", "sh"))
    assert run.returncode != 0
    assert run.stderr.count("Read-only file system") == 3


def test_a_network_is_contained_without_any_capability(container):
    options = (
        "--entrypoint",
        PYTHON,
        "--volume",
        f"{ROOT / 'tests'}:/tests:ro",
        "-e",
        "PYTHONPATH=/tests",
    )
    run = container("/tests/helpers/contained.py", "{}", options=options)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert {"Landlock", "seccomp", "sealed", "no new privileges"} <= set(found["layers"])
    done = {attempt for attempt, result in found["first"].items() if result == "done"}
    assert done == ALLOWED | BEFORE_SEALING
    assert (found["strays"], found["left"], found["scratch_left"]) == (0, 0, False)
    run = container(*TINY, "sandbox=require")
    assert run.returncode == 0, run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "tests", ["test_containment.py", "test_protocol.py test_watch.py test_in_a_process.py", "test_honest.py"]
)
def test_cheats_are_caught_and_honest_networks_are_not_without_any_capability(container, tests):
    """The same tests as on the host, as the image's own user; pytest is the one thing that the image lacks."""
    packages, sources = container.folder / "packages", container.folder / "tests"
    version = container("-c", "import sys; print(*sys.version_info[:2], sep='.')", options=("--entrypoint", PYTHON))
    wanted = [f"{name}=={metadata.version(name)}" for name in ("pytest", "pytest-timeout", "hypothesis")]
    choice = ["--only-binary=:all:", "--python-version", version.stdout.strip(), "--target", str(packages)]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *choice, *wanted], check=True)
    shutil.copytree(ROOT / "tests", sources, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", container.folder)
    options = ("--entrypoint", PYTHON, "-e", f"PYTHONPATH={INSIDE}/packages", "-e", "OMP_NUM_THREADS=1",
               "-e", "ESR_TEST_HONEST=1", "--unsetenv", "ESR_OUT")  # fmt: skip
    files = [f"tests/cheats/{name}" for name in tests.split()]
    run = container(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--basetemp=/out/t",
        "-k",
        WITH_LANDLOCK,
        *files,
        options=options,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


@pytest.mark.slow
def test_a_submissions_packages_and_operator_in_an_image_of_its_own(podman, image, container):
    folder = container.folder / "Team 07"
    (folder / "ops").mkdir(parents=True)
    for name, text in OPERATOR.items():
        (folder / name).write_text(text)
    authority = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    environment = {"ENGINE": " ".join(podman.command), "IMAGE": image, "TAG": "localhost/esr-test:team",
                   **({"CA": authority} if authority else {})}  # fmt: skip
    command = ["sh", "docker/submission.sh", str(folder), "needs.txt", "ops", "--isolation=chroot"]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    words = ("model=Team 07/model.yaml", *TINY[1:], "sandbox=require")
    refused = container(*words)
    assert refused.returncode == 2
    assert "build: ops: nothing is compiled here; make an image of its own" in refused.stderr
    derived = replace(container, image="localhost/esr-test:team")
    run = derived(*words)
    assert run.returncode == 0, run.stderr
    tools = derived("-c", "command -v g++ cc gcc pip ninja; ls /opt/packages", options=("--entrypoint", "sh"))
    assert {"einops", "fourfold"} <= {name.partition(".")[0] for name in tools.stdout.split()}
    assert not {"setuptools", "wheel", "pip"} & set(tools.stdout.split())
    assert "/bin/" not in tools.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="the simulated GPU needs a C compiler")
def test_the_driver_library_is_found_inside(container):
    """As NVIDIA's runtime does it for the capability `utility`: the host's library, mounted."""
    library = build_stub(container.folder) / "libnvidia-ml.so.1"
    place = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
    run = container("doctor", "--format", "json", options=("--volume", f"{library}:{place}:ro"))
    findings = {found["check"]: found for found in json.loads(run.stdout)["findings"]}
    assert findings["nvml"]["status"] == "ok", run.stdout
    assert findings["gpu"]["status"] == "fail"  # there is a GPU, and this variant's torch has no CUDA
    run = container(*TINY, options=("--volume", f"{library}:{place}:ro"))
    assert run.returncode == 0, run.stderr
    (record,) = container.records
    assert json.loads(record.read_text())["environment"]["driver"]["version"] == "560.35.03"


def _running(podman, name):
    """Waits until the container measures: two workers beside the parent."""
    for _ in range(600):
        top = podman("top", name, "args", check=False).stdout
        if top.count("esr.evaluation.worker.child") >= 2:
            return
        time.sleep(0.2)
    pytest.fail(f"no workers in the container: {top}")


@pytest.mark.parametrize("word", ["kill --signal INT", "stop --time 20"])
def test_an_interrupt_reaches_the_first_process_and_leaves_records_whole(podman, container, word):
    assert container(*TINY).returncode == 0
    name = f"esr-test-{os.getpid()}"
    long = [*TINY, "timing.rounds=20000", "timing.max_seconds=1000"]
    command = container.words(*long, options=("--name", name))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _running(podman, name)
        time.sleep(2)
        start = time.monotonic()
        podman(*word.split(), name)
        _, err = process.communicate(timeout=30)
        elapsed = time.monotonic() - start
    finally:
        podman("rm", "--force", name, check=False)
    assert "interrupted" in err
    assert "Traceback" not in err
    assert process.returncode == 128 + signal.SIGINT
    assert elapsed < 2 + 3, f"{elapsed:.1f} s"  # two for us, three for podman's own
    (record,) = container.records
    assert json.loads(record.read_text())["verdict"]
    assert not list(container.out.rglob("*.part"))


def test_a_network_that_exceeds_the_memory_limit_is_recorded_as_failed(container):
    hungry = NETWORK.replace("torch.empty(1 << 60, dtype=torch.uint8)", "torch.ones(3 << 30, dtype=torch.uint8)")
    assert hungry != NETWORK
    (container.folder / "tiny.py").write_text(hungry)
    (container.folder / "hungry.yaml").write_text("_target_: tiny.Tiny\nargs: {fault: memory}\n")
    run = container("model=hungry.yaml", *TINY[1:], options=("--memory", "2g", "--memory-swap", "2g"))
    if "memory" in run.stderr and "cgroup" in run.stderr:
        pytest.skip(f"this kernel limits no memory: {run.stderr.strip()}")
    assert run.returncode == 1, run.stdout + run.stderr
    (record,) = container.records
    failure = json.loads(record.read_text())["networks"]["candidate"]["failure"]
    assert "SIGKILL" in failure["message"] or failure["kind"] == "out_of_memory"


def _evaluated_here(folder: Path, words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    esr = str(Path(sys.executable).with_name("esr"))
    return subprocess.run([esr, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=900)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_host_and_container_agree(container):
    """RLFN over IMDN inside and outside, on one machine: the same, by the margin that a user gets.

    Short turns: a shared machine changes its speed within seconds, which the networks must share. Images large enough
    that Python, which is another build in the container, does not matter beside the operators.
    Where that leaves it open, both are measured once more and for longer; an answer stands at once.
    """
    for number in range(2):
        save(container.folder / "images" / f"{number}.png", photograph(384, 384))
    words = ("model=rlfn", "weights=bundled", "baseline_weights=bundled", "data=folder", "data.root=images",
             "device.threads=1", "timing.block_s=0.1", "timing.processes=3")  # fmt: skip
    for seconds in (30, 100):
        longer = (*words, f"timing.max_seconds={seconds}")
        host, inside = container.folder / f"host-{seconds}", container.out / str(seconds)
        outside = _evaluated_here(container.folder, (*longer, f"out={host}"))
        assert outside.returncode == 0, outside.stderr
        contained = container(*longer, f"out=/out/{seconds}")
        assert contained.returncode == 0, contained.stderr
        compared = _evaluated_here(container.folder, ("compare", str(host), str(inside)))
        if compared.returncode != INCONCLUSIVE:
            break
    assert compared.returncode == SAME, compared.stdout + compared.stderr
    first, second = (json.loads(next(out.rglob("record.json")).read_text()) for out in (host, inside))
    for role in ("candidate", "baseline"):
        for part in ("quality", "complexity"):
            assert first["networks"][role][part] == second["networks"][role][part]
