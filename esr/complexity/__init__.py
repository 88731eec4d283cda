"""What a network costs: parameters, operations, activations, convolutions and memory."""

from esr.complexity.counting import Complexity, Layer, layers, measure
from esr.complexity.memory import PeakMemory, peak_memory

__all__ = ["Complexity", "Layer", "PeakMemory", "layers", "measure", "peak_memory"]
