"""From what was gathered to findings: pure functions, each for one thing that spoils a run, each with its remedy."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from esr.doctor.state import BASELINE, GpuState, State
from esr.telemetry.findings import bit_names

Status = Literal["ok", "warn", "fail"]

SLOWDOWNS = ("hw_slowdown", "sw_thermal", "hw_thermal", "power_brake")
"""With these a GPU says that it is too hot or short of power: nothing measured then holds."""
LOW_CLOCK = 0.8
"""Fraction of the highest SM clock below which a busy GPU's clock is called low."""
MIN_MEMORY = 3 << 30
"""Bytes: the parent, two workers with torch loaded, and their activations on the demo images."""


@dataclass(frozen=True)
class Finding:
    """What one check found; `remedy` says what to do about it."""

    check: str
    status: Status
    message: str
    remedy: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def _ok(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def torch_loads(state: State) -> Finding:
    """Whether there is a torch at all."""
    if state.torch.broken:
        return Finding(
            "torch", "fail", f"torch cannot be used: {state.torch.broken}", "install it again, make setup"
        )
    built = f"CUDA {state.torch.cuda}" if state.torch.cuda else "a CPU build"
    return _ok("torch", f"torch {state.torch.version}, {built}")


def gpu_is_usable(state: State) -> Finding:
    """Whether torch sees a GPU, and if not, what stands in between."""
    torch = state.torch
    if torch.gpu:
        return _ok(
            "gpu", f"{torch.gpu.get('name')}, compute capability {torch.gpu.get('compute_capability')}"
        )
    present = bool(state.gpus or state.device_files)
    if torch.cuda is None and not torch.broken and present:
        remedy = "install a CUDA build of torch, or use the default image"
        return Finding("gpu", "fail", "there is a GPU, but this torch is a CPU build", remedy)
    if torch.error and (present or _is_known(torch.error)):
        return Finding("gpu", "fail", f"torch cannot use the GPU: {torch.error}", _gpu_remedy(torch.error))
    remedy = "on a machine with a GPU: is its driver loaded (nvidia-smi)?"
    if state.container:
        remedy = "docker run --gpus all …, podman run --device nvidia.com/gpu=all …"
    what = "no GPU is visible: runs use the CPU, whose milliseconds compare with no published ones"
    return Finding("gpu", "warn", what, remedy)


_KNOWN = (
    (
        r"driver .*too old",
        "update the host's driver (560 or later for CUDA 12.6), or use a torch for an older CUDA",
    ),
    (
        r"\b804\b|forward compatibility",
        "take cuda-compat off LD_LIBRARY_PATH: it is for data-centre GPUs only",
    ),
    (
        r"\b999\b|unknown error",
        "start the container anew; where that does not help: reload nvidia_uvm, or reboot",
    ),
    (r"\b802\b|not yet initialized", "start nvidia-fabricmanager on the host"),
)


def _is_known(error: str) -> bool:
    return any(re.search(pattern, error, re.IGNORECASE) for pattern, _ in _KNOWN)


def _gpu_remedy(error: str) -> str:
    found = (remedy for pattern, remedy in _KNOWN if re.search(pattern, error, re.IGNORECASE))
    return next(found, "does nvidia-smi work on the host, and in the container?")


def driver_is_new_enough(state: State) -> Finding | None:
    """The newest CUDA of the driver against the one torch was built with."""
    has, needs = _version(state.driver.cuda), _version(state.torch.cuda)
    if has is None or needs is None:
        return None
    told = f"driver {state.driver.version} knows CUDA {state.driver.cuda}, torch is built with {state.torch.cuda}"
    if has[0] < needs[0]:
        return Finding("driver", "fail", told, "update the host's driver, or use a torch for an older CUDA")
    if has < needs:
        remedy = "update the host's driver; until then the image starts with -e NVIDIA_DISABLE_REQUIRE=1 only"
        return Finding("driver", "warn", f"{told}: minor versions are compatible, mostly", remedy)
    return _ok("driver", told)


def _version(text: str | None) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None


def torch_has_kernels(state: State) -> Finding | None:
    """Whether torch was compiled for this GPU's compute capability."""
    if not state.torch.gpu or not state.torch.kernels:
        return None
    capability = str(state.torch.gpu.get("compute_capability"))
    kernels = " ".join(state.torch.kernels)
    if runs_on(state.torch.kernels, capability):
        return _ok("kernels", f"torch has kernels for compute capability {capability}")
    what = f"torch has no kernels for compute capability {capability}, only {kernels}"
    return Finding(
        "kernels", "fail", what, "Pascal to Hopper: the default image; newer GPUs: docker/README.md"
    )


def runs_on(kernels: Iterable[str], capability: str) -> bool:
    """Whether compiled kernels run on a GPU.

    Machine code (`sm_86`) runs on its major version from its minor version on, and with a letter (`sm_90a`) on that
    GPU alone; `compute_90` is compiled by the driver for everything newer.

    >>> runs_on(["sm_60", "sm_70"], "6.1"), runs_on(["sm_75"], "6.1"), runs_on(["compute_70"], "9.0")
    (True, False, True)
    """
    version = _version(capability)
    if version is None:
        return False
    for kernel in kernels:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", kernel)
        if match is None:
            continue
        built = (int(match[2]), int(match[3]))
        if match[4]:
            fits = built == version
        elif match[1] == "sm":
            fits = built[0] == version[0] and built[1] <= version[1]
        else:
            fits = built <= version
        if fits:
            return True
    return False


_NVML_FAILS = (
    (
        r"mismatch",
        "the driver was updated under the running system: reboot the host, then start the container anew",
    ),
    (r"unknown", "the container lost its GPU, as after a reload of the host's daemons: start it anew"),
    (
        r"lost|reset|uninitialized",
        "the GPU fell off its bus or needs a reset: dmesg names an Xid; reboot the host",
    ),
)
"""What NVML says, and what helps, where no run can succeed."""


def nvml_answers(state: State) -> Finding | None:
    """Whether clocks, temperature and power can be watched."""
    gone = [f"GPU {gpu.index}: {gpu.gone}" for gpu in used_gpus(state) if gpu.gone]
    error = state.driver.error or "; ".join(gone)
    for pattern, remedy in _NVML_FAILS:
        if re.search(pattern, error, re.IGNORECASE):
            return Finding("nvml", "fail", f"NVML: {error}", remedy)
    if not error and state.gpus:
        return _ok("nvml", f"{len(state.gpus)} GPU(s) watched through NVML")
    if not (state.torch.gpu or state.device_files):
        return None  # no GPU, so nothing is missed
    what = f"the GPU cannot be watched, so no run can be called clean (NVML: {error or 'it shows no GPU'})"
    remedy = "does nvidia-smi work on the host, and in the container?"
    if "not found" in error.lower():
        remedy = "-e NVIDIA_DRIVER_CAPABILITIES=compute,utility: `utility` brings NVML into a container"
    return Finding("nvml", "warn", what, remedy)


def one_gpu(state: State) -> Finding | None:
    """More than one visible GPU leaves open which one is measured."""
    count = state.torch.count or len(state.gpus)
    if count <= 1:
        return _ok("one gpu", "one GPU is visible") if count else None
    remedy = "docker run --gpus '\"device=0\"' …, CUDA_VISIBLE_DEVICES=UUID, or device.index=N"
    which = f"{count} GPUs are visible, of which the one with index {state.index} is measured"
    return Finding("one gpu", "warn", which, remedy)


def used_gpus(state: State) -> Sequence[GpuState]:
    """The GPU that torch will use; all of them where that is not known."""
    uuid = str((state.torch.gpu or {}).get("uuid") or "").removeprefix("GPU-")
    return [gpu for gpu in state.gpus if uuid and (gpu.uuid or "").removeprefix("GPU-") == uuid] or state.gpus


def clocks_are_free(state: State) -> list[Finding]:
    """Whether something holds the GPU's clock down."""
    return [_clock(gpu) for gpu in used_gpus(state)]


def _clock(gpu: GpuState) -> Finding:
    name, reasons = f"GPU {gpu.index}", bit_names(gpu.reasons or 0)
    slowed = [reason for reason in reasons if reason in SLOWDOWNS]
    if slowed:
        remedy = "see to its cooling and its power supply, and wait until it is cool"
        return Finding("clocks", "fail", f"{name} is held back by {', '.join(slowed)}", remedy)
    if gpu.power_limit_w and gpu.default_power_limit_w and gpu.power_limit_w < gpu.default_power_limit_w:
        limit, default = f"{gpu.power_limit_w:.0f} W", f"{gpu.default_power_limit_w:.0f}"
        remedy = f"on the host: nvidia-smi -i {gpu.index} -pl {default}"
        return Finding(
            "clocks", "warn", f"{name}'s power is capped at {limit}, below its own {default} W", remedy
        )
    if "power_cap" in reasons:
        return Finding(
            "clocks", "warn", f"{name} is held back by its power limit", "let it idle, then run again"
        )
    if "application_clocks" in reasons:
        remedy = f"on the host: nvidia-smi -i {gpu.index} -rac"
        return Finding("clocks", "warn", f"{name}'s clock is set by application clocks", remedy)
    idle = "idle" in reasons
    if gpu.sm_mhz and gpu.max_sm_mhz and not idle and gpu.sm_mhz < LOW_CLOCK * gpu.max_sm_mhz:
        what = f"{name} is busy, yet its SM clock is {gpu.sm_mhz:.0f} of {gpu.max_sm_mhz:.0f} MHz"
        return Finding("clocks", "warn", what, "nvidia-smi -q -d CLOCK,PERFORMANCE says what holds it down")
    return _ok("clocks", f"nothing holds {name}'s clock down")


def persistence_is_on(state: State) -> list[Finding]:
    """Without persistence the driver is unloaded between runs, and each starts cold."""
    remedy = "on the host: nvidia-smi -pm 1, or run nvidia-persistenced"
    return [
        _ok("persistence", f"GPU {gpu.index} keeps its driver loaded")
        if gpu.persistence
        else Finding("persistence", "warn", f"persistence mode is off on GPU {gpu.index}", remedy)
        for gpu in used_gpus(state)
        if gpu.persistence is not None
    ]


def gpu_is_ours(state: State) -> list[Finding]:
    """Another process on the GPU takes its time and its cache."""
    findings = []
    for gpu in used_gpus(state):
        if gpu.processes:
            pids = ", ".join(map(str, gpu.processes))
            remedy = "wait for them, or choose another GPU"
            findings.append(
                Finding("alone", "fail", f"others compute on GPU {gpu.index}: PID {pids}", remedy)
            )
        elif gpu.processes is not None:
            findings.append(_ok("alone", f"nobody else computes on GPU {gpu.index}"))
    return findings


def out_is_writable(state: State) -> Finding:
    """Whether results can be written at all."""
    if state.out_error is None:
        return _ok("out", f"results can be written to {state.out}")
    remedy = "choose another folder with out=DIR"
    if state.container:
        remedy = (
            f"mount a folder that uid {state.uid} may write to: -v DIR:/out, and --user $(id -u):$(id -g)"
        )
    return Finding("out", "fail", f"results cannot be written to {state.out} ({state.out_error})", remedy)


def weights_are_there(state: State) -> Finding:
    """The baseline's published weights first: every ratio stands on them."""
    count = f"published weights of {state.weights_here} of {state.weights_all} networks are here"
    if state.baseline_here:
        return _ok("weights", count)
    place = "mount them: -v DIR:/zoo:ro, or esr fetch --all" if state.container else "esr fetch --all"
    if state.baseline_bundled:
        what = f"{count}, {BASELINE}'s not: bundled ones stand in, whose quality is below the published"
        return Finding("weights", "warn", what, place)
    return Finding("weights", "fail", f"{count}, and none of {BASELINE}, the baseline", place)


def memory_suffices(state: State) -> Finding:
    """Whether the control group, or the machine, leaves enough memory."""
    size = f"{state.memory_bytes / 2**30:.1f} GiB of memory"
    whose = f"{size}, by a control group's limit" if state.memory_limited else size
    if state.memory_bytes >= MIN_MEMORY:
        return _ok("memory", whose)
    what = f"{whose}: below the {MIN_MEMORY >> 30} GiB that two workers need"
    remedy = (
        "docker run --memory 8g …, or the scheduler's --mem"
        if state.memory_limited
        else "close other programs"
    )
    return Finding("memory", "warn", what, remedy)


def cores_are_whole(state: State) -> Finding:
    """A quota stops all threads for the rest of a period when it is used up, in the midst of a pass."""
    if state.cpu_limit is None or state.cpu_limit >= state.cores:
        return _ok("cores", f"{state.cores} core(s), without a quota")
    what = (
        f"a quota of {state.cpu_limit:g} core(s) over {state.cores} that are visible stops threads in a pass"
    )
    return Finding("cores", "warn", what, "give whole cores instead: docker run --cpuset-cpus 0-3 …")


def not_root(state: State) -> Finding:
    """An image's process needs no privileges."""
    if state.uid:
        return _ok("user", f"uid {state.uid}")
    return Finding("user", "fail", "the image runs as root", "USER in the Dockerfile")


def no_build_tools(state: State) -> Finding:
    """What built the image has no business in it."""
    if not state.build_tools:
        return _ok("tools", "no build tools")
    return Finding(
        "tools", "fail", f"build tools in the image: {', '.join(state.build_tools)}", "the final stage"
    )


Check = Callable[[State], Finding | list[Finding] | None]
MACHINE: tuple[Check, ...] = (
    torch_loads,
    gpu_is_usable,
    driver_is_new_enough,
    torch_has_kernels,
    nvml_answers,
    one_gpu,
    clocks_are_free,
    persistence_is_on,
    gpu_is_ours,
    out_is_writable,
    weights_are_there,
    memory_suffices,
    cores_are_whole,
)
IMAGE: tuple[Check, ...] = (torch_loads, out_is_writable, weights_are_there, not_root, no_build_tools)
"""What holds of an image wherever it was built: no GPU is needed to tell."""


def examine(state: State, checks: Iterable[Check] = MACHINE) -> list[Finding]:
    """All findings, in the order of the checks; one that does not apply says nothing."""
    findings: list[Finding] = []
    for check in checks:
        found = check(state)
        findings += found if isinstance(found, list) else [found] if found else []
    return findings


def worst(findings: Sequence[Finding]) -> Status:
    """The status of the whole."""
    statuses = {finding.status for finding in findings}
    return "fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok"
