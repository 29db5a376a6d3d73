"""The command `raysim validate`."""

from raysim.cli.files import Files, Overrides, checked


def validate(files: Files, overrides: Overrides = None) -> int:
    """Check scenarios without running them, and their data where it is here and small; say what there is."""
    return 2 if checked(files, overrides, look=True) is None else 0
