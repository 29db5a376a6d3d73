"""Plans without a cluster: what follows from the scenario alone, and what it costs to find that out."""

from dataclasses import replace

import pytest

from raysim.data.federated import Federated
from raysim.engine.nodes import Cluster, Node
from raysim.engine.placement import CONTEXT_BYTES, MESSAGE_S
from raysim.planning import speed
from raysim.planning.arms import TRIAL_S, WORKER_BYTES
from raysim.planning.described import described
from raysim.planning.outline import Ready
from raysim.planning.plan import plan_of
from raysim.planning.speed import Speed, measured
from raysim.planning.speeds import Meter
from raysim.planning.told import first, told
from raysim.planning.use import SHARED_BYTES
from raysim.scenario.trial import load
from raysim.training.trainer import Trainer

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
    """Speeds of any trial: a hundredth of a second for a sample, a megabyte, and some of a GPU."""

    machine, process_bytes = "on paper", 400_000_000

    def __init__(self, device_bytes=0):
        self._device_bytes = device_bytes

    def of(self, ready):
        return Speed((0.01,), 0.5, 1_000_000, (0,), "cpu", self._device_bytes)


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


def on_gpus(trials, needed, *settings, gpus="2x16", nodes=1):
    """A plan of one trial whose client actors need so much of a GPU beside their context."""
    cluster = described(f"{nodes}x(cpus=16,gpus={gpus.replace('x', 'xours-')})")
    return plan_of(trials("numerics.stack=1", *settings), cluster, Known(int(needed)))


def test_a_gpu_holds_its_actors_and_their_contexts(trials):
    for nodes in (1, 2):
        plan = on_gpus(trials, 2e9, nodes=nodes)
        assert (plan.actors.gpus, plan.arms[0].gpu_bytes) == (0.25, CONTEXT_BYTES + 2e9)
        assert {(use.gpu_bytes, use.gpu_memory_bytes) for use in plan.nodes} == {(4 * (CONTEXT_BYTES + 2e9), 16e9)}
        assert plan.remarks == ()
    shown = "\n".join(told(on_gpus(trials, 2e9), 160))
    assert all(words in shown for words in ("on its GPU", "a GPU's memory", "2.6 GB", "10.4 GB", "16.0 GB"))
    assert on_gpus(trials, 2e9, "placement.actors=3").nodes[0].gpu_bytes == 3 * (CONTEXT_BYTES + 2e9)
    assert on_gpus(trials, 2e9, "placement.gpus_per_client=2").nodes[0].gpu_bytes == CONTEXT_BYTES + 2e9


def test_a_quarter_grows_where_more_is_needed_as_it_does_when_the_study_runs(trials):
    plan = on_gpus(trials, 6e9)
    assert (plan.actors.count, plan.actors.gpus, plan.nodes[0].gpus, plan.remarks) == (4, 0.5, 2, ())
    assert plan.nodes[0].gpu_bytes == 2 * (CONTEXT_BYTES + 6e9)


@pytest.mark.parametrize(
    ("needed", "gpus", "says"),
    [
        (6e9, 0.25, "takes 6.6 GB of its GPU and may have 4.0 GB, so that units are trained in parts; raise "
                    "placement.gpus_per_client to 0.42 or lower federation.batch_size"),
        (20e9, 0.5, "takes 20.6 GB of its GPU and may have 8.0 GB, so that units are trained in parts; lower "
                    "numerics.stack or lower federation.batch_size"),
        (20e9, "auto", "takes 20.6 GB of its GPU and may have 16.0 GB"),
        (20e9, 2, "takes 20.6 GB of its GPU and may have 16.0 GB"),
    ],
)  # fmt: skip
def test_what_is_more_than_a_share_is_said(trials, needed, gpus, says):
    (remark,) = on_gpus(trials, needed, f"placement.gpus_per_client={gpus}").remarks
    assert remark.startswith(f"a client actor {says}")


def test_gpus_whose_name_says_nothing_hold_whatever_there_is(trials):
    plan = on_gpus(trials, 1e12, gpus="2")
    assert (plan.actors.gpus, plan.nodes[0].gpu_memory_bytes, plan.remarks) == (0.25, None, ())
    plan = plan_of(trials(), described("(cpus=4),(cpus=4,gpus=1xT4)"))
    assert [(use.gpu_bytes, use.gpu_memory_bytes) for use in plan.nodes] == [(None, None), (None, 15e9)]


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


@pytest.mark.parametrize("judges", [True, False])
def test_speeds_are_of_what_is_generated_too(trials, monkeypatch, judges):
    seen, measure = [], Trainer.measure
    monkeypatch.setattr(Trainer, "measure", lambda self, x, part: seen.append(part.what) or measure(self, x, part))
    generator = "method={name: generate, generator: {name: mvae, latent: 2, hidden: 4}}"
    (trial,) = trials(generator, f"evaluation.generation={{judges: {str(judges).lower()}}}")
    assert Meter().of(Ready.of(trial)).evaluation_s > 0
    assert "made" in seen


@pytest.mark.parametrize(("look_s", "rows"), [(-1.0, [8]), (1e9, [8, 20, 20, 10])])
def test_a_few_rows_tell_how_long_slow_networks_take(trials, monkeypatch, look_s, rows):
    seen = []
    monkeypatch.setattr(speed, "predicted", lambda trainer, x, part, states: seen.append(part))
    monkeypatch.setattr(speed, "LOOK_S", look_s)
    (trial,) = trials("numerics.evaluation_batch=20")
    ready = Ready.of(trial)
    assert measured(ready.job(), ready.info).evaluation_s > 0
    assert [part.stop - part.start for part in seen if part.view == "test"] == rows


def test_slots_may_be_decided_already(trials):
    assert [plan_of(trials("seeds=[1, 2, 3]"), Cluster.alike(6), None, slots).slots for slots in (1, 3)] == [1, 3]


def test_only_clients_of_cohorts_are_looked_at_one_by_one(trials, monkeypatch):
    """A client that is in no round costs nothing but its place in arrays."""
    looked_at, info = [], Federated._info
    monkeypatch.setattr(Federated, "_info", lambda self, client: looked_at.append(client) or info(self, client))
    method = "method={name: mvae_mapping, latent: 2, hidden: 4, generator_epochs: 1}"  # asks whom each group reaches
    plan_of(trials(method), Cluster.alike(2))
    assert 0 < len(set(looked_at)) <= 3 * 10
