"""Whether a trial can go on to more rounds."""

import pytest

from raysim.algorithms.fedavg import FedAvg
from raysim.method import Adam, Method, Objective, Phase, Train
from raysim.registry import find
from raysim.scenario.schema import Scenario
from raysim.simulation.extension import misfit

COSINE, FIXED = {"name": "cosine"}, {"name": "cosine", "t_max": 20}


def scenario(**optimizer):
    return Scenario.model_validate({
        "name": "t", "dataset": "polydigits", "partition": {"name": "iid", "clients": 2}, "method": "zero_fill",
        "federation": {"rounds": 4, "optimizer": optimizer},
    })  # fmt: skip


def phase(name, rounds=None, optimizer=None):
    return Phase(name, (Train("w", (Objective(("w",), Method.loss, optimizer),)),), rounds)


class Asks(Method):
    def loss(self, nets, batch):
        return super().loss(nets, batch) * batch.clock.progress


@pytest.mark.parametrize(
    ("phases", "done", "optimizer", "says"),
    [
        ([phase("a")], 4, {}, ""),
        ([phase("a", 3), phase("b")], 7, {}, ""),
        ([phase("a"), phase("b", 3)], 4, {}, ""),
        ([phase("a"), phase("b", 3)], 5, {}, "round 5 is of a phase after 'a', which is longer now"),
        ([phase("a", 3)], 2, {}, ""),
        ([phase("a")], 2, {"schedule": COSINE}, "the learning rate's cosine depends on the number of rounds; set its"),
        ([phase("a")], 2, {"schedule": {"name": "warmup", "then": COSINE}}, "the learning rate's cosine depends on"),
        ([phase("a")], 2, {"schedule": FIXED}, ""),
        ([phase("a")], 2, {"schedule": {"name": "warmup", "then": FIXED}}, ""),
        ([phase("a")], 2, {"schedule": {"name": "step", "step_size": 2}}, ""),
        ([phase("a")], 2, {"local_schedule": COSINE}, ""),
        ([phase("a", 3), phase("b")], 3, {"schedule": COSINE}, ""),
        ([phase("a", optimizer=Adam(name="adam", schedule=COSINE))], 1, {}, "the learning rate's cosine depends on"),
        ([phase("a", optimizer=Adam(name="adam"))], 1, {"schedule": COSINE}, ""),
    ],
)  # fmt: skip
def test_what_depends_on_the_number_of_rounds(phases, done, optimizer, says):
    found = misfit(done, scenario(**optimizer), phases, (find("method", "zero_fill"), FedAvg))
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_a_method_that_asks_for_the_share_that_is_done():
    says = "Asks asks for clock.progress, which depends on the number of rounds"
    assert misfit(1, scenario(), [phase("a")], (FedAvg, Asks)) == says
    assert misfit(1, scenario(), [phase("a")], (FedAvg, find("method", "vae_fill"))) == ""
