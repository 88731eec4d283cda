"""Ends a build whose torch is not the one that the image is labelled with, or cannot run where the image should.

usage: python gate.py VARIANT TORCH CUDA

No GPU is needed: which GPUs a torch has kernels for stands in the library itself.
"""

import sys

import torch

KERNELS = {"cu126": "sm_60"}
"""Variant -> the oldest kernels it must hold; sm_60 runs on every Pascal GPU, a Titan Xp (6.1) among them."""


def main(variant: str, version: str, cuda: str) -> None:
    """Checks; ends with one line that says what does not fit."""
    built_for = torch.version.cuda or "none"
    if (torch.__version__.partition("+")[0], built_for) != (version, cuda):
        sys.exit(f"gate: torch {torch.__version__} with CUDA {built_for} is here, not TORCH={version} with CUDA={cuda}")
    kernels = (getattr(torch._C, "_cuda_getArchFlags", lambda: None)() or "").split()
    wanted = KERNELS.get(variant)
    if wanted and wanted not in kernels:
        sys.exit(f"gate: this torch has no kernels for {wanted}, only {' '.join(kernels) or 'none'}")
    print(f"gate: torch {version}, CUDA {built_for}, kernels: {' '.join(kernels) or 'none'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
