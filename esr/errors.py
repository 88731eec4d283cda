"""Every error that a user can cause.

Each carries one line that names the thing, its value and the remedy; the command line prints it and exits
with `exit_code`. Anything else that escapes is a defect of `esr` and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class EsrError(Exception):
    """Base of all errors that end in one clear line."""

    exit_code = 2


class ConfigError(EsrError):
    """An unknown key, a wrong type, an unknown choice or a value out of range."""


class WeightsError(EsrError):
    """Weights that are missing, damaged, hostile, or of another network."""


class DownloadError(EsrError):
    """A file that could not be fetched, or is not the file it should be."""


class DataError(EsrError):
    """An image or a data set that is missing, unreadable or does not match."""


class NetworkError(EsrError):
    """A network that cannot be built, or whose output is not what it should be."""


class DeviceError(EsrError):
    """A device that does not exist here or cannot be used as asked."""


class RecordError(EsrError):
    """A record that is corrupt, incomplete or of another version."""


class OutputError(EsrError):
    """Standard output that cannot be written."""


class EvaluationFailed(EsrError):  # noqa: N818 - an outcome with a record, not a misuse
    """At least one network failed while it was measured; the record says how."""

    exit_code = 1


def did_you_mean(word: str, known: Iterable[str], *, limit: int = 3) -> str:
    """The nearest valid names, as a sentence to end an error with.

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


def one_line(error: BaseException) -> str:
    r"""A stranger's exception for the middle of an error's one line.

    >>> one_line(ValueError("no\nsuch luck"))
    'ValueError: no such luck'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
