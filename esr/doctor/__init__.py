"""`esr doctor`: conditions on a machine or in a container that would spoil a run.

`state` gathers the facts; `checks` are pure functions from them to findings with remedies.
"""
