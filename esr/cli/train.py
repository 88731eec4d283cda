"""`esr train`: trains a network on a folder of HR images, or goes on where an interrupted run stopped."""

import argparse
import sys
from collections.abc import Sequence

from esr.cli.parser import INTERRUPTED, Parser

_EPILOG = """\
  esr train model=imdn data_root=DIR                      the full recipe, for a GPU
  esr train model=imdn train=cpu data_root=DIR            the recipe of the bundled weights
  esr train model=my.yaml data_root=DIR init=first.safetensors l1.lr=1e-4
                                                          fine-tuning

The same command again goes on from the checkpoint in out=FOLDER. validate_root=DIR measures the weights now and
then. esr/training/config.py says what each key means, docs/training.md how to train.
"""


def main(arguments: Sequence[str]) -> int:
    """Trains; returns the exit code."""
    parser = Parser(
        prog="esr train",
        description="Trains a network on a folder of HR images.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="model, data_root, and what else to change"
    )
    options = parser.parse_args(list(arguments))

    # torch takes seconds to import, which `--help` and a mistake in the overrides need not wait for.
    from esr.training.config import compose  # noqa: PLC0415

    settings = compose(options.overrides)
    from esr.images.quality import decibels  # noqa: PLC0415
    from esr.training.loop import train  # noqa: PLC0415

    try:
        trained = train(settings, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("esr: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    quality = f", {decibels(trained.quality.psnr_y):.2f} dB luma" if trained.quality else ""
    print(f"{trained.weights}: {trained.steps} steps in {trained.seconds / 3600:.2f} h{quality}")
    return 0
