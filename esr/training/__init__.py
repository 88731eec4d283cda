"""A training recipe: from a folder of HR images to weights, on a CPU or a GPU.

Evaluating a network needs none of it. It is the origin of the bundled weights, and a start for a network
that is about to be submitted.
"""
