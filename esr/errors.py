"""Every error that a user can cause.

Each carries one line that names the thing, its value and the remedy; the command line prints it and exits
with `exit_code`. Anything else that escapes is a defect of `esr` and keeps its traceback.
"""


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
