"""Metrics: one file each, found by name; a function of the file's name."""
