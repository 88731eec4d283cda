"""The record of an evaluation: its types, reading, finding, comparing."""
