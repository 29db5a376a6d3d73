import pytest

from raysim.training.units import bound, bucket, plan_units


def test_bounds():
    assert [bound(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 9, 13, 17, 25, 100)] == [
        1,
        1,
        2,
        3,
        4,
        6,
        6,
        8,
        12,
        16,
        24,
        32,
        128,
    ]
    assert bound(5, limit=5) == 5


@pytest.mark.parametrize("kinds", [("image",), ("vector", "image")])
def test_a_bucket_tells_sizes_to_a_factor_of_two(toy, kinds):
    data = toy.data((1, 2, 3, 4, 7, 8), kinds)
    assert [bucket(data, c)[len(kinds) :] for c in range(6)] == [(1,), (2,), (2,), (3,), (3,), (4,)]


def test_a_bucket_tells_what_clients_lack(toy):
    data = toy.data((2, 2, 2, 2), absent=[(0, "image"), (2, "vector")])
    data.mask[6, 0] = False  # one of the last client's samples
    assert [bucket(data, c) for c in range(4)] == [(0, 2, 2), (2, 2, 2), (2, 0, 2), (1, 2, 2)]


def test_a_bucket_holds_the_bound_of_each_length(toy):
    data = toy.data((3, 3), ("sequence", "vector", "tokens"))
    data.dataset.train.lengths["sequence"][:] = [1, 2, 1, 3, 3, 6]
    data.dataset.train.lengths["tokens"][:] = [1, 1, 1, 5, 5, 5]
    assert [bucket(data, c)[3:] for c in range(2)] == [(2, 1, 2), (6, 6, 2)]


SIZES = (3, 8, 2, 9, 3, 2, 10)  # buckets 2, 4, 2, 4, 2, 2, 4


@pytest.mark.parametrize(
    ("stack", "cohort", "units"),
    [
        (1, (0, 1, 2), [(0,), (2,), (1,)]),
        (2, range(7), [(0, 2), (4, 5), (1, 3), (6,)]),
        (3, range(7), [(0, 2, 4), (5,), (1, 3, 6)]),
        (8, (6, 5, 3), [(5,), (3, 6)]),
    ],
)
def test_units_are_stacks_of_one_bucket_in_order_of_the_clients(toy, stack, cohort, units):
    planned = plan_units(toy.data(SIZES, ("vector",)), list(cohort), stack, {})
    assert [u.clients for u in planned] == units
    assert [u.index for u in planned] == list(range(len(units)))


def test_a_unit_carries_its_clients_shares(toy):
    (unit,) = plan_units(toy.data((2, 2), ("vector",)), (0, 1), 2, {"a": {1: 1.0}, "b": {0: 0.25, 1: 0.75}})
    assert unit.samples == 4
    assert unit.weights == {"a": (0.0, 1.0), "b": (0.25, 0.75)}
