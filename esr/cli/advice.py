"""Answers to commands that do not exist but that people try: the words to type instead."""

import shlex
from collections.abc import Sequence
from pathlib import Path

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
}
"""What people try -> the command that does it."""
OPTIONS = {
    **dict.fromkeys(("-o", "--out", "--output", "--outdir", "--output-dir", "--save-dir"), "out=DIR"),
    **dict.fromkeys(("-d", "--data", "--dataset", "--input", "--images"), "data=folder data.root=DIR"),
    **dict.fromkeys(("--gpu", "--device", "--cuda"), "device=cuda, or device.index=N for one of several GPUs"),
    **dict.fromkeys(("--cpu",), "device=cpu"),
    **dict.fromkeys(("-w", "--weights", "--ckpt", "--checkpoint", "--pretrained"), "weights=PATH"),
    **dict.fromkeys(("-n", "--rounds", "--repeat", "--iterations", "--iters", "--runs"), "timing.rounds=N"),
    **dict.fromkeys(("--model", "--network", "--arch"), "model=NAME or model=PATH.yaml"),
    **dict.fromkeys(("--quick", "--fast"), "timing=quick"),
    **dict.fromkeys(("-t", "--threads", "-j", "--jobs", "--workers"), "device.threads=N"),
    **dict.fromkeys(("-f", "--force", "--overwrite"), "force=true"),
    **dict.fromkeys(("--seed",), "timing.seed=N"),
    **dict.fromkeys(("--json",), "--format json"),
    **dict.fromkeys(("-q", "--quiet", "--silent"), "2> /dev/null, which leaves the result alone"),
}
"""Option of other programs -> the words of a measurement."""


def unknown_command(words: Sequence[str], commands: Sequence[str]) -> str:
    """The line on a first word that is none of the commands: the command to type, if it can be told."""
    from esr.config.cards import model_names  # noqa: PLC0415 - only after a mistake

    first, rest = words[0], list(words[1:])
    no_such = f"{one_line(first)}: no such command"
    if first.lower() in _MEASURES:
        overrides = [_override(word, model_names()) for word in rest] or ["model=NAME"]
        return f"{no_such}; a measurement needs none: {_command(overrides)}"
    if first.lower() in _OTHERS:
        return f"{no_such}; that is {_command([_OTHERS[first.lower()], *rest])}"
    if first.lower() in model_names() or Path(first).suffix in (".yaml", ".yml", ".pth", ".pt", ".safetensors"):
        overrides = [_override(word, model_names()) for word in words]
        named = any(word.startswith("model=") for word in overrides)
        return f"{no_such}; to measure a network write {_command(overrides if named else ['model=NAME', *overrides])}"
    if Path(first).is_dir() or first.endswith(".json"):
        path = shown_path(first)
        return f"{no_such}; esr show {path} prints a record, esr rank {path} ranks the records below a folder"
    return f"{no_such}; {did_you_mean(first, commands)}; an override is written KEY=VALUE"


def _override(word: str, networks: Sequence[str]) -> str:
    """A bare word as the override that was probably meant."""
    if "=" in word or word.startswith("-"):
        return word
    if Path(word).suffix in (".pth", ".pt", ".ckpt", ".safetensors"):
        return f"weights={word}"
    return f"model={word.lower() if word.lower() in networks else word}"


def _command(words: Sequence[str]) -> str:
    return one_line(shlex.join(["esr", *words]))


def option(name: str, keys: Sequence[str]) -> str:
    """Words to type instead of an option that a measurement does not have; empty where none are known.

    Args:
        name: The option, as `--device`.
        keys: Names of the configuration's keys.
    """
    if name in OPTIONS:
        return f"write {OPTIONS[name]}"
    key = name.lstrip("-").replace("-", "_")
    return f"write {key}=VALUE" if key in keys else ""
