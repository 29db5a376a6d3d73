import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.cacmrn import NormalizedSelfAttention, Reconstructor
from raysim.data.dataset import Dataset, Modality
from raysim.method import ClientInfo, Feature
from raysim.models.pooling import Pooling
from raysim.simulation.rounds import shares

SMALL = {"name": "cacmrn", "width": 8}
ROLES = [{"modalities": ["left"], "clients": 2}, {"modalities": ["left", "right"], "clients": 2}]
SOME = {"name": "per_sample", "rate": 0.4}
YES = torch.tensor([True, True])
LEFT_ONLY = ClientInfo(
    id=0, modalities=frozenset({"left"}), always=frozenset({"left"}), samples=2, class_counts=(2, 0, 0), complete=0
)


class Times(Reconstructor):
    """Multiplies numbers by a factor; its projections overlap by a half."""

    def __init__(self, factor, source, target):
        nn.Module.__init__(self)
        number = Modality("vector", (1,))
        self.factor, self.source, self.target = factor, Pooling(source, number), Pooling(target, number)

    def forward(self, x, there):
        return self.factor * x

    def overlap(self):
        return torch.tensor(0.5)


class Pass(nn.Module):
    """An encoder that gives its input."""

    def forward(self, x, lengths=None):
        return Feature.of(x)


@pytest.fixture
def numbers(tiny_data, make_job, make_batch, make_nets):
    """`numbers({modality: values or None}, {(source, target): factor}, ...)`: all are numbers, logits the inputs."""

    def make(given, factors, *, multi_label=False, **options):
        modalities = {m: Modality("vector", (1,)) for m in given}
        data = tiny_data("vectors", multi_label=multi_label).train
        data = replace(data, inputs={m: np.ones((51, 1), np.float32) for m in given}, present={})
        job = make_job(Dataset(modalities, ("x", "y", "z"), multi_label, *[data] * 3), SMALL | options)
        fakes = {f"task__{m}": Pass() for m in given} | {"task__head": nn.Identity()}
        nets = make_nets(job, **fakes, **{f"rec__{s}_{t}": Times(f, s, t) for (s, t), f in factors.items()})
        x = {m: torch.tensor([[math.nan if v is None else v] for v in values]) for m, values in given.items()}
        present = {m: [v is not None for v in values] for m, values in given.items()}
        y = torch.zeros(len(present["left"]), 2) if multi_label else None
        return job.method, nets, make_batch(job, x, present, y)

    return make


@pytest.fixture
def job(tiny_data, make_job):
    return make_job(tiny_data("vectors"), SMALL)


def attention(query, key, value, scale):
    layer = NormalizedSelfAttention(2)
    layer.projections.data, layer.scale.data = torch.tensor([query, key, value]), torch.tensor([scale])
    return layer


IDENTITY, SWAP = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 5.0], [2.0, 0.0]]


def test_attention_between_two_samples_by_hand():
    layer = attention(IDENTITY, IDENTITY, SWAP, math.log(3))
    # The samples point along the axes, so each looks at itself with 3 to 1; values are the other axis.
    out = layer(torch.tensor([[3.0, 0.0], [0.0, 0.1]]), YES)
    torch.testing.assert_close(out, torch.tensor([[1.25, 0.75], [0.75, 1.25]]))
    # Alone, each has its own value whole.
    alone = layer(torch.tensor([[3.0, 0.0], [0.0, 0.1]]), torch.tensor([True, False]))
    torch.testing.assert_close(alone[0], torch.tensor([1.0, 1.0]))


def test_overlap_by_hand():
    # The columns of a projection: along the axes, or with a cosine of 0.6; two of four entries are off the diagonal.
    assert attention(IDENTITY, SWAP, IDENTITY, 1.0).overlap().item() == 0.0
    leaning = attention(IDENTITY, [[2.0, 0.0], [3.0, 4.0]], IDENTITY, 1.0)
    assert leaning.overlap().item() == pytest.approx(2 * 0.36 / 6, rel=1e-6)


def test_attention_of_stacked_clients_is_theirs_alone():
    layers = [NormalizedSelfAttention(4).double() for _ in range(3)]
    joint = NormalizedSelfAttention(4)
    for name in ("projections", "scale"):
        joint._parameters[name] = torch.stack([getattr(layer, name) for layer in layers])
    x, there = torch.randn(3, 5, 4, dtype=torch.float64), torch.rand(3, 5) > 0.4
    alone = [layer(x[k], there[k]) for k, layer in enumerate(layers)]
    torch.testing.assert_close(joint(x, there), torch.stack(alone))
    torch.testing.assert_close(joint.overlap(), torch.stack([layer.overlap() for layer in layers]))
    torch.testing.assert_close(layers[0](x, there)[1], layers[0](x[1], there[1]))


def test_the_samples_that_are_not_there_change_nothing(job, make_nets):
    net = make_nets(job)["rec.left_right"]
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    there = torch.tensor([True, False, True, False])
    among = net(x, there)
    torch.testing.assert_close(net(x[there], YES), among[there])
    other = torch.where(there[:, None], x, 1e30)
    torch.testing.assert_close(net(other, there)[there], among[there])
    assert not torch.allclose(net(x, there | True)[there], among[there])


def test_where_no_sample_is_there_all_stays_finite(job, make_nets):
    net = make_nets(job)["rec.left_right"]
    out = net(torch.zeros(3, 6), torch.tensor([False] * 3))
    torch.where(torch.tensor(False), out, 0.0).sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def softmax(*logits):
    return [math.exp(v) / sum(map(math.exp, logits)) for v in logits]


PAIR = {("left", "right"): 2.0, ("right", "left"): 3.0}
# 1 -> 2 against 3, and back to 6 against 1; 3 -> 9 against 1, and back to 18 against 3.
CYCLE = 1.0 + 25.0 + 64.0 + 225.0


@pytest.mark.parametrize(
    ("options", "semantic", "divergence"),
    [({}, 1.0, 0.1), ({"semantic_weight": 0.0, "divergence_weight": 2.0}, 0.0, 2.0), ({"semantic_weight": 5}, 5, 0.1)],
)
def test_the_loss_by_hand(numbers, options, semantic, divergence):
    # The second sample is no pair.
    method, nets, batch = numbers({"left": [1.0, 7.0], "right": [3.0, None]}, PAIR, **options)
    divergences = kl(softmax(1, 3), softmax(1, 2)) + kl(softmax(1, 3), softmax(9, 3))
    expected = CYCLE + semantic * divergences + divergence * (0.5 + 0.5)
    assert method.reconstruction_loss(nets, batch).item() == pytest.approx(expected, rel=1e-6)


def test_every_label_counts_where_there_are_several(numbers):
    method, nets, batch = numbers({"left": [1.0], "right": [3.0]}, PAIR, multi_label=True)
    # A label's logit z is a choice between 0 and z.
    divergences = kl(softmax(3, 0), softmax(2, 0)) + kl(softmax(1, 0), softmax(9, 0))
    assert method.reconstruction_loss(nets, batch).item() == pytest.approx(CYCLE + divergences + 0.1, rel=1e-6)


def test_sizes(make_job, tiny_data):
    modalities = {"image": Modality("vector", (1280,)), "text": Modality("vector", (512,))}
    inputs = {m: np.zeros((51, modality.shape[0]), np.float32) for m, modality in modalities.items()}
    split = replace(tiny_data("vectors").train, inputs=inputs, present={})
    job = make_job(Dataset(modalities, ("x", "y", "z"), False, *[split] * 3), "cacmrn")
    # Two layers of 3 * 128 * 128 + 1 between 1280 * 128 + 128 and 128 * 512 + 512, or the other way round.
    sizes = {n: job.layouts[n].parameters for n in job.groups if n.startswith("rec.")}
    assert sizes == {"rec.image_text": 328_322, "rec.text_image": 329_090}


def test_what_is_absent_is_encoded_from_the_mean_of_the_reconstructions(numbers):
    given = {"left": [1.0, 1.0, None, None], "right": [10.0, None, 10.0, None], "third": [None] * 4}
    factors = {("left", "third"): 2.0, ("right", "third"): 3.0, ("left", "right"): 5.0, ("right", "left"): 7.0}
    method, nets, batch = numbers(given, factors)
    filled = method.fill(batch, nets, {m: Feature.of(x) for m, x in batch.x.items()})
    assert filled["third"].pooled()[:, 0].tolist() == [16.0, 2.0, 30.0, 0.0]
    assert filled["right"].pooled()[:, 0].tolist() == [10.0, 5.0, 10.0, 0.0]
    assert filled["left"].pooled()[:, 0].tolist() == [1.0, 1.0, 70.0, 0.0]
    assert filled["third"].present().tolist() == [True, True, True, False]


def test_a_prediction_depends_on_the_batch_but_not_on_rows_without_the_source(job, make_batch, make_nets):
    nets, generator = make_nets(job), torch.Generator().manual_seed(0)
    x = {"left": torch.randn(3, 6, generator=generator), "right": torch.randn(3, 5, generator=generator)}

    def first(left, right, rows=3):
        batch = make_batch(job, {m: v[:rows] for m, v in x.items()}, {"left": left[:rows], "right": right[:rows]})
        return job.method.predict(nets, batch)[0]

    alone = first([True], [False], rows=1)
    torch.testing.assert_close(first([True, False, False], [False, True, False]), alone)
    assert not torch.allclose(first([True, True, False], [False, True, False]), alone)


def test_no_gradient_into_the_reconstructors(job, make_batch, make_nets):
    nets = make_nets(job)
    x = {"left": torch.ones(2, 6), "right": torch.zeros(2, 5)}
    batch = make_batch(job, x, {"left": [True] * 2, "right": [False] * 2}, clients=(LEFT_ONLY,))
    job.method.loss(nets, batch).backward()
    assert all(p.grad is None for n in ("rec.left_right", "rec.right_left") for p in nets[n].parameters())
    assert all(p.grad.any() for p in nets["task.left"].parameters())


def test_a_unimodal_client_changes_neither_the_other_encoder_nor_the_reconstructors(tiny_data, make_job, new_run):
    missing = {"name": "roles", "roles": [{"modalities": ["left"], "clients": 4}]}
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing=missing)).go()
    changed = {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()}
    assert changed == {"task.left", "task.head"}


def test_clients_with_pairs_train_the_reconstructors_and_weigh_by_samples(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES})).go(until=1)
    both = [k for k in range(4) if run.job.data.info(k).complete]
    assert len(both) == 2
    assert [row["id"] for row in run.records[0]["clients"] if "reconstruction" in row["loss"]] == both
    sizes = run.job.data.sizes[both] / run.job.data.sizes[both].sum()
    found = shares(run.job, run.job.phases[0], range(4))
    for name in ("rec.left_right", "rec.right_left"):
        assert found[name] == pytest.approx(dict(zip(both, sizes, strict=True)))


def test_the_reconstructors_learn_first_on_pairs_and_leave_the_task_model_alone(job):
    reconstruction, task = job.phases[0].stages
    assert (reconstruction.name, reconstruction.globs, task.globs) == ("reconstruction", ("rec.*",), ("task.*",))
    assert (reconstruction.epochs, reconstruction.objectives[0].optimizer.lr) == (1, 1e-3)
    present = {"left": np.array([True, True, False]), "right": np.array([True, False, True])}
    assert reconstruction.samples(present).tolist() == [True, False, False]


def test_reconstructions_follow_the_other_modality_and_are_better_than_zeros(correlated, make_job, new_run, learnt):
    roles = [{"modalities": ["left"], "clients": 6}, {"modalities": ["left", "right"], "clients": 2}]

    def run(method, seed):
        return new_run(
            make_job(
                correlated(seed), method, seed=seed, stack=8, missing={"name": "roles", "roles": roles},
                model={"dim": 16, "normalize": True, "dropout": 0.0, "head": {"hidden": 32, "dropout": 0.0}},
                federation={"rounds": 25, "optimizer": {"name": "adam", "lr": 0.003}}, evaluation={"every_rounds": 25},
            )
        ).go()  # fmt: skip

    runs = [(run({"name": "cacmrn", "width": 32}, seed), run("zero_fill", seed)) for seed in range(2)]
    accuracies = [[r.records[-1]["test"]["accuracy"] for r in pair] for pair in runs]
    ours, zeros = np.mean(accuracies, axis=0)
    assert ours > zeros + 0.1
    nets, x = learnt(runs[0][0])
    error = (nets["rec.left_right"](x["left"], torch.ones(200, dtype=torch.bool)) - x["right"]).square().mean()
    assert error < 0.9 * (x["right"] - x["right"].mean(0)).square().mean()
