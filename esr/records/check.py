"""What a record must not hold although its types allow it: refused here, and nowhere else."""

from functools import lru_cache

from esr.config.terms import ROLES
from esr.errors import RecordError
from esr.records.document import Document
from esr.records.network import Network
from esr.records.reasons import REASONS
from esr.text import quoted

LONGEST_NAME = 200


def check(document: Document) -> None:
    """Refuses texts that a report would print but are not plain, reasons that do not exist, lists that do not fit.

    Raises:
        RecordError: The line names the place.
    """
    for role in ROLES:
        _check_network(role, document.networks.of(role))
    check_name("data set's name", document.data.name)
    check_name("processor", document.environment.cpu.model or "-")
    for found in document.verdict.reasons:
        if found.reason not in REASONS:
            raise RecordError(f"verdict's reason {quoted(found.reason)}: no such reason")
    timing = document.timing
    if len(timing.process_of_round) != len(timing.ratio_per_round):
        raise RecordError("timing.process_of_round: not one process for each round")


def _check_network(role: str, network: Network) -> None:
    check_name(f"{role}'s name", network.name)
    check_name(f"{role}'s title", network.card.title)
    check_name(f"{role}'s team", network.card.team or "-")
    if worker := network.worker:
        check_name("device", worker.device.name or "-")
        check_name("version of torch", worker.torch)
    if counted := network.complexity:
        for operator in (*counted.missed_by_hooks, *counted.without_formula):
            check_name("operator", operator)


@lru_cache(maxsize=10_000)
def check_name(what: str, text: str) -> None:
    """Refuses what is not a name: markup, control characters, pages of text.

    Raises:
        RecordError: The line names what it is and shows it.
    """
    if len(text) > LONGEST_NAME:
        raise RecordError(f"{what} {quoted(text)}: longer than {LONGEST_NAME} characters")
    if not text or not text.isprintable() or any(mark in text for mark in "<>"):
        raise RecordError(f"{what} {quoted(text)}: not plain text")
