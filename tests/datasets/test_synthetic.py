import numpy as np
import pytest
from pydantic import ValidationError

from raysim.datasets.synthetic import Synthetic


def load(**options):
    return Synthetic(Synthetic.Options(**options)).load()


def test_sizes_and_types():
    data = load(clients=5, samples_per_client=4, dims=(3, 2), classes=3, held_out=7)
    assert {m: spec.shape for m, spec in data.modalities.items()} == {"m0": (3,), "m1": (2,)}
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 7, 7)
    assert data.train.clients.tolist() == [k for k in range(5) for _ in range(4)]
    for split in (data.train, data.validation, data.test):
        assert split.labels.dtype == np.int64
        assert all(x.dtype == np.float32 and x.shape[0] == len(split) for x in split.inputs.values())
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_equal_options_give_equal_bits():
    one, other = load(), load()
    for name in one.names:
        assert np.array_equal(one.train.inputs[name], other.train.inputs[name])
        assert not np.array_equal(one.train.inputs[name], load(seed=1).train.inputs[name])


def test_alpha_sets_the_label_skew():
    def largest_share(alpha):
        data = load(clients=50, samples_per_client=40, alpha=alpha)
        labels = data.train.labels.reshape(50, 40)
        return np.mean([np.bincount(row).max() / 40 for row in labels])

    assert largest_share(100.0) < 0.3
    assert largest_share(0.05) > 0.8


def test_one_modality_tells_of_the_other():
    data = load(clients=100, noise=0.5).train
    both = np.corrcoef(data.inputs["m0"].T, data.inputs["m1"].T)[:32, 32:]
    assert np.abs(both).max() > 0.5


def test_options_are_checked():
    with pytest.raises(ValidationError):
        Synthetic.Options(dims=())


def test_targets_are_real_numbers_that_the_modalities_tell_of():
    plain, data = (load(targets=targets, dims=(16, 16), noise=0.0, held_out=400) for targets in (0, 2))
    assert (data.classes, data.targets, data.outcome) == ((), ("z0", "z1"), "regression")
    assert data.test.labels.shape == (400, 2)
    assert data.test.labels.dtype == np.float32
    assert all(np.array_equal(data.test.inputs[m], plain.test.inputs[m]) for m in data.names)
    for x in data.test.inputs.values():  # as many features as latent numbers, or more, and no noise
        fitted = x @ np.linalg.lstsq(x, data.test.labels, rcond=None)[0]
        assert np.abs(fitted - data.test.labels).max() < 1e-3
