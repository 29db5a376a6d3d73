"""Parts of what was worked out elsewhere for generative models; see `tiny_vae`."""

import json

import pytest
from tiny_vae import FILE


def known(key):
    """One part of the file."""
    if not FILE.is_file():
        pytest.skip(f"needs ../shared/fixtures/generative beside the repository: its '{key}'")
    return json.loads(FILE.read_text(encoding="utf-8"))[key]
