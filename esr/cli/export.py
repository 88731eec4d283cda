"""`esr export`: a network with its weights as a file for other software."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from esr.cli.parser import Parser
from esr.errors import ConfigError
from esr.text import did_you_mean

_KEYS = ("model", "format", "out", "weights")

_EPILOG = """\
  esr export model=rlfn format=onnx                  rlfn.onnx
  esr export model=imdn format=torchscript out=FILE
  esr export model=my.yaml format=safetensors weights=PATH
                                                     the weights under esr's own names

weights=auto|published|bundled|random|PATH as for a measurement. Input and output are 1×3×H×W and 1×3×4H×4W, from 0
to the network's data range. ONNX needs pip install 'esr[export]'. docs/networks.md says which sizes a file takes.
"""


def main(arguments: Sequence[str]) -> int:
    """Exports; returns the exit code."""
    parser = Parser(
        prog="esr export",
        description="Writes a network with its weights as ONNX, TorchScript or safetensors.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="model, format, out, weights")
    settings = _parsed(parser.parse_args(list(arguments)).settings)

    # torch takes seconds to import, which `--help` and a mistake in the words need not wait for.
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.config.schema import EsrConf, network_name, typed  # noqa: PLC0415
    from esr.networks import build as networks  # noqa: PLC0415
    from esr.networks import export  # noqa: PLC0415
    from esr.zoo import weights as zoo  # noqa: PLC0415

    model = typed(EsrConf, composition.compose([f"model={settings['model']}"])).model
    suffix = export.SUFFIXES.get(settings["format"])
    if suffix is None:
        raise ConfigError(f"format={settings['format']}: {did_you_mean(settings['format'], export.SUFFIXES)}")
    target = _target(settings.get("out", network_name(model) + suffix))
    weights = zoo.resolve(model, settings.get("weights", "auto"))
    network = networks.build(model)
    networks.load(network, model, weights)
    exported = export.export(network, settings["format"])
    export.write(exported.content, target)
    height, width = export.EXAMPLE
    sizes = "images of any size" if exported.any_size else f"images of {height}×{width} pixels only"
    loaded = f"weights of {weights.path}" if weights.source == "path" else f"{weights.source} weights"
    print(
        f"{target}: {len(exported.content):,} bytes, {weights.note or loaded}; {sizes}, "
        f"values from 0 to {model.data_range:g}"
    )
    return 0


def _target(out: str) -> Path:
    try:
        return Path(out).expanduser()
    except RuntimeError:
        raise ConfigError(f"out={out}: there is no such home folder; choose another file") from None


def _parsed(words: Sequence[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise ConfigError(f"{word}: write it KEY=VALUE, with one of {', '.join(_KEYS)}")
        if key not in _KEYS:
            raise ConfigError(f"{key}: no such key; {did_you_mean(key, _KEYS)}")
        settings[key] = value
    for key, example in (("model", "rlfn"), ("format", "onnx")):
        if key not in settings:
            raise ConfigError(f"nothing to export: add {key}=…, for example {key}={example}")
    return settings
