"""`raysim bench`: standard jobs, timed against a plain PyTorch loop of the same work."""
