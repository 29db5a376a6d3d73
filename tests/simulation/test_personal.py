"""Clients judged by networks of their own, in this process."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from served import SPLITS, dealt, summary, table, told

from raysim.data.federated import View
from raysim.data.held import Held
from raysim.evaluation.slices import Own
from raysim.method import Group, Objective, Train
from raysim.registry import find
from raysim.report.events import FeaturesTaken, ModelKept, PredictionsKept, RoundFinished, Warned
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.cost import private_asked

PRIVATE = {"name": "blossom", "scheme": "private_head"}


def opposite(toy, clients=2):
    """Clients with two rows each for training, validation and test, 1 and -2; every second has the labels reversed."""
    data = toy.points(*[[1, -1, 1, -2, 1, -2]] * clients)
    labels = data.dataset.train.labels.reshape(clients, 6).copy()
    labels[1::2] = 1 - labels[1::2]
    train = replace(data.dataset.train, labels=labels.reshape(-1))
    first = 6 * np.arange(clients)
    rows = {split: np.sort(np.concatenate([first + i, first + i + 1])) for split, i in zip(SPLITS, (2, 4), strict=True)}
    held = Held(
        np.arange(clients), ("a",) * clients, rows, dict.fromkeys(SPLITS, 2 * np.arange(clients + 1)),
        6 * clients, 4 * clients, 0,
    )  # fmt: skip
    more = {f"clients_{split}": View("train", data.mask, rows=rows[split]) for split in SPLITS}
    return replace(
        data, dataset=replace(data.dataset, train=train), rows=np.sort(np.concatenate([first, first + 1])),
        offsets=2 * np.arange(clients + 1), held=held, more=more,
    )  # fmt: skip


@pytest.fixture
def linear(toy):
    """`linear(shared)`: a head of one number v: "+" has the logit v x, "-" has -v x; it moves by its labels' signs."""

    def make(shared):
        class Linear(toy.Pull):
            def personalise(self):
                return (Train("tune", (Objective(("w",), self.loss),)),)

            def modules(self, task):
                groups = super().modules(task)
                return {"w": Group(groups["w"].net, shared=shared)}

            def loss(self, nets, batch):
                signs = 2.0 * batch.y - 1
                return -batch.mean(nets["w"].weight * batch.x["a"].squeeze(-1) * signs)

            def predict(self, nets, batch):
                half = nets["w"].weight[..., None] * batch.x["a"]
                return torch.cat([-half, half], -1)

        return Linear

    return make


@pytest.mark.parametrize("stack", [1, 4])
def test_opposite_labels_and_a_head_of_ones_own_by_hand(toy, linear, stack):
    # A client's rows 1 and -1 pull v by 1, or by -1, a step: with a rate of 0.5, to 0.5 and -0.5 in the first round.
    wish = {"optimizer": {"lr": 0.5}, "stack": stack, "evaluation": {"clients": {"share": 0.5}}}
    simulation = toy.simulation(toy.job(opposite(toy), linear(shared=False), **wish))
    events = told(simulation)
    states = simulation.client_states
    assert {c: s["private/w"].tolist() for c, s in states.items()} == {0: [0.5], 1: [-0.5]}
    trainer, broadcast = simulation.executor._trainer, simulation._broadcast(0)
    logits = trainer.predict_own(broadcast, Own("clients_test", 0, 2, (0, 1)), states)
    assert logits.tolist() == [[-0.5, 0.5], [1.0, -1.0], [0.5, -0.5], [-1.0, 1.0]]
    alone = trainer.predict_own(broadcast, Own("clients_test", 1, 2, (1,)), states)
    assert alone.tolist() == [[-1.0, 1.0]]
    (record,) = [e.record for e in events if isinstance(e, RoundFinished)]
    assert record["by_client"]["test"]["accuracy"]["worst_tenth"] == 1.0
    loss = np.log1p(np.exp([-1.0, -2.0])).mean()
    assert record["by_client"]["validation"]["loss"]["mean"] == pytest.approx(loss)
    assert not {"validation", "test"} & record.keys()
    end = summary(events)
    assert end["by_client"] == record["by_client"]
    assert (end["splits"], end["selected_by"]) == ({}, "best validation accuracy, the mean over clients")
    assert end["clients"] == {
        "judged": 2, "without": 0, "rows": 8, "of": 12, "own": ["w"], "untrained": 0,
    }  # fmt: skip
    assert table(events).metrics["test"]["accuracy"].tolist() == [1.0, 1.0]

    shared = told(toy.simulation(toy.job(opposite(toy), linear(shared=True), **wish)))
    assert summary(shared)["by_client"]["test"]["loss"]["mean"] == pytest.approx(np.log(2))  # v stays 0: no better
    assert table(shared).metrics["test"]["accuracy"].tolist() == [0.5, 0.5]  # than always the first class


def test_who_never_trained_is_judged_by_its_networks_as_they_started(toy, linear):
    wish = {"optimizer": {"lr": 0.5}, "evaluation": {"clients": {"share": 0.5}}, "clients_per_round": 2}
    simulation = toy.simulation(toy.job(opposite(toy, 4), linear(shared=False), **wish))
    events = told(simulation)
    assert len(simulation.client_states) == 2
    assert summary(events)["clients"]["untrained"] == 2
    losses = table(events).metrics["test"]["loss"]
    trained = [client in simulation.client_states for client in range(4)]
    expected = np.where(trained, np.log1p(np.exp([-1.0, -2.0])).mean(), np.log(2))
    assert losses == pytest.approx(expected)


def personal(toy, stack=1, seed=0, federation=None, partition=None, **evaluation):
    return dealt(toy, stack, seed, PRIVATE, federation, partition, **{"clients": {"share": 0.5}, **evaluation})


def test_a_stack_agrees_within_rounding(toy):
    one, four = (told(toy.simulation(personal(toy, stack, select="last"))) for stack in (1, 4))
    for split in SPLITS:
        assert table(one).metrics[split]["loss"] == pytest.approx(table(four).metrics[split]["loss"], rel=1e-4)


def test_a_stack_is_padded_and_cut_as_it_comes(toy):
    simulation = toy.run(personal(toy, 4, partition={"name": "dirichlet", "clients": 3, "alpha": 1.0}))
    trainer, states = simulation.executor._trainer, simulation.client_states
    broadcast, held = simulation._broadcast(0), simulation.job.data.held
    counts = np.diff(held.offsets["test"]).tolist()
    assert len(set(counts)) > 1
    together = trainer.predict_own(broadcast, Own("clients_test", 0, max(counts), (0, 1, 2)), states)
    alone = [trainer.predict_own(broadcast, Own("clients_test", 0, n, (c,)), states) for c, n in enumerate(counts)]
    assert together == pytest.approx(np.concatenate(alone), abs=1e-6)
    parts = [part for part in simulation._serving.slices(4) if part.view == "clients_test"]
    assert len(parts) > len({part.clients for part in parts})
    assert all(part.cost <= 4 for part in parts)
    covered = [(c, row) for p in parts for c in p.clients for row in range(p.start, min(p.stop, counts[c]))]
    assert sorted(covered) == [(c, row) for c, n in enumerate(counts) for row in range(n)]


def test_the_best_round_is_that_of_the_clients_and_its_figures_stay(toy):
    rounds = []
    for seed in range(4):
        events = told(toy.simulation(personal(toy, seed=seed)))
        means = {e.round: e.record["by_client"]["validation"]["accuracy"]["mean"]
                 for e in events if isinstance(e, RoundFinished)}  # fmt: skip
        reported = summary(events)["round"]
        assert reported == max(means, key=lambda r: (means[r], -r))
        (record,) = [e.record for e in events if isinstance(e, RoundFinished) and e.round == reported]
        assert summary(events)["by_client"] == record["by_client"]
        each = table(events)
        assert each.round == reported
        assert each.metrics["test"]["loss"].mean() == pytest.approx(record["by_client"]["test"]["loss"]["mean"])
        rounds.append(reported)
    assert min(rounds) < 4


def test_wherever_it_was_stopped_it_says_the_same(toy):
    federation = {"rounds": 5, "clients_per_round": 2, "checkpoint": {"every_rounds": 1}}
    job = personal(toy, seed=1, federation=federation, metric="uar")
    whole, snapshots, events = toy.simulation(job), {}, []
    for event in whole.run():
        if whole.snapshot is not None:
            earlier = snapshots[max(snapshots)].clients if snapshots else {}
            taken, whole.snapshot = whole.snapshot, None
            figures = json.loads(json.dumps(taken.figures))
            snapshots[taken.round] = replace(taken, clients={**earlier, **taken.clients}, figures=figures)
        events += [] if event is None else [event]
    assert sorted(snapshots) == [1, 2, 3, 4, 5]
    for snapshot in snapshots.values():
        later = told(Simulation(job, LocalExecutor(job), whole.info, snapshot))
        for name in ("round", "by_client", "clients", "splits"):
            assert summary(later)[name] == summary(events)[name]
        assert str(table(later)) == str(table(events))
        kept, again = ([e.data for e in all_ if isinstance(e, ModelKept)] for all_ in (events, later))
        assert again == kept


def test_no_bit_of_training_depends_on_when_clients_are_judged(toy):
    wishes = {}, {"clients": {"share": 0.5, "most": 1, "every_rounds": 9}}
    always, seldom = (toy.run(personal(toy, **wish)) for wish in wishes)
    assert {n: x.tobytes() for n, x in always.x.items()} == {n: x.tobytes() for n, x in seldom.x.items()}
    for client, state in always.client_states.items():
        assert {n: v.tobytes() for n, v in state.items()} == {
            n: v.tobytes() for n, v in seldom.client_states[client].items()
        }
    assert seldom.tally.best["round"] == 4


def test_what_there_is_of_no_central_network_is_not_kept(toy):
    events = told(toy.simulation(personal(toy)))
    assert not [e for e in events if isinstance(e, PredictionsKept | FeaturesTaken | Warned)]
    assert len([e for e in events if isinstance(e, ModelKept)]) == 1


def test_a_private_network_that_predictions_do_not_ask_for_leaves_all_as_it_is(toy):
    class Judged(find("method", "zero_fill")):
        def modules(self, task):
            groups = super().modules(task)
            return groups | {"judge": replace(groups["task.head"], shared=False)}

    class Now(Judged):
        """Asks for it where something is missing alone."""

        def predict(self, nets, batch):
            logits = super().predict(nets, batch)
            return logits if batch.everywhere("image") else logits + 0 * nets["judge"].get_submodule("0").bias.sum()

    class Broken(Judged):
        """What it asks for cannot be told from a made-up sample."""

        def predict(self, nets, batch):
            assert bool(batch.x["vector"].any()), "is a real one"
            return super().predict(nets, batch)

    data = toy.data((4, 4))
    assert [private_asked(toy.job(data, method)) for method in (Judged, Now, Broken)] == [[], ["judge"], ["judge"]]
    assert summary(told(toy.simulation(toy.job(data, Judged))))["splits"].keys() == {"validation", "test"}
    with pytest.raises(ValueError, match=r"^judge stay with the clients, so no central score can be had; write"):
        toy.simulation(toy.job(data, Now))


@pytest.mark.parametrize(
    ("evaluation", "says"),
    [
        ({}, r"evaluation.clients: task.head stay with the clients, so no central score can be had; write "
             r"evaluation.clients: {share: 0.2}$"),
        ({"clients": {"share": 0.2}, "subsets": "all"}, "evaluation.subsets: are of the server's networks, and "
                                                        "task.head of 'blossom' stay with the clients; remove it$"),
        ({"clients": {"share": 0.2}, "features": 3}, "evaluation.features: are of the server's networks, and task.he"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_before_anything_starts(tmp_path, evaluation, says):
    path = tmp_path / "s.yaml"
    settings = {
        "name": "s", "dataset": {"name": "polydigits", "modalities": 2}, "partition": {"name": "iid", "clients": 2},
        "federation": {"rounds": 1}, "evaluation": evaluation,
    }  # fmt: skip
    path.write_text(json.dumps(settings | {"method": PRIVATE}))
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with pytest.raises(ScenarioError, match=says):
        prepare(load(path)[0])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    path.write_text(json.dumps(settings | {"method": "blossom"}))
    assert prepare(load(path)[0]).info.metric == "accuracy"


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("shared", [True, False])
def test_fine_tuning_by_hand(toy, linear, shared, stack):
    # Two epochs of one step each move v by 1 or -1: from 0 where it is the mean of both, from 0.5 or -0.5 where it is
    # a client's own; of the optimiser that is asked for, half of that.
    wish = {"optimizer": {"lr": 0.5}, "stack": stack}
    slower = {"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.25}}
    for personalise, way in ((2, 1.0), (slower, 0.5)):
        evaluation = {"clients": {"share": 0.5, "personalise": personalise}}
        simulation = toy.simulation(toy.job(opposite(toy), linear(shared), evaluation=evaluation, **wish))
        events = told(simulation)
        (record,) = [e.record for e in events if isinstance(e, RoundFinished)]
        v = way + (0 if shared else 0.5)
        loss = np.log1p(np.exp([-2 * v, -4 * v])).mean()
        assert record["by_client"]["test_personal"]["loss"]["mean"] == pytest.approx(loss)
        assert summary(events)["by_client"] == record["by_client"]
        assert table(events).metrics["test_personal"]["accuracy"].tolist() == [1.0, 1.0]
        assert table(events).rows["test_personal"].tolist() == [2, 2]
        plain = toy.run(toy.job(opposite(toy), linear(shared), evaluation={"clients": {"share": 0.5}}, **wish))
        assert {n: x.tolist() for n, x in plain.x.items()} == {n: x.tolist() for n, x in simulation.x.items()}


def tuned(toy, stack=1, method="zero_fill", federation=None, personalise=1, **clients):
    return dealt(
        toy, stack, 1, method, federation, clients={"share": 0.5, "personalise": personalise, **clients}, metric="uar"
    )


@pytest.mark.parametrize("method", ["zero_fill", PRIVATE, "fedmmr"])
@pytest.mark.parametrize("federation", [
    {"algorithm": "scaffold"}, {"optimizer": {"name": "adam", "lr": 0.01, "persistent": True}, "clients_per_round": 2},
])  # fmt: skip
def test_nothing_of_fine_tuning_enters_training(toy, method, federation):
    with_it, without = (toy.simulation(tuned(toy, 2, method, federation, epochs)) for epochs in (1, 0))
    ours, theirs = told(with_it), told(without)
    assert {n: x.tobytes() for n, x in with_it.x.items()} == {n: x.tobytes() for n, x in without.x.items()}
    assert with_it.client_states.keys() == without.client_states.keys()
    for client, state in with_it.client_states.items():
        assert {n: v.tobytes() for n, v in state.items()} == {
            n: v.tobytes() for n, v in without.client_states[client].items()
        }
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(one, RoundFinished):
            mine = dict(one.record["by_client"])
            assert mine.pop("test_personal") != mine["test"]
            assert mine == other.record["by_client"]
    assert summary(ours)["round"] == summary(theirs)["round"]


def test_what_is_fine_tuned_agrees_in_a_stack_and_after_a_stop(toy):
    checkpoint = {"checkpoint": {"every_rounds": 1}}
    one, four = toy.simulation(tuned(toy)), toy.simulation(tuned(toy, 4, federation=checkpoint))
    events, snapshots = [], []
    for event in four.run():
        if four.snapshot is not None:
            snapshots.append(four.snapshot)
            four.snapshot = None
        events += [] if event is None else [event]
    ours, theirs = (table(e).metrics["test_personal"]["loss"] for e in (told(one), events))
    assert ours == pytest.approx(theirs, rel=1e-4)
    for snapshot in snapshots:
        later = told(Simulation(four.job, LocalExecutor(four.job), four.info, snapshot))
        assert summary(later)["by_client"] == summary(events)["by_client"]
        assert str(table(later)) == str(table(events))


def test_a_reported_round_in_which_nobody_fine_tuned_says_nothing_of_it(toy):
    for every in (1, 3):
        events = told(toy.simulation(tuned(toy, every_rounds=every)))
        due = summary(events)["round"] % every == 0 or summary(events)["round"] == 4
        assert ("test_personal" in summary(events)["by_client"]) == due
        assert "test" in summary(events)["by_client"]


def test_fine_tuning_of_networks_that_are_not_there_is_refused(tmp_path):
    path = tmp_path / "s.yaml"
    settings = {
        "name": "s", "dataset": {"name": "polydigits", "modalities": 2}, "partition": {"name": "iid", "clients": 2},
        "federation": {"rounds": 1}, "evaluation": {"clients": {"personalise": 1}},
        "method": {"name": "generate", "generator": "mvae"},
    }  # fmt: skip
    path.write_text(json.dumps(settings))
    with pytest.raises(ScenarioError, match=r"personalise: fine-tunes 'task\.\*', and 'generate' has no such network"):
        prepare(load(path)[0])
    path.write_text(json.dumps(settings | {"method": "zero_fill"}))
    assert prepare(load(path)[0]).data.held is not None
