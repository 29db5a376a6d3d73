"""Where data preparation works, as a table."""

import os

import pytest

from raysim.engine.seats import ANYWHERE, Places


def places(gpu=False, workers=None, **offered):
    return Places("a", offered, {node: node for node in offered}, gpu, workers)


@pytest.mark.parametrize(
    ("made", "seats"),
    [
        (places(a=(2.0, 0.0)), [ANYWHERE] * 2),
        (places(a=(2.0, 0.0), workers=5), [ANYWHERE] * 5),
        (places(b=(2.0, 0.0), a=(1.0, 0.0)), ["a", "b", "b"]),
        (places(b=(2.0, 0.0), a=(3.0, 0.0), workers=3), ["a", "b", "a"]),
        (places(b=(2.0, 0.0), a=(0.0, 0.0)), ["b", "b"]),
        (places(b=(8.0, 1.0), a=(8.0, 0.0)), ["a", "b"] * 8),
        (places(b=(8.0, 1.0), a=(8.0, 0.0), gpu=True), ["b"]),
        (places(b=(8.0, 2.0), a=(8.0, 1.0), gpu=True, workers=6), ["a", "b", "a", "b", "b", "b"]),
        (places(b=(0.0, 0.0), a=(0.0, 0.0)), []),
    ],
)
def test_seats(made, seats):
    assert made.seats == seats


def test_what_a_task_asks_for():
    here, there = "a" * 56, "b" * 56  # Ray looks at the form of a node's id
    made = Places(here, {there: (2.0, 1.0), here: (0.0, 0.0)}, {}, gpu=True)
    found = [made.options(there), made.options(there, again=True), made.options(here)]
    assert [(o["num_cpus"], o["num_gpus"], o["scheduling_strategy"].node_id) for o in found] == [
        (1, 1.0, there), (0, 0.0, here), (0, 0.0, here),
    ]  # fmt: skip
    assert places(a=(2.0, 0.0)).options(ANYWHERE) == {"num_cpus": 1, "num_gpus": 0.0}
    assert made.last == [here] * os.cpu_count()
    assert [made.is_other(seat) for seat in (here, there, ANYWHERE)] == [False, True, False]
