"""The datasets that come with raysim: one file each, found by name."""
