"""Torch and the GPU it can use, printed as one line of JSON by a process of its own, since torch may fail to load.

`python -m esr.doctor.torch_probe INDEX`
"""

import sys
import warnings
from dataclasses import dataclass, replace

import msgspec

from esr.errors import DeviceError
from esr.records.network import Device


@dataclass(frozen=True)
class TorchState:
    """Torch and the GPU it can use."""

    version: str | None = None
    cuda: str | None = None
    """CUDA version that torch was built with; `None` for a CPU build."""
    kernels: tuple[str, ...] = ()
    """Targets that torch was compiled for, such as `sm_60` or `compute_90`."""
    count: int = 0
    """Visible GPUs."""
    gpu: Device | None = None
    error: str | None = None
    """Error with which torch refuses the GPU."""
    broken: str | None = None
    """Error with which torch failed to load."""


def probe(index: int) -> TorchState:
    """Describes torch and the GPU of that index."""
    import torch  # noqa: PLC0415 - slow, and the reason for this process

    from esr.networks.devices import open_device  # noqa: PLC0415

    found = TorchState(str(torch.__version__), torch.version.cuda)
    if torch.version.cuda is None:
        return found
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            gpu = open_device("cuda", index).fingerprint()
            kernels = tuple(torch.cuda.get_arch_list())
            return replace(found, gpu=gpu, kernels=kernels, count=torch.cuda.device_count())
        except (DeviceError, RuntimeError) as error:
            # The driver's message comes as a warning.
            reasons = [str(warning.message) for warning in raised] or [str(error)]
            return replace(found, error=" ".join(" ".join(reasons).split()))


if __name__ == "__main__":
    print(msgspec.json.encode(probe(int(sys.argv[1]))).decode())
