"""How long the published code of the challenge's networks keeps intermediate results.

The networks here let go of a result after its last use. Published code mostly keeps it in a variable until the
function returns, and adds and multiplies into new tensors where ours reuse memory; its peak, which the challenge
published, is higher. The rules below say what to keep so that the same pass shows that peak. They are an
inference: one rule for most modules, and exceptions that the published memory itself suggests.
"""

from collections.abc import Mapping
from enum import Flag, auto

from torch import nn

from esr.models.blocks.trunk import ChainedTrunk, FusedTrunk


class Keeps(Flag):
    """What a module keeps until it returns."""

    NOTHING = 0
    RESULTS = auto()
    """What the modules return that it calls."""
    VALUES = auto()
    """What operators make that it calls itself."""
    SUMS = auto()
    """In-place additions of its own take new memory, as published."""
    FACTORS = auto()
    """So do in-place sigmoids."""
    PRODUCTS = auto()
    """So do other in-place operators, multiplications above all."""
    LONGER = auto()
    """Its input and all of this stay until the module after it has returned: published as one function."""


LOCALS = Keeps.RESULTS | Keeps.VALUES
VARIABLES = LOCALS | Keeps.FACTORS | Keeps.PRODUCTS
"""The rule: results have names, sums replace what they add to, and attention is a product of new tensors."""
EVERYTHING = VARIABLES | Keeps.SUMS

Rules = Mapping[str, Keeps]
"""Names of module classes; those that are not named follow the rule, or `OTHERS` if it is there."""
OTHERS = "others"

EXCEPTIONS: Mapping[str, Rules] = {
    "AALN": {"ConvolutionPair": Keeps.NOTHING, "AALN": Keeps.NOTHING},
    "AFDN": {"HalvesAttention": Keeps.NOTHING},
    "ARFDN": {"ARFDB": EVERYTHING, "ESA": LOCALS | Keeps.PRODUCTS},
    "BSRN": {OTHERS: Keeps.NOTHING, "BSRN": LOCALS},
    "EFDN": {"EFDB": Keeps.VALUES, "EFDN": Keeps.VALUES},
    "ESAN": {
        "AttentionResidual": Keeps.RESULTS | Keeps.LONGER,
        "ESA": Keeps.PRODUCTS,
        "ESAN": Keeps.NOTHING,
    },
    "FDEN": {"FDEB": Keeps.RESULTS},
    "FMEN": {"ERBPair": Keeps.NOTHING, "HFAB": Keeps.NOTHING},
    "HNCT": {"WindowAttention": LOCALS},
    "IMDeception": {"WindowedNonLocal": Keeps.SUMS | Keeps.LONGER},
    "IMDNPlus": {"NarrowingIMDB": EVERYTHING},
    "IMDTN": {"WindowAttention": Keeps.SUMS | Keeps.LONGER},
    "MDAN": {"MDAN": Keeps.RESULTS},
    "MobileSR": {"MobileSR": Keeps.VALUES},
    "MRFDN": {OTHERS: Keeps.NOTHING},
    "MSDN": {"ESA": LOCALS | Keeps.PRODUCTS, "MSDN": Keeps.NOTHING},
    "PlainRFDN": {"ESA": LOCALS, "PlainRFDN": VARIABLES, "RFDB": Keeps.RESULTS | Keeps.LONGER},
    "PRRN": {"PRRN": Keeps.RESULTS},
    "ResDN": {"DenseDistillation": Keeps.SUMS, "Sequential": Keeps.RESULTS},
    "RFDNeXt": {"RFDNeXtBlock": Keeps.RESULTS},
    "RFESR": {"BackwardReduction": Keeps.NOTHING, "WeightedResidual": EVERYTHING | Keeps.LONGER},
    "RLCSR": {"AsymmetricConv": EVERYTHING, "RLCSR": Keeps.RESULTS},
    "RLFN": {"ESA": LOCALS | Keeps.LONGER},
    "SCET": {"SCET": Keeps.NOTHING},
    "SRModel": {"AttentiveBlock": Keeps.VALUES, "SRModel": Keeps.NOTHING},
}
"""By the name of the network's class."""


def published_retention(network: nn.Module) -> dict[nn.Module, Keeps] | None:
    """What each module of one of these networks keeps in its published code; none for any other network."""
    if not type(network).__module__.startswith("esr.models."):
        return None
    rules = EXCEPTIONS.get(type(network).__name__, {})
    return {module: _kept(module, rules) for module in network.modules()}


def _kept(module: nn.Module, rules: Rules) -> Keeps:
    stated = rules.get(type(module).__name__)
    if stated is not None:
        return stated
    runs_in_a_row = isinstance(module, ChainedTrunk) and not isinstance(module, FusedTrunk)
    if type(module) is nn.Sequential or runs_in_a_row or not any(module.children()):
        return Keeps.NOTHING
    return rules.get(OTHERS, VARIABLES)
