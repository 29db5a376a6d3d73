"""`numerics.stack: auto`: of the scenario alone."""

import pytest

from raysim.simulation.prepare import prepare
from raysim.simulation.stacks import FULL, MOST, automatic, stack_of, width_of

TINY, USUAL = 5_000, 300_000


@pytest.mark.parametrize("cohort", [1, 2, 3, 7, 10, 16, 17, 24, 50, 100, 1_000, 100_000])
@pytest.mark.parametrize("parameters", [0, TINY, USUAL, 10**9])
def test_a_stack_is_neither_small_nor_large(cohort, parameters):
    stack = automatic(cohort, parameters)
    assert 1 <= stack <= 1.5 * MOST
    assert stack >= min(FULL // 2, -(-cohort // 2))
    assert -(-cohort // stack) >= min(2, cohort)  # two cores have something to do


def test_small_networks_have_larger_stacks():
    assert automatic(100, TINY) == 50
    assert automatic(100, USUAL) == 9


def test_what_is_said_holds(small):
    trial = small.trial("numerics.stack=3")
    assert stack_of(trial, prepare(trial).data.dataset, 8) == 3


def test_networks_without_a_client_axis_stand_alone(small):
    trial = small.trial("numerics.stack=auto")
    data = prepare(trial).data
    assert stack_of(trial, data.dataset, 8) == 4  # whatever there is to run on
    own = small.trial("numerics.stack=auto", "model.encoders.image=ray_modules:Plain")
    assert stack_of(own, data.dataset, 8) == 1


def test_units_are_those_of_a_round(small):
    complete = ("missing=none", "evaluation.missing=none")
    trial = small.trial("numerics.stack=2", *complete, "federation.clients_per_round=all")
    data = prepare(trial).data
    assert width_of(trial, data) == -(-data.eligible // 2)
