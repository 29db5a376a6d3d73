import numpy as np

from raysim.engine.messages import SMALL_BYTES, packed, size_of, unpacked
from raysim.training.reports import Reports
from raysim.training.results import ClientFailure, UnitResult


def test_what_is_small_travels_as_bytes():
    assert isinstance(packed([1, 2]), bytes)
    assert unpacked(packed([1, 2])) == [1, 2]
    large = object()
    assert packed(large, SMALL_BYTES + 1) is large
    assert unpacked(large) is large


def test_the_size_of_results_is_that_of_their_arrays():
    updates = {3: {"w": np.zeros(2, np.float32)}}
    result = UnitResult(0, {"w": np.zeros(5)}, {"w": np.zeros(1)}, Reports.of(()), updates=updates)
    assert size_of([result, ClientFailure((), 1, "train", "oops")]) == 8 * 6 + 4 * 2
