"""Weights: bundled ones ship here, published ones are fetched here or into the user cache."""
