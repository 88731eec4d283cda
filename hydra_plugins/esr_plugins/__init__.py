"""Plugins by which Hydra knows esr's networks, launchers and sweeper.

Hydra imports every module here at start, apart from those whose name begins with an underscore, so none imports torch
or submitit at module level.
"""
