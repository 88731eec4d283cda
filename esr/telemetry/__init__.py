"""Telemetry: GPU and host sampled during an evaluation, and what speaks against its figures."""
