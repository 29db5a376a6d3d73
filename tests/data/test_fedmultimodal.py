"""The benchmark's draws; the counts are those of its own code for a hundred clients."""

import numpy as np
import pytest

from raysim.data import fedmultimodal
from raysim.data.dataset import DataError
from raysim.data.missing import training_mask
from raysim.scenario.clients import PerClient

# rate: clients that lack A, that lack B, that lack both, complete, that lack A alone, B alone
COUNTS = {
    0.1: (8, 9, 1, 84, 7, 8), 0.2: (20, 19, 3, 64, 17, 16), 0.3: (27, 30, 6, 49, 21, 24),
    0.4: (36, 36, 11, 39, 25, 25), 0.5: (47, 49, 23, 27, 24, 26), 0.6: (64, 64, 39, 11, 25, 25),
    0.7: (73, 70, 49, 6, 24, 21), 0.8: (80, 81, 64, 3, 16, 17), 0.9: (92, 91, 84, 1, 8, 7),
}  # fmt: skip
# rate: usable clients in a round of ten, mean over 200 rounds; rounds that have none
USABLE = {0.1: (9.9, 0), 0.2: (9.705, 0), 0.3: (9.385, 0), 0.4: (8.9, 0), 0.5: (7.72, 0),
          0.6: (6.17, 0), 0.7: (5.125, 0), 0.8: (3.735, 1), 0.9: (1.63, 36)}  # fmt: skip
PARTS = [np.array([2 * k, 2 * k + 1]) for k in range(100)]


@pytest.mark.parametrize("rate", COUNTS)
def test_who_lacks_what(rate):
    a, b = fedmultimodal.missing(100, (rate, rate)).T
    assert (a.sum(), b.sum(), (a & b).sum(), (~a & ~b).sum(), (a & ~b).sum(), (b & ~a).sum()) == COUNTS[rate]


@pytest.mark.parametrize("rate", USABLE)
def test_how_many_of_a_round_have_anything(rate):
    usable = ~fedmultimodal.missing(100, (rate, rate)).all(axis=1)
    counts = [int(usable[fedmultimodal.cohort(100, 10, r)].sum()) for r in range(1, 201)]
    assert (np.mean(counts), counts.count(0)) == USABLE[rate]


def test_modality_b_of_a_client_is_drawn_like_a_of_the_client_with_twice_its_number():
    a, b = fedmultimodal.missing(100, (0.5, 0.5)).T
    assert a[0] == b[0]
    assert (b[:50] == a[0:100:2]).all()


def test_a_client_lacks_a_modality_in_all_samples_and_with_both_it_is_left_out():
    spec = PerClient(name="per_client", rate=0.5)
    full = np.ones((200, 2), dtype=bool)
    mask, parts = training_mask(full, PARTS, spec, ("audio", "text"), 7, "fedmultimodal")
    assert (mask[0::2] == mask[1::2]).all()
    assert (~mask[::2]).sum(axis=0).tolist() == [47, 49]
    assert sum(len(p) == 0 for p in parts) == 23
    other, _ = training_mask(full, PARTS, spec, ("audio", "text"), 8, "fedmultimodal")
    assert (mask == other).all()


def test_it_has_two_modalities():
    with pytest.raises(DataError, match="two modalities, the data has 3; set it to null"):
        training_mask(
            np.ones((200, 3), dtype=bool),
            PARTS,
            PerClient(name="per_client", rate=0.5),
            ("a", "b", "c"),
            0,
            "fedmultimodal",
        )


def test_a_class_that_can_become_no_other_is_told(monkeypatch):
    monkeypatch.setattr(fedmultimodal, "_transitions", lambda *_: np.array([[0.7, 0.0], [0.3, 0.7]]))
    with pytest.raises(DataError, match="fails for client 3: a class can become no other; set compat: null"):
        fedmultimodal.replacements(3, 2, 0.3)
