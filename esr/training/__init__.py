"""Training: weights from a folder of HR images, on a CPU or a GPU.

The bundled weights come from it, and participants can train their networks with it before they submit them.
Evaluation does not depend on it.
"""
