"""NVML, the driver's own library, through nvidia-ml-py."""

from typing import Any


def driver() -> dict[str, Any]:
    """The NVIDIA driver's version and newest CUDA, or why they are not known.

    Returns:
        `version`, `cuda` and `error`; `error` is none where NVML answered.
    """
    import pynvml  # noqa: PLC0415 - only a machine with a driver gains from it

    try:
        pynvml.nvmlInit()
        try:
            cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
            return {
                "version": pynvml.nvmlSystemGetDriverVersion(),
                "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
                "error": None,
            }
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        return {"version": None, "cuda": None, "error": str(error)}
