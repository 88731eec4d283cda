"""The keys of `conf/telemetry`: sampling rates, and the thresholds of the verdict."""

from dataclasses import dataclass


@dataclass
class TelemetryConf:
    """Sampling of the device and the host; `docs/telemetry.md` gives the reason for each threshold."""

    enabled: bool = True
    """Sample the GPU and the host during the evaluation; without it, no disturbance is found."""
    gpu_hz: float = 5.0
    """Samples of the GPU per second, at most 10."""
    host_hz: float = 1.0
    """Samples of the host per second, at most 10."""
    max_share: float = 0.002
    """Largest fraction of the time that a sampler may spend sampling; it slows down to stay below."""
    sm_clock_spread: float = 0.02
    """Largest clean spread of the SM clock, as a fraction of its median."""
    temperature_rise_c: float = 3.0
    """Largest clean rise of the GPU's temperature, in °C, from the first quarter of the timed samples to the last."""
    host_load: float = 0.05
    """Largest clean load from other processes, as a fraction of all cores."""
    steady_s: float = 10.0
    """Seconds over which a warm GPU is steady."""
    steady_rise_c: float = 0.5
    """Largest rise of a steady GPU, in °C, between the two halves of `telemetry.steady_s`."""
