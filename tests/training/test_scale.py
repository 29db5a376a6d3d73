"""Which way out is named when numbers explode."""

import numpy as np
import pytest

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.ragged import Ragged
from raysim.training.scale import REMEDY, remedy


def dataset(kind, x, present=None):
    split = Split({"a": x}, np.zeros(len(x), int), present={} if present is None else {"a": np.array(present)})
    return Dataset({"a": Modality(kind, (1,))}, ("0", "1"), False, split, split, split)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (dataset("vector", np.array([[1.0], [-99.0]])), REMEDY),
        (
            dataset("vector", np.array([[1.0], [-2e20]])),
            "'a' reaches 2e+20 where networks want numbers near 1: set data",
        ),
        (
            dataset("image", np.array([[255.0]])),
            "'a' reaches 255 where networks want numbers near 1: divide it, for ex",
        ),
        (dataset("image", np.array([[255]], np.uint8)), REMEDY),
        (dataset("vector", np.array([[1.0], [1e9], [np.nan]]), [True, False, False]), REMEDY),
        (dataset("sequence", Ragged(np.array([[1.0], [900.0]]), np.array([[0, 1]]))), REMEDY),
        (dataset("sequence", Ragged(np.array([[1.0], [900.0]]), np.array([[0, 2]]))), "'a' reaches 900 where"),
    ],
)
def test_large_data_are_to_be_scaled(data, text):
    assert remedy(data).startswith(text)
