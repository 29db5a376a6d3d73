import numpy as np
import pytest
import torch
from torch import nn

from raysim.method import Group
from raysim.training.layout import Layout, Replica

CPU = torch.device("cpu")


def test_parameters_come_first_then_floating_point_buffers():
    layout = Layout.of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    assert layout.names == ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    assert (layout.sizes, layout.trained, layout.parameters, layout.size) == ((6, 3, 3, 3, 3, 3), 4, 15, 21)


@pytest.mark.parametrize("clients", [(), (4,)])
def test_flat_and_back(clients):
    layout = Layout.of(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    flat = torch.arange(21.0).expand(*clients, 21) + torch.zeros(*clients, 1)
    tensors = layout.split(flat)
    assert [tuple(t.shape) for t in tensors] == [(*clients, *s) for s in layout.shapes]
    assert torch.equal(layout.flatten(tensors), flat)
    assert all(torch.equal(a, b) for a, b in zip(layout.split_parameters(flat[..., :15]), tensors[:4], strict=True))


def test_a_module_without_tensors_is_empty():
    layout = Layout.of(nn.ReLU())
    assert (layout.size, layout.split(torch.zeros(0)), layout.tensors(nn.ReLU())) == (0, [], [])


def test_a_replica_computes_with_what_it_is_given_and_leaves_the_prototype_alone():
    prototype = nn.Linear(1, 1)
    replica = Replica(prototype, Layout.of(prototype), CPU)
    replica.bind([torch.tensor([[3.0]]), torch.tensor([1.0])])
    assert replica.module(torch.tensor([[2.0]])).item() == 7.0
    assert prototype.weight.item() != 3.0


def test_a_replica_is_put_into_a_mode_whole_and_not_told_what_it_is_in():
    told = []

    class Part(nn.Linear):
        def train(self, mode=True):
            told.append(mode)
            return super().train(mode)

    prototype = nn.Sequential(Part(1, 1), nn.Sequential(nn.Dropout()))
    replica = Replica(prototype, Layout.of(prototype), CPU)
    tensors = replica.layout.tensors(prototype)
    for training in (False, False, True, True, False):
        replica.bind(tensors, training=training)
        assert {part.training for part in replica.module.modules()} == {training}
    assert told == [False, True, False]
    replica.module[1][0].train()
    replica.bind(tensors)
    assert not replica.module[1][0].training


def test_hooks_of_a_prototype_are_its_replicas_too_and_not_the_other_way_round():
    prototype = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    prototype[0].register_forward_hook(lambda module, inputs, out: out * 2)
    replica, other = (Replica(prototype, Layout.of(prototype), CPU) for _ in range(2))
    replica.module[1].register_forward_hook(lambda module, inputs, out: out + 1)
    for each in (replica, other):
        each.bind([torch.tensor([[3.0]]), torch.tensor([1.0])])
    x = torch.tensor([[2.0]])
    assert (replica.module(x).item(), other.module(x).item()) == (15.0, 14.0)
    assert not prototype[1]._forward_hooks


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_torchs_recurrent_layers_use_and_train_what_they_are_given(kind):
    prototype = kind(2, 3)
    replica = Replica(prototype, Layout.of(prototype), CPU)
    tensors = [torch.full_like(t, 0.1).requires_grad_() for t in replica.layout.tensors(prototype)]
    x = torch.ones(4, 1, 2)
    before = replica.module(x)[0]
    replica.bind(tensors)
    out = replica.module(x)[0]
    assert not torch.equal(before, out)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(out.sum(), tensors))


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(5, 2), nn.Linear(2, 5, bias=False)
            self.out.weight = self.table.weight

    replica = Replica(Tied(), Layout.of(Tied()), CPU)
    assert replica.layout.size == 10
    replica.bind([torch.ones(5, 2)])
    assert replica.module.out.weight is replica.module.table.weight


class Counted(nn.Module):
    """Batch norm that averages over all batches seen, so that its counter matters."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1, momentum=None)

    def forward(self, x):
        return self.norm(x)


def normed(toy):
    class Normed(toy.Pull):
        def modules(self, task):
            return super().modules(task) | {"norm": Group(Counted())}

        def phases(self, task):
            (phase,) = super().phases(task)
            (stage,) = phase.stages
            (objective,) = stage.objectives
            both = type(objective)(("*",), self.loss)
            return (type(phase)("train", (type(stage)("pull", (both,)),)),)

        def loss(self, nets, batch):
            return super().loss(nets, batch) + nets["norm"](batch.x["a"]).square().mean()

    return Normed


def test_buffers_are_averaged_and_counters_are_not(toy):
    # Means 2 and 5 of one batch each, weighted 1 : 1; the variances are 2 and 8.
    job = toy.job(toy.points([1, 3], [3, 7]), normed(toy))
    assert not job.stackable
    norm = toy.run(job).x["norm"]
    assert job.layouts["norm"].names[2:] == ("norm.running_mean", "norm.running_var")
    assert norm[2:].tolist() == pytest.approx([3.5, 5.0])


@pytest.mark.parametrize("algorithm", ["scaffold", "fedopt"])
def test_no_algorithm_touches_buffers(toy, algorithm):
    job = toy.job(toy.points([1, 3], [3, 7]), normed(toy), algorithm=algorithm)
    assert toy.run(job).x["norm"][2:].tolist() == pytest.approx([3.5, 5.0])


def test_a_counter_starts_anew_for_each_client(toy):
    # A process that has trained client 0 must treat client 1 as any other process does.
    job = toy.job(toy.points([1, 3], [3, 7, 9, 4, 1, 2]), normed(toy))
    alone, _ = toy.changes(job, 1)
    _, together = toy.train(job)
    np.testing.assert_allclose(together.sums["norm"] / 0.75, alone["norm"], rtol=0, atol=1e-10)
