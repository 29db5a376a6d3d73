import numpy as np
import pytest

from raysim.aggregation import LIMIT, add, to_grid, weighted_sum
from raysim.seeding import stream

GRID = 2.0**-40


def test_values_go_to_the_nearest_multiple_of_the_grid():
    values = np.array([0.0, GRID, 0.4 * GRID, 0.6 * GRID, -0.6 * GRID, 1.0, -2047.0, 0.1])
    expected = [0.0, GRID, 0.0, GRID, -GRID, 1.0, -2047.0, round(0.1 / GRID) * GRID]
    assert to_grid(values).tolist() == expected


def test_long_vectors_are_rounded_to_their_end():
    values = np.full(200_000, 0.3 * GRID)
    values[-1] = 0.7 * GRID
    assert np.flatnonzero(to_grid(values)).tolist() == [199_999]


def test_a_weighted_sum_by_hand():
    vectors = np.array([[1, 2], [3, -4], [np.nan, 0]], np.float32)
    assert weighted_sum(vectors, [0.25, 0.75, 0.0]).tolist() == [2.5, -2.5]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match=r"mismatch|broadcast"):
        weighted_sum(np.zeros((3, 1), np.float32), [0.5, 0.5])


@pytest.mark.parametrize("scale", [1e-3, 1.0, LIMIT])
def test_no_order_or_grouping_of_the_sums_changes_a_bit(scale):
    rng, clients = stream(0, "aggregation"), 40
    changes = rng.uniform(-scale, scale, (clients, 500)).astype(np.float32)
    weights = rng.dirichlet(np.ones(clients))
    sums = [weighted_sum(c[None], [w]) for c, w in zip(changes, weights, strict=True)]
    plain = [c.astype(np.float64) * w for c, w in zip(changes, weights, strict=True)]
    expected, plain_sums = add(sums), set()
    for _ in range(50):
        order = rng.permutation(clients)
        cuts = np.sort(rng.choice(np.arange(1, clients), 3, replace=False))
        groups = [add([sums[i] for i in part]) for part in np.split(order, cuts)]
        assert add(groups).tobytes() == expected.tobytes()
        plain_sums.add(sum(plain[i] for i in order).tobytes())
    assert len(plain_sums) > 1  # which is why there is a grid
    np.testing.assert_allclose(expected, sum(plain), rtol=0, atol=clients * GRID)


def test_a_full_weight_at_the_limit_is_still_exact():
    top = weighted_sum(np.full((1, 3), LIMIT, np.float32), [1.0])
    assert top.tolist() == [1024.0] * 3
    assert (add([top, np.full(3, GRID)]) - top).tolist() == [GRID] * 3


def test_adding_leaves_the_summands_alone():
    first = np.ones(2)
    assert add([first, first]).tolist() == [2.0, 2.0]
    assert first.tolist() == [1.0, 1.0]
