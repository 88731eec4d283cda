"""Text for one line of a terminal, made safe whoever wrote it, and the phrases that every message shares."""

import difflib
import os
import re
from collections.abc import Iterable


def one_line(text: str) -> str:
    r"""Text on one line, without the characters that a terminal would obey or refuse.

    >>> one_line("so\n  it \x1b[2J goes")
    'so it �[2J goes'
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def described(error: BaseException) -> str:
    r"""A stranger's exception for the middle of a message.

    >>> described(ValueError("no\nsuch luck"))
    'ValueError: no such luck'
    """
    return f"{type(error).__name__}: {one_line(str(error))}"


def quoted(text: str, longest: int = 60) -> str:
    r"""A stranger's text between quotes, escaped and cut to its first characters.

    >>> quoted("a\x1b[2J")
    "'a\\x1b[2J'"
    """
    return ascii(text[:longest])


def escaped(text: str, longest: int = 100) -> str:
    r"""A stranger's name without quotes: ASCII, escaped where it is not, clipped with three dots.

    >>> escaped("n\u00e4me"), escaped("abcdefgh", longest=6)
    ('n\\xe4me', 'abc...')
    """
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few of some strangers' names.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    shown = [escaped(name) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def shown_path(path: str | os.PathLike[str]) -> str:
    r"""A path that a stranger may have named, harmless to a terminal and fit for UTF-8.

    >>> shown_path("outputs/record.json"), shown_path("a\x1b[2J")
    ('outputs/record.json', "'a\\x1b[2J'")
    """
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def file_stem(text: str, fallback: str, longest: int = 60) -> str:
    """A part of a file name that leads nowhere else, whatever the text is.

    >>> file_stem("../../etc/pass wd", "image")
    'etc_pass_wd'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:longest] or fallback


def did_you_mean(word: str, known: Iterable[str], *, limit: int = 3) -> str:
    """The nearest valid names, as the end of a message.

    >>> did_you_mean("imdm", ["imdn", "rfdn", "rlfn"])
    'did you mean imdn?'
    >>> did_you_mean("IMDN", ["imdn", "rfdn", "rlfn"], limit=1)
    'did you mean imdn?'
    >>> did_you_mean("zzz", ["imdn", "rfdn"])
    'known: imdn, rfdn'
    """
    names = sorted(set(known))
    folded = {name.casefold(): name for name in names}
    near = [folded[name] for name in difflib.get_close_matches(word.casefold(), folded, n=limit, cutoff=0.6)]
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}" if names else "none is known"
