"""Facts about a built network, kept beside the module: a stranger's module has attributes of its own."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn

from esr.config.cards import SHIPPED, Card
from esr.config.schema import TileConf


@dataclass(frozen=True)
class Facts:
    """The part of a network's configuration that inference needs."""

    card: Card
    tile: TileConf


_KNOWN: "WeakKeyDictionary[nn.Module, Facts]" = WeakKeyDictionary()


def remember(network: nn.Module, facts: Facts) -> None:
    """Notes a network's facts for as long as the network lives; a shipped one also gets the attribute `card`."""
    _KNOWN[network] = facts
    if type(network).__module__.startswith(SHIPPED):
        network.card = facts.card  # type: ignore[assignment]


def facts_of(network: nn.Module) -> Facts | None:
    """The facts of a network that `esr` built, or of a copy of a shipped one; else `None`."""
    facts = _KNOWN.get(network)
    card = getattr(network, "card", None)
    return Facts(card, TileConf()) if facts is None and isinstance(card, Card) else facts


def card_of(network: nn.Module) -> Card | None:
    """The card of a network from `create_model`; `None` for any other module, and for a copy of a participant's."""
    facts = facts_of(network)
    return facts.card if facts else None
