"""Generators are compared in double precision with losses that are known."""

import pytest
import torch


@pytest.fixture(autouse=True)
def double():
    """Until the test ends."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
