"""The machine and its files: atomic writes, control groups, environment, device lock, NVML."""
