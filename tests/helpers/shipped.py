"""The scenarios that come with raysim, each of which is read once by the tests of a process."""

from functools import cache
from pathlib import Path

from raysim.scenario.trial import load

FILES = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))


@cache
def trials(path):
    """Its trials."""
    return tuple(load(path))
