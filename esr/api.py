"""The public Python API; the command line does the same work through the same functions."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esr.config.cards import folder, model_names
from esr.errors import ConfigError
from esr.records.files import Record
from esr.system.files import dated
from esr.text import did_you_mean, shown_path

if TYPE_CHECKING:
    from pandas import DataFrame
    from torch import nn

    from esr.ranking.structures import Ranges, Ranking
    from esr.records.compare import Comparison

    Choice = str | PathLike[str]
    Module = nn.Module | type[nn.Module]


def list_models() -> list[str]:
    """Names of the shipped networks: the two baselines first, then by the challenge's team numbers."""
    return list(model_names())


def create_model(name: str, weights: str = "auto") -> "nn.Module":
    """A network with its weights: frozen, in eval mode, on the CPU.

    Args:
        name: A shipped network's name, or the path of a participant's YAML.
        weights: `auto`, `published`, `bundled`, `random` or a path.

    Returns:
        A module that maps N×3×H×W to N×3×4H×4W, both from 0 to the data range of its card: `esr.card_of(module)`, of
        shipped networks also `module.card`. A participant's module gets no attribute of ours.

    Raises:
        ConfigError: There is no network of that name.
        WeightsError: The weights are missing, damaged, hostile or another network's.
        DownloadError: The published weights were requested and could not be fetched.
        NetworkError: A participant's class cannot be built.
    """
    from esr.config.compose import compose  # noqa: PLC0415 - `import esr` does without Hydra and torch
    from esr.networks import build as networks  # noqa: PLC0415
    from esr.zoo import weights as zoo  # noqa: PLC0415

    model = compose([f"model={name}"]).model
    return networks.load(networks.build(model), model, zoo.resolve(model, weights))


def evaluate(
    overrides: Sequence[str] = (),
    *,
    model: "Choice | Module | None" = None,
    baseline: "Choice | None" = None,
    data: "Choice | None" = None,
    weights: "Choice | None" = None,
    args: Mapping[str, object] | None = None,
    out: "Choice | None" = None,
    **settings: object,
) -> Record:
    """Measures a network beside the baseline, as `esr OVERRIDES…` does.

        esr.evaluate(["model=rlfn", "data=set5"], out="results")
        esr.evaluate(model=MyNetwork(channels=32), args={"channels": 32}, data="images/", timing="quick")

    A module is measured in a worker process, which imports its class by name, builds it with `args` and loads its
    weights. So its class has to be at the top level of a module file, not in a notebook or in the script itself.

    Args:
        overrides: As on the command line.
        model: A shipped network's name, the path of a YAML, or a module: an instance, measured with its own weights,
            or a class, measured with `weights`.
        baseline: A shipped network's name or the path of a YAML; by default IMDN.
        data: A configured data set's name, or a folder of HR images; by default the demo images.
        weights: `auto`, `published`, `bundled`, `random` or a path.
        args: Keyword arguments with which a module's class is built; plain data.
        out: Folder for `record.json`, telemetry and pictures. Without it nothing is written, unless the overrides hold
            `out=DIR`: then the record lies where the command line puts it, in `DIR/outputs/DAY/TIME`.
        settings: Further groups and keys, as `timing="quick"` or `**{"timing.rounds": 20}`.

    Returns:
        The record; `failed` names the networks that failed during their measurement.

    Raises:
        EsrError: The input is at fault; the message is one line with the remedy.
    """
    from esr.config.compose import compose  # noqa: PLC0415 - `import esr` does without Hydra and torch

    if isinstance(overrides, str):
        raise ConfigError(f"overrides: expected a list, as [{overrides!r}]")
    data_sets = {file.stem for file in (folder().parent / "data").glob("*.yaml")}
    named = data is None or data in data_sets or (isinstance(data, str) and not (os.sep in data or Path(data).is_dir()))
    images = {"data": data} if named else {"data": "folder", "data.root": data}
    chosen: dict[str, object] = {"baseline": baseline, "weights": weights, **images}
    is_module = model is not None and not isinstance(model, str | PathLike)
    if args and not is_module:
        raise ConfigError("args: for a module only; otherwise use the override +model.args.KEY=VALUE")
    source = _source(_class(model)) if is_module else None
    with tempfile.TemporaryDirectory() as saved:
        chosen |= _module_keys(model, Path(saved), weights) if is_module else {"model": model}
        given = {key: value for key, value in chosen.items() if value is not None} | settings
        configured = compose([*overrides, *(f"{key}={_quoted(value)}" for key, value in given.items())])
        if is_module:
            network = replace(configured.model, args=_plain(args or {}), source=source)
            configured = replace(configured, model=network)
        from esr.evaluation.evaluate import evaluate as measure  # noqa: PLC0415 - only once the input is sound

        return measure(configured, Path(out) if out is not None else _folder(overrides, settings, configured.out))


def rank(
    results: "Record | Choice | Sequence[Record | Choice]",
    *,
    challenge: str = "ntire2022",
    constraints: str = "report",
    mixed: bool = False,
    require: str = "honest",
    exclude: Mapping[str, str] | None = None,
    ranges: "Ranges" = "together",
) -> "Ranking":
    """Ranks records, as `esr rank RESULTS…` does.

        for row in esr.rank("outputs").rows:
            print(row.entry.key, row.entry.figures.ratio, row.excluded)

    Args:
        results: Records, or files and folders of them, not both.
        challenge: Rules by name, or the path of a YAML.
        constraints: `report` or `enforce`.
        mixed: Ranks ratios across devices and settings.
        require: Whom to rank: `honest`, `clean` or `any`.
        exclude: Networks without a rank -> the reason.
        ranges: Rank ranges that hold `together`, or `one_by_one`.

    Raises:
        EsrError: The input is at fault; the message is one line with the remedy.
    """
    from esr.ranking.challenge import load_challenge  # noqa: PLC0415 - `import esr` does without numpy
    from esr.ranking.collection import collect, collect_records, rank_records  # noqa: PLC0415
    from esr.ranking.eligibility import eligibility  # noqa: PLC0415
    from esr.ranking.structures import CONSTRAINTS, RANGES  # noqa: PLC0415

    if constraints not in CONSTRAINTS:
        raise ConfigError(f"constraints={constraints}: no such choice; {did_you_mean(constraints, CONSTRAINTS)}")
    if ranges not in RANGES:
        raise ConfigError(f"ranges={ranges}: no such choice; {did_you_mean(ranges, RANGES)}")
    given = [results] if isinstance(results, str | PathLike | Record) else list(results)
    records = [one for one in given if isinstance(one, Record)]
    paths = [one for one in given if not isinstance(one, Record)]
    if records and paths:
        raise ConfigError(f"results: records or paths, not both; leave out {shown_path(paths[0])} or load it")
    rules = eligibility(require, [f"{name}: {reason}" for name, reason in (exclude or {}).items()])
    found = collect_records(records) if records else collect(paths)
    return rank_records(found, load_challenge(challenge), constraints, mixed, rules, ranges)


def to_frame(
    results: "Record | Ranking | Choice | Sequence[Record | Choice]",
    **settings: "str | bool | Mapping[str, str] | None",
) -> "DataFrame":
    """The tidy table that a ranking shows, one row per network; needs pandas (`pip install pandas`).

    The columns are those of `esr rank --format csv`, units in their names: `network`, `status`, `rank_main`,
    `psnr_rgb_<data>_db`, `runtime_ms`, `ratio`, `ratio_low`, `ratio_high`, `params`, `baseline`, `device`, `torch` …

    Args:
        results: Records, files and folders of them, or a ranking from `esr.rank`.
        settings: As for `esr.rank`.

    Raises:
        EsrError: The input is at fault, or pandas is not installed; the message is one line with the remedy.
    """
    from esr.ranking.structures import Ranking  # noqa: PLC0415 - see `rank`
    from esr.report.frames import ranking_frame  # noqa: PLC0415

    if isinstance(results, Ranking):
        return ranking_frame(results)
    return ranking_frame(rank(results, **settings))  # type: ignore[arg-type]


def samples(record: "Record | Choice") -> "DataFrame":
    """Every timed pass of a record's two networks, one row each; needs pandas (`pip install pandas`).

    The columns are `network`, `role`, `process`, `round`, `block`, `image`, `lr_height` and `lr_width` in pixels, `ms`
    (CUDA events on a GPU, wall clock on the CPU), `wall_ms`, `enqueue_ms`, `parent_ms`, `altered` and `outlier`.

    Args:
        record: A record, its file, or the folder that holds its `record.json`.

    Raises:
        EsrError: The file is not a record, or pandas is not installed.
    """
    from esr.records.files import load_record  # noqa: PLC0415 - see `rank`
    from esr.report.frames import samples_frame  # noqa: PLC0415

    return samples_frame(record if isinstance(record, Record) else load_record(record))


def compare(
    a: "Record | Choice", b: "Record | Choice", *, margin: float = 0.02, force: bool = False, tainted: bool = False
) -> "Comparison":
    """Judges record B against record A, as `esr compare A B` does.

    Args:
        a: A record, its file, or the folder that holds its `record.json`.
        b: The same, to be judged.
        margin: Fraction of the ratio that still counts as the same.
        force: Compares despite differences that void the comparison.
        tainted: Judges by the intervals as they are, even where a verdict discredits them.

    Raises:
        RecordError: A file is not a record, or a difference voids the comparison.
        ConfigError: The margin is no fraction.
    """
    from esr.records.compare import compare as judge  # noqa: PLC0415 - see `rank`
    from esr.records.files import load_record  # noqa: PLC0415

    if not 0 <= margin < 1:
        raise ConfigError(f"margin={margin}: expected a fraction from 0 to below 1, as 0.02 for 2 %")
    left, right = (one if isinstance(one, Record) else load_record(one) for one in (a, b))
    return judge(left, right, margin, force=force, tainted=tainted)


def _folder(overrides: Sequence[str], settings: Mapping[str, object], out: str) -> Path | None:
    """Where the command line would write; `None` where no folder is named."""
    if "out" not in settings and not any(word.startswith("out=") for word in overrides):
        return None
    return dated(out, "outputs")


def _quoted(value: object) -> str:
    """A value in Hydra's grammar.

    >>> _quoted([True, None, 0.5, "a b"])
    "[true,null,0.5,'a b']"
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_quoted, value))}]"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return "'" + str(value).replace("'", "\\'") + "'"


def _class(model: Any) -> type:
    return model if isinstance(model, type) else type(model)


def _module_keys(model: Any, saved: Path, weights: "Choice | None") -> dict[str, object]:
    """Keys by which a worker builds a module; an instance's weights are saved in the folder `saved`."""
    kind = _class(model)
    keys: dict[str, object] = {"+model._target_": f"{kind.__module__}.{kind.__qualname__}"}
    if kind is model:
        return keys
    if weights is not None:
        raise ConfigError(f"weights={weights}: an instance is measured with its own weights")
    from safetensors.torch import save_file  # noqa: PLC0415 - see `evaluate`

    file = saved / f"{kind.__name__}.safetensors"
    state = model.state_dict()
    save_file({key: value.detach().cpu().contiguous().clone() for key, value in state.items()}, file)
    keys["weights"] = file
    from esr.networks.facts import card_of  # noqa: PLC0415

    if card := card_of(model):
        keys |= {"model.name": card.name, "model.data_range": card.data_range}
    return keys


def _source(kind: type) -> str | None:
    """A path beside which a worker finds the top-level package of a class; `None` for esr's own.

    Raises:
        ConfigError: No other process can import the class.
    """
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__ or file is None:
        raise ConfigError(
            f"{kind.__qualname__}: no worker process can import this class from {kind.__module__}; move it to the "
            f"top level of a module file, as {kind.__name__.lower()}.py, and import it from there"
        )
    names = kind.__module__.split(".")
    depth = len(names) - (Path(file).stem != "__init__")
    return None if names[0] == "esr" else str(Path(file).resolve().parents[depth] / names[0])


def _plain(args: Mapping[str, object]) -> dict[str, object]:
    try:
        return dict(json.loads(json.dumps(args)))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"args: expected plain data, which a worker process can receive ({error})") from None
