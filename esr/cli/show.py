"""Lists the networks, or prints one network's card and per-layer table.

The layer table counts on the given LR size; nothing is downloaded. FLOPs are counted as the challenge's script
does, MACs as torch's dispatcher sees every operator. A participant's network: esr show my_network.yaml
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from esr.cli.parser import Parser, number
from esr.text import escaped, listed

if TYPE_CHECKING:
    from rich.table import Table

    from esr.config.cards import Card
    from esr.records.network import Complexity, Layer

MIB = 2**20
_DIGITS = {"runtime_ms": 2, "params_m": 3, "flops_g": 2, "activations_m": 2, "memory_mib": 2}
"""Published figures in the list, with their decimal places."""
_TITLES = ("ms", "params [M]", "FLOPs [G]", "acts [M]", "memory [MiB]", "PSNR valid")


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    pixels = number(int, lambda value: value >= 1, "a number of pixels, 1 or more")
    parser.add_argument("network", nargs="?", help="a network's name or the path of a YAML; without it all are listed")
    parser.add_argument("--height", type=pixels, default=256, help="LR height in pixels (256)")
    parser.add_argument("--width", type=pixels, default=256, help="LR width in pixels (256)")


def run(options: argparse.Namespace) -> int:
    """Prints the list or one network; returns the exit code."""
    if options.network is None:
        from esr.system.console import console  # noqa: PLC0415 - `--help` does without it

        console().print(_overview())
    else:
        _show(options.network, options.height, options.width)
    return 0


def _overview() -> "Table":
    from rich.table import Table  # noqa: PLC0415 - `--help` does without it

    from esr.config.cards import card, model_names  # noqa: PLC0415

    table = Table(title="Networks, with the figures that the challenges published", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("team")
    for title in ("rank", *_TITLES):
        table.add_column(title, justify="right")
    for name in model_names():
        table.add_row(name, *_cells(card(name)))
    return table


def _cells(card: "Card") -> list[str]:
    from esr.report.wording import number as shown  # noqa: PLC0415 - see `_overview`

    row = card.published
    if row is None:
        return [card.team or "", *[shown(None, 0)] * (1 + len(_TITLES))]
    row = row if row.flops_g is not None else replace(row, flops_g=row.flops_fvcore_g)
    figures = [shown(getattr(row, key), digits) for key, digits in _DIGITS.items()]
    return [card.team or "", shown(row.ranks.main, 0), *figures, shown(row.psnr_rgb.get("div2k_valid"), 2)]


def _show(choice: str, height: int, width: int) -> None:
    from esr.config.cards import card_of_model  # noqa: PLC0415 - see `_overview`
    from esr.config.compose import compose  # noqa: PLC0415
    from esr.errors import NetworkError  # noqa: PLC0415
    from esr.evaluation import question  # noqa: PLC0415
    from esr.evaluation.worker.messages import ComplexityRequest, LayersRequest  # noqa: PLC0415
    from esr.records.network import Weights  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    model = compose([f"model={choice}"]).model
    card = card_of_model(model)
    with question.opened(model, Weights("random")) as (worker, network):
        worker.ask(network)
        answer = worker.ask(ComplexityRequest(height, width))
        counted = answer.complexity
        if counted is None:
            raise NetworkError(answer.uncounted or "the network could not be counted")
        layers = worker.ask(LayersRequest(height, width)).layers
    live = counted.live_memory.total if counted.live_memory else 0
    screen = console()
    screen.print(_card_table(card))
    screen.print(_layer_table(card.name, layers, counted))
    screen.print(
        f"convolutions: {counted.convolutions}; FLOPs as the challenges count: {counted.flops:,} (hooks, until 2023), "
        f"{counted.flops_fvcore:,} (fvcore, since 2024); "
        f"peak memory of live tensors, with weights and input: {live / MIB:.1f} MiB"
    )
    if counted.without_formula:
        screen.print(f"MACs leave out operators without a formula: {listed(counted.without_formula, most=100)}")


def _card_table(card: "Card") -> "Table":
    from rich.table import Table  # noqa: PLC0415 - see `_overview`

    table = Table(title=card.title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "name": card.name,
        "team": f"{card.team} (team {card.team_id})" if card.team else None,
        "paper": card.paper,
        "note": card.note,
        "data range": f"0 to {card.data_range:g}",
        "licence of the weights": card.licence,
    }
    if card.published:
        figures = msgspec.structs.asdict(card.published)
        ranks = msgspec.structs.asdict(figures.pop("ranks"))
        psnr = {f"psnr_rgb {name}": value for name, value in figures.pop("psnr_rgb").items()}
        for label, given in (("published", psnr | figures), ("published ranks", ranks)):
            rows[label] = ", ".join(f"{key} {value}" for key, value in given.items() if value is not None)
    for label, value in rows.items():
        if value:
            table.add_row(label, value)
    return table


def _layer_table(name: str, layers: Sequence["Layer"], counted: "Complexity") -> "Table":
    from rich import box  # noqa: PLC0415 - see `_overview`
    from rich.table import Table  # noqa: PLC0415

    size = "×".join(str(side) for side in counted.input_shape)
    table = Table(title=f"Layers of {name} on a {size} input", title_justify="left", box=box.SIMPLE)
    table.add_column("layer", overflow="fold")
    table.add_column("type", no_wrap=True)
    for column in ("output shape", "params", "MACs", "activations"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in layers:
        shape = "×".join(str(side) for side in layer.output_shape or ()) or "not run"
        cells = (escaped(layer.path) or "(itself)", escaped(layer.type), shape)
        table.add_row(*cells, f"{layer.params:,}", f"{layer.macs:,}", f"{layer.activations:,}")
    table.add_section()
    table.add_row("total", "", "", f"{counted.params:,}", f"{counted.macs:,}", f"{counted.activations:,}")
    return table
