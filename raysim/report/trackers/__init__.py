"""Experiment trackers: one file each, found by name (`raysim.registry`), and the sink that tells them."""
