import numpy as np
import pytest

from raysim.data.dataset import DataError, Split
from raysim.data.partition import partition, strata
from raysim.scenario.clients import Dirichlet, Groups, Iid, Natural, Shards


def make(labels, clients=None):
    labels = np.asarray(labels)
    return Split({"a": np.zeros((len(labels), 2))}, labels, clients=None if clients is None else np.asarray(clients))


TEN_CLASSES = make(np.arange(600) % 10)
SPECS = [
    Iid(name="iid", clients=7),
    Dirichlet(name="dirichlet", clients=7, alpha=0.3, min_size=5),
    Shards(name="shards", clients=7),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_parts_are_disjoint_complete_sorted_and_depend_on_the_seed_alone(spec):
    parts = partition(TEN_CLASSES, spec, seed=1)
    assert len(parts) == 7
    assert sorted(np.concatenate(parts).tolist()) == list(range(600))
    assert all(p.dtype == np.int64 and (np.diff(p) > 0).all() for p in parts)
    again, other = partition(TEN_CLASSES, spec, seed=1), partition(TEN_CLASSES, spec, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(parts, other, strict=True))


def test_iid_deals_equal_shares():
    assert [len(p) for p in partition(make(np.zeros(10, int)), Iid(name="iid", clients=4), 0)] == [3, 3, 2, 2]


def test_a_known_dirichlet_draw():
    parts = partition(make([0] * 6 + [1] * 6), Dirichlet(name="dirichlet", clients=3, alpha=0.5), seed=0)
    assert [p.tolist() for p in parts] == [[0, 6, 8, 10, 11], [1, 3, 4, 5], [2, 7, 9]]


def test_dirichlet_skews_with_small_alpha_and_evens_out_with_large():
    def largest_share(alpha):
        parts = partition(TEN_CLASSES, Dirichlet(name="dirichlet", clients=5, alpha=alpha), 0)
        counts = np.stack([np.bincount(TEN_CLASSES.labels[p], minlength=10) for p in parts])
        return (counts.max(axis=0) / counts.sum(axis=0)).mean()

    assert largest_share(0.05) > 0.8
    assert largest_share(1000.0) < 0.25


def test_dirichlet_with_a_vanishing_alpha_still_serves_everyone():
    parts = partition(TEN_CLASSES, Dirichlet(name="dirichlet", clients=10, alpha=1e-6), 0)
    assert [len(p) for p in parts] == [60] * 8 + [54, 66]


def test_natural_clients_in_order_of_their_id_without_the_small_ones():
    split = make(np.zeros(6, int), clients=[5, 2, 5, 9, 2, 5])
    assert [p.tolist() for p in partition(split, Natural(name="natural"), 0)] == [[1, 4], [0, 2, 5], [3]]
    assert [p.tolist() for p in partition(split, Natural(name="natural", min_size=2), 0)] == [[1, 4], [0, 2, 5]]


PATIENTS = make(np.zeros(12, int), clients=[0, 0, 0, 1, 2, 2, 3, 3, 4, 5, 5, 5])


def test_groups_stay_together_and_all_are_dealt():
    parts = partition(PATIENTS, Groups(name="groups", clients=3), 0)
    owners = [set(PATIENTS.clients[p].tolist()) for p in parts]
    assert [len(o) for o in owners] == [2, 2, 2]
    assert set.union(*owners) == set(range(6))
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert all((np.diff(p) > 0).all() for p in parts)


def test_so_many_groups_a_client_and_the_others_are_left_out():
    spec = Groups(name="groups", clients=2, groups_per_client=2)
    owners = [set(PATIENTS.clients[p].tolist()) for p in partition(PATIENTS, spec, 0)]
    assert [len(o) for o in owners] == [2, 2]
    assert len(set.union(*owners)) == 4
    assert owners != [set(PATIENTS.clients[p].tolist()) for p in partition(PATIENTS, spec, 1)]


def test_there_must_be_enough_groups():
    with pytest.raises(DataError, match=r"the data has 6 groups, 8 are needed; use fewer clients"):
        partition(PATIENTS, Groups(name="groups", clients=4, groups_per_client=2), 0)


def test_shards_give_a_client_few_classes():
    parts = partition(TEN_CLASSES, Shards(name="shards", clients=10, shards_per_client=2), 0)
    assert [len(p) for p in parts] == [60] * 10
    assert max(len(np.unique(TEN_CLASSES.labels[p])) for p in parts) <= 2


def test_a_multi_label_sample_goes_by_its_first_positive_label():
    assert strata(np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]], np.float32)).tolist() == [1, 0, 3]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Iid(name="iid", clients=7), "6 training samples are too few for a sample each (7 needed); use fewer clients"),
        (Dirichlet(name="dirichlet", clients=3, alpha=1.0, min_size=3), "too few for min_size 3 on 3 clients"),
        (Dirichlet(name="dirichlet", clients=3, alpha=0.01, min_size=2), "raise alpha, lower min_size"),
        (Shards(name="shards", clients=4), "too few for 2 shards for each of 4 clients (8 needed)"),
        (Natural(name="natural"), "the dataset has no natural clients; use iid, dirichlet or shards"),
    ],
)
def test_what_cannot_be_divided_says_why(spec, message):
    with pytest.raises(DataError) as caught:
        partition(make([0, 0, 0, 0, 0, 0]), spec, 0)
    assert message in str(caught.value)
    assert caught.value.section == "partition"


def test_no_natural_client_is_large_enough():
    with pytest.raises(DataError, match="the largest has 2"):
        partition(make([0, 0, 0], clients=[1, 1, 2]), Natural(name="natural", min_size=3), 0)
