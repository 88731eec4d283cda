"""Warm-up, the order of measurement, statistics and stopping: pure functions over arrays."""
