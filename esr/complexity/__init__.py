"""The cost of a network: parameters, operations, activations, convolutions and live memory."""

from esr.complexity.counting import Layer, layers, measure

__all__ = ["Layer", "layers", "measure"]
