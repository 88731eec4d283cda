"""The main job: one network measured beside the baseline becomes one record."""
