import numpy as np
import pytest
from pydantic import ValidationError

from raysim.datasets.polydigits import SHARES, Polydigits, divide, enlarge


def load(**options):
    return Polydigits(Polydigits.Options(**options)).load()


@pytest.fixture(scope="module")
def data():
    return load()


def test_sizes_and_types(data):
    assert data.names == ("m0", "m1", "m2")
    assert data.classes == tuple("0123456789")
    assert (len(data.train), len(data.validation), len(data.test)) == (3234, 807, 1350)
    for split in (data.train, data.validation, data.test):
        assert split.labels.dtype == np.int64
        assert split.presence(data.names).all()
        for image in split.inputs.values():
            assert image.dtype == np.uint8
            assert image.shape == (len(split), 3, 28, 28)
        assert np.abs(np.bincount(split.labels) / len(split) - 0.1).max() < 0.01


def test_modalities_and_splits_share_no_image(data):
    images = [i for s in (data.train, data.validation, data.test) for x in s.inputs.values() for i in x]
    assert len({i.tobytes() for i in images}) == len(images)


def test_no_handwriting_is_in_two_splits():
    labels = np.arange(1797) % 10
    rows = divide(labels, seed=0)
    assert list(rows) == list(SHARES)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(1797))
    for name, share in SHARES.items():
        assert np.abs(np.bincount(labels[rows[name]]) - 179.7 * share).max() <= 1.0
    assert not np.array_equal(rows["train"], divide(labels, seed=1)["train"])


def test_equal_options_give_equal_bits_and_a_modality_does_not_depend_on_the_others(data):
    five = load(modalities=5)
    assert five.names == ("m0", "m1", "m2", "m3", "m4")
    assert np.array_equal(five.train.labels, data.train.labels)
    for name in data.names:
        assert np.array_equal(five.train.inputs[name], data.train.inputs[name])
    other = load(seed=1)
    assert not np.array_equal(other.train.labels, data.train.labels)


def test_copies_multiply_the_tuples():
    assert len(load(modalities=2, copies=1).train) == 1078


def test_enlarge_keeps_corners_and_interpolates_between():
    image = np.zeros((1, 8, 8))
    image[0, 0, 7] = 1.0
    large = enlarge(image)[0]
    assert large.shape == (28, 28)
    assert large[0, 27] == 1.0
    assert large[0, 26] == pytest.approx(1 - 7 / 27)
    assert large[27, 0] == 0.0


@pytest.mark.parametrize("options", [{"modalities": 1}, {"modalities": 6}, {"copies": 0}, {"noise": -1}, {"nois": 0.1}])
def test_options_are_checked(options):
    with pytest.raises(ValidationError):
        Polydigits.Options(**options)
