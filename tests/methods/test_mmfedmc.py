import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from methods.mmfedmc import accuracy, decisions, log_mean, scaled, shapley
from raysim.data.dataset import Modality
from raysim.method import Clock, Feature
from raysim.seeding import stream
from raysim.simulation.record import planned
from raysim.training.trainer import Trainer

ROLES = [{"modalities": ["left"], "clients": 3}, {"modalities": ["left", "right"], "clients": 1}]
PAIR = {m: Modality("vector", (3,)) for m in ("left", "right")}
LN2 = math.log(2)


class Pass(nn.Module):
    """An encoder that gives its input."""

    def forward(self, x, lengths=None):
        return Feature.of(x)


@pytest.fixture
def method(tiny_data, make_job):
    """`method(**options)`."""
    return lambda **options: make_job(tiny_data("vectors"), {"name": "mmfedmc"} | options).method


@pytest.fixture
def by_hand(tiny_data, make_job, make_batch, make_nets):
    """`by_hand(left, right, y)`: the method, networks and a batch where inputs are logits, None where absent."""

    def make(left, right, y, **fields):
        multi = np.ndim(y) == 2
        data = replace(tiny_data("vectors", multi_label=multi), modalities=PAIR)
        job = make_job(data, "mmfedmc", model={"dim": 3, "head": {"hidden": None}})
        fakes = {"task__left": Pass(), "task__right": Pass(), "uni__left": nn.Identity(), "uni__right": nn.Identity()}
        given = {"left": left, "right": right}
        x = {m: torch.tensor([v or [0.0] * 3 for v in values]) for m, values in given.items()}
        present = {m: [v is not None for v in values] for m, values in given.items()}
        return job.method, make_nets(job, **fakes), make_batch(job, x, present, y=y, **fields)

    return make


def says(*classes):
    """Logits of these classes."""
    return [None if c is None else [float(c == k) for k in range(3)] for c in classes]


def test_shapley_values_of_a_game_in_a_table():
    worth = {"": 0, "a": 6, "b": 12, "c": 42, "ab": 12, "ac": 42, "bc": 42, "abc": 42}
    # The orders abc acb bac bca cab cba give a: 6 6 0 0 0 0, b: 6 0 12 12 0 0, c: 30 36 30 30 42 42.
    found = shapley("abc", lambda chosen: worth["".join(chosen)])
    assert found == pytest.approx({"a": 2.0, "b": 5.0, "c": 35.0})
    assert shapley("ab", lambda chosen: [0.25, 0.5, 1.0][len(chosen)]) == {"a": 0.375, "b": 0.375}
    assert shapley("a", lambda chosen: [0.25, 1.0][len(chosen)]) == {"a": 0.75}


def test_the_ensemble_says_each_combinations_most_frequent_label():
    left, right = torch.tensor([[0], [0], [0], [1], [1]]), torch.tensor([[0], [1], [1], [1], [1]])
    y = torch.tensor([2, 0, 0, 1, 2])
    assert accuracy([], y) == 2 / 5
    assert accuracy([left], y) == 3 / 5
    assert accuracy([right], y) == 3 / 5
    assert accuracy([left, right], y) == 4 / 5


def test_with_several_labels_each_has_a_table_and_accuracy_is_their_mean():
    decided = [torch.tensor([[0, 1], [0, 1], [1, 1]])]
    y = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    # Without decisions 2/3 each; the first label's table is right for two of three, of the second one too.
    assert accuracy([], y) == pytest.approx(2 / 3)
    assert accuracy(decided, y) == pytest.approx((2 + 2) / 6)
    assert accuracy([torch.tensor([[0, 1], [1, 0], [1, 1]])], y) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_it_is_a_forest_without_resampling(seed):
    rng = stream(seed, "votes")
    y = rng.integers(4, size=60)
    votes = np.where(rng.random((60, 3)) < 0.6, y[:, None], rng.integers(-1, 4, size=(60, 3)))
    forest = RandomForestClassifier(n_estimators=10, bootstrap=False, random_state=seed).fit(votes, y)
    columns = torch.from_numpy(votes).T.unsqueeze(-1)
    assert accuracy(list(columns), torch.from_numpy(y)) == pytest.approx(forest.score(votes, y))


def test_decisions_by_hand(by_hand):
    _, nets, batch = by_hand(says(0, 2, None), says(1, None, 1), [0, 2, 1])
    assert {m: d.tolist() for m, d in decisions(nets, batch).items()} == {
        "left": [[0], [2], [-1]], "right": [[1], [-1], [1]]
    }  # fmt: skip
    several = [[0.25, -1.0, 2.0], [-1.0, 3.0, -2.0]]
    _, nets, batch = by_hand(several, [None, None], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert {m: d.tolist() for m, d in decisions(nets, batch).items()} == {
        "left": [[1, 0, 1], [0, 1, 0]], "right": [[-1, -1, -1], [-1, -1, -1]]
    }  # fmt: skip


def test_what_a_client_offers(by_hand):
    left, right, y = says(0, 0, 1, 1), says(0, 0, 0, None), [0, 0, 1, 2]
    method, nets, batch = by_hand(left, right, y, state={"personal_accuracy": torch.tensor(0.5)})
    offer = method.offer(nets, batch)
    # Accuracies: 1/2 with nothing, 3/4 with left, 3/4 with right (absent is a decision), 1 with both.
    assert (offer["impact.left"], offer["impact.right"]) == (0.25, 0.25)
    assert offer["personal_accuracy"] == 0.5
    log_total = math.log(math.e + 2)
    assert offer["loss.left"] == pytest.approx(log_total - 3 / 4)
    assert offer["loss.right"] == pytest.approx(log_total - 2 / 3)
    assert (offer["size.left"], offer["size.right"]) == (0.0, 0.0)
    assert method.measure(nets, batch)["personal_accuracy"].item() == 1.0


def test_sizes_are_those_of_both_groups(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), "mmfedmc")).go(until=1)
    (offer, *_) = [row["offer"] for row in run.records[0]["clients"]]
    for m in ("left", "right"):
        assert offer[f"size.{m}"] == len(run.x[f"task.{m}"]) + len(run.x[f"uni.{m}"])


def test_a_soft_vote_by_hand(by_hand):
    quarter = [math.log(p) for p in (0.25, 0.5, 0.25)]
    tenth = [math.log(p) for p in (0.75, 0.1, 0.15)]
    method, nets, batch = by_hand([quarter, quarter, None, None], [tenth, None, tenth, None], [0, 0, 0, 0])
    chances = method.predict(nets, batch).softmax(-1)
    expected = [[0.5, 0.3, 0.2], [0.25, 0.5, 0.25], [0.75, 0.1, 0.15], [1 / 3, 1 / 3, 1 / 3]]
    torch.testing.assert_close(chances, torch.tensor(expected))


def test_a_soft_vote_on_labels_by_hand(by_hand):
    # Probabilities 3/4 and 1/4, mean 1/2; alone as they are; without any modality 1/2.
    three = [math.log(3)] * 3
    less = [-math.log(3)] * 3
    method, nets, batch = by_hand([three, three, None], [less, None, None], np.zeros((3, 3), np.float32))
    chances = method.predict(nets, batch).sigmoid()
    torch.testing.assert_close(chances, torch.tensor([[0.5] * 3, [0.75] * 3, [0.5] * 3]))


def test_sure_votes_stay_finite():
    values = torch.tensor([[[-1e4, 0.0]], [[-2e4, 0.0]]])
    found = log_mean(values, torch.ones(2, 1, dtype=torch.bool))
    assert found.tolist() == [[pytest.approx(-1e4 - LN2, abs=1e-2), 0.0]]


def test_scaling_by_hand():
    assert scaled({"a": 2.0, "b": 4.0, "c": 3.0}) == {"a": 0.0, "b": 1.0, "c": 0.5}
    assert scaled({"a": 2.0, "b": 2.0}) == {"a": 0.0, "b": 0.0}


def offer(**modalities):
    """Modality -> (impact, size, loss)."""
    named = {"impact": 0, "size": 1, "loss": 2}
    return {f"{what}.{m}": float(v[i]) for what, i in named.items() for m, v in modalities.items()}


def clock(round_):
    return Clock("train", round_, 0, 0.0)


def test_priorities_by_hand(method):
    one = offer(a=(0.5, 30, 1), b=(0.1, 10, 1), c=(0.4, 20, 1))
    # In the first round recency is 1 for all.
    first = {"a": (1 + 0 + 1) / 3, "b": (0 + 1 + 1) / 3, "c": (0.75 + 0.5 + 1) / 3}
    assert method().priorities(0, one, 0, {}) == pytest.approx(first)
    # In the tenth, round 9, c was sent in round 7 and a in round 5; b never was.
    memory = {"c": torch.tensor([7]), "a": torch.tensor([5])}
    tenth = {"a": (1 + 0 + 0.4) / 3, "b": (0 + 1 + 1) / 3, "c": (0.75 + 0.5 + 0.2) / 3}
    assert method().priorities(0, one, 9, memory) == pytest.approx(tenth)
    weights = {"impact_weight": 1.0, "size_weight": 2.0, "recency_weight": 0.5}
    assert method(**weights).priorities(0, one, 9, memory) == pytest.approx({"a": 1.2, "b": 2.5, "c": 1.85})
    # Equal sizes count 0, as the smallest does, so they decide nothing.
    same = offer(a=(0.1, 10, 1), b=(0.3, 10, 1))
    assert method().priorities(0, same, 0, {}) == pytest.approx({"a": 2 / 3, "b": 1.0})


def test_a_client_would_send_what_has_the_highest_priority(method):
    one = offer(a=(0.5, 30, 1), b=(0.1, 10, 1), c=(0.4, 20, 1))
    assert method().wishes(0, one, 0, {}) == ["c"]
    assert method(modalities=2).wishes(0, one, 0, {}) == ["c", "a"]
    assert method(modalities=9).wishes(0, offer(b=(0.1, 10, 1)), 0, {}) == ["b"]


FIVE = {k: offer(a=(1, 1, loss), b=(0, 2, 9)) for k, loss in enumerate([0.5, 0.1, 0.4, 0.1, 0.3])}
"""Five clients, all of which would send a."""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1]),
        ({"clients": 0.4}, [1, 3]),
        ({"clients": 0.3}, [1, 3]),
        ({"clients": 0.05}, [1]),
        ({"clients": 1.0}, [0, 1, 2, 3, 4]),
        ({"prefer": "higher", "clients": 0.4}, [0, 2]),
    ],
)
def test_who_sends_by_loss(method, options, expected):
    chosen, memory = method(**options).select(FIVE, clock(1), {})
    assert chosen == {client: ["task.a", "uni.a"] for client in expected}
    assert memory["a"].tolist() == [0 if k in expected else -1 for k in range(max(expected) + 1)]


def test_clients_compete_by_modality_or_all_together(method):
    offers = {0: offer(a=(1, 1, 5)), 1: offer(a=(1, 1, 4), b=(0, 2, 0)), 2: offer(b=(1, 1, 3)), 3: offer(b=(1, 1, 6))}
    apart, _ = method(clients=0.5).select(offers, clock(1), {})
    assert apart == {1: ["task.a", "uni.a"], 2: ["task.b", "uni.b"]}
    # Mean losses 5, 2, 3, 6: of all the two lowest, then the two highest.
    together, _ = method(clients=0.5, rank="client").select(offers, clock(1), {})
    assert together == {1: ["task.a", "uni.a"], 2: ["task.b", "uni.b"]}
    highest, _ = method(clients=0.5, rank="client", prefer="higher").select(offers, clock(1), {})
    assert highest == {0: ["task.a", "uni.a"], 3: ["task.b", "uni.b"]}
    # The best of all would send a alone, so that nobody sends b.
    best, memory = method(clients=0.25, rank="client").select(offers, clock(1), {})
    assert (best, memory["b"].tolist()) == ({1: ["task.a", "uni.a"]}, [])


def test_what_was_sent_is_remembered_and_waits(method):
    offers = {4: offer(a=(0, 1, 1), b=(0.5, 1, 1))}
    sent, memory, mine = [], {}, method()
    for round_ in range(1, 5):
        old = {m: t.clone() for m, t in memory.items()}
        chosen, new = mine.select(offers, clock(round_), memory)
        assert all(torch.equal(memory[m], t) for m, t in old.items())
        sent.append(chosen[4][0])
        memory = new
    # a has but its recency, at most 1/3 in all; b has 1/3 + recency / 3.
    assert sent == ["task.b"] * 4
    assert memory["b"].tolist() == [-1, -1, -1, -1, 3]
    # b has 0.14 + recency / 3, a recency / 3: 0.47 to 0.33, 0.31 to 0.33, 0.36 to 0.11, 0.22 to 0.17.
    eager = method(impact_weight=0.14)
    sent, memory = [], {}
    for round_ in range(1, 5):
        chosen, memory = eager.select(offers, clock(round_), memory)
        sent.append(chosen[4][0])
    assert sent == ["task.b", "task.a", "task.b", "task.b"]


def test_others_uploads_are_not_forgotten(method):
    offers = {1: offer(a=(1, 1, 1))}
    _, memory = method().select(offers, clock(9), {"a": torch.tensor([5, 2, 3])})
    assert memory["a"].tolist() == [5, 8, 3]


def test_nobody_offers_nobody_sends(method):
    memory = {"a": torch.tensor([3])}
    assert method().select({}, clock(1), memory) == ({}, memory)


def test_what_is_not_selected_does_not_reach_the_server(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), {"name": "mmfedmc", "clients": 0.1})).go(until=1)
    (record,), job = run.records, run.job
    size = {n: 4 * job.layouts[n].size for n in run.x}
    for m in ("left", "right"):
        pair = (f"task.{m}", f"uni.{m}")
        sent = [record["traffic"][n][1] // size[n] for n in pair]
        wished = [r for r in record["clients"] if r["bytes_up"] == sum(size[n] for n in pair)]
        assert sent[0] == sent[1] <= 1
        changed = [run.x[n].tobytes() != run.start[n].tobytes() for n in pair]
        assert changed == [bool(wished)] * 2


def test_the_one_that_is_selected_is_the_new_global_model(tiny_data, make_job, new_run, toy):
    job = make_job(tiny_data("vectors"), {"name": "mmfedmc", "modalities": 2, "clients": 0.1})
    run = new_run(job).go(until=1)
    for m in ("left", "right"):
        offers = {r["id"]: r["offer"] for r in run.records[0]["clients"]}
        best = min(offers, key=lambda c: offers[c][f"loss.{m}"])
        assert run.records[0]["traffic"][f"uni.{m}"][1] == 4 * job.layouts[f"uni.{m}"].size
        (unit,) = [u for u in planned(job, job.phases[0], 1).units if best in u.clients]
        assert unit.clients == (best,)
        result = Trainer(job).train(toy.broadcast(job), unit, {})
        for name in (f"task.{m}", f"uni.{m}"):
            np.testing.assert_allclose(run.x[name], run.start[name] + result.updates[best][name], atol=1e-6)


def test_all_senders_count_alike(tiny_data, make_job, new_run, toy):
    job = make_job(tiny_data("vectors"), {"name": "mmfedmc", "modalities": 2, "clients": 1.0})
    run = new_run(job).go(until=1)
    assert [up // len(run.x[n]) // 4 for n, (_, up) in run.records[0]["traffic"].items()] == [4, 4, 4, 4]
    updates = [result.updates[k] for k, result in enumerate(toy.train(job))]
    for name, values in run.x.items():
        mean = np.mean([u[name] for u in updates], axis=0)
        np.testing.assert_allclose(values, run.start[name] + mean, rtol=0, atol=1e-6)


def test_only_who_has_a_modality_downloads_and_trains_its_classifier(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), "mmfedmc", missing={"name": "roles", "roles": ROLES})).go(until=1)
    (both,) = [k for k in range(4) if "right" in run.job.data.info(k).modalities]
    (record,) = run.records
    assert [row["id"] for row in record["clients"] if "right" in row["loss"]] == [both]
    assert [row["id"] for row in record["clients"] if "loss.right" in row["offer"]] == [both]
    down = {n: down // len(run.x[n]) // 4 for n, (down, _) in record["traffic"].items()}
    assert down == {"task.left": 4, "uni.left": 4, "task.right": 1, "uni.right": 1}


def test_personal_accuracy_is_that_of_the_global_classifiers(tiny_data, make_job, new_run, make_batch, make_nets):
    job = make_job(tiny_data("vectors"), "mmfedmc")
    run = new_run(job).go(until=1)
    nets, data = make_nets(job), job.data
    for row in run.records[0]["clients"]:
        rows = data.part(row["id"])
        x = {m: torch.from_numpy(data.dataset.train.inputs[m][rows]) for m in data.dataset.names}
        present = {m: data.mask[rows, i] for i, m in enumerate(data.dataset.names)}
        batch = make_batch(job, x, present, y=data.labels[rows])
        assert row["offer"]["personal_accuracy"] == job.method.measure(nets, batch)["personal_accuracy"].item()
        assert run.states[row["id"]]["method/personal_accuracy"] == row["offer"]["personal_accuracy"]


def test_a_modality_is_trained_on_the_samples_that_have_it(tiny_data, make_job, new_run):
    job = make_job(tiny_data("vectors"), {"name": "mmfedmc", "epochs": 3}, federation={"rounds": 1, "batch_size": 1})
    run = new_run(job).go()
    for row in run.records[0]["clients"]:
        assert row["steps"] == 3 * job.data.mask[job.data.part(row["id"])].sum()


def test_it_learns_with_everything_sent(correlated, make_job, new_run):
    job = make_job(
        correlated(0), {"name": "mmfedmc", "modalities": 2, "clients": 1.0}, stack=8, model={"dim": 16},
        missing={"name": "per_sample", "rate": 0.3}, evaluation={"missing": "same", "every_rounds": 10},
        federation={"rounds": 10, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}},
    )  # fmt: skip
    assert new_run(job).go().records[-1]["test"]["accuracy"] > 0.8


@pytest.mark.parametrize("data", ["mixed", "vectors"])
def test_absent_rows_never_leak(tiny_data, make_job, new_run, poison, data):
    sections = {"missing": {"name": "per_sample", "rate": 0.3}, "stack": 4}
    clean, dirty = (
        new_run(make_job(tiny_data(data), "mmfedmc", poison(make), **sections)).go()
        for make in (np.zeros, lambda shape: np.nan)
    )
    assert clean.bits() == dirty.bits()


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fedopt"])
def test_it_goes_on_where_it_was(tiny_data, make_job, new_run, algorithm):
    def job():
        federation = {"rounds": 3, "batch_size": 4, "algorithm": algorithm}
        return make_job(tiny_data("vectors", multi_label=True), "mmfedmc", federation=federation)

    assert new_run(job()).go(until=2).move(job()).go().bits() == new_run(job()).go().bits()
