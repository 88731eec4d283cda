"""YAML files of strangers: read within limits, and refused in one line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from esr.errors import ConfigError
from esr.text import one_line, shown_path

MOST_BYTES = 100_000
MOST_NODES = 10_000
DEEPEST = 30
"""Limits far above those of any network and of any challenge; beyond them, reading takes minutes."""
ReadT = TypeVar("ReadT")


def read_yaml(file: Path, read: Callable[[str], ReadT], shown: str, see: str) -> ReadT:
    """A file's YAML.

    Args:
        file: Need not be a file, nor YAML.
        read: Turns the text into what is returned.
        shown: Beginning of an error's line.
        see: Its end.

    Raises:
        ConfigError: It cannot be read, is not UTF-8 or not valid YAML, is larger or deeper than any of ours, or `read`
            refuses it.
    """
    text = _text(file, shown, see)
    try:
        _check_size(text)
        return read(text)
    except Exception as error:  # OmegaConf and its parser raise nearly anything for a stranger's text
        raise ConfigError(f"{shown}: not valid YAML ({reason(error)}); {see}") from error


def check_folder(folder: str) -> None:
    """Reads every YAML of a folder for `--config-dir` before Hydra does, which has no limits.

    Raises:
        ConfigError: There is no such folder, or one of its files is refused.
    """
    from omegaconf import OmegaConf  # noqa: PLC0415 - rankings do without

    if not os.path.isdir(folder):
        raise ConfigError(f"--config-dir {folder}: no such folder")
    for file in sorted((*Path(folder).rglob("*.yaml"), *Path(folder).rglob("*.yml"))):
        read_yaml(file, OmegaConf.create, shown_path(file), "--config-dir takes a folder as esr's conf/")


def reason(error: Exception) -> str:
    """The fault as one line, with the number of the line in the YAML where that is known."""
    if isinstance(error, RecursionError):
        return "a value refers to itself"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        return one_line(f"line {mark.line + 1}: {error.problem or error.context}")[:300]
    return one_line(str(error).partition("\n    full_key:")[0])[:300] or type(error).__name__


def _text(file: Path, shown: str, see: str) -> str:
    if file.exists() and not os.path.isfile(file):
        raise ConfigError(f"{shown}: is no file")
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read ({error.strerror or error}); make it readable") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{shown}: is larger than {MOST_BYTES:,} bytes, more than any of esr's YAMLs; {see}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}: is not UTF-8 (line {at}); save it as UTF-8") from error


def _check_size(text: str) -> None:
    """Refuses what would take for ever to build: deep nesting, and aliases by which a few lines become gigabytes.

    Raises:
        ValueError: The text is such a YAML.
        YAMLError: It is no YAML.
    """
    total = 0
    opened: list[tuple[str | None, int]] = []  # anchor and total at the start of each collection
    sizes: dict[str | None, int] = {}  # of what each anchor stands for, in nodes
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = total - before
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"line {_line(event)}: *{event.anchor} refers to nothing before it")
            total += sizes[event.anchor]
        elif isinstance(event, CollectionStartEvent | ScalarEvent):
            total += 1
            sizes[event.anchor] = 1
            getattr(event, "value", "").encode()  # a character that no UTF-8 has, as by "\\ud800"
            if isinstance(event, CollectionStartEvent):
                sizes.pop(event.anchor)  # not before its end
                opened.append((event.anchor, total))
        if len(opened) > DEEPEST:
            raise ValueError(f"line {_line(event)}: nested more than {DEEPEST} deep")
        if total > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} keys and values")


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
