import numpy as np
import pytest

from raysim.seeding import derive, permutations, stream


def test_known_draws():
    assert derive(0, "order", 1, 2, "task") == 0xF5046A161C30A6C2B7711ADE70020494
    assert stream(0, "x").integers(0, 1000, 5).tolist() == [161, 779, 4, 978, 262]
    assert stream(7, "cohort", 3).random(3).tolist() == [0.7264707611650888, 0.24512923513050633, 0.8554636108990787]


def test_every_part_of_the_name_counts():
    keys = [
        derive(0, "x"), derive(1, "x"), derive(0, "y"), derive(0, "x", 1), derive(0, "x", "1"), derive(0, "x", 1, 2),
        derive(0, "x", 12), derive(0, "x", "1", "2"), derive(0, "x", "12"), derive(0, "x1"),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_a_draw_needs_no_earlier_draw():
    expected = stream(3, "order", 57).permutation(10)
    stream(3, "order", 56).permutation(10)
    assert np.array_equal(stream(3, "order", 57).permutation(10), expected)


@pytest.mark.parametrize("draw", ["random", "standard_normal"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_short_draw_is_the_start_of_a_long_one(draw, dtype):
    long, short = (getattr(stream(0, "x"), draw)(n, dtype=dtype) for n in (1000, 7))
    assert np.array_equal(long[:7], short)


def test_permutations_are_of_each_owner_alone():
    owners, counts = [(7, 1), (8, 1), (7, 2)], [5, 40, 0]
    orders = permutations(3, "order", owners, counts)
    found = [order[:n].tolist() for order, n in zip(orders, counts, strict=True)]
    assert [sorted(order) for order in found] == [list(range(n)) for n in counts]
    assert found[1] == permutations(3, "order", [(8, 1)], [40])[0].tolist()
    assert found[0] != permutations(4, "order", [(7, 1)], [5])[0].tolist()
    assert found[1] != list(range(40))


def test_permutations_are_even():
    places = np.zeros((6, 6))
    for order in permutations(0, "even", [(i,) for i in range(6000)], [6] * 6000):
        places[np.arange(6), order] += 1
    assert np.abs(places - 1000).max() < 150  # five standard deviations
