"""Slices of what is evaluated, their scores, and metrics."""
