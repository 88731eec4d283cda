"""Untrusted text made safe for a line on the terminal or a file name, and phrases shared by all messages."""

import difflib
import os
import re
from collections.abc import Iterable

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_COMMANDS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    r"""Joins text into one line and replaces unprintable characters, such as terminal escapes.

    >>> one_line("out of\n  \x1b[2J memory")
    'out of �[2J memory'
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))


def printable(text: str) -> str:
    r"""Untrusted text with its lines as they are, and without what commands a terminal or turns its text round.

    >>> printable("a\x1b[2Jb\n\u202ec")
    'a�[2Jb\n�c'
    """
    return _COMMANDS.sub("\N{REPLACEMENT CHARACTER}", text)


def indented(value: object) -> str:
    """A value of plain or msgspec types as indented JSON, without a line break at its end."""
    import msgspec  # noqa: PLC0415 - most lines are plain text

    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode()


def described(error: BaseException) -> str:
    r"""An exception of untrusted code, for the middle of a message.

    >>> described(ValueError("not\na number"))
    'ValueError: not a number'
    """
    return f"{type(error).__name__}: {one_line(str(error))}".removesuffix(": ")


def quoted(text: str, longest: int = 60) -> str:
    r"""Untrusted text in quotation marks: ASCII, escaped, cut to its first characters.

    >>> quoted("a\x1b[2J")
    "'a\\x1b[2J'"
    """
    return ascii(text[:longest])


def escaped(text: str, longest: int = 100) -> str:
    r"""An untrusted name without quotation marks: ASCII, escaped, cut with an ellipsis.

    >>> escaped("n\u00e4me"), escaped("abcdefgh", longest=6)
    ('n\\xe4me', 'abc...')
    """
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def shortened(text: str, longest: int) -> str:
    """Text cut in the middle to so many cells of the terminal, since names often differ only at an end.

    >>> shortened("a_network_of_mine_v2", 12), shortened("imdn", 12)
    ('a_netw…ne_v2', 'imdn')
    """
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 - most lines are short

    if cell_len(text) <= longest:
        return text
    start, end = longest // 2, (longest - 1) // 2
    return f"{set_cell_size(text, start).rstrip()}…{set_cell_size(text[::-1], end).rstrip()[::-1]}"


def listed(names: Iterable[str], most: int = 3) -> str:
    """The first few of several untrusted names.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c, …'
    """
    shown = [escaped(name) for name in names]
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def shown_path(path: str | os.PathLike[str]) -> str:
    r"""An untrusted path: as it is if printable, else quoted and escaped.

    >>> shown_path("outputs/record.json"), shown_path("a\x1b[2J")
    ('outputs/record.json', "'a\\x1b[2J'")
    """
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)


def file_stem(text: str, fallback: str, longest: int = 60) -> str:
    """Any text as a harmless part of a file name: ASCII letters, digits, `_` and `-`.

    >>> file_stem("../../etc/pass wd", "image")
    'etc_pass_wd'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:longest] or fallback


def did_you_mean(word: str, known: Iterable[str], *, limit: int = 3) -> str:
    """The valid names nearest to a word, as the end of a message.

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


def duration(seconds: float) -> str:
    """A span in words, rounded.

    >>> duration(42), duration(600), duration(9000), duration(5e6)
    ('42 s', '10 min', '2 h 30 min', '58 days')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds >= 3 * _DAY:
        return f"{seconds / _DAY:.0f} days"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min"
