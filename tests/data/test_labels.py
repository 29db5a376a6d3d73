import numpy as np
import pytest

from raysim.data.labels import labelled, noisy, transitions
from raysim.scenario.clients import Labels

Y = np.arange(4000) % 4
PARTS = [np.arange(0, 2000), np.arange(2000, 4000)]


def changed(noise, compat=None, *, y=Y, seed=0, sparsity=0.4):
    return noisy(y, PARTS, 4, Labels(noise=noise, sparsity=sparsity), seed, compat)


def test_without_noise_labels_are_the_data_s_own():
    assert changed(0.0) is Y


def test_so_many_labels_change_and_the_data_does_not():
    before = Y.copy()
    found = changed(0.3)
    assert np.mean(found != Y) == pytest.approx(0.3, abs=0.03)
    assert (before == Y).all()
    assert set(found.tolist()) == {0, 1, 2, 3}


def test_samples_of_a_class_change_each_by_itself_and_by_the_client_s_own_matrix():
    found = changed(0.5)
    seen = [np.unique(found[rows][Y[rows] == 0]).tolist() for rows in PARTS]
    chances = [transitions(k, 4, Labels(noise=0.5), 0) for k in range(2)]
    assert seen == [np.flatnonzero(m[0]).tolist() for m in chances]
    assert not (chances[0] == chances[1]).all()


@pytest.mark.parametrize(("classes", "struck"), [(2, 0), (4, 1), (8, 3), (10, 4)])
def test_two_fifths_of_the_other_classes_never_come(classes, struck):
    matrix = transitions(3, classes, Labels(noise=0.2), 1)
    assert matrix.sum(axis=1) == pytest.approx(np.ones(classes))
    assert np.diag(matrix) == pytest.approx(np.full(classes, 0.8))
    assert np.count_nonzero(matrix == 0, axis=1).tolist() == [struck] * classes


def test_one_other_class_is_always_left():
    assert np.count_nonzero(transitions(0, 4, Labels(noise=0.2, sparsity=0.99), 0), axis=1).tolist() == [2] * 4


def test_a_seed_decides():
    assert (changed(0.3, seed=1) == changed(0.3, seed=1)).all()
    assert (changed(0.3, seed=1) != changed(0.3, seed=2)).any()


def test_each_of_several_labels_flips_by_itself():
    y = (np.arange(8000).reshape(4000, 2) % 3 == 0).astype(np.float32)
    found = changed(0.2, y=y)
    assert np.abs(found - y).mean(axis=0) == pytest.approx([0.2, 0.2], abs=0.03)
    assert set(found.flatten().tolist()) == {0.0, 1.0}


def test_the_benchmark_turns_all_samples_of_a_class_into_the_same():
    labels = np.tile(np.arange(4), 50)
    parts = [np.arange(k * 4, k * 4 + 4) for k in range(50)]
    found = noisy(labels, parts, 4, Labels(noise=0.3), 0, "fedmultimodal").reshape(50, 4).tolist()
    # What the benchmark's own routine gives for these clients.
    assert found[:8] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [3, 2, 3, 3], [0, 1, 2, 0],
                         [2, 3, 3, 3], [0, 1, 0, 0]]  # fmt: skip
    assert noisy(labels, parts, 4, Labels(noise=0.3), 9, "fedmultimodal").reshape(50, 4).tolist() == found


def test_samples_without_a_label_are_left_out():
    parts = labelled(PARTS, Labels(missing=0.25), 0, None)
    assert [len(p) / 2000 for p in parts] == pytest.approx([0.75, 0.75], abs=0.03)
    assert all(np.isin(p, rows).all() for p, rows in zip(parts, PARTS, strict=True))
    assert labelled(PARTS, Labels(), 0, None) is PARTS


def test_the_benchmark_draws_missing_labels_by_the_client_s_number():
    parts = labelled([np.arange(10), np.arange(10, 20)], Labels(missing=0.5), 0, "fedmultimodal")
    assert [p.tolist() for p in parts] == [[r for r, u in zip(range(k * 10, k * 10 + 10), np.random.RandomState(k).binomial(1, 0.5, 10), strict=True) if not u] for k in range(2)]  # fmt: skip # noqa: E501
