"""Shared by several tests; imported as `helpers.NAME`."""
