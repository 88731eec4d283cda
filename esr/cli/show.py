"""`esr show`: the networks there are; `esr show NETWORK`: its card and its layers, without weights or data."""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from esr.cli.parser import Parser
from esr.config.cards import Card, card, card_of_model, model_names
from esr.report.wording import number

if TYPE_CHECKING:
    from rich.table import Table

PIPED_WIDTH = 120
"""Columns where there is no terminal to ask."""
MIB = 2**20

_EPILOG = """\
The layer table counts on the given LR size; nothing is downloaded. FLOPs are counted as the challenge's script
does, MACs as torch's dispatcher sees every operator. A participant's network: esr show my_network.yaml
"""


def main(arguments: Sequence[str]) -> int:
    """Prints the list or one network; returns the exit code."""
    parser = Parser(
        prog="esr show",
        description="Lists the networks, or prints one network's card and per-layer table.",
        epilog=_EPILOG,
    )
    parser.add_argument("network", nargs="?", help="a network's name, or a path to a YAML; none lists all")
    parser.add_argument("--height", type=_pixels, default=256, help="LR height in pixels (256)")
    parser.add_argument("--width", type=_pixels, default=256, help="LR width in pixels (256)")
    options = parser.parse_args(list(arguments))
    if options.network is None:
        _print(_overview())
    else:
        _show(options.network, options.height, options.width)
    return 0


def _pixels(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of pixels, 1 or more")
    return int(text)


def _print(*things: Any) -> None:
    from rich.console import Console  # noqa: PLC0415 - `--help` need not wait for it

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    for thing in things:
        console.print(thing, highlight=False)


def _overview() -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(title="Networks, with the figures that the challenge published", title_justify="left")
    table.add_column("name", no_wrap=True)
    for column in ("team", "rank", "ms", "params [M]", "FLOPs [G]", "acts [M]", "memory [MiB]", "PSNR valid"):
        table.add_column(column, justify="left" if column == "team" else "right")
    for name in model_names():
        table.add_row(name, *_published_cells(card(name)))
    return table


def _published_cells(shown: Card) -> list[str]:
    published = shown.published
    rank = (published.get("ranks") or {}).get("main")
    digits = {"time_ms": 2, "params_m": 3, "flops_g": 2, "activations_m": 2, "memory_mib": 2, "psnr_valid": 2}
    cells = [number(published.get(key), places) for key, places in digits.items()]
    return [shown.team or "", number(rank, 0), *cells]


def _show(choice: str, height: int, width: int) -> None:
    from esr import complexity  # noqa: PLC0415
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.config.schema import EsrConf, typed  # noqa: PLC0415
    from esr.networks import build as networks  # noqa: PLC0415

    model = typed(EsrConf, composition.compose([f"model={choice}"])).model
    network = networks.build(model)
    shown = card_of_model(model)
    layers = complexity.layers(network, height, width)
    counted = complexity.measure(network, height, width)
    _print(_card_table(shown), _layer_table(shown.name, layers, counted))
    live = counted.live_memory.total if counted.live_memory else 0
    _print(
        f"convolutions: {counted.convolutions}; FLOPs as the challenge counts: {counted.flops:,}; "
        f"peak memory of live tensors, with weights and input: {live / MIB:.1f} MiB"
    )
    if counted.without_formula:
        _print(f"MACs leave out operators without a formula: {', '.join(counted.without_formula)}")


def _card_table(shown: Card) -> "Table":
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=escape(shown.title), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    published = {key: value for key, value in shown.published.items() if key != "ranks" and value is not None}
    ranks = {key: value for key, value in (shown.published.get("ranks") or {}).items() if value is not None}
    rows = {
        "name": shown.name,
        "team": f"{shown.team} (team {shown.team_id})" if shown.team else None,
        "paper": shown.paper,
        "note": shown.note,
        "data range": f"0 to {shown.data_range:g}",
        "licence of the weights": shown.licence,
        "published": ", ".join(f"{key} {value}" for key, value in published.items()),
        "published ranks": ", ".join(f"{key} {value}" for key, value in ranks.items()),
    }
    for label, value in rows.items():
        if value:
            table.add_row(label, escape(value))
    return table


def _layer_table(name: str, layers: Sequence[Any], counted: Any) -> "Table":
    from rich import box  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    size = "×".join(str(side) for side in counted.input_shape)
    table = Table(title=f"Layers of {escape(name)} on a {size} input", title_justify="left", box=box.SIMPLE)
    table.add_column("layer", overflow="fold")
    table.add_column("type", no_wrap=True)
    for column in ("output shape", "params", "MACs", "activations"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in layers:
        shape = "×".join(str(side) for side in layer.output_shape or ()) or "not run"
        cells = (escape(layer.path) or "(itself)", escape(layer.type), shape)
        table.add_row(*cells, f"{layer.params:,}", f"{layer.macs:,}", f"{layer.activations:,}")
    table.add_section()
    table.add_row("total", "", "", f"{counted.params:,}", f"{counted.macs:,}", f"{counted.activations:,}")
    return table
