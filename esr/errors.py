"""Errors that a user can cause.

Each carries one line that names the object, its value and the remedy; the command line prints it and exits
with `exit_code`. Any other exception is a bug in `esr` and keeps its traceback.
"""


class EsrError(Exception):
    """Base class of errors reported in one line."""

    exit_code = 2

    def __str__(self) -> str:
        """The line; one stays one, whatever the value in it."""
        return " ".join(super().__str__().splitlines())


class ConfigError(EsrError):
    """An unknown key, a wrong type, an unknown choice or a value out of range."""


class WeightsError(EsrError):
    """Weights that are missing, damaged, malicious, or of another network."""


class DownloadError(EsrError):
    """A file that could not be fetched, or differs from its stated size or digest."""


class DataError(EsrError):
    """An image or a data set that is missing, unreadable or does not match."""


class NetworkError(EsrError):
    """A network that cannot be built, or whose output has the wrong type, shape or values."""


class DeviceError(EsrError):
    """A device that does not exist or cannot be used as requested."""


class SandboxError(EsrError):
    """A sandbox that is required and that the machine does not allow."""


class RecordError(EsrError):
    """A record that is corrupt, incomplete or of another version."""


class OutputError(EsrError):
    """Standard output that cannot be written."""


class EvaluationFailed(EsrError):  # noqa: N818 - a result with a record, not a usage error
    """At least one network failed during the evaluation; the record holds the failure."""

    exit_code = 1
