import numpy as np
import pytest

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.remarks import remarks


def data(kind, x, present=None):
    split = Split({"m": x}, np.zeros(len(x), np.int64), present={} if present is None else {"m": present})
    return Dataset({"m": Modality(kind, x.shape[1:])}, ("a",), False, split, split, split)


PIXELS = np.linspace(0, 255, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
LINE = "image 'm' has values up to 255 as floats; networks take them as they are: write x.astype('uint8') for pixels"


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        (data("image", PIXELS.astype(np.float32)), True),
        (data("image", PIXELS.astype(np.uint8)), False),
        (data("image", (PIXELS / 255).astype(np.float32)), False),
        (data("image", ((PIXELS - 127) / 74).astype(np.float32)), False),
        (data("image", PIXELS.astype(np.float32), np.zeros(2, bool)), False),
        (data("vector", PIXELS.reshape(2, -1).astype(np.float32)), False),
    ],
)
def test_pixels_as_floats_are_remarked_on(dataset, said):
    assert [text.startswith(LINE) for text in remarks(dataset)] == [True] * said
