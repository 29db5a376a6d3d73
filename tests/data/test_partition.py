import numpy as np
import pytest

from raysim.data.dataset import DataError, Split
from raysim.data.partition import Cut, joined, partition, sizes_of, strata
from raysim.scenario.clients import Dirichlet, Groups, Iid, Natural, Pathological, Quantity, Shards
from raysim.seeding import stream


def make(labels, clients=None):
    labels = np.asarray(labels)
    return Split({"a": np.zeros((len(labels), 2))}, labels, clients=None if clients is None else np.asarray(clients))


TEN_CLASSES = make(np.arange(600) % 10)
SPECS = [
    Iid(name="iid", clients=7),
    Dirichlet(name="dirichlet", clients=7, alpha=0.3, min_size=5),
    Shards(name="shards", clients=7),
    Quantity(name="quantity", clients=7, alpha=0.8, min_size=5),
    Pathological(name="pathological", clients=7, classes_per_client=6),
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


@pytest.mark.parametrize("clients", [1, 3, 7, 10])
def test_iid_deals_as_numpy_cuts(clients):
    wanted = np.array_split(stream(5, "partition", "iid").permutation(10), clients)
    found = partition(make(np.zeros(10, int)), Iid(name="iid", clients=clients), seed=5)
    assert [p.tolist() for p in found] == [sorted(p.tolist()) for p in wanted]


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


def test_a_known_quantity_draw():
    parts = partition(make(np.zeros(12, int)), Quantity(name="quantity", clients=3, alpha=1.0), seed=0)
    assert [p.tolist() for p in parts] == [[6], [3, 7, 11], [0, 1, 2, 4, 5, 8, 9, 10]]


def test_quantity_skews_sizes_and_leaves_labels_alike():
    def dealt(alpha):
        return partition(TEN_CLASSES, Quantity(name="quantity", clients=5, alpha=alpha), 0)

    assert [len(p) for p in dealt(1e308)] == [120] * 5
    assert max(len(p) for p in dealt(1000.0)) < 140
    skewed = dealt(0.3)
    assert max(len(p) for p in skewed) > 250
    counts = np.bincount(TEN_CLASSES.labels[max(skewed, key=len)], minlength=10)
    assert counts.min() > 0.4 * counts.mean()


def test_a_known_pathological_draw():
    """Two classes each: the client's own number, and a random one; a class is dealt out in equal shares."""
    labels = np.repeat(np.arange(4), 6)
    parts = partition(make(labels), Pathological(name="pathological", clients=4, classes_per_client=2), 0)
    assert [p.tolist() for p in parts] == [
        [1, 2, 12, 13, 14], [3, 5, 6, 7, 9], [8, 10, 11, 15, 16, 17], [0, 4, 18, 19, 20, 21, 22, 23],
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["first-deterministic", "random", "deterministic"])
def test_a_pathological_client_has_so_many_classes_and_shares_them_equally(mode):
    spec = Pathological(name="pathological", clients=20, classes_per_client=3, class_assignment_mode=mode)
    parts = partition(TEN_CLASSES, spec, 0)
    counts = np.stack([np.bincount(TEN_CLASSES.labels[p], minlength=10) for p in parts])
    assert ((counts > 0).sum(axis=1) == 3).all()
    for column in counts.T:
        assert np.ptp(column[column > 0]) <= 1
        assert column.sum() == 60
    firsts = [counts[i, i % 10] > 0 for i in range(20)]
    assert all(firsts) == (mode != "random")
    if mode == "deterministic":
        assert [np.flatnonzero(c).tolist() for c in counts[[0, 9, 12]]] == [[0, 1, 2], [0, 1, 9], [2, 3, 4]]


def test_a_class_of_no_client_is_left_out():
    spec = Pathological(name="pathological", clients=2, classes_per_client=1, class_assignment_mode="deterministic")
    parts = partition(make(np.array([3, 5, 7, 3, 5, 7])), spec, 0)  # classes are numbered among those that are there
    assert [p.tolist() for p in parts] == [[0, 3], [1, 4]]


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
        (Quantity(name="quantity", clients=3, alpha=1.0, min_size=3), "too few for min_size 3 on 3 clients"),
        (
            Quantity(name="quantity", clients=3, alpha=1e-300),
            "no draw in 1000 gave each of 3 clients min_size 1 at alp",
        ),
        (
            Pathological(name="pathological", clients=2, classes_per_client=2),
            "classes_per_client is 2, but the training samples have 1 classes; write at most 1",
        ),
        (
            Pathological(name="pathological", clients=7, classes_per_client=1),
            "class 0 falls to 7 clients, but has 6 samples; use fewer clients or classes_per_client, or class_assignme",
        ),
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


def test_parts_that_are_cut_when_they_are_asked_for_are_as_a_list_of_them():
    rows, sizes = np.array([4, 0, 2, 7, 1]), np.array([2, 0, 3])
    found, listed = Cut(rows, sizes), [rows[:2], rows[2:2], rows[2:]]
    ways = (list(found), [found[k] for k in range(3)], [found[k] for k in (-3, -2, -1)], found[:], found[::-1][::-1])
    for way in ways:
        assert [part.tolist() for part in way] == [part.tolist() for part in listed]
    for parts in (found, listed):
        assert (joined(parts).tolist(), sizes_of(parts).tolist()) == (rows.tolist(), sizes.tolist())
    with pytest.raises(IndexError):
        found[3]
