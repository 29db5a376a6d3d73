"""Clients judged by rows of their own, and test samples by what they are given, in this process."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from served import SPLITS, dealt, summary, table, told

from raysim.data.dealing import federate
from raysim.data.federated import View
from raysim.data.held import Held
from raysim.report.events import ModelKept, RoundFinished
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.simulation import Simulation


def by_hand(toy):
    """Three clients who train on a 4 each, and keep the numbers 3, -1 / 1, 5 / 1, 0.5 for validation and test alike."""
    data = toy.points([4, 3, -1], [4, 1, 5], [4, 1, 0.5])
    rows = np.array([1, 2, 4, 5, 7, 8])
    held = Held(
        np.arange(3), ("a", "a", "b"), dict.fromkeys(SPLITS, rows), dict.fromkeys(SPLITS, np.array([0, 2, 4, 6])),
        9, 6, 0, np.array(["x", "y", "z"]),
    )  # fmt: skip
    more = {f"clients_{split}": View("train", data.mask, rows=rows) for split in SPLITS}
    return replace(data, rows=np.array([0, 3, 6]), offsets=np.arange(4), held=held, more=more)


def timeless(events):
    records = [e.record for e in events if isinstance(e, RoundFinished)]
    return [{k: v for k, v in r.items() if not k.endswith("_s") and k not in ("clients", "by_client")} for r in records]


def test_three_clients_with_two_rows_each_by_hand(toy):
    # w goes to 2, and "+" is what is above: 3, -1 are right, 1 is wrong and 5 right, 1 and 0.5 are wrong.
    job = toy.job(by_hand(toy), toy.Pull, optimizer={"lr": 0.5}, evaluation={"clients": {"share": 0.5}})
    events = told(toy.simulation(job))
    (record,) = [e.record for e in events if isinstance(e, RoundFinished)]
    found = record["by_client"]["test"]["accuracy"]
    assert found == {
        "mean": 0.5, "weighted": 0.5, "std": pytest.approx(6**-0.5), "worst_tenth": 0.0, "undefined": 0,
        "roles": {"a": 0.75, "b": 0.0},
    }  # fmt: skip
    logits = 2 * (np.array([3, -1, 1, 5, 1, 0.5]) - 2)  # of "+" over "-"
    right = np.array([1, -1, 1, 1, 1, 1]) * logits
    losses = np.log1p(np.exp(-right)).reshape(3, 2).mean(axis=1)
    assert record["by_client"]["validation"]["loss"]["mean"] == pytest.approx(losses.mean())
    assert record["by_client"]["test"]["loss"]["worst_tenth"] == pytest.approx(losses.max())
    assert record["by_client"]["test"]["macro_auc"]["undefined"] == 2  # but for the first, all are positive
    end = summary(events)
    assert end["by_client"] == record["by_client"]
    assert end["clients"] == {"judged": 3, "without": 0, "rows": 6, "of": 9}
    each = table(events)
    assert (each.clients.tolist(), each.ids.tolist(), each.roles) == ([0, 1, 2], ["x", "y", "z"], ("a", "a", "b"))
    assert each.metrics["test"]["accuracy"].tolist() == [1.0, 0.5, 0.0]
    assert each.metrics["test"]["loss"] == pytest.approx(losses)
    assert each.rows["test"].tolist() == [2, 2, 2]


def test_rows_of_their_own_are_predicted_as_what_they_are(toy):
    job = dealt(toy, clients={"share": 0.5})
    simulation = toy.simulation(job)
    rows = job.data.held.rows["test"]
    alone = replace(job.data, views={"test": View("train", job.data.mask)})
    whole = toy.job(alone, evaluation_batch=100, model=job.scenario.model.model_dump(mode="json"))
    broadcast = toy.broadcast(job)
    trainer = simulation.executor._trainer
    here = np.concatenate([trainer.predict(broadcast, "clients_test", i, i + 1) for i in range(len(rows))])
    there = LocalExecutor(whole)._trainer.predict(broadcast, "test", 0, len(job.data.dataset.train))
    assert here == pytest.approx(there[rows], abs=1e-6)


@pytest.mark.parametrize("evaluation", [
    {"clients": {"share": 0.5}},
    {"clients": {"share": 0.5, "most": 2, "every_rounds": 3}},
    {"clients": {"share": 0.5}, "subsets": "all", "keep_model": "none"},
    {"clients": {"share": 0.5}, "every_rounds": 2, "metrics": ["accuracy", "uar"]},
])  # fmt: skip
def test_no_bit_of_training_depends_on_what_is_judged(toy, evaluation):
    job = dealt(toy, **evaluation)
    other = {k: v for k, v in evaluation.items() if k == "every_rounds"}
    bare = toy.job(
        replace(job.data, held=None, more={}), evaluation=other, evaluation_batch=4, rounds=4,
        optimizer={"name": "sgd", "lr": 0.1}, model=job.scenario.model.model_dump(mode="json"),
    )  # fmt: skip
    judged, plain = toy.simulation(job), toy.simulation(bare)
    found, expected = timeless(told(judged)), timeless(told(plain))
    metrics = set(evaluation.get("metrics", ["accuracy", "uar", "macro_f1", "macro_auc"])) | {"loss"}
    for record in expected:
        record |= {s: {m: v for m, v in record[s].items() if m in metrics} for s in SPLITS if s in record}
    assert found == expected
    assert {n: x.tobytes() for n, x in judged.x.items()} == {n: x.tobytes() for n, x in plain.x.items()}
    assert judged.tally.best["round"] == plain.tally.best["round"]
    most = evaluation["clients"].get("most", 3)
    assert summary(told(toy.simulation(job)))["clients"]["judged"] == most


def test_clients_are_judged_every_few_rounds_and_in_the_end(toy):
    job = dealt(toy, clients={"share": 0.5, "every_rounds": 3}, federation={"rounds": 5})
    events = told(toy.simulation(job))
    assert [e.round for e in events if isinstance(e, RoundFinished) and "by_client" in e.record] == [3, 5]
    assert summary(events)["by_client"].keys() == {"validation", "test"}


def test_the_reported_round_is_judged_whichever_it_is(toy):
    always, seldom = ({"clients": {"share": 0.5, **more}, "metric": "uar"} for more in ({}, {"every_rounds": 100}))
    rounds = []
    for seed in range(4):
        events = told(toy.simulation(dealt(toy, seed=seed, **always)))
        reported = summary(events)["round"]
        (record,) = [e.record for e in events if isinstance(e, RoundFinished) and e.round == reported]
        assert summary(events)["by_client"] == record["by_client"]
        assert table(events).round == reported
        late = told(toy.simulation(dealt(toy, seed=seed, **seldom)))
        assert summary(late)["by_client"] == record["by_client"]
        rounds.append(reported)
    assert min(rounds) < 4  # not always the last


@pytest.mark.parametrize("keep", ["best", "last", "none"])
def test_whatever_is_kept_and_wherever_it_was_stopped_it_says_the_same(toy, keep):
    evaluation = {"clients": {"share": 0.5}, "subsets": "singles", "keep_model": keep, "metric": "uar"}
    job = dealt(toy, federation={"rounds": 5, "checkpoint": {"every_rounds": 1}}, **evaluation)
    whole = toy.simulation(job)
    snapshots, events = {}, []
    for event in whole.run():
        if whole.snapshot is not None:
            snapshots[whole.snapshot.round], whole.snapshot = whole.snapshot, None
        events += [] if event is None else [event]
    assert sorted(snapshots) == [1, 2, 3, 4, 5]
    kept = [e for e in events if isinstance(e, ModelKept)]
    assert [e.round for e in kept] == {"best": [summary(events)["round"]], "last": [5], "none": []}[keep]
    for snapshot in snapshots.values():
        later = told(Simulation(job, LocalExecutor(job), whole.info, snapshot))
        for name in ("round", "by_client", "clients", "subsets", "splits"):
            assert summary(later)[name] == summary(events)[name]
        assert str(table(later).metrics) == str(table(events).metrics)
        assert [e.data for e in later if isinstance(e, ModelKept)] == [e.data for e in kept]


def test_a_subset_by_hand(toy):
    class Sum(toy.Pull):
        """Adds what is given: of a sample (a, b) the sum of those that are there."""

        def predict(self, nets, batch):
            given = sum(torch.where(batch.present[m][..., None], batch.x[m], 0.0) for m in "ab")
            return torch.cat([-given, given], -1) + 0 * nets["w"].weight

        def loss(self, nets, batch):
            return batch.mean(0 * nets["w"].weight + batch.x["a"].squeeze(-1))

    a, b = [1, -1, 1, -1], [-3, 3, 0, -1]  # the signs of a are those of the labels; b lies twice, and louder
    data = two_modalities(toy, a, b, labels=[1, 0, 1, 0])
    job = toy.job(data, Sum, evaluation={"subsets": "all", "metrics": ["accuracy"]})
    found = summary(told(toy.simulation(job)))["subsets"]
    assert {given: (said["rows"], said["metrics"]["accuracy"]) for given, said in found.items()} == {
        "a": (4, 1.0), "b": (3, pytest.approx(1 / 3)), "a+b": (3, pytest.approx(1 / 3)),
    }  # fmt: skip
    right = np.array([-3, -3, 1])  # b by the label's sign, of the samples that have it
    assert found["b"]["metrics"]["loss"] == pytest.approx(np.log1p(np.exp(-2 * right)).mean())


def two_modalities(toy, a, b, labels):
    """Test samples of two numbers, of which the third lacks b; so are the training samples, of one client."""
    from raysim.data.dataset import Dataset, Modality, Split

    values = {m: np.array(v, np.float32)[:, None] for m, v in {"a": a, "b": b}.items()}
    split = Split(values, np.array(labels), {}, {"b": np.arange(len(a)) != 2})
    dataset = Dataset({m: Modality("vector", (1,)) for m in "ab"}, ("-", "+"), False, split, split, split)
    scenario = toy.job(toy.points([1])).scenario.model_validate({
        "name": "t", "dataset": "none", "partition": {"name": "iid", "clients": 1}, "method": "zero_fill",
        "federation": {"rounds": 1}, "evaluation": {"subsets": "all"},
    })  # fmt: skip
    return federate(dataset, scenario, 0, lambda mask, present: mask)


def test_a_method_that_looks_at_one_modality_is_judged_by_what_it_sees(toy):
    job = dealt(toy, method={"name": "unimodal", "modality": "image"}, subsets="all")
    found = summary(told(toy.simulation(job)))["subsets"]
    assert list(found) == ["image", "vector", "image+vector"]
    assert found["image"] == found["image+vector"]
    assert found["vector"]["metrics"]["uar"] == 0.5  # all alike: predicted from nothing


def test_a_bound_sees_all_in_each_subset(toy):
    found = summary(told(toy.simulation(dealt(toy, method="complete", subsets="all"))))["subsets"]
    assert found["image"] == found["vector"] == found["image+vector"]


def test_a_stack_agrees_within_rounding(toy):
    one, four = (summary(told(toy.simulation(dealt(toy, stack, clients={"share": 0.5}, subsets="all", select="last"))))
                 for stack in (1, 4))  # fmt: skip
    for split in SPLITS:
        for name in ("mean", "weighted", "std", "worst_tenth"):
            assert one["by_client"][split]["loss"][name] == pytest.approx(
                four["by_client"][split]["loss"][name], rel=1e-4
            )
    for given, said in one["subsets"].items():
        assert said["metrics"]["loss"] == pytest.approx(four["subsets"][given]["metrics"]["loss"], rel=1e-4)


def test_a_method_without_predictions_has_losses_by_client_and_by_subset(toy):
    class Losses(toy.Pull):
        def losses(self, nets, batch):
            return (nets["w"].weight[..., None] - batch.x["a"]).square().squeeze(-1)

    job = toy.job(by_hand(toy), Losses, optimizer={"lr": 0.5}, evaluation={"clients": {"share": 0.5}})
    found = summary(told(toy.simulation(job)))["by_client"]["test"]
    assert found.keys() == {"loss"}
    assert found["loss"]["mean"] == pytest.approx((1 + 9 + 1 + 9 + 1 + 2.25) / 6)
    assert found["loss"]["worst_tenth"] == 5.0
