"""Writes synthetic_samples.json: `python tests/helpers/make_samples.py REFERENCE_FOLDER`.

To be run again whenever a network is added to conf/model. The output values come from the reference data,
never from the networks here, so that the file can contradict them.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path[:0] = map(str, Path(__file__).resolve().parents[1:3])  # the tests, and esr

from helpers import synthetic  # noqa: E402

Numbers = tuple[int, ...]


def compact(shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """Templates from which `synthetic.expand` makes exactly these keys and shapes."""
    groups: dict[tuple[str, Numbers], set[Numbers]] = defaultdict(set)
    for key, shape in shapes.items():
        canonical = tuple(int(digits) for digits in re.findall(r"\d+", key))
        groups[re.sub(r"\d+", "#", key), tuple(shape)].add(canonical)
    return {
        _template(skeleton.split("#"), product): list(shape)
        for (skeleton, shape), numbers in groups.items()
        for product in _products(numbers)
    }


def _template(texts: list[str], product: list[list[int]]) -> str:
    return texts[0] + "".join(_braces(numbers) + text for numbers, text in zip(product, texts[1:], strict=True))


def _products(tuples: set[Numbers]) -> list[list[list[int]]]:
    """Splits a set of tuples into Cartesian products, each given by the choices for every position."""
    if tuples == {()}:
        return [[]]
    rests: dict[int, set[Numbers]] = defaultdict(set)
    for first, *rest in tuples:
        rests[first].add(tuple(rest))
    alike: dict[frozenset[Numbers], list[int]] = defaultdict(list)
    for first in sorted(rests):
        alike[frozenset(rests[first])].append(first)
    return [[firsts, *tail] for rest, firsts in alike.items() for tail in _products(set(rest))]


def _braces(numbers: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if len(numbers) == 1:
        return str(numbers[0])
    return "{" + ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) + "}"


def entry(reference: Path, name: str) -> synthetic.Sample:
    """Committed facts about one network."""
    graph = (reference / "graphs" / f"{name}.txt").read_text()
    shapes = {key: shape for key, shape, floating in synthetic.published_entries(graph) if floating}
    templates = compact(shapes)
    with np.load(reference / "synthetic" / f"{name}.npz") as file:
        given, output = file["input"], file["output"]
    if synthetic.expand(templates) != shapes:
        sys.exit(f"{name}: the templates do not give the published keys back")
    if not np.array_equal(given, synthetic.image()):
        sys.exit(f"{name}: the reference started from another image")
    values = [float(f"{value:.7g}") for value in synthetic.sample(output)]
    return {"shapes": templates, "range": float(f"{np.ptp(output):.7g}"), "values": values}


def to_json(samples: dict[str, synthetic.Sample]) -> str:
    """JSON with one line a template, so that a renewal gives a readable difference."""
    text = json.dumps(samples, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda match: f"[{' '.join(match[0][1:-1].split())}]", text) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("reference", type=Path)
    folder = parser.parse_args().reference
    names = {stem: synthetic.reference_name(model) for stem, model in synthetic.configurations().items()}
    synthetic.SAMPLES.write_text(to_json({stem: entry(folder, name) for stem, name in names.items()}))
