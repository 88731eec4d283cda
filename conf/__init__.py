"""Hydra configuration groups; their schema is `esr.config`."""
