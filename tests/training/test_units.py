import pytest

from raysim.data.dataset import Modality
from raysim.training.units import bound, bucket, cuts, padded, plan_units


def test_bounds():
    counts = (0, 1, 2, 3, 4, 5, 6, 7, 9, 13, 17, 25, 100)
    assert [bound(n) for n in counts] == [1, 1, 2, 3, 4, 6, 6, 8, 12, 16, 24, 32, 128]
    assert bound(5, limit=5) == 5
    assert [padded(n, 100) for n in (1, 8, 9, 99)] == [8, 8, 12, 100]
    assert padded(3, 5) == 5


def test_a_bucket_tells_what_clients_lack(toy):
    data = toy.data((2, 2, 2, 2), absent=[(0, "image"), (2, "vector")])
    data.mask[6, 0] = False  # one of the last client's samples
    assert [bucket(data, c) for c in range(4)] == [(0, 2), (2, 2), (2, 0), (1, 2)]


def test_a_bucket_holds_the_bound_of_each_length(toy):
    data = toy.data((3, 3), ("sequence", "vector", "tokens"))
    data.dataset.modalities["sequence"] = Modality("sequence", (40, 2))
    data.dataset.train.lengths["sequence"][:] = [1, 20, 1, 3, 3, 25]
    assert [bucket(data, c)[3:] for c in range(2)] == [(24, 6), (32, 6)]


SIZES = (3, 8, 2, 9, 5, 2, 10)


@pytest.mark.parametrize(
    ("stack", "cohort", "units"),
    [
        (1, (0, 1, 2), [(2,), (0,), (1,)]),
        (2, range(7), [(2, 5, 0, 4), (1,), (3,), (6,)]),
        (4, range(7), [(2, 5, 0, 4, 1), (3, 6)]),
        (7, range(7), [(2, 5, 0, 4, 1, 3, 6)]),
        (8, (6, 5, 3), [(5, 3, 6)]),
    ],
)
def test_units_cost_the_same_with_like_sizes_together(toy, stack, cohort, units):
    planned = plan_units(toy.data(SIZES, ("vector",)), list(cohort), stack, {})
    assert [u.clients for u in planned] == units
    assert [u.index for u in planned] == list(range(len(units)))


@pytest.mark.parametrize("stack", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("costs", [[1] * 9, [1, 1, 1, 50, 50], [50, 1, 1, 1, 1, 1, 1], [7]], ids=str)
def test_no_piece_is_empty_or_has_more_than_twice_the_stack(costs, stack):
    ends = cuts(costs, stack)
    pieces = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert ends[-1] == len(costs)
    assert len(pieces) == -(-len(costs) // stack)
    assert all(1 <= size <= max(2 * stack, 1) for size in pieces)
    assert stack > 1 or set(pieces) == {1}


def test_a_unit_never_crosses_buckets(toy):
    data = toy.data((2, 2, 2), absent=[(1, "image")])
    assert [u.clients for u in plan_units(data, [0, 1, 2], 3, {})] == [(1,), (0, 2)]


def test_a_unit_carries_its_clients_shares(toy):
    (unit,) = plan_units(toy.data((2, 2), ("vector",)), (0, 1), 2, {"a": {1: 1.0}, "b": {0: 0.25, 1: 0.75}})
    assert unit.samples == 4
    assert unit.weights == {"a": (0.0, 1.0), "b": (0.25, 0.75)}
