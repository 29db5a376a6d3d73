import pickle
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.algorithms.base import Algorithm
from raysim.scenario.schema import Federation
from raysim.simulation import rounds
from raysim.simulation.traffic import Traffic
from raysim.training.reports import ClientReport, Reports
from raysim.training.results import ClientFailure, UnitResult, summed


@pytest.mark.parametrize(
    ("wanted", "eligible", "size"),
    [("all", 7, 7), (3, 7, 3), (9, 7, 7), (0.5, 7, 3), (0.01, 7, 1), (0.99, 7, 6)],
)
def test_the_size_of_a_cohort(wanted, eligible, size):
    assert rounds.cohort_size(Federation(rounds=1, clients_per_round=wanted), eligible) == size


def test_a_cohort_is_drawn_anew_each_round_among_clients_with_samples(toy):
    data, federation = toy.data((2, 0, 3, 1, 2, 2), ("vector",)), Federation(rounds=1, clients_per_round=3)
    drawn = [rounds.sample_cohort(data, federation, 0, r) for r in range(1, 6)]
    assert drawn == [(0, 2, 4), (0, 3, 5), (0, 2, 4), (0, 2, 3), (2, 3, 5)]
    assert rounds.sample_cohort(data, Federation(rounds=1), 0, 1) == (0, 2, 3, 4, 5)


def test_shares_go_by_samples_or_alike_among_owners(toy):
    data = toy.data((6, 3, 1), absent=[(0, "image")])
    by_samples, alike = (toy.job(data, algorithm=a) for a in ("fedavg", "scaffold"))
    everyone = {0: 0.6, 1: 0.3, 2: 0.1}
    assert rounds.shares(by_samples, by_samples.phases[0], (0, 1, 2)) == {
        "task.image": {1: 0.75, 2: 0.25}, "task.vector": everyone, "task.head": everyone,
    }  # fmt: skip
    assert rounds.shares(alike, alike.phases[0], (0, 1, 2))["task.image"] == {1: 0.5, 2: 0.5}
    assert rounds.shares(by_samples, by_samples.phases[0], (0,))["task.image"] == {}


def test_clients_that_no_stage_takes_have_no_share(toy):
    class Picky(toy.Pull):
        def phases(self, task):
            (phase,) = super().phases(task)
            return (replace(phase, stages=tuple(replace(s, clients=lambda c: c.id != 1) for s in phase.stages)),)

    job = toy.job(toy.points([1], [2], [3]), Picky)
    assert rounds.shares(job, job.phases[0], (0, 1, 2)) == {"w": {0: 0.5, 2: 0.5}}


@pytest.mark.parametrize(("weights", "algorithm", "shares"), [
    ("samples", "scaffold", {0: 0.75, 1: 0.25}), ("uniform", "fedavg", {0: 0.5, 1: 0.5}),
])  # fmt: skip
def test_a_group_may_have_its_own_rule(toy, weights, algorithm, shares):
    class Own(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], weights=weights)}

    job = toy.job(toy.points([1, 2, 3], [4]), Own, algorithm=algorithm)
    assert rounds.shares(job, job.phases[0], (0, 1)) == {"w": shares}


def test_a_private_group_has_no_shares(toy):
    class Private(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], shared=False)}

    job = toy.job(toy.points([1]), Private)
    assert rounds.shares(job, job.phases[0], (0,)) == {}


def test_a_group_that_nobody_sent_is_left_alone(toy):
    # With a momentum server a step on a mean of zero would still move it.
    data = toy.data((4, 4), absent=[(0, "image")])
    job = toy.job(data, algorithm="fedopt", rounds=6, clients_per_round=1)
    simulation = toy.simulation(job)
    seen = set()
    before = dict(simulation.x)
    for event in simulation.run():
        if type(event).__name__ == "RoundFinished":
            (client,) = event.record["cohort"]
            assert (simulation.x["task.image"] is before["task.image"]) == (client == 0)
            assert not np.array_equal(simulation.x["task.vector"], before["task.vector"])
            seen.add(client)
            before = dict(simulation.x)
    assert seen == {0, 1}


def test_buffers_take_the_plain_mean(toy):
    class WithBuffer(toy.Pull):
        def modules(self, task):
            group = super().modules(task)["w"]
            group.net.register_buffer("mean", torch.zeros(2))
            return {"w": group}

    job = toy.job(toy.points([1]), WithBuffer, algorithm={"name": "fedopt", "server_lr": 0.1}, optimizer={"lr": 0.5})
    x, mean = np.array([1, 2, 3], np.float32), np.array([0.5, 0.25, -1.0])
    new, state = rounds.server_step(job, "w", x, mean, None, {}, 1, {0: 1.0}, rounds.Uploads())
    assert new.tolist() == pytest.approx([1 + 0.1 * 0.5 / 0.5, 2.25, 2.0])
    assert new.dtype == np.float32
    assert state["velocity"].tolist() == [-1.0]


@pytest.fixture
def algorithm(toy):
    """`algorithm(server)`: a job whose algorithm takes that server step."""

    def make(step):
        class Custom(Algorithm):
            def server(self, received, state):
                return step(received), state

        sys.modules["toy_components"].Custom = Custom
        return toy.job(toy.points([1]), toy.Pull, algorithm="toy_components:Custom")

    return make


@pytest.mark.parametrize(("step", "error", "says"), [
    (lambda r: r.x[:, None], ValueError, "have the shape (1,), one number for each parameter, but has (1, 1); see"),
    (lambda r: r.mean.sum(), ValueError, "have the shape (1,), one number for each parameter, but has (); see"),
    (lambda r: r.x.numpy(), TypeError, "be a tensor of shape (1,), one number for each parameter, but is a ndarray"),
])  # fmt: skip
def test_a_server_step_of_another_shape(algorithm, step, error, says):
    job = algorithm(step)
    with pytest.raises(error, match=re.escape(f"algorithm 'toy_components:Custom': the new 'w' must {says}")):
        rounds.server_step(job, "w", vector(1), np.ones(1), None, {}, 1, {0: 1.0}, rounds.Uploads())


@pytest.mark.parametrize(("algorithm", "apart", "kept"), [
    ("fedavg", False, 0), ("fednova", False, 0), ("krum", False, 3 * 4 * (1 + 1)), ("krum", True, 0),
])  # fmt: skip
def test_what_the_server_holds_of_single_clients(toy, algorithm, apart, kept):
    class Held(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], algorithm=not apart)}

    assert rounds.kept_bytes(toy.job(toy.points([1]), Held, algorithm=algorithm), 3) == kept


def test_nothing_is_held_of_a_unit_once_the_server_has_stepped():
    found = result(0, {2: {"w": vector(8)}}, {"w": np.ones(1)}).summed_up()
    assert (found.sums, found.controls, found.updates, found.steps) == ({}, {}, {}, {})


@pytest.mark.parametrize("value", [2.0, -0.1, float("nan"), "1", None])
def test_a_scale_that_is_none(toy, value):
    class Scaled(Algorithm):
        steps = True

        def scale(self, steps, optimizer):
            return value

    sys.modules["toy_components"].Scaled = Scaled
    job = toy.job(toy.points([1]), toy.Pull, algorithm="toy_components:Scaled")
    with pytest.raises(ClientFailure, match=r"stage 'scale': ValueError: scale must return a number from 0 to 1"):
        toy.run(job)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e39])
def test_a_server_step_that_is_not_finite(algorithm, value):
    job = algorithm(lambda received: received.x + value)
    with pytest.raises(ValueError, match="'toy_components:Custom': the new 'w' is not finite; lower the server's"):
        rounds.server_step(job, "w", vector(1), np.ones(1), None, {}, 1, {0: 1.0}, rounds.Uploads())


THIRDS = {"w": {0: 0.25, 1: 0.5, 2: 0.25}}


@pytest.mark.parametrize(("weights", "skipped", "mean", "senders"), [
    (THIRDS, (), 0.1, 3),
    (THIRDS, {7}, 0.1, 3),
    (THIRDS, {0}, 0.1 * (1 / 0.75), 2),
    (THIRDS, [1], 0.2, 2),
    (THIRDS, {2: "why", 0: "why"}, 0.2, 1),
    (THIRDS, {0, 1, 2}, None, 0),
    ({"w": {0: 0.5, 1: 0.0, 2: 0.5}}, {1}, 0.1, 2),
    ({"w": {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}}, {3}, 0.1 * (1 / 0.6), 3),
    ({"w": {}}, (), None, 0),
])  # fmt: skip
def test_shares_of_those_who_are_left_add_up_to_one(weights, skipped, mean, senders):
    means = {"w": np.array([0.1])}
    found, counts = rounds.rescaled(means, weights, skipped)
    assert {n: v.tolist() for n, v in found.items()} == ({} if mean is None else {"w": [mean]})
    assert {n: len(c) for n, c in counts.items()} == {"w": senders}
    assert means["w"].tolist() == [0.1]


def test_a_group_without_the_skipped_client_keeps_its_mean():
    means = {"a": np.array([0.1, 0.2]), "b": np.array([0.3])}
    found, senders = rounds.rescaled(means, {"a": {0: 1.0}, "b": {0: 0.5, 1: 0.5}, "c": {1: 1.0}}, {1})
    assert found["a"] is means["a"]
    assert found["b"].tolist() == [0.6]
    assert senders == {"a": {0: 1.0}, "b": {0: 1.0}}


def result(index, updates=None, sums=None, reports=()):
    return UnitResult(index, sums or {}, {}, tuple(reports), updates=updates or {})


def vector(*values):
    return np.array(values, np.float32)


def test_two_step_uploads_average_over_those_who_send(toy):
    job = toy.job(toy.points([1, 2, 3], [4], [5, 6]), toy.Pull)
    results = [result(0, {2: {"w": vector(8)}}), result(1, {0: {"w": vector(4)}, 1: {"w": vector(2)}})]
    both, senders = rounds.selected_means(job, results, {0: ["w"], 1: ["w"]})
    assert (both["w"].tolist(), senders) == ([3.5], {"w": {0: 0.75, 1: 0.25}})
    one, senders = rounds.selected_means(job, results, {2: ["w"]})
    assert (one["w"].tolist(), senders) == ([8.0], {"w": {2: 1.0}})
    assert rounds.selected_means(job, results, {0: [], 1: ["v"]}) == ({}, {})


def test_two_step_uploads_do_without_who_was_skipped(toy):
    job = toy.job(toy.points([1, 2, 3], [4], [5, 6]), toy.Pull)
    results = [result(0, {2: {"w": vector(8)}}), result(1, {0: {"w": vector(4)}})]
    means, senders = rounds.selected_means(job, results, {0: ["w"], 1: ["w"], 2: ["w"]})
    assert (means["w"].tolist(), senders) == ([pytest.approx(0.6 * 4 + 0.4 * 8)], {"w": {0: 0.6, 2: 0.4}})
    assert rounds.selected_means(job, results, {1: ["w"]}) == ({}, {})


def test_selection_from_offer_to_mean(toy):
    class Best(toy.Pull):
        def offer(self, nets, batch):
            return {"w": float(nets["w"].weight)}

        def select(self, offers, clock, memory):
            return {max(offers, key=lambda c: offers[c]["w"]): ("w",)}, {
                "calls": memory.get("calls", torch.zeros(1)) + 1
            }

    job = toy.job(toy.points([1, 3], [8], [4]), Best, optimizer={"lr": 0.5})
    simulation = toy.run(job)
    assert simulation.x["w"].tolist() == [4.0]
    assert simulation.tally.totals["bytes_up"] == 4
    assert simulation.server_states["select"]["calls"].tolist() == [1.0]


def test_sums_of_units(toy):
    results = [result(0, sums={"a": np.ones(2), "b": np.ones(1)}), result(1, sums={"a": np.full(2, 2.0)})]
    assert {n: v.tolist() for n, v in summed(results, "sums").items()} == {"a": [3.0, 3.0], "b": [1.0]}


def test_losses_and_rows_in_client_order():
    first = [ClientReport(2, 3, 4, {"a": 1.0, "b": 5.0}, 0.123456)]
    second = [ClientReport(0, 1, 2, {"a": 2.0}, 1.0), ClientReport(1, 4, 0, {}, 0.0, {"a": 0.5})]
    reports = Reports.joined([Reports.of(first), Reports.of(second)], ordered=True)
    assert list(rounds.mean_losses(reports, ["b", "a", "c"]).items()) == [("b", 5.0), ("a", 1.25)]
    sent = Traffic((0, 1, 2))
    sent.count("a", (0, 1, 2), 8, up=False)
    sent.count("a", (0,), 4, up=True)
    rows = rounds.client_rows(reports, sent)
    assert rows == pickle.loads(pickle.dumps(rows))
    assert rows == [
        {"id": 0, "samples": 1, "steps": 2, "loss": {"a": 2.0}, "bytes_down": 8, "bytes_up": 4, "seconds_s": 1.0},
        {"id": 1, "samples": 4, "steps": 0, "loss": {}, "offer": {"a": 0.5}, "bytes_down": 8, "bytes_up": 0,
         "seconds_s": 0.0},
        {"id": 2, "samples": 3, "steps": 4, "loss": {"a": 1.0, "b": 5.0}, "bytes_down": 8, "bytes_up": 0,
         "seconds_s": 0.1235},
    ]  # fmt: skip


def test_the_benchmark_s_cohorts_may_be_empty(toy):
    # Its draws of one client in three, for rounds 1 to 8, from seeds 0 to 7; client 2 has no sample.
    data = toy.points([1], [2], [])
    federation = Federation(rounds=8, clients_per_round=1)
    drawn = [int(np.random.RandomState(r).choice(3, 1, replace=False)[0]) for r in range(8)]
    assert 2 in drawn
    found = [rounds.sample_cohort(data, federation, 0, r, "fedmultimodal") for r in range(1, 9)]
    assert found == [() if client == 2 else (client,) for client in drawn]


def test_a_round_without_clients_changes_nothing(toy, monkeypatch):
    monkeypatch.setattr(rounds, "sample_cohort", lambda *_: ())
    simulation = toy.run(toy.job(toy.points([1], [2]), toy.Pull, rounds=2))
    assert simulation.x["w"].tolist() == [0.0]
    assert simulation.tally.totals["bytes_down"] == 0
