"""The command line, one file a command."""

from raysim.cli.app import main

__all__ = ["main"]
