"""Warm-up, paired rounds and their statistics: pure functions over arrays."""
