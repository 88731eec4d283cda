"""Checks: pure functions from the gathered state to findings, each with its remedy."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from esr.config.telemetry import TelemetryConf
from esr.doctor.state import BASELINE, GpuCondition, State
from esr.telemetry.findings import bit_names

Level = Literal["ok", "warn", "fail"]

SLOWDOWNS = ("hw_slowdown", "sw_thermal", "hw_thermal", "power_brake")
"""Clock reasons of an overheated or underpowered GPU: no measurement is valid then."""
LOW_CLOCK = 0.8
"""Fraction of the highest SM clock below which the clock of a busy GPU is reported as low."""
MIN_MEMORY = 3 << 30
"""Bytes for the parent, two workers with torch loaded, and their activations on the demo images."""
NVIDIA_SMI = "does nvidia-smi work on the host, and in the container?"


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    status: Level
    message: str
    remedy: str | None = None
    """Action that solves it; `None` where the status is `ok`."""


def _remedy(error: str, remedies: Mapping[str, str]) -> str | None:
    """Remedy of the first pattern that the error matches."""
    return next((remedies[one] for one in remedies if re.search(one, error, re.IGNORECASE)), None)


def torch_loads(state: State) -> Finding:
    """Torch can be imported."""
    torch = state.torch
    if torch.broken:
        return Finding("torch", "fail", f"torch cannot be used: {torch.broken}", "reinstall it: make setup")
    return Finding("torch", "ok", f"torch {torch.version}, {f'CUDA {torch.cuda}' if torch.cuda else 'a CPU build'}")


_CUDA_REMEDIES = {
    r"driver .*too old": "update the host's driver (560 or later for CUDA 12.6), or use a torch for an older CUDA",
    r"\b804\b|forward compatibility": "take cuda-compat off LD_LIBRARY_PATH: it is for data-centre GPUs only",
    r"\b999\b|unknown error": "restart the container; if that does not help, reload nvidia_uvm or reboot",
    r"\b802\b|not yet initialized": "start nvidia-fabricmanager on the host",
}


def gpu_is_usable(state: State) -> Finding:
    """Torch can use a GPU."""
    torch = state.torch
    if torch.gpu:
        return Finding("gpu", "ok", f"{torch.gpu.name}, compute capability {torch.gpu.compute_capability}")
    present = bool(state.gpus or state.device_files)
    if torch.cuda is None and not torch.broken and present:
        remedy = "install a CUDA build of torch, or use the default image"
        return Finding("gpu", "fail", "there is a GPU, but this torch is a CPU build", remedy)
    known = _remedy(torch.error or "", _CUDA_REMEDIES)
    if torch.error and (present or known):
        return Finding("gpu", "fail", f"torch cannot use the GPU: {torch.error}", known or NVIDIA_SMI)
    remedy = "on a machine with a GPU: is its driver loaded (nvidia-smi)?"
    if state.container:
        remedy = "docker run --gpus all …, podman run --device nvidia.com/gpu=all …"
    message = "no GPU is visible: runs use the CPU, whose milliseconds are not comparable with published ones"
    return Finding("gpu", "warn", message, remedy)


def driver_is_new_enough(state: State) -> Finding | None:
    """The driver supports the CUDA version that torch was built with."""
    has, needs = _version(state.driver.cuda), _version(state.torch.cuda)
    if has is None or needs is None:
        return None
    message = f"driver {state.driver.version} supports CUDA {state.driver.cuda}, torch is built with {state.torch.cuda}"
    if has[0] < needs[0]:
        return Finding("driver", "fail", message, "update the host's driver, or use a torch for an older CUDA")
    if has < needs:
        remedy = "update the host's driver; until then start the image with -e NVIDIA_DISABLE_REQUIRE=1"
        return Finding("driver", "warn", f"{message}: minor versions are mostly compatible", remedy)
    return Finding("driver", "ok", message)


def _version(text: str | None) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None


def torch_has_kernels(state: State) -> Finding | None:
    """Torch was compiled for the GPU's compute capability."""
    if not state.torch.gpu or not state.torch.kernels:
        return None
    capability = state.torch.gpu.compute_capability or ""
    if runs_on(state.torch.kernels, capability):
        return Finding("kernels", "ok", f"torch has kernels for compute capability {capability}")
    message = f"torch has no kernels for compute capability {capability}, only {' '.join(state.torch.kernels)}"
    return Finding("kernels", "fail", message, "Pascal to Hopper: the default image; newer GPUs: docker/README.md")


def runs_on(kernels: Iterable[str], capability: str) -> bool:
    """True if one of the compiled kernels runs on a GPU.

    Machine code (`sm_86`) runs on its major version from its minor version on, and with a letter (`sm_90a`) on that
    GPU only; the driver compiles `compute_90` for everything newer.

    >>> runs_on(["sm_60", "sm_70"], "6.1"), runs_on(["sm_75"], "6.1"), runs_on(["compute_70"], "9.0")
    (True, False, True)
    """
    version = _version(capability)
    return version is not None and any(_fits(kernel, version) for kernel in kernels)


def _fits(kernel: str, version: tuple[int, int]) -> bool:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", kernel)
    if match is None:
        return False
    built = (int(match[2]), int(match[3]))
    if match[4]:
        return built == version
    return built <= version and (match[1] == "compute" or built[0] == version[0])


_NVML_REMEDIES = {
    r"mismatch": "the driver was updated while the system was running: reboot the host, then restart the container",
    r"unknown": "the container lost its GPU, as after a reload of the host's daemons: restart it",
    r"lost|reset|uninitialized": "the GPU is off the bus or needs a reset: look for an Xid in dmesg; reboot the host",
}
"""Pattern in NVML's error -> remedy, for errors with which no run can succeed."""


def nvml_answers(state: State) -> Finding | None:
    """Clocks, temperature and power can be monitored."""
    gone = [f"GPU {gpu.index}: {gpu.gone}" for gpu in used_gpus(state) if gpu.gone]
    error = state.driver.error or "; ".join(gone)
    if remedy := _remedy(error, _NVML_REMEDIES):
        return Finding("nvml", "fail", f"NVML: {error}", remedy)
    if not error and state.gpus:
        return Finding("nvml", "ok", f"{len(state.gpus)} GPU(s) monitored through NVML")
    if not (state.torch.gpu or state.device_files):
        return None  # no GPU to monitor
    message = f"the GPU cannot be monitored, so no run can be called clean (NVML: {error or 'it shows no GPU'})"
    remedy = NVIDIA_SMI
    if "not found" in error.lower():
        remedy = "-e NVIDIA_DRIVER_CAPABILITIES=compute,utility: `utility` brings NVML into a container"
    return Finding("nvml", "warn", message, remedy)


def one_gpu(state: State) -> Finding | None:
    """A single GPU is visible, so it is clear which one is measured."""
    count = state.torch.count or len(state.gpus)
    if count <= 1:
        return Finding("one gpu", "ok", "one GPU is visible") if count else None
    remedy = "docker run --gpus '\"device=0\"' …, CUDA_VISIBLE_DEVICES=UUID, or device.index=N"
    message = f"{count} GPUs are visible, of which the one with index {state.index} is measured"
    return Finding("one gpu", "warn", message, remedy)


def used_gpus(state: State) -> Sequence[GpuCondition]:
    """The GPU that torch will use; all GPUs if that is not known."""
    uuid = ((state.torch.gpu and state.torch.gpu.uuid) or "").removeprefix("GPU-")
    return [gpu for gpu in state.gpus if uuid and (gpu.uuid or "").removeprefix("GPU-") == uuid] or state.gpus


def clocks_are_free(gpu: GpuCondition) -> Finding:
    """Nothing holds the GPU's clocks down."""
    name, reasons = f"GPU {gpu.index}", bit_names(gpu.reasons or 0)
    if slowed := [reason for reason in reasons if reason in SLOWDOWNS]:
        remedy = "check its cooling and its power supply, and wait until it is cool"
        return Finding("clocks", "fail", f"{name} is held back by {', '.join(slowed)}", remedy)
    limit, default = gpu.power_limit_w, gpu.default_power_limit_w
    if limit and default and limit < default:
        message = f"{name}'s power is limited to {limit:.0f} W, below its default of {default:.0f} W"
        return Finding("clocks", "warn", message, f"on the host: nvidia-smi -i {gpu.index} -pl {default:.0f}")
    if "power_cap" in reasons:
        return Finding("clocks", "warn", f"{name} is held back by its power limit", "let it idle, then run again")
    if "application_clocks" in reasons:
        remedy = f"on the host: nvidia-smi -i {gpu.index} -rac"
        return Finding("clocks", "warn", f"{name}'s clock is set by application clocks", remedy)
    if gpu.sm_mhz and gpu.max_sm_mhz and "idle" not in reasons and gpu.sm_mhz < LOW_CLOCK * gpu.max_sm_mhz:
        message = f"{name} is busy, yet its SM clock is {gpu.sm_mhz:.0f} of {gpu.max_sm_mhz:.0f} MHz"
        return Finding("clocks", "warn", message, "nvidia-smi -q -d CLOCK,PERFORMANCE shows the reason")
    return Finding("clocks", "ok", f"nothing holds {name}'s clock down")


def persistence_is_on(gpu: GpuCondition) -> Finding | None:
    """Persistence mode keeps the driver loaded; without it each run starts cold."""
    if gpu.persistence is None:
        return None
    if gpu.persistence:
        return Finding("persistence", "ok", f"GPU {gpu.index} keeps its driver loaded")
    remedy = "on the host: nvidia-smi -pm 1, or run nvidia-persistenced"
    return Finding("persistence", "warn", f"persistence mode is off on GPU {gpu.index}", remedy)


def gpu_is_ours(gpu: GpuCondition) -> Finding | None:
    """No other process competes for the GPU's time and cache."""
    if gpu.processes is None:
        return None
    if not gpu.processes:
        return Finding("alone", "ok", f"no other process computes on GPU {gpu.index}")
    message = f"other processes compute on GPU {gpu.index}: PID {', '.join(map(str, gpu.processes))}"
    return Finding("alone", "fail", message, "wait for them, or choose another GPU")


def out_is_writable(state: State) -> Finding:
    """Results can be written."""
    if state.out_error is None:
        return Finding("out", "ok", f"results can be written to {state.out}")
    remedy = "choose another folder with out=DIR"
    if state.container:
        remedy = f"mount a folder that uid {state.uid} may write to: -v DIR:/out, and --user $(id -u):$(id -g)"
    return Finding("out", "fail", f"results cannot be written to {state.out} ({state.out_error})", remedy)


def weights_are_there(state: State) -> Finding:
    """Published weights are present, above all the baseline's, on which every ratio rests."""
    count = f"published weights of {state.weights_here} of {state.weights_all} networks are present"
    if state.baseline_here:
        return Finding("weights", "ok", count)
    remedy = "mount them: -v DIR:/zoo:ro, or esr fetch --all" if state.container else "esr fetch --all"
    if state.baseline_bundled:
        message = f"{count}, {BASELINE}'s are not: bundled weights (lower PSNR than published) are used instead"
        return Finding("weights", "warn", message, remedy)
    return Finding("weights", "fail", f"{count}, and none of {BASELINE}, the baseline", remedy)


def memory_suffices(state: State) -> Finding:
    """The control group, or the machine, has enough memory."""
    size = f"{state.memory_bytes / 2**30:.1f} GiB of memory"
    if state.memory_limited:
        size += ", limited by a control group"
    if state.memory_bytes >= MIN_MEMORY:
        return Finding("memory", "ok", size)
    remedy = "docker run --memory 8g …, or the scheduler's --mem" if state.memory_limited else "close other programs"
    return Finding("memory", "warn", f"{size}: below the {MIN_MEMORY >> 30} GiB that two workers need", remedy)


def cores_are_whole(state: State) -> Finding:
    """No CPU quota: one that is used up stops all threads for the rest of its period, even in the middle of a pass."""
    if state.cpu_limit is None or state.cpu_limit >= state.cores:
        return Finding("cores", "ok", f"{state.cores} core(s), without a quota")
    message = f"a quota of {state.cpu_limit:g} core(s) over {state.cores} visible ones stops threads in a pass"
    return Finding("cores", "warn", message, "give whole cores instead: docker run --cpuset-cpus 0-3 …")


_SANDBOX_REMEDIES = {
    "Landlock": "a kernel from 5.13 on with Landlock in its list of security modules (lsm=landlock,…)",
    "seccomp": "a kernel from 5.7 on, x86-64 or 64-bit ARM; a container engine must not filter seccomp(2) itself",
}
"""Layer -> its condition."""


def host_is_idle(state: State) -> Finding | None:
    """Other processes take turns of the cores from the networks and from the launches of a GPU's work."""
    if state.host_load is None:
        return None
    limit = TelemetryConf().host_load
    used = f"other processes use {state.host_load * 100:.0f} % of the cores"
    if state.host_load <= limit:
        return Finding("load", "ok", used)
    remedy = f"wait for them to end: above {limit * 100:g} % during timing, a record is tainted by host_load"
    return Finding("load", "warn", used, remedy)


def networks_are_contained(state: State) -> Finding:
    """A network's code is kept from files, processes and sockets."""
    held = state.sandbox
    without = f"; without {', '.join(held.missing)}" if held.missing else ""
    if fault := held.essential_fault(sealed=True):
        remedy = next((text for layer, text in _SANDBOX_REMEDIES.items() if layer in fault), "docs/sandbox.md")
        return Finding("sandbox", "warn", f"a network's code is not fully contained: {fault}", remedy)
    return Finding("sandbox", "ok", f"a network's code is contained: {', '.join(held.layers)}{without}")


def not_root(state: State) -> Finding:
    """An image runs without privileges."""
    if state.uid:
        return Finding("user", "ok", f"uid {state.uid}")
    return Finding("user", "fail", "the image runs as root", "USER in the Dockerfile")


def no_build_tools(state: State) -> Finding:
    """An image contains no build tools."""
    if not state.build_tools:
        return Finding("tools", "ok", "no build tools")
    return Finding("tools", "fail", f"build tools in the image: {', '.join(state.build_tools)}", "the final stage")


Check = Callable[[State], Finding | list[Finding] | None]


def _of_each_gpu(check: Callable[[GpuCondition], Finding | None]) -> Check:
    """A check of each GPU that may be measured."""
    return lambda state: [found for gpu in used_gpus(state) if (found := check(gpu))]


MACHINE: tuple[Check, ...] = (
    torch_loads,
    gpu_is_usable,
    driver_is_new_enough,
    torch_has_kernels,
    nvml_answers,
    one_gpu,
    *map(_of_each_gpu, (clocks_are_free, persistence_is_on, gpu_is_ours)),
    out_is_writable,
    weights_are_there,
    memory_suffices,
    cores_are_whole,
    host_is_idle,
    networks_are_contained,
)
IMAGE: tuple[Check, ...] = (torch_loads, out_is_writable, weights_are_there, not_root, no_build_tools)
"""Checks of an image that need no GPU and hold wherever it was built."""


def examine(state: State, checks: Iterable[Check] = MACHINE) -> list[Finding]:
    """Findings in the order of the checks; a check that does not apply yields none."""
    findings: list[Finding] = []
    for check in checks:
        found = check(state)
        findings += found if isinstance(found, list) else [found] if found else []
    return findings


def worst(findings: Sequence[Finding]) -> Level:
    """Most severe status among the findings."""
    statuses = {finding.status for finding in findings}
    return "fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok"
