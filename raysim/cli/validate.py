"""The command `raysim validate`."""

from raysim.cli.files import Files, Overrides, checked


def validate(files: Files, overrides: Overrides = None) -> int:
    """Check scenarios, options of methods included, without running them."""
    return 2 if checked(files, overrides, tell=True) is None else 0
