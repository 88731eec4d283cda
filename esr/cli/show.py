"""Lists the networks, prints one network's card and layers, or a record again.

  esr show                             the networks, with their published figures
  esr show rlfn                        card and layers; a participant's: esr show my_network.yaml
  esr show outputs/2026-01-31/12-00-00 a record, with every figure; of a folder with several, a line for each
  esr show RECORD -v                   every note as well, however many lines that takes

The layer table counts on the given LR size; nothing is downloaded. FLOPs are counted as the challenges count them,
MACs as torch's dispatcher sees every operator.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from esr.cli.parser import Parser, add_format, number, print_json
from esr.errors import ConfigError, NetworkError
from esr.text import did_you_mean, escaped, listed, one_line, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from esr.config.cards import Card
    from esr.records.network import Complexity, Layer

MIB = 2**20
MOST_PIXELS = 100_000
"""A side of the LR image, as of `complexity.height`."""
_DIGITS = {"runtime_ms": 2, "params_m": 3, "flops_g": 2, "activations_m": 2, "memory_mib": 2}
"""Published figures in the list, with their decimal places."""
_TITLES = ("ms", "params [M]", "FLOPs [G]", "acts [M]", "memory [MiB]", "PSNR valid")


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    pixels = number(int, lambda value: 1 <= value <= MOST_PIXELS, f"a number of pixels, 1 to {MOST_PIXELS:,}")
    what = "a network's name, the path of a YAML, or a record's file or folder; without it the networks are listed"
    parser.add_argument("network", nargs="?", metavar="NETWORK|RECORD", help=what)
    parser.add_argument("--height", type=pixels, default=256, help="LR height in pixels (256)")
    parser.add_argument("--width", type=pixels, default=256, help="LR width in pixels (256)")
    parser.add_argument("--verbose", "-v", action="store_true", help="every note of a record")
    add_format(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the list, one network or a record; returns the exit code."""
    as_json = options.format == "json"
    word = (options.network or "").removeprefix("model=")
    if not word:
        _list(as_json=as_json)
    elif _is_record(word):
        _records(Path(word), as_json=as_json, verbose=options.verbose)
    else:
        _show(word, options.height, options.width, as_json=as_json)
    return 0


def _is_record(word: str) -> bool:
    """True for the name of a JSON file or of a folder."""
    from esr.config.cards import model_names  # noqa: PLC0415 - `--help` does without it

    network = word in model_names() or word.endswith((".yaml", ".yml"))
    return not network and ("/" in word or word.endswith(".json") or Path(word).is_dir())


def _records(path: Path, *, as_json: bool, verbose: bool) -> None:
    from esr.cli.compare import records_at  # noqa: PLC0415 - see `_is_record`
    from esr.report.answer import answer  # noqa: PLC0415
    from esr.report.record_table import print_record  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    found = records_at(path)
    if as_json:
        print_json([record.document for record in found] if len(found) > 1 else found[0].document)
    elif len(found) == 1:
        print_record(found[0], console(), "everything" if verbose else "figures")
    else:
        for record in found:
            where = shown_path(record.path.parent) if record.path else ""
            console().print(f"{where}: {one_line(answer(record))}", soft_wrap=True)


def _list(*, as_json: bool) -> None:
    from esr.config.cards import card, model_names  # noqa: PLC0415 - see `_is_record`
    from esr.report.fitting import print_fitting, texts  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    cards = [card(name) for name in model_names()]
    if as_json:
        print_json(cards)
        return
    rows = [[one.name, *_cells(one)] for one in cards]
    screen = console()

    grid = texts(("name", "team", "rank", *_TITLES), rows, left=("name", "team"))
    screen.print("Networks, with the figures that the challenges published")
    print_fitting(grid, screen, ("team", "acts [M]", "memory [MiB]"), gap=2)


def _cells(card: "Card") -> list[str]:
    from esr.report.wording import number as shown  # noqa: PLC0415 - see `_is_record`

    row = card.published
    if row is None:
        return [card.team or "", *[shown(None, 0)] * (1 + len(_TITLES))]
    row = row if row.flops_g is not None else replace(row, flops_g=row.flops_fvcore_g)
    figures = [shown(getattr(row, key), digits) for key, digits in _DIGITS.items()]
    return [card.team or "", shown(row.ranks.main, 0), *figures, shown(row.psnr_rgb.get("div2k_valid"), 2)]


def _show(choice: str, height: int, width: int, *, as_json: bool) -> None:
    from esr.config.cards import card_of_model, model_file, model_names  # noqa: PLC0415 - see `_is_record`
    from esr.config.compose import compose  # noqa: PLC0415
    from esr.evaluation import question  # noqa: PLC0415
    from esr.evaluation.worker.messages import ComplexityRequest, LayersRequest  # noqa: PLC0415
    from esr.records.network import Weights  # noqa: PLC0415
    from esr.records.reasons import REASONS, scripted_note  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    if model_file(choice) is None and not choice.endswith((".yaml", ".yml")):
        near = did_you_mean(choice, model_names(), limit=1)
        remedy = near if near.startswith("did") else "esr show lists the networks"
        raise ConfigError(f"{one_line(choice)}: no network, YAML or record of that name; {remedy}")
    model = compose([f"model={choice}"]).model
    card = card_of_model(model)
    with question.opened(model, Weights("random")) as (worker, network):
        form = worker.ask(network).training_form
        answer = worker.ask(ComplexityRequest(height, width))
        counted = answer.complexity
        if counted is None:
            raise NetworkError(answer.uncounted or "the network could not be counted")
        layers = worker.ask(LayersRequest(height, width)).layers
    if as_json:
        print_json({"card": card, "training_form": form, "complexity": counted, "layers": layers})
        return
    live = counted.live_memory.total if counted.live_memory else 0
    screen = console()
    _print_card(screen, card)
    _print_layers(screen, card.name, layers, counted)
    screen.print(
        f"convolutions: {counted.convolutions}; FLOPs as the challenges count: {counted.flops:,} (hooks, until 2023), "
        f"{counted.flops_fvcore:,} (fvcore, since 2024); "
        f"peak memory of live tensors, with weights and input: {live / MIB:.1f} MiB"
    )
    if counted.scripted:
        screen.print(scripted_note(counted.scripted))
    if form:
        screen.print(f"{REASONS['training_form']} ({form})")
    if counted.without_formula:
        screen.print(f"MACs leave out operators without a formula: {listed(counted.without_formula, most=100)}")


def _print_card(screen: "Console", card: "Card") -> None:
    from esr.report.fitting import print_fitting, texts  # noqa: PLC0415 - see `_list`
    from esr.report.wording import DASH  # noqa: PLC0415

    row = card.published
    stated = dict(zip(_TITLES[:-1], _cells(card)[2:-1], strict=True)) if row else {}
    stated |= {f"PSNR {name}": f"{value:.2f}" for name, value in row.psnr_rgb.items()} if row else {}
    ranks = msgspec.structs.asdict(row.ranks) if row else {}
    rows = {
        "title": card.title if card.title != card.name else None,
        "team": f"{card.team} (team {card.team_id})" if card.team else None,
        "paper": card.paper,
        "note": card.note,
        "data range": f"0 to {card.data_range:g}",
        "licence of the weights": card.licence,
        "published": ", ".join(f"{label} {text}" for label, text in stated.items() if text != DASH),
        "published ranks": ", ".join(f"{label} {rank}" for label, rank in ranks.items() if rank),
    }
    shown = [(label, value) for label, value in rows.items() if value]
    print_fitting(texts(("network", card.name), shown, left=("network", card.name)), screen, gap=2)
    screen.print()


def _print_layers(screen: "Console", name: str, layers: Sequence["Layer"], counted: "Complexity") -> None:
    from esr.report.fitting import print_fitting, texts  # noqa: PLC0415 - see `_list`

    rows = [
        (
            *(escaped(layer.path) or "(itself)", escaped(layer.type)),
            "×".join(str(side) for side in layer.output_shape or ()) or "not run",
            *(f"{count:,}" for count in (layer.params, layer.macs, layer.activations)),
        )
        for layer in layers
    ]
    rows.append(("total", "", "", *(f"{count:,}" for count in (counted.params, counted.macs, counted.activations))))

    grid = texts(("layer", "type", "output shape", "params", "MACs", "activations"), rows, left=("layer", "type"))
    screen.print(f"Layers of {name} on a {'×'.join(map(str, counted.input_shape))} input")
    print_fitting(grid, screen, ("type", "output shape"), gap=2)
