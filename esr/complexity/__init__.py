"""The cost of a network: parameters, operations, activations, convolutions and live memory."""

from esr.complexity.counting import layers, measure

__all__ = ["layers", "measure"]
