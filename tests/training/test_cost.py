"""Multiply-adds by hand: a product of (n, k) with (k, m) is n k m, forwards; backwards once for each factor."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from methods.feature_imputation import FeatureImputation, Imputer
from raysim.method import Compute, Derive, Group, Method, Objective, Phase, Train, paired
from raysim.models.layers import Linear
from raysim.scenario.model import Model
from raysim.training.cost import MultiplyAdds, measure
from raysim.training.workload import Work, Workload

# dim 8 and three classes: the vector of 3 goes through 3 x 8 and 8 x 8; the image of 1 x 4 x 4 through a 3 x 3
# convolution to 4 channels, pooled to 2 x 2, and 16 x 8; both through 16 x 8 and 8 x 3.
VECTOR, IMAGE, HEAD = 3 * 8 + 8 * 8, 16 * 9 * 4 + 16 * 8, 16 * 8 + 8 * 3


class Pair(Method):
    """A network that the prediction does not need, on the derived double of the vector, and a statistic."""

    def modules(self, task):
        return super().modules(task) | {"pair": Group(Linear(8, 8), frozenset({"image", "vector"}))}

    def phases(self, task):
        objective = Objective(("pair",), self.pair_loss)
        pair = Train("pair", (objective,), samples=paired, epochs=4, derive=Derive(self.embedding))
        return (Phase("train", (self.task_stage(), pair, Compute("mean", self.mean, lambda c: c.id == 0))),)

    def embedding(self, nets, batch):
        return {"e": nets["task.vector"](batch.x["vector"]).pooled()}

    def pair_loss(self, nets, batch):
        return batch.mean(nets["pair"](batch.columns["e"]).square().sum(-1))

    def mean(self, nets, batch):
        return {"mean": self.embedding(nets, batch)["e"].mean(0)}


class Taught(Method):
    """Compares a vector's embedding with what the server says of its samples, and encodes these anew."""

    def loss(self, nets, batch):
        own = nets["task.vector"](batch.x["vector"]).pooled()
        again = nets["task.vector"](batch.public.inputs["vector"]).pooled()
        return batch.mean((own @ batch.shared["e"].mT).sum(-1) + again.mean())

    def share(self, nets, batch):
        return {"e": nets["task.vector"](batch.x["vector"]).pooled().detach()}


class Shy(Method):
    def predict(self, nets, batch):
        if not batch.x["vector"].any():
            raise RuntimeError("no zeros,\nplease")
        return super().predict(nets, batch)


@pytest.fixture
def pair(toy):
    """Five samples with both modalities and three without an image; two epochs."""
    return toy.job(toy.data((5, 3), absent=[(1, "image")]), Pair, local_epochs=2)


def test_fin_s_imputer_has_the_paper_s_numbers(toy):
    task = toy.job(toy.data(classes=3)).task
    task = type(task)(task.modalities, 14, task.multi_label, Model(dim=256))
    imputer, counter = Imputer(FeatureImputation.Options(), task).eval(), MultiplyAdds()
    counter.watch("fin", imputer)
    with counter, torch.no_grad():
        imputer.classes(imputer(torch.zeros(1, 256)))
    assert sum(p.numel() for p in imputer.parameters()) == 6_324_238
    attention = counter.by_operation["aten.bmm"]
    assert attention == 6 * 2 * (256 + 256)  # queries by keys, weights by values
    assert counter.total == counter.by_group["fin"] == 6_291_456 + 3_584 + attention
    norms = 18 * 256 * 5
    assert counter.total - attention + norms == 6_318_080


@pytest.mark.parametrize(
    ("net", "shape", "forwards"),
    [
        (nn.ConvTranspose2d(2, 3, 2, stride=2), (1, 2, 4, 4), 16 * 2 * 3 * 4),
        (nn.Conv1d(4, 6, 3, groups=2), (1, 4, 5), 3 * 6 * 2 * 3),
        (nn.Conv2d(2, 4, 3, stride=2), (2, 2, 5, 5), 2 * 4 * 4 * 2 * 9),
    ],
    ids=["transposed", "groups", "strides"],
)
def test_convolutions(net, shape, forwards):
    with MultiplyAdds() as counter:
        net(torch.zeros(shape)).sum().backward()
    assert counter.by_operation == {"aten.convolution": forwards, "aten.convolution_backward": forwards}
    counter.clear()
    with counter:
        net(torch.zeros(shape, requires_grad=True)).sum().backward()
    assert counter.total == 3 * forwards


def test_a_prediction_for_a_complete_sample(pair):
    costs = measure(pair)
    assert costs.sample == VECTOR + IMAGE + HEAD == 944
    assert costs.by_group == {"task.image": IMAGE, "task.vector": VECTOR, "task.head": HEAD, "pair": 64}
    assert (costs.modules["pair"].parameters, costs.modules["pair"].bytes) == (72, 288)
    assert costs.reason == ""


def test_what_only_a_missing_modality_needs_is_measured_too(toy):
    job = toy.job(toy.data(), {"name": "feature_imputation", "layers": 1, "heads": 2, "hidden": 16})
    costs = measure(job)
    assert costs.sample == 944
    layer = 8 * 8 * 8 + 2 * 8 * 16 + 2 * (8 + 8)  # eight projections, feed-forward, attention
    assert costs.by_group["fin.image_vector"] == costs.by_group["fin.vector_image"] == layer


def test_a_method_that_predicts_nothing_has_the_numbers_of_its_loss(toy):
    generator = {"name": "mopoe", "latent": 3, "hidden": 4}
    job = toy.job(toy.data((4,), ("vector",)), {"name": "generate", "generator": generator})
    costs = measure(job)
    # Down 3 -> 4 -> 4 and two heads, up 3 -> 4 -> 4 -> 4 -> 3.
    down, up = 3 * 4 + 4 * 4 + 2 * 4 * 3, 3 * 4 + 4 * 4 + 4 * 4 + 4 * 3
    assert costs.reason == ""
    assert {name: module.macs for name, module in costs.modules.items()} == {
        "gen.vector.encoder": down, "gen.vector.decoder": up,
    }  # fmt: skip


def test_training_is_forwards_and_backwards_by_what_a_client_has(pair):
    costs, (phase,) = measure(pair), pair.phases
    # Each weight has a gradient; so has each layer's input but for those of the first layers.
    whole = 2 * (VECTOR + IMAGE + HEAD) + (8 * 8 + 16 * 8 + HEAD)
    lacking = 2 * (VECTOR + HEAD) + (8 * 8 + HEAD)
    derived = VECTOR
    assert costs.stage_macs(phase, 0) == {"task": whole, "pair": 2 * 64 + derived / 4, "mean": VECTOR}
    assert costs.stage_macs(phase, 1) == {"task": lacking}
    first = 5 * (2 * whole + 4 * 2 * 64 + derived + VECTOR)
    work = Workload(pair)
    work.add(0, [0])
    assert costs.total(work.works) == first
    work.add(0, [1, 0])
    assert work.rows == [(0, 0, {"task": 10, "pair": 10, "mean": 10}), (0, 1, {"task": 3})]
    assert costs.total(Workload(pair, work.rows).works) == 2 * first + 3 * 2 * lacking


def test_nobody_pays_for_gradients_of_what_it_does_not_own(toy):
    class Ours(Pair):
        def phases(self, task):
            return (Phase("train", (Train("pair", (Objective(("pair",), self.direct),)),)),)

        def direct(self, nets, batch):
            return batch.mean(nets["pair"](self.embedding(nets, batch)["e"]).sum(-1))

    job = toy.job(toy.data((5, 3), absent=[(1, "image")]), Ours)
    costs = measure(job)
    assert costs.stage_macs(job.phases[0], 0) == {"pair": VECTOR + 2 * 64}
    assert costs.stage_macs(job.phases[0], 1) == {"pair": VECTOR + 64}


def test_public_samples_are_made_up_as_well(toy):
    data = replace(toy.data((5, 3, 4)), public=True)  # the last are the server's
    job = toy.job(data, Taught)
    public = 4
    forwards = VECTOR + public * VECTOR + public * 8
    backwards = VECTOR + 8 * 8 + public * (VECTOR + 8 * 8) + public * 8
    costs = measure(job)
    assert (costs.sample, costs.reason) == (944, "")
    assert costs.stage_macs(job.phases[0], 0) == {"task": forwards + backwards}


def test_the_numbers_are_the_same_for_every_seed_and_nothing_is_changed(toy):
    data = toy.data(kinds=("sequence", "tokens"))
    jobs = [toy.job(data, "feature_imputation", seed=seed) for seed in (0, 1)]
    before = {n: [t.clone() for t in jobs[0].layouts[n].tensors(g.net)] for n, g in jobs[0].groups.items()}
    state = torch.get_rng_state()
    first, second = (measure(job) for job in jobs)
    assert (first.sample, first.modules) == (second.sample, second.modules)
    works = [Work(0, client, {"task": 5}) for client in (0, 1)]
    assert first.total(works) == second.total(works) > 0
    assert torch.equal(torch.get_rng_state(), state)
    for name, group in jobs[0].groups.items():
        tensors = jobs[0].layouts[name].tensors(group.net)
        assert all(torch.equal(a, b) for a, b in zip(before[name], tensors, strict=True))
        assert all(p.grad is None and p.requires_grad for p in group.net.parameters())
        assert not any(m._forward_hooks for m in group.net.modules())


def test_a_method_that_a_made_up_sample_does_not_suit_has_no_numbers(toy):
    job = toy.job(toy.data(), Shy)
    costs = measure(job)
    assert costs.sample is None
    assert costs.reason.startswith("RuntimeError: no zeros, please (")
    assert costs.by_group == {}
    assert costs.modules["task.head"].parameters == 16 * 8 + 8 + 8 * 3 + 3
    assert costs.total([Work(0, 0, {"task": 5})]) is None


def test_counting_does_not_load_the_compiler():
    code = (
        "import sys, torch\nfrom raysim.training.cost import MultiplyAdds\n"
        "with MultiplyAdds() as c: torch.nn.Linear(3, 2)(torch.zeros(1, 3)).sum().backward()\n"
        "print(c.total, 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "12 False\n"
