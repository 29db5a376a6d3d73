"""One executor of two: what trains is asked for no prediction, and what predicts goes on meanwhile."""

from raysim.engine.apart import Apart
from raysim.engine.ray_executor import TICK_S
from raysim.report.events import Warned
from raysim.simulation.executor import Evaluation
from raysim.training.results import Broadcast

SAID = Broadcast(0, 1, {})


class Clients:
    busy_s, peak_bytes = 2.0, 3

    def train(self, broadcast, units, states, spare=None):
        assert spare is None
        yield from units


class Evaluators:
    def __init__(self, *steps):
        self.steps, self.ticks, self.begun = steps, [], []

    def evaluate(self, evaluation):
        self.begun.append(evaluation)
        for step in self.steps:
            self.ticks.append(self.tick_s)
            yield step


def test_an_evaluation_goes_on_while_the_next_round_is_trained():
    evaluation, hm = Evaluation(SAID, ()), Warned("hm")
    evaluators = Evaluators(None, hm, None)
    both = Apart(Clients(), evaluators)
    assert (both.busy_s, both.peak_bytes) == (2.0, 3)
    assert list(both.train(SAID, [None, "result", None], {}, evaluation)) == [None, "result", None, hm]
    assert list(both.evaluate(evaluation)) == [None]
    assert evaluators.ticks == [0.0, 0.0, TICK_S]
    assert evaluators.begun == [evaluation]


def test_one_that_nobody_has_begun_is_begun():
    first, second = Evaluation(SAID, ()), Evaluation(SAID, ())
    evaluators = Evaluators(None)
    both = Apart(Clients(), evaluators)
    assert list(both.train(SAID, [None, None], {})) == [None, None]
    assert [*both.evaluate(first), *both.evaluate(second)] == [None, None]
    assert evaluators.begun == [first, second]
