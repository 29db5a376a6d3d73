import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.feature_imputation import Imputer
from raysim.data.dataset import Dataset, Modality
from raysim.method import Feature, mean_over_sources
from raysim.simulation.rounds import shares

SMALL = {"name": "feature_imputation", "layers": 1, "heads": 2, "hidden": 8}
ROLES = [{"modalities": ["left"], "clients": 3}, {"modalities": ["left", "right"], "clients": 1}]


class Times(Imputer):
    """Multiplies by a factor; all its logits are zero."""

    def __init__(self, factor):
        nn.Module.__init__(self)
        self.factor = factor

    def forward(self, available):
        return self.factor * available

    def classes(self, imputed):
        return imputed.new_zeros(*imputed.shape[:-1], 3)


@pytest.fixture
def job(tiny_data, make_job):
    return make_job(tiny_data("vectors"), SMALL)


@pytest.fixture
def three(tiny_data, make_job):
    """The method on three vector modalities a, b, c."""
    data = tiny_data("vectors")
    modalities = {m: Modality("vector", (2,)) for m in "abc"}
    split = replace(data.train, inputs={m: np.ones((51, 2), np.float32) for m in "abc"}, present={})
    return lambda **options: make_job(Dataset(modalities, ("x", "y", "z"), False, *[split] * 3), SMALL | options)


def test_the_papers_size(tiny_data, make_job):
    fourteen = replace(tiny_data("vectors"), classes=tuple("abcdefghijklmn"))
    job = make_job(fourteen, "feature_imputation", model={"dim": 256, "normalize": True})
    fin = {name: job.layouts[name].parameters for name in job.groups if name.startswith("fin.")}
    assert fin == {"fin.left_right": 6_324_238, "fin.right_left": 6_324_238}
    # One multiplication for each weight of the layers, as query and memory are one token each.
    layers = job.groups["fin.left_right"].net.layers
    assert sum(p.numel() for p in layers.parameters() if p.dim() == 2) == 6_291_456


@pytest.mark.parametrize("normalize", [True, False])
def test_imputed_embeddings_have_unit_length_where_real_ones_do(tiny_data, make_job, make_nets, normalize):
    job = make_job(tiny_data("vectors"), SMALL, model={"dim": 8, "normalize": normalize})
    available = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    lengths = make_nets(job)["fin.left_right"](available).norm(dim=-1)
    assert torch.allclose(lengths, torch.ones(5)) is normalize


def test_no_gradient_into_the_imputers_nor_through_them(job, make_batch, make_nets):
    nets = make_nets(job)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    left_only = {"left": [True] * 4, "right": [False] * 4}
    batch = make_batch(job, {"left": x, "right": torch.zeros(4, 5)}, left_only, y=[0, 1, 2, 0])
    job.method.loss(nets, batch).backward()
    real = nets["task.left"](x).pooled()
    imputed = nets["fin.left_right"](real).detach()
    by_hand = nn.functional.cross_entropy(nets["task.head"](torch.cat([real, imputed], dim=-1)), batch.y)
    encoder = list(nets["task.left"].parameters())
    for grad, expected in zip([p.grad for p in encoder], torch.autograd.grad(by_hand, encoder), strict=True):
        torch.testing.assert_close(grad, expected)
    for name in ("fin.left_right", "fin.right_left"):
        assert all(p.grad is None for p in nets[name].parameters())
    assert not any(p.grad.any() for p in nets["task.right"].parameters() if p.grad is not None)


def test_a_unimodal_client_changes_neither_the_other_encoder_nor_the_imputers(tiny_data, make_job, new_run):
    missing = {"name": "roles", "roles": [{"modalities": ["left"], "clients": 4}]}
    decay = {"rounds": 2, "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1}}
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing=missing, federation=decay)).go()
    changed = {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()}
    assert changed == {"task.left", "task.head"}


def test_only_clients_with_pairs_train_and_average_the_imputers(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES})).go()
    (both,) = [k for k in range(4) if run.job.data.info(k).complete]
    trained = {row["id"] for record in run.records for row in record["clients"] if "imputation" in row["loss"]}
    assert trained == {both}
    found = shares(run.job, run.job.phases[0], range(4))
    assert found["fin.left_right"] == found["fin.right_left"] == {both: 1.0}
    assert list(found["task.left"]) == [0, 1, 2, 3]


def test_the_imputers_weigh_clients_by_samples(job):
    sizes = job.data.sizes / job.data.sizes.sum()
    assert list(shares(job, job.phases[0], range(4))["fin.left_right"].values()) == pytest.approx(sizes.tolist())


def imputation_loss(job, make_batch, make_nets, right, **options):
    job.method.options = job.method.options.model_copy(update=options)
    nets = make_nets(job, fin__left_right=Times(2), fin__right_left=Times(2))
    columns = {"left": torch.tensor([[1.0, 0.0], [0.0, 2.0]]), "right": torch.tensor([[2.0, 1.0], [0.0, 0.0]])}
    batch = make_batch(job, {}, {"left": [True, True], "right": right}, columns=columns)
    return job.method.imputation_loss(nets, batch).item()


def test_the_imputation_loss_by_hand(job, make_batch, make_nets):
    # Pair 1: (0 + 1) / 2 and (9 + 4) / 2; pair 2: (0 + 16) / 2 and (0 + 4) / 2.
    assert imputation_loss(job, make_batch, make_nets, [True, True]) == (0.5 + 8.0) / 2 + (6.5 + 2.0) / 2
    assert imputation_loss(job, make_batch, make_nets, [True, False]) == 0.5 + 6.5


def test_the_auxiliary_classifier_adds_its_loss_over_pairs(job, make_batch, make_nets):
    loss = imputation_loss(job, make_batch, make_nets, [True, False], auxiliary_weight=0.1)
    assert loss == pytest.approx(7.0 + 0.1 * 2 * math.log(3), rel=1e-6)


def test_the_imputers_learn_after_the_task_model_on_its_embeddings(job):
    (phase,) = job.phases
    task, imputation = phase.stages
    assert (task.name, imputation.name) == ("task", "imputation")
    present = {"left": np.array([True, True, False]), "right": np.array([True, False, True])}
    assert imputation.samples(present).tolist() == [True, False, False]
    assert imputation.derive.columns == job.method.embeddings


@pytest.mark.parametrize(
    ("source", "expected"), [("mean", [25.0, 20.0, 30.0, 0.0]), ("first", [20.0, 20.0, 30.0, 0.0])]
)
def test_with_three_modalities_what_is_there_is_merged(three, make_batch, make_nets, source, expected):
    job = three(source=source)
    times = {"fin__a_c": Times(2), "fin__b_c": Times(3)}
    present = {"a": [True, True, False, False], "b": [True, False, True, False], "c": [False] * 4}
    batch = make_batch(job, {}, present)
    features = {m: Feature.of(torch.full((4, 8), 10.0)).where(batch.present[m]) for m in "abc"}
    filled = job.method.fill(batch, make_nets(job, **times), features)
    assert filled["c"].pooled()[:, 0].tolist() == expected
    assert filled["c"].present().tolist() == [True, True, True, False]


def test_a_merge_by_hand(job, make_batch):
    batch = make_batch(job, {}, {"left": [True, False, False], "right": [True, True, False]})
    guesses = {"left": torch.tensor([[2.0], [math.nan], [math.nan]]), "right": torch.tensor([[4.0], [6.0], [math.nan]])}
    for first, expected in ((False, [[3.0], [6.0], [0.0]]), (True, [[2.0], [6.0], [0.0]])):
        merged, known = mean_over_sources(guesses, batch, first=first)
        assert (merged.tolist(), known.tolist()) == (expected, [True, True, False])


def test_what_makes_no_sense_is_refused(tiny_data, make_job):
    with pytest.raises(ValueError, match=r"^method\.heads is 3, which does not divide model\.dim 8$"):
        make_job(tiny_data("vectors"), SMALL | {"heads": 3})
    data = tiny_data("vectors")
    one = replace(data, modalities={"left": data.modalities["left"]})
    with pytest.raises(ValueError, match=r"^feature_imputation needs at least 2 modalities, the data has 1$"):
        make_job(one, SMALL)


def test_imputers_learn_what_one_modality_says_of_the_other(correlated, make_job, new_run, make_batch, learnt):
    job = make_job(
        correlated(0), SMALL | {"hidden": 32, "epochs": 3, "dropout": 0.0}, stack=8,
        model={"dim": 16, "normalize": True}, missing={"name": "per_sample", "rate": 0.5},
        federation={"rounds": 15, "batch_size": 4, "optimizer": {"name": "adam", "lr": 0.003}},
        evaluation={"every_rounds": 15},
    )  # fmt: skip
    nets, x = learnt(new_run(job).go())
    features = job.method.embeddings(nets, make_batch(job, x, {m: [True] * 200 for m in x}))
    error = (nets["fin.left_right"](features["left"]) - features["right"]).square().mean()
    spread = (features["right"] - features["right"].mean(0)).square().mean()
    assert error < 0.75 * spread
