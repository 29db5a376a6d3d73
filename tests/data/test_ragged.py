import io
import pickle

import numpy as np
import pytest
from PIL import Image

from raysim.data.ragged import Pictures, Ragged, inside


@pytest.fixture
def three():
    """Samples of 2, 1 and 3 steps of two features; the values hold a step that is nobody's."""
    values = np.arange(14, dtype=np.float32).reshape(7, 2)
    return Ragged(values, np.array([[0, 2], [3, 4], [4, 7]]))


def test_lengths_and_steps(three):
    assert (len(three), three.dtype) == (3, np.float32)
    assert three.lengths.tolist() == [2, 1, 3]
    assert three.steps().tolist() == [0, 1, 3, 4, 5, 6]


def test_padded_with_zeros(three):
    assert three.padded(3).tolist() == [
        [[0, 1], [2, 3], [0, 0]], [[6, 7], [0, 0], [0, 0]], [[8, 9], [10, 11], [12, 13]],
    ]  # fmt: skip


def test_what_is_longer_is_cut(three):
    assert three.padded(1).tolist() == [[[0, 1]], [[6, 7]], [[8, 9]]]
    assert three.padded(2)[2].tolist() == [[8, 9], [10, 11]]


def test_rows_in_any_order_share_the_values(three):
    taken = three[np.array([2, 0, 2])]
    assert taken.values is three.values
    assert taken.steps().tolist() == [4, 5, 6, 0, 1, 4, 5, 6]
    assert taken.padded(3)[:, 0].tolist() == [[8, 9], [0, 1], [8, 9]]
    assert three[np.array([False, True, False])].padded(1).tolist() == [[[6, 7]]]


def test_spans_may_overlap():
    found = Ragged(np.arange(4), np.array([[0, 3], [0, 3], [1, 4]]))
    assert found.padded(3).tolist() == [[0, 1, 2], [0, 1, 2], [1, 2, 3]]
    assert found.steps().tolist() == [0, 1, 2, 0, 1, 2, 1, 2, 3]


def test_a_sample_without_steps_is_padding_alone():
    found = Ragged(np.arange(1, 4), np.array([[0, 2], [0, 0], [2, 3]]))
    assert found.steps().tolist() == [0, 1, 2]
    assert found.padded(2).tolist() == [[1, 2], [0, 0], [3, 0]]


def test_no_samples(three):
    none = three[np.array([], dtype=np.int64)]
    assert (len(none), none.steps().tolist(), none.lengths.tolist()) == (0, [], [])
    assert none.padded(4).shape == (0, 4, 2)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8])
def test_padding_keeps_the_type(dtype):
    assert Ragged(np.ones(2, dtype), np.array([[0, 2]])).padded(3).dtype == dtype


def files(*pictures):
    """Arrays as PNG files, one after another."""
    found = []
    for pixels in pictures:
        file = io.BytesIO()
        Image.fromarray(np.array(pixels, np.uint8)).save(file, "png")
        found.append(np.frombuffer(file.getvalue(), np.uint8))
    ends = np.cumsum([len(f) for f in found])
    return Pictures(np.concatenate(found), np.stack([ends - [len(f) for f in found], ends], axis=1))


def test_grey_pictures_have_one_channel():
    found = files([[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [0, 1, 2]]).decoded()
    assert found.dtype == np.uint8
    assert found.tolist() == [[[[1, 2, 3], [4, 5, 6]]], [[[7, 8, 9], [0, 1, 2]]]]


def test_coloured_pictures_have_channels_first():
    found = files([[[1, 2, 3], [4, 5, 6]]]).decoded()
    assert found.tolist() == [[[[1, 4]], [[2, 5]], [[3, 6]]]]


def test_pictures_stay_pictures_when_some_are_taken_or_sent():
    taken = files([[1]], [[2]], [[3]])[np.array([2, 0, 2])]
    assert taken.decoded().flatten().tolist() == [3, 1, 3]
    assert pickle.loads(pickle.dumps(taken)).decoded().flatten().tolist() == [3, 1, 3]


def test_inside():
    assert inside(np.array([0, 2, 5]), 3).tolist() == [[False, False, False], [True, True, False], [True, True, True]]
    assert inside(np.array([], np.int64), 3).shape == (0, 3)
