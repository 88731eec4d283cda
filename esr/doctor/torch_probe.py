"""What torch is and which GPU it can use, as one line of JSON; a process of its own, since torch may not even load.

`python -m esr.doctor.torch_probe INDEX`
"""

import json
import sys
import warnings
from typing import Any

from esr.errors import DeviceError


def probe(index: int) -> dict[str, Any]:
    """Describes torch and the GPU of that index.

    Returns:
        `version`, `cuda` (none: a CPU build), `kernels` as `sm_60` or `compute_90`, `count` of the GPUs it sees,
        `gpu` as in a record's fingerprint, or none, and `error`: why it sees none.
    """
    import torch  # noqa: PLC0415 - slow, and the reason for this process

    from esr.networks.devices import open_device  # noqa: PLC0415

    found: dict[str, Any] = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "kernels": (getattr(torch._C, "_cuda_getArchFlags", lambda: None)() or "").split(),
        "count": 0,
        "gpu": None,
        "error": None,
    }
    if torch.version.cuda is None:
        return found
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found["gpu"] = open_device("cuda", index).fingerprint()
            found["count"] = torch._C._cuda_getDeviceCount()
        except (DeviceError, RuntimeError) as error:
            # The driver's own words come as a warning.
            reasons = [str(warning.message) for warning in said] or [str(error)]
            found["error"] = " ".join(" ".join(reasons).split())
    return found


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]))))
