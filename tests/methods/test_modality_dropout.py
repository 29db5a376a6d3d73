from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.data.dataset import Dataset, Modality
from raysim.draws import Draws
from raysim.method import ClientInfo, Feature
from raysim.seeding import stream

CLIENT = ClientInfo(
    id=0, modalities=frozenset("abc"), always=frozenset("abc"), samples=5, class_counts=(5, 0, 0), complete=5
)


@pytest.fixture
def three(tiny_data, make_job, make_batch):
    """`three(present, rate)`: the method and a training batch of three modalities."""

    def make(present, **options):
        modalities = {m: Modality("vector", (2,)) for m in "abc"}
        split = replace(tiny_data("vectors").train, inputs={m: np.ones((51, 2), np.float32) for m in "abc"}, present={})
        data = Dataset(modalities, ("x", "y", "z"), False, *[split] * 3)
        job = make_job(data, {"name": "modality_dropout"} | options)
        return job.method, make_batch(job, {}, dict(zip("abc", present, strict=True)), clients=(CLIENT,))

    return make


def by_hand(present, rate):
    """One sample after another, from the client's own streams."""
    rows = len(present[0])
    drawn = [stream(0, "draw", 0, f"hide.{m}").random(rows, dtype=np.float32) for m in "abc"]
    kept = [[p and u[row] >= rate for row, p in enumerate(ps)] for ps, u in zip(present, drawn, strict=True)]
    for row in range(rows):
        there = [m for m in range(3) if present[m][row]]
        if there and not any(kept[m][row] for m in there):
            kept[max(there, key=lambda m: drawn[m][row])][row] = True
    return kept


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 0.99])
def test_what_is_hidden_by_hand(three, rate):
    present = [[i % 2 == 0 for i in range(64)], [i % 3 == 0 for i in range(64)], [i % 5 != 0 for i in range(64)]]
    method, batch = three(present, rate=rate)
    seen = method.seen(batch)
    assert [seen[m].tolist() for m in "abc"] == by_hand(present, rate)


def test_nearly_always_hidden_is_one_left(three):
    present = [[True, True, False, False, False], [True, False, True, False, True], [True, False, False, False, True]]
    method, batch = three(present, rate=0.999999)
    seen = torch.stack(list(method.seen(batch).values()))
    assert seen.sum(0).tolist() == [1, 1, 1, 0, 1]
    assert (seen <= torch.tensor(present)).all()


def test_how_often_by_default(three):
    method, batch = three([[True] * 40_000] * 3)
    hidden = [1 - kept.float().mean().item() for kept in method.seen(batch).values()]
    # Less the third of 0.3^3: where all three would be hidden, one is kept.
    assert hidden == pytest.approx([0.3 - 0.3**3 / 3] * 3, abs=0.01)


def test_anew_at_every_step(three):
    method, batch = three([[True] * 32] * 3)
    later = replace(batch, draws=Draws(0, [(1,)], axis=False, device=torch.device("cpu")))
    first, again, second = (method.seen(b)["a"].tolist() for b in (batch, batch, later))
    assert first == again != second


def test_a_stack_hides_what_its_clients_do(three):
    method, batch = three([[[True] * 8] * 2] * 3)
    draws = [Draws(0, [(k,) for k in ks], axis=len(ks) > 1, device=torch.device("cpu")) for ks in ((0, 1), (0,), (1,))]
    together = method.seen(replace(batch, draws=draws[0], clients=(CLIENT, CLIENT)))
    one = {m: p[0] for m, p in batch.present.items()}
    for k in range(2):
        alone = method.seen(replace(batch, draws=draws[1 + k], present=one, rows=batch.rows[k]))
        assert {m: s[k].tolist() for m, s in together.items()} == {m: s.tolist() for m, s in alone.items()}


def test_hidden_is_absent_and_at_evaluation_nothing_is_hidden(three):
    present = [[True, True, False], [True, False, False], [True, True, True]]
    method, batch = three(present, rate=0.9)
    features = {m: Feature.of(torch.full((3, 2), i + 1.0)) for i, m in enumerate("abc")}
    training = method.fill(batch, {}, features)
    assert [training[m].present().tolist() for m in "abc"] == by_hand(present, 0.9)
    evaluating = method.fill(replace(batch, clients=()), {}, features)
    assert [evaluating[m].present().tolist() for m in "abc"] == present
    assert evaluating["b"].pooled().tolist() == [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_rate_zero_is_zero_filling(tiny_data, make_job, new_run):
    missing = {"name": "per_sample", "rate": 0.4}
    methods = ({"name": "modality_dropout", "rate": 0.0}, {"name": "modality_dropout"}, "zero_fill")
    none, some, zeros = (new_run(make_job(tiny_data("vectors"), m, missing=missing)).go().bits() for m in methods)
    assert none == zeros != some


def test_what_makes_no_sense_is_refused(tiny_data, make_job):
    data = tiny_data("vectors")
    with pytest.raises(ValueError, match="rate"):
        make_job(data, {"name": "modality_dropout", "rate": 1.0})
    with pytest.raises(ValueError, match=r"^modality_dropout needs at least 2 modalities, the data has 1$"):
        make_job(replace(data, modalities={"left": data.modalities["left"]}), "modality_dropout")


def test_who_has_learnt_without_a_modality_can_do_without(correlated, make_job, new_run):
    """All training samples are complete, half of the modalities are missing at test time."""

    def accuracy(method, seed):
        job = make_job(
            correlated(seed), method, seed=seed, stack=8,
            model={"dim": 16, "normalize": True, "dropout": 0.0, "head": {"hidden": 32, "dropout": 0.0}},
            federation={"rounds": 20, "optimizer": {"name": "adam", "lr": 0.003}},
            evaluation={"every_rounds": 20, "missing": 0.5},
        )  # fmt: skip
        return new_run(job).go().records[-1]["test"]["accuracy"]

    methods = ({"name": "modality_dropout", "rate": 0.5}, "zero_fill")
    dropout, zeros = np.mean([[accuracy(m, seed) for m in methods] for seed in range(3)], axis=0)
    assert dropout > zeros + 0.02
