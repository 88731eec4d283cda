"""Writes a network with its weights as ONNX, TorchScript or safetensors.

  esr export model=rlfn format=onnx                  rlfn.onnx
  esr export model=imdn format=torchscript out=FILE
  esr export model=my.yaml format=safetensors weights=PATH
                                                     the weights under esr's own names

weights=auto|published|bundled|random|PATH as in an evaluation. Input and output are 1×3×H×W and 1×3×4H×4W, from 0
to the network's data range. ONNX needs pip install onnx onnxscript. docs/networks.md lists the sizes a file takes.
"""

import argparse
from pathlib import Path

from esr.cli.advice import refuse_bare_words
from esr.cli.parser import Parser, key_values
from esr.errors import ConfigError
from esr.text import file_stem, shown_path

KEYS = ("model", "format", "out", "weights")


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.keys = KEYS
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=", ".join(KEYS))


def run(options: argparse.Namespace) -> int:
    """Exports; returns the exit code."""
    refuse_bare_words(["export"], options.settings, KEYS)
    settings = key_values(options.settings, KEYS)
    for key, example in (("model", "rlfn"), ("format", "onnx")):
        if key not in settings:
            raise ConfigError(f"nothing to export: add {key}=…, for example {key}={example}")

    # `--help` and usage errors do without.
    from esr.config.compose import compose  # noqa: PLC0415
    from esr.config.schema import network_name  # noqa: PLC0415
    from esr.evaluation import question  # noqa: PLC0415
    from esr.evaluation.worker.messages import ExportRequest  # noqa: PLC0415
    from esr.networks import formats  # noqa: PLC0415
    from esr.zoo import weights as zoo  # noqa: PLC0415

    model = compose([f"model={settings['model']}"]).model
    suffix = formats.SUFFIXES.get(settings["format"])
    if suffix is None:
        raise ConfigError(f"format={settings['format']}: no such format; known: {', '.join(formats.SUFFIXES)}")
    target = _target(settings.get("out", file_stem(network_name(model), "network") + suffix))
    weights = zoo.resolve(model, settings.get("weights", "auto"))
    with question.opened(model, weights) as (worker, network):
        exported = worker.ask(ExportRequest(network, settings["format"]))
    content = exported.content.tobytes()
    formats.write(content, target)
    height, width = formats.EXAMPLE
    sizes = "images of any size" if exported.any_size else f"images of {height}×{width} pixels only"
    loaded = f"weights of {weights.path}" if weights.source == "path" else f"{weights.source} weights"
    print(
        f"{shown_path(target)}: {len(content):,} bytes, {weights.note or loaded}; {sizes}, "
        f"values from 0 to {model.data_range:g}"
    )
    return 0


def _target(out: str) -> Path:
    try:
        return Path(out).expanduser()
    except RuntimeError:
        raise ConfigError(f"out={out}: there is no such home folder; choose another file") from None
