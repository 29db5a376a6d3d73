"""Plans without a cluster: what follows from the scenario alone, and what it costs to find that out."""

from dataclasses import replace

import pytest

from raysim.data.federated import Federated
from raysim.engine.nodes import Cluster, Node
from raysim.engine.placement import MESSAGE_S
from raysim.planning.plan import SHARED_BYTES, TRIAL_S, WORKER_BYTES, plan_of
from raysim.planning.speed import Speed
from raysim.planning.told import first, told
from raysim.scenario.trial import load

SCENARIO = """
name: many
dataset: {name: synthetic, clients: 20000, samples_per_client: 2, dims: [4, 3], held_out: 50}
partition: natural
missing: {name: per_sample, rate: 0.3}
model: {dim: 4}
method: zero_fill
federation: {rounds: 3, clients_per_round: 10, batch_size: 2, optimizer: {name: sgd, lr: 0.1}}
"""


class Known:
    """Speeds of any trial: a hundredth of a second for a sample, and a megabyte."""

    machine, process_bytes = "on paper", 400_000_000

    def of(self, ready):
        return Speed((0.01,), 0.5, 1_000_000, (0,), "cpu")


CLIENT_BYTES = 400_000_000 + 1_000_000 + WORKER_BYTES


@pytest.fixture
def trials(tmp_path):
    (tmp_path / "many.yaml").write_text(SCENARIO)
    return lambda *settings: load(tmp_path / "many.yaml", settings)


def test_without_speeds_memory_and_time_are_not_known_and_all_else_is_the_same(trials):
    made, cluster = trials("seeds=[1, 2]", "federation.rounds=2"), Cluster.alike(4, nodes=2, memory_bytes=8e9)
    plan, timed = plan_of(made, cluster), plan_of(made, cluster, Known())
    (arm,), (timed_arm,) = plan.arms, timed.arms
    assert (plan.seconds, plan.machine, arm.round_s, arm.trial_s, arm.client_bytes) == (None, "", None, None, None)
    assert {use.bytes for use in plan.nodes} == {None}
    assert timed.machine == "on paper"
    assert timed_arm.client_bytes == CLIENT_BYTES
    assert all(use.bytes > CLIENT_BYTES for use in timed.nodes)
    assert (arm.bytes_down, arm.bytes_up, arm.exact, arm.units) == (
        timed_arm.bytes_down, timed_arm.bytes_up, True, timed_arm.units,
    )  # fmt: skip
    assert plan.link_bytes == timed.link_bytes > 0
    assert [(use.servers, use.clients) for use in plan.nodes] == [(use.servers, use.clients) for use in timed.nodes]


def test_links_on_which_ray_sends_things_twice_are_said(trials):
    """Sums of all other nodes have to reach the head before Ray asks for them again."""
    cluster = Cluster.alike(1, nodes=3)
    wide, patient = trials("model.dim=2000"), replace(cluster, asks_again_s=60.0)
    plans = [plan_of(*given) for given in ((wide, cluster), (wide, patient), (trials(), cluster))]
    rates = [8 * 8 * 2 * plan.arms[0].parameters / s for plan, s in zip(plans, (10, 60, 10), strict=True)]
    assert [plan.link_rate for plan in plans] == pytest.approx(rates)
    warned = f"plan: links: if slower than {rates[0] / 1e6:,.0f} Mbit/s they carry sums twice; "
    assert [line.startswith(warned) for line in first(plans[0])] == [False, False, True]
    assert [len(first(plan)) for plan in plans] == [3, 2, 2]
    assert plan_of(wide, Cluster.alike(3)).link_rate == 0


def test_times_follow_from_speeds(trials):
    (arm,) = plan_of(trials("placement.actors=1"), Cluster.alike(1), Known()).arms
    trained_s, evaluated_s = 3 * 10 * 2 * 0.01, 3 * 0.5
    assert arm.trial_s == pytest.approx(TRIAL_S + trained_s + evaluated_s + 3 * MESSAGE_S)


def test_speeds_of_cores_say_nothing_of_gpus(trials):
    plan = plan_of(trials(), Cluster.alike(4, gpus=1), Known())
    assert plan.actors.gpus > 0
    assert (plan.seconds, plan.machine, plan.arms[0].trial_s) == (None, "", None)


def test_actors_that_evaluate_on_cpus_have_their_place_and_memory(trials):
    cluster = Cluster((Node("a", "head", cpus=4, gpus=1), Node("b", "other", cpus=3)))
    plans = [plan_of(trials(f"numerics.evaluation_device={d}"), cluster, Known()) for d in ("same", "cpu")]
    assert [[use.evaluators for use in plan.nodes] for plan in plans] == [[0, 0], [0, 3]]
    assert plans[0].nodes[1].bytes < 3 * (CLIENT_BYTES - SHARED_BYTES) <= plans[1].nodes[1].bytes
    assert [" evaluators " in "\n".join(told(plan, 120)) for plan in plans] == [False, True]


def test_judges_learn_beside_the_clients(trials):
    generator = "method={name: generate, generator: {name: mvae, latent: 2, hidden: 4}}"
    wishes = ["evaluation.generation={judge_floor: 0}"]
    made = [trials(generator, *wishes, f"evaluation.generation.judges={judges}") for judges in ("true", "false")]
    (with_judges, *_), (without, *_) = (plan_of(each, Cluster.alike(4, nodes=2), Known()).nodes for each in made)
    assert with_judges.bytes - without.bytes == CLIENT_BYTES - SHARED_BYTES


def test_slots_may_be_decided_already(trials):
    assert [plan_of(trials("seeds=[1, 2, 3]"), Cluster.alike(6), None, slots).slots for slots in (1, 3)] == [1, 3]


def test_only_clients_of_cohorts_are_looked_at_one_by_one(trials, monkeypatch):
    """A client that is in no round costs nothing but its place in arrays."""
    looked_at, info = [], Federated._info
    monkeypatch.setattr(Federated, "_info", lambda self, client: looked_at.append(client) or info(self, client))
    method = "method={name: mvae_mapping, latent: 2, hidden: 4, generator_epochs: 1}"  # asks whom each group reaches
    plan_of(trials(method), Cluster.alike(2))
    assert 0 < len(set(looked_at)) <= 3 * 10
