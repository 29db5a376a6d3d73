"""Authors' code that draws from the global generators of torch, numpy and Python gives the same bits everywhere."""

import random

import numpy as np
import pytest
import torch

from raysim.draws import seed_globally, undisturbed

SETTINGS = (
    "dataset=ray_material:Line", "method=careless:Careless", "missing=none", "evaluation.missing=none", "model={}",
    "federation.optimizer={name: sgd, lr: 0.25}", "federation.algorithm=careless:Noisy",
)  # fmt: skip


def drawn():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


@pytest.mark.parametrize("stack", [1, 4])
def test_a_second_run_and_one_after_other_draws_are_the_same(small, stack):
    trial = small.trial(*SETTINGS, f"numerics.stack={stack}")
    first = small.run(trial)
    drawn()
    assert small.run(trial) == first
    assert small.run(small.trial(*SETTINGS, f"numerics.stack={stack}", "seeds=[1]"))["weights"] != first["weights"]


def test_whoever_calls_finds_the_generators_as_they_were(small):
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = drawn()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    small.run(small.trial(*SETTINGS))
    assert drawn() == expected


def test_what_is_drawn_is_a_function_of_the_key_and_nothing_else():
    found = []
    for key in (5, 5, 6):
        with undisturbed():
            seed_globally(key)
            found.append(drawn())
        drawn()
    assert found[0] == found[1]
    assert all(a != b for a, b in zip(found[0], found[2], strict=True))


def test_blocks_may_stand_in_blocks():
    with undisturbed():
        seed_globally(5)
        both = drawn(), drawn()
        seed_globally(5)
        first = drawn()
        with undisturbed():
            seed_globally(6)
            drawn()
        assert (first, drawn()) == both


def test_an_error_inside_restores_them():
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = drawn()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    with pytest.raises(ZeroDivisionError), undisturbed():
        1 / (drawn() and 0)
    assert drawn() == expected


@pytest.mark.ray
@pytest.mark.parametrize("stack", [1, 4])
def test_it_is_the_same_on_actors(small, local_ray, stack):
    trial, pool = small.trial(*SETTINGS, f"numerics.stack={stack}"), small.warm("placement.actors=3")
    assert len(pool.actors) == 3
    assert small.run(trial, pool) == small.run(trial)
