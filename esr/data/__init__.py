"""Data sets and the folder layouts that they come in."""
