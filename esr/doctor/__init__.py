"""What is wrong with a machine or a container, said before a run is wasted on it.

`state` gathers what there is to know, `checks` are pure functions from that to findings with their remedies.
"""
