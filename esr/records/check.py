"""The one place that refuses what a record must not hold although its types allow it."""

from functools import lru_cache

from esr.config.cards import Card
from esr.config.terms import ROLES
from esr.errors import RecordError
from esr.records.document import Document, decoded_images
from esr.records.network import Network, NetworkTiming
from esr.records.reasons import REASONS
from esr.text import quoted

LONGEST_NAME = 200


def check(document: Document) -> None:
    """Refuses names that are not plain text, unknown reasons, image names that are paths, and lists that do not fit.

    Raw parts except the images are left to `check_raw`.

    Raises:
        RecordError: The line names the place.
    """
    for role in ROLES:
        _check_network(role, document.networks.of(role))
    check_name("data set's name", document.data.name)
    check_name("processor", document.environment.cpu.model or "-")
    for found in document.verdict.reasons:
        _check_reason("verdict", found.reason)
    timing = document.timing
    if len(timing.process_of_round) != len(timing.ratio_per_round):
        raise RecordError("timing.process_of_round: not one process for each round")
    _check_images(bytes(document.data.images))


def check_raw(document: Document) -> None:
    """Decodes the raw parts and refuses what does not fit.

    Raises:
        RecordError: The line names the place.
    """
    document.load_config()
    document.telemetry.load_windows()
    images = len(document.data.load_images())
    for role in ROLES:
        network = document.networks.of(role)
        if network.quality and len(network.quality.images) != images:
            raise RecordError(f"{role}'s quality: not one entry for each image")
        if network.timing:
            _check_timing(role, network.timing, images)


def _check_network(role: str, network: Network) -> None:
    check_name(f"{role}'s name", network.name)
    check_card(role, network.card)
    if worker := network.worker:
        check_name("device", worker.device.name or "-")
        check_name("version of torch", worker.torch)
    if counted := network.complexity:
        for operator in (*counted.missed_by_hooks, *counted.without_formula):
            check_name("operator", operator)


def check_card(role: str, card: Card) -> None:
    """Refuses a card whose name, title or team is not plain text.

    Raises:
        RecordError: The line names the place.
    """
    check_name(f"{role}'s name", card.name)
    check_name(f"{role}'s title", card.title)
    check_name(f"{role}'s team", card.team or "-")


def check_image_name(name: str) -> None:
    """Refuses an image's name that is not plain text, or a path.

    Raises:
        RecordError: The line shows it.
    """
    check_name("image", name)
    if "/" in name or "\\" in name or name in (".", ".."):
        raise RecordError(f"image name {quoted(name)}: a path instead of a bare name")


def _check_timing(role: str, timing: NetworkTiming, images: int) -> None:
    samples = timing.load_samples()
    columns = [getattr(samples, column) for column in samples.__struct_fields__]
    if any(column is not None and len(column) != timing.passes for column in columns):
        raise RecordError(f"{role}'s samples: not {timing.passes} values in each column")
    if len(timing.median_ms) != images or max(samples.image, default=0) >= images:
        raise RecordError(f"{role}'s timing: not of the data set's {images} images")
    timing.load_warmup()
    for block in timing.load_blocks():
        for reason in block.reasons:
            _check_reason(f"{role}'s block {block.block}", reason)


def _check_reason(place: str, reason: str) -> None:
    if reason not in REASONS:
        raise RecordError(f"{place}: reason {quoted(reason)}: no such reason")


@lru_cache(maxsize=64)
def _check_images(raw: bytes) -> None:
    # By its bytes, so that thousands of records of one set decode and check it once.
    for image in decoded_images(raw):
        check_image_name(image.name)


@lru_cache(maxsize=10_000)
def check_name(what: str, text: str) -> None:
    """Refuses what is not a name: markup, control characters, pages of text.

    Raises:
        RecordError: The line names what it is and shows it.
    """
    if len(text) > LONGEST_NAME:
        raise RecordError(f"{what} {quoted(text)}: longer than {LONGEST_NAME} characters")
    if not text.strip() or not text.isprintable() or any(mark in text for mark in "<>"):
        raise RecordError(f"{what} {quoted(text)}: not plain text")
