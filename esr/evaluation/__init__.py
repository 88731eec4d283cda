"""The main job: networks measured in worker processes, and the record of it."""
