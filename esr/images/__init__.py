"""Pixels: reading and writing, bicubic, metrics, pictures."""
