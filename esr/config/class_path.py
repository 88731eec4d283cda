"""Dotted paths of classes and names of methods, as a network's YAML gives them."""

import re

from esr.errors import ConfigError
from esr.text import quoted

LONGEST = 200
"""Characters of a class path; real ones have about 30."""
_NAME = r"[^\W\d]\w*"
_CLASS_PATH = re.compile(rf"{_NAME}(\.{_NAME})+")
_METHOD = re.compile(rf"{_NAME}(\.{_NAME})*")


def check_class_path(target: str, where: str) -> None:
    """Refuses what cannot be the dotted path of a class.

    Args:
        target: The value of `_target_`.
        where: Start of the error's line, as `my.yaml: _target_`.

    Raises:
        ConfigError: It is no dotted path of at most `LONGEST` characters.
    """
    if len(target) <= LONGEST and _CLASS_PATH.fullmatch(target):
        return
    example = "as my_network.MyNetwork for the class MyNetwork in my_network.py"
    if len(target) > LONGEST:
        fault = f"is {len(target):,} characters long, at most {LONGEST} are read"
    elif re.fullmatch(_NAME, target):
        fault = "names no module"
    elif ":" in target:
        fault = "is written with a colon"
    elif "/" in target or "\\" in target or target.startswith("."):
        fault = "is a file's path; put the file beside the YAML"
    else:
        fault = "is no class path"
    raise ConfigError(f"{where}={quoted(target)}: {fault}; write MODULE.CLASS, {example}")


def methods(after_load: object, where: str = "model.after_load") -> tuple[str, ...]:
    """Names of the methods that are called once the weights are loaded.

    Args:
        after_load: One name, several, or `None`.
        where: Start of the error's line.

    Raises:
        ConfigError: It is something else.
    """
    given = after_load if isinstance(after_load, list | tuple) else [] if after_load is None else [after_load]
    for name in given:
        if not isinstance(name, str) or len(name) > LONGEST or not _METHOD.fullmatch(name):
            remedy = "write one, as switch_to_deploy, or a list of them"
            raise ConfigError(f"{where}={quoted(str(name))}: is no name of a method; {remedy}")
    return tuple(given)
