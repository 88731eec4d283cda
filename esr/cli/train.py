"""Trains a network on a folder of HR images.

  esr train model=imdn data_root=DIR                      the full recipe, for a GPU
  esr train model=imdn train=cpu data_root=DIR            the recipe of the bundled weights
  esr train model=my.yaml data_root=DIR init=first.safetensors l1.lr=1e-4
                                                          fine-tuning

The same command resumes from the checkpoint in out=FOLDER. validate_root=DIR measures the weights at intervals.
esr config --train explains every key, docs/training.md the training.
"""

import argparse

from esr.cli import signals
from esr.cli.advice import refuse_bare_words
from esr.cli.parser import Parser, key_values
from esr.text import printable


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.keys = ("model", "train", "data_root", "validate_root", "init", "out")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="model, data_root, and whatever else changes")


def run(options: argparse.Namespace) -> int:
    """Trains; returns the exit code."""
    refuse_bare_words(["train"], options.overrides)
    key_values(options.overrides)

    # torch takes seconds to import, which `--help` and usage errors do without.
    from esr.training.config import compose  # noqa: PLC0415

    settings = compose(options.overrides)
    from esr.images.quality import decibels  # noqa: PLC0415
    from esr.training.loop import train  # noqa: PLC0415

    with signals.at_once("rerun to resume from the last checkpoint"):
        trained = train(settings, lambda line: print(printable(line), flush=True))
    quality = f", {decibels(trained.quality.psnr_y):.2f} dB luma" if trained.quality else ""
    print(f"{trained.weights}: {trained.steps} steps in {trained.seconds / 3600:.2f} h{quality}")
    return 0
