"""Terms that configuration, records and reports share, each defined once. Imports nothing of `esr`."""

from typing import Annotated, Literal

from msgspec import Meta

Role = Literal["candidate", "baseline"]
"""Role of a network in an evaluation: the one in question, or the one it is paired with."""
ROLES: tuple[Role, Role] = ("candidate", "baseline")

MOST_ROUNDS = 20_000
"""Rounds that an evaluation measures, and a record may hold: a minute of the fastest network has fewer."""

Protocol = Literal["paired", "single"]
"""Interleaved rounds against the baseline, or the challenge's one unwarmed pass."""

Stage = Literal[
    "open", "load", "image", "complexity", "memory", "peak", "reset_memory", "keep_memory", "renew", "quality",
    "prepare", "time", "sample", "audit", "weights", "pass", "record", "replay", "inspect", "kernels", "layers",
    "export", "rate",
]  # fmt: skip
"""A request to a worker, and the stage at which a network failed."""

FailureKind = Literal["crashed", "timeout", "out_of_memory", "bad_output", "exception"]
Severity = Literal["taint", "imprecision", "warning"]
"""Severity of a reason: it discredits the figures, or makes their interval wide; a warning leaves the status clean."""
Status = Literal["clean", "imprecise", "tainted", "failed"]
"""A record's status: nothing speaks against it; its interval is honest but wider than the target; its figures are
discredited; a network could not be measured to the end."""
Ending = Literal["precision", "max_seconds", "rounds", "failure"]
"""Reason for which the rounds ended."""
WeightsSource = Literal["published", "bundled", "random", "path", "repository"]
"""`repository`: loaded by the script of the network's own repository."""
Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
"""Precision class: the lowest precision in which a network multiplies; classes are ranked apart."""
LrOrigin = Literal["files", "bicubic", "bundled"]
"""The set's own LR images; LR made from HR by MATLAB-compatible bicubic; the same from the bundled photographs."""

# No network and no machine reaches these bounds: a table stays a table, no sum or quotient leaves the range of floats.
Count = Annotated[int, Meta(ge=0, le=10**18)]
Figure = Annotated[float, Meta(ge=0, le=1e12)]
Positive = Annotated[float, Meta(ge=1e-9, le=1e12)]
Psnr = Annotated[float, Meta(ge=0, le=1000)]
"""dB; never negative for 8-bit images."""
Number = Annotated[int, Meta(ge=-(10**9), le=10**9)]
Rank = Annotated[int, Meta(ge=1, le=10**6)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
"""sha256, hexadecimal."""
Side = Annotated[int, Meta(ge=1, le=10**7)]
"""Pixels."""
