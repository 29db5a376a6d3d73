"""The round loop in this process."""

import json

import numpy as np
import pytest

from raysim.method import Objective, Phase, Train
from raysim.report.events import (
    ClientsFinished,
    FeaturesTaken,
    ModelKept,
    PredictionsKept,
    RoundFinished,
    RoundStarted,
    TrialFinished,
)
from raysim.simulation import rounds
from raysim.simulation.executor import Measured
from raysim.training.results import ClientFailure

SGD = {"lr": 0.5}


def events(toy, job):
    return [e for e in toy.simulation(job).run() if e is not None]


def records(toy, job):
    return [e.record for e in events(toy, job) if isinstance(e, RoundFinished)]


def until_failure(toy, job):
    """The records of a trial that fails, and the error."""
    found = []
    try:
        for event in toy.simulation(job).run():
            found += [event.record] if isinstance(event, RoundFinished) else []
    except ClientFailure as failure:
        return found, str(failure)
    return pytest.fail("nothing failed")


def timeless(value):
    """Without what ends in `_s`."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not k.endswith("_s")}
    return [timeless(v) for v in value] if isinstance(value, list | tuple) else value


def test_events_in_order(toy):
    job = toy.job(toy.points([1, 3], [4]), toy.Pull, rounds=2, stack=2)
    kinds = [type(e) for e in events(toy, job)]
    training = [RoundStarted, ClientsFinished]
    # A round ends with its evaluation, which fills the idle time of the next one.
    assert kinds == [*training, *training, RoundFinished, RoundFinished, ModelKept, PredictionsKept, TrialFinished]


def test_a_round_that_is_not_evaluated_ends_at_once(toy):
    job = toy.job(toy.points([1]), toy.Pull, rounds=2, evaluation={"every_rounds": 2})
    kinds = [type(e) for e in events(toy, job)]
    assert kinds == [RoundStarted, ClientsFinished, RoundFinished] * 2 + [ModelKept, PredictionsKept, TrialFinished]


def test_a_client_that_fails_takes_no_finished_round_with_it(toy):
    class Late(toy.Pull):
        def loss(self, nets, batch):
            if batch.clock.round == 2:
                raise RuntimeError("oops")
            return super().loss(nets, batch)

    records, error = until_failure(toy, toy.job(toy.points([1]), Late, rounds=2))
    assert error.startswith("round 2, client 0, stage 'pull': RuntimeError: oops")
    (record,) = records
    assert record["round"] == 1
    assert "validation" in record


def test_an_evaluation_that_fails_leaves_its_round(toy):
    class Blind(toy.Pull):
        def predict(self, nets, batch):
            raise RuntimeError("oops")

    records, error = until_failure(toy, toy.job(toy.points([1]), Blind, rounds=2))
    assert error.startswith("round 1, stage 'evaluation': RuntimeError: oops")
    assert [r["round"] for r in records] == [1]


def test_what_the_events_say(toy):
    started, first, second, *_, finished = events(toy, toy.job(toy.points([1, 3], [4]), toy.Pull, optimizer=SGD))
    assert (started.round, started.phase, started.cohort) == (1, "train", (0, 1))
    columns = (
        np.concatenate([getattr(e, name) for e in (first, second)]).tolist() for name in ("clients", "samples", "loss")
    )
    assert set(zip(*columns, strict=True)) == {(0, 2, 2.5), (1, 1, 8.0)}
    assert finished.trial.name == "trial"


def test_a_record_by_hand(toy):
    # w goes to (2 * 1 + 1 * 2) / 3 = 4/3; with logits w - x and x - w, values 3 and 4 are "+", and 1 is not.
    (record,) = records(toy, toy.job(toy.points([1, 3], [4]), toy.Pull, optimizer=SGD))
    scores = {"accuracy": pytest.approx(2 / 3), "uar": pytest.approx(2 / 3), "macro_f1": pytest.approx(0.4),
              "macro_auc": None, "loss": pytest.approx(np.log1p(np.exp([2 / 3, -10 / 3, -16 / 3])).mean())}  # fmt: skip
    sent = {"bytes_down": 4, "bytes_up": 4}
    assert timeless(record) == {
        "round": 1, "phase": "train", "cohort": [0, 1], "loss": {"pull": pytest.approx(13 / 3)},
        "clients": [{"id": 0, "samples": 2, "steps": 1, "loss": {"pull": 2.5}, **sent},
                    {"id": 1, "samples": 1, "steps": 1, "loss": {"pull": 8.0}, **sent}],
        "skipped": [], "bytes_up": 8, "bytes_down": 8, "traffic": {"w": [8, 8]}, "validation": scores, "test": scores,
    }  # fmt: skip
    assert record.keys() - timeless(record).keys() == {"train_s", "overhead_s", "at_s", "evaluate_s"}
    assert json.loads(json.dumps(record)) == record


def test_the_summary(toy):
    job = toy.job(toy.points([1, 3], [4]), toy.Pull, rounds=3, optimizer=SGD)
    summary = events(toy, job)[-1].summary
    assert {k: v for k, v in summary.items() if k not in ("splits", "seconds_s", "compute_s", "peak_bytes_rss")} == {
        "round": 1, "selected_by": "best validation accuracy", "parameters": 1, "parameters_by_group": {"w": 1},
        "bytes_up": 24, "bytes_down": 24, "steps": 6, "skipped": 0, "bit_comparable": True,
        "hidden": {}, "teachers": {},
            "traffic": {"w": {"down": 24, "up": 24}}, "macs": None,
    }  # fmt: skip


def chosen(toy, values, **evaluation):
    """The round that is selected when validation accuracy takes these values."""
    job = toy.job(toy.points([1]), toy.Pull, rounds=len(values), evaluation=evaluation)
    simulation = toy.simulation(job)
    for number, value in enumerate(values, start=1):
        simulation.tally.choose(number, {"validation": {"accuracy": value}, "test": {"accuracy": value}})
    return simulation.tally.best["round"]


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0.1, 0.3, 0.2], 2),
        ([0.3, 0.3, 0.2], 1),
        ([None, 0.0, None], 2),
        ([None, None], 1),
        ([0.5, None], 1),
    ],
)
def test_the_best_round_is_the_earliest_of_the_highest(toy, values, best):
    assert chosen(toy, values) == best
    assert chosen(toy, values, select="last") == len(values)


def test_evaluation_is_every_few_rounds_and_at_the_end(toy):
    job = toy.job(toy.points([1, 2]), toy.Pull, rounds=7, evaluation={"every_rounds": 3, "select": "last"})
    assert [r["round"] for r in records(toy, job) if "test" in r] == [3, 6, 7]
    summary = events(toy, job)[-1].summary
    assert (summary["round"], summary["selected_by"]) == (7, "last round")


def phased(toy):
    class Phased(toy.Pull):
        def phases(self, task):
            def stage(name):
                return (Train(name, (Objective(("w",), self.loss),)),)

            return (Phase("first", stage("a"), rounds=2, evaluate=False), Phase("second", stage("b")))

    return Phased


def test_phases_follow_each_other(toy):
    found = records(toy, toy.job(toy.points([4]), phased(toy), rounds=3, optimizer=SGD))
    assert [(r["round"], r["phase"], *r["loss"]) for r in found] == [
        (1, "first", "a"), (2, "first", "a"), (3, "second", "b"), (4, "second", "b"), (5, "second", "b"),
    ]  # fmt: skip
    assert [r["round"] for r in found if "test" in r] == [3, 4, 5]
    assert found[2]["loss"]["b"] == 0.5  # what the first phase reached: 4 - 3


def test_replicas_are_refreshed_when_the_method_says(toy):
    def frozen_at(when):
        class Watching(phased(toy)):
            replicas = {} if when is None else {"w": when}

            def loss(self, nets, batch):
                w, old = nets["w"].weight, nets.frozen["w"].weight
                return super().loss(nets, batch) + 0 * w.sum(-1) + 100 * old.sum(-1)

        job = toy.job(toy.points([4]), Watching, rounds=2, optimizer=SGD)
        return [sum(r["loss"].values()) // 100 for r in records(toy, job)]

    # w is 0, 2, 3, 3.5 as the rounds start.
    assert frozen_at("start") == [0, 0, 0, 0]
    assert frozen_at("phase") == [0, 0, 3, 3]
    assert frozen_at("round") == [0, 2, 3, 3]


@pytest.mark.parametrize("stack", [1, 4])
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "fedopt"])
def test_two_runs_give_the_same_bits(toy, stack, algorithm):
    data = toy.data((5, 4, 7, 2), ("image", "sequence"), absent=[(0, "image"), (2, "sequence")])
    model = {"dim": 8, "dropout": 0.2, "encoders": {"image": {"name": "cnn", "channels": [4]}}}
    settings = {"algorithm": algorithm, "stack": stack, "rounds": 3, "clients_per_round": 3, "model": model}
    first, second = (records(toy, toy.job(data, **settings)) for _ in range(2))
    assert timeless(first) == timeless(second)
    other = records(toy, toy.job(data, seed=1, **settings))
    assert timeless(other) != timeless(first)


def test_the_cohort_is_the_same_for_every_method(toy):
    data = toy.data((3, 3, 3, 3), absent=[(1, "image")])
    cohorts = [
        [r["cohort"] for r in records(toy, toy.job(data, method, rounds=3, clients_per_round=2))]
        for method in ("zero_fill", "uniform_fill")
    ]
    assert cohorts[0] == cohorts[1]


def test_embeddings_for_pictures_are_the_last_thing_taken(toy):
    data = toy.data((4, 4), ("image", "vector"))
    job = toy.job(data, "zero_fill", evaluation={"features": 4}, evaluation_batch=3)
    *_, taken, _, _, finished = events(toy, job)
    assert isinstance(finished, TrialFinished)
    assert sorted(taken.arrays) == ["image", "image.filled", "labels", "vector", "vector.filled"]
    assert len(job.pictured) == 4
    assert taken.arrays["labels"].tolist() == data.dataset.validation.labels[job.pictured].tolist()
    assert taken.arrays["image"].shape == (4, 8)
    assert abs(taken.arrays["image"]).min() > 0
    assert not taken.arrays["image.filled"].any()
    assert not taken.arrays["vector.filled"].any()
    assert taken.arrays["image"].tolist() == next(
        e.arrays["image"].tolist() for e in events(toy, job) if isinstance(e, FeaturesTaken)
    )


def test_as_many_as_there_are(toy):
    job = toy.job(toy.data((4,)), "complete", evaluation={"features": 100})
    assert job.pictured.tolist() == [0, 1, 2, 3, 4, 5]


def test_multiply_adds_of_a_round_on_average(toy):
    job = toy.job(toy.points([1, 3], [4]), toy.Pull, rounds=4, clients_per_round=1)
    simulation = toy.simulation(job)

    def measure(works):
        (row,) = works
        assert (row.phase, list(row.samples)) == (0, ["pull"])
        return Measured(7, 100 * row.samples["pull"], {"w": 3})
        yield

    simulation.executor.measure = measure
    (*_, finished) = simulation.run()
    cohorts = [rounds.sample_cohort(job.data, job.scenario.federation, 0, r) for r in range(1, 5)]
    samples = sum({(0,): 2, (1,): 1}[c] for c in cohorts)
    assert finished.summary["macs"] == {"sample": 7, "round": round(100 * samples / 4), "by_group": {"w": 3}}
