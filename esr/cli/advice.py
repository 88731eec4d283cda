"""Answers to commands that do not exist but that people try: the words to type instead."""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from esr.errors import ConfigError
from esr.text import did_you_mean, one_line, shown_path

_MEASURES = ("run", "eval", "evaluate", "measure", "bench", "benchmark", "test", "time", "profile")
_OTHERS = {
    **dict.fromkeys(("list", "ls", "models", "networks", "info", "card", "view", "print"), "show"),
    **dict.fromkeys(("report", "results", "table", "leaderboard", "summary"), "rank"),
    **dict.fromkeys(("diff", "cmp", "versus", "vs"), "compare"),
    **dict.fromkeys(("download", "get", "pull"), "fetch"),
    **dict.fromkeys(("validate", "lint", "verify"), "check"),
    **dict.fromkeys(("convert", "onnx", "save"), "export"),
    **dict.fromkeys(("keys", "explain", "settings", "options"), "config"),
    **dict.fromkeys(("status", "diagnose", "env"), "doctor"),
    **dict.fromkeys(("finetune", "fit"), "train"),
    **dict.fromkeys(("all", "everything", "sweep"), "-m model=glob(*)"),
    **dict.fromkeys(("datasets", "downloads", "catalogue", "zoo"), "fetch --list"),
    **dict.fromkeys(("man", "manual", "docs", "tutorial", "usage", "guide", "?", "/?", "/h"), "--help"),
    **{name: f"rank --format {name}" for name in ("markdown", "csv", "latex", "html", "pdf", "svg")},
    **dict.fromkeys(("plot", "plots", "chart", "figure", "graph"), "rank --format svg"),
    "version": "--version",
}
"""What people try -> the command that does it."""
OPTIONS = {
    **dict.fromkeys(("-o", "--out", "--output", "--outdir", "--output-dir", "--save-dir"), "out=DIR"),
    **dict.fromkeys(("-d", "--data", "--dataset", "--input", "--images"), "data=folder data.root=DIR"),
    **dict.fromkeys(("--gpu", "--cuda"), "device=cuda, or device.index=N for one of several GPUs"),
    **dict.fromkeys(("--cpu", "--no-cuda"), "device=cpu"),
    **dict.fromkeys(("-w", "--weights", "--ckpt", "--checkpoint", "--pretrained"), "weights=PATH"),
    **dict.fromkeys(("-n", "--rounds", "--repeat", "--iterations", "--iters", "--runs"), "timing.rounds=N"),
    **dict.fromkeys(("--model", "--network", "--arch"), "model=NAME or model=PATH.yaml"),
    **dict.fromkeys(("--models", "--networks", "--list", "--list-models"), "esr show, which lists the networks"),
    **dict.fromkeys(("--datasets", "--list-data"), "esr fetch --list, which lists weights and data sets"),
    **dict.fromkeys(("--keys", "--options"), "esr config, which explains every key"),
    **dict.fromkeys(("--quick", "--fast"), "timing=quick"),
    **dict.fromkeys(("-t", "--threads", "-j", "--jobs", "--workers"), "device.threads=N"),
    **dict.fromkeys(("-f", "--force", "--overwrite"), "force=true"),
    **dict.fromkeys(("--dry-run", "--show-config"), "--cfg job, which prints the configuration and measures nothing"),
    **dict.fromkeys(("--save", "--save-images", "--save-results"), "quality.save=crops or quality.save=images"),
    **dict.fromkeys(("-q", "--quiet", "--silent"), "2> /dev/null, which leaves the result alone"),
    "--all": "esr -m 'model=glob(*)', which measures every network",
    "--seed": "timing.seed=N",
    **dict.fromkeys(("-V", "--version"), "esr --version"),
}
"""Option of other programs -> the words of a measurement."""
OWN_FILES = "model=PATH.yaml names a network of your own, data=folder data.root=DIR images, challenge=PATH.yaml rules"
REFUSED = {
    "--experimental-rerun": "esr rerun RECORD measures a record again",
    **dict.fromkeys(("--config-path", "--config-name"), OWN_FILES),
    **dict.fromkeys(("--half", "--fp16", "--amp", "--dtype", "--precision"), "networks are measured in float32"),
    **dict.fromkeys(("-b", "--batch", "--batch-size"), "each pass takes one image, as in the challenge"),
}
"""Option of other programs -> why a measurement has none."""
_YAML, _WEIGHTS = (".yaml", ".yml"), (".pth", ".pt", ".ckpt", ".safetensors")
_TYPED = re.compile(r"write [\w.]+=")
_PREPOSITIONS, _AGAINST = ("on", "with", "and", "for", "using"), ("vs", "versus", "against", "beside")
_NEW = "a network of your own is named by a YAML: esr model=PATH.yaml, see docs/own-network.md"
_FORMATS = ("onnx", "torchscript", "safetensors")
_FILES = {
    **dict.fromkeys((".py", "init", "new", "create", "template"), _NEW),
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"),
        "images are named by their folder: esr model=NAME data=folder data.root=DIR",
    ),
}
"""Suffix of a file that is no command, or a word -> the words to type."""


def unknown_command(words: Sequence[str], commands: Sequence[str]) -> str:
    """The line on a first word that is none of the commands: the command to type, if it can be told."""
    first, keys = words[0], known_keys()
    if (key := first.rstrip(":")) in keys:
        return _of_key([key, *words[1:]], keys)
    near = did_you_mean(first, keys if "." in first and get_close_matches(first, keys) else commands)
    meant = _meant(words, keys) or f"{near}; a measurement is written esr model=NAME"
    return f"{one_line(first)}: no such command; {meant}"


def choices() -> dict[str, str]:
    """Names of networks and other options as the overrides that select them, without names that groups share.

    >>> choices()["quick"], choices()["rlfn"]
    ('timing=quick', 'model=rlfn')
    """
    from esr.cli.help import groups  # noqa: PLC0415 - reads folders, only after a mistake

    found = [(name, f"{group}={name}") for group, names in groups().items() for name in names]
    counted = Counter(name for name, _ in found)
    return {name: typed for name, typed in found if counted[name] == 1} | {"gpu": "device=cuda"}


def known_keys() -> tuple[str, ...]:
    """Names of the configuration's keys and groups."""
    from esr.config.mistakes import known_keys as known  # noqa: PLC0415 - only after a mistake

    return known()


def typed_words(words: Sequence[str], keys: Collection[str]) -> list[str]:
    """Bare words as the overrides that were probably meant; several networks are those of a multirun.

    >>> typed_words(["rlfn", "weights", "=", "a.pth"], ["weights"])
    ['model=rlfn', 'weights=a.pth']
    >>> typed_words(["imdn", "rlfn", "data=set5"], [])
    ['-m', 'model=imdn,rlfn', 'data=set5']
    """
    known = choices()
    made = [_override(word, known) for word in _joined(words, keys)]
    models = [word.removeprefix("model=") for word in made if word.startswith("model=")]
    if len(models) < 2:  # noqa: PLR2004 - a measurement takes one
        return made
    others = [word for word in made if not word.startswith(("model=", "-m", "--mul"))]
    return ["-m", f"model={','.join(models)}", *others]


def refuse_bare_words(command: Sequence[str], words: Sequence[str], keys: Collection[str] | None = None) -> None:
    """Refuses networks, weight files and formats that stand where `KEY=VALUE` is expected.

    Args:
        command: The command before these words.
        words: Overrides.
        keys: Its keys; `None`: those of a measurement.

    Raises:
        ConfigError: The line has the whole command as it was probably meant.
    """
    for word in words:
        if "=" not in word and _is_meant(word, keys):
            whole = [*command, *typed_words(words, known_keys() if keys is None else keys)]
            raise ConfigError(f"{one_line(word)}: expected KEY=VALUE; type {_command(whole)}")


def refuse_networks(words: Sequence[str], remedy: str) -> None:
    """Refuses names of networks that stand where records are expected.

    Args:
        words: Paths of records.
        remedy: The commands to type; `{first}`, `{second}` and `{all}` stand for the networks.

    Raises:
        ConfigError: A word that is no path is a network's name.
    """
    from esr.config.cards import model_names  # noqa: PLC0415 - reads a folder

    named = [word.lower() for word in words if word.lower() in model_names() and not Path(word).exists()]
    if named:
        first, second = named[0], named[1] if named[1:] else "OTHER"
        typed = remedy.format(first=first, second=second, all=",".join(named))
        raise ConfigError(f"{first}: a network, and no record; {typed}")


def option(name: str, value: str, keys: Collection[str] | None) -> str:
    """Words to type instead of an option that a command does not have; empty where none are known.

    Args:
        name: The option, as `--device`, `--divice` or `-device`.
        value: Its value; empty without one.
        keys: The command's; `None`: those of a measurement, of which more is known.
    """
    dashed = f"--{name.lstrip('-').replace('_', '-')}" if name[2:] else name
    known = {f"--{key.replace('_', '-')}": f"write {key}=VALUE" for key in (known_keys() if keys is None else keys)}
    if keys is None:
        known |= {name: f"write {words}" for name, words in OPTIONS.items()} | REFUSED
    words = "".join(known[near] for near in get_close_matches(dashed, known, 1, cutoff=0.83))
    if value and words.startswith("write data=folder") and not Path(value).is_dir():
        words = "write data=NAME"
    filled = re.match(r"(write (?:[\w.]+=\w+ )?[\w.]+=)[A-Z]+\b", words) if value else None
    return f"{filled[1]}{shlex.quote(value)}" if filled else words


def _is_meant(word: str, keys: Collection[str] | None) -> bool:
    """True for a network, an option, a file or a format, which could only be meant as the value of a key."""
    group = choices().get(word.lower(), "").partition("=")[0]
    return group == "model" or (group and keys is None) or Path(word).suffix in (*_YAML, *_WEIGHTS) or word in _FORMATS


def _meant(words: Sequence[str], keys: Collection[str]) -> str:
    """The command to type instead; empty where none is known."""
    first, rest = words[0].lower(), list(words[1:])
    suffix = Path(first).suffix
    if first == "esr":
        return f"type {_command(rest or ['--help'])}"
    if first in _MEASURES:
        return f"a measurement needs none: {_measurement(typed_words(rest, keys))}"
    if first in _OTHERS:
        return f"that is {_command([*_OTHERS[first].split(), *rest])}"
    if first in choices() or suffix in (*_YAML, *_WEIGHTS):
        return f"to measure a network write {_measurement(typed_words(words, keys))}"
    return _FILES.get(suffix or first) or _of_path(words[0])


def _of_path(word: str) -> str:
    """The commands that take a folder or a record; empty where there is none."""
    path = shown_path(word)
    if (Path(word) / "test_demo.py").is_file():
        return f"esr repo list {path} lists the networks of a challenge's repository"
    if Path(word).is_dir() or word.endswith(".json"):
        return f"esr show {path} prints a record, esr rank {path} ranks the records below a folder"
    return ""


def _of_key(words: Sequence[str], keys: Collection[str]) -> str:
    """The line on a key that stands without its value, or beside it."""
    key = words[0]
    meant = typed_words(words, keys)
    if any(word.startswith(f"{key}=") for word in meant):
        return f"{key}: a key, not a command; write {_measurement(meant)}"
    return f"{key}: a key, not a command; esr config {key} explains it, {key}=VALUE sets it"


def _joined(words: Sequence[str], keys: Collection[str]) -> list[str]:
    """`KEY VALUE`, `KEY = VALUE`, `KEY= VALUE`, `KEY =VALUE` and `--KEY VALUE` as one word each; no prepositions."""
    made: list[str] = []
    rest = [word for word in words if word.lower() not in _PREPOSITIONS]
    while rest:
        word = rest.pop(0)
        if word.lower() in _AGAINST:
            word = f"baseline={rest.pop(0).lower() if rest else 'NAME'}"
        elif word[:1] == "-" and _TYPED.match(meant := option(word, "", None)):
            filled = option(word, rest[0], None) if rest else meant
            made += shlex.split(filled.removeprefix("write ").partition(", ")[0])
            rest = rest[filled != meant :]
            continue
        plain = word.removesuffix("=")
        if plain in keys and rest and "=" not in rest[0][1:] and not rest[0].startswith("-"):
            value = rest.pop(0)
            value = rest.pop(0) if value == "=" and rest else value
            word = f"{plain}={value.removeprefix('=')}"
        made.append(word)
    return made


def _override(word: str, known: Mapping[str, str]) -> str:
    """A bare word as the override that was probably meant."""
    if "=" in word or word.startswith("-"):
        return word
    if word in _FORMATS:
        return f"format={word}"
    if Path(word).suffix in _WEIGHTS:
        return f"weights={word}"
    return known.get(word.lower(), f"model={word}")


def _measurement(overrides: Sequence[str]) -> str:
    """The command with these overrides, with a place for a network that they do not name."""
    named = any(word.startswith("model=") for word in overrides)
    return _command(overrides if named else ["model=NAME", *overrides])


def _command(words: Sequence[str]) -> str:
    return one_line(shlex.join(["esr", *words]))
