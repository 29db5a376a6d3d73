"""What generators of modalities each by itself are tested on: clients of bimodal vectors and small pictures."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatch

import torch
from stacks import stacked

from raysim import registry
from raysim.batch import Batch, Clock, Nets
from raysim.data.dataset import Modality
from raysim.data.federated import ClientInfo
from raysim.draws import Draws
from raysim.models.task import Task
from raysim.scenario.model import Model
from raysim.training.loss import parts

TASK = Task({"image": Modality("image", (1, 5, 6)), "vector": Modality("vector", (3,))}, 3, False, Model())
SIZES = {"latent": 2, "hidden": 8, "channels": (2, 4)}
CLIENTS, ROWS = 4, 5


def generator(kind, **options):
    return kind(registry.options(kind, SIZES | options))


def networks(made, task=TASK):
    return {name: group.net for name, group in made.groups(task).items()}


def batch():
    """Of four clients; some samples lack one of both modalities, and those of one client lack its pictures."""
    g = torch.Generator().manual_seed(0)
    x = {"image": torch.rand(CLIENTS, ROWS, 1, 5, 6, generator=g), "vector": torch.randn(CLIENTS, ROWS, 3, generator=g)}
    present = {m: torch.ones(CLIENTS, ROWS, dtype=torch.bool) for m in x}
    present["image"][0, 1:3] = False
    present["vector"][1:, 4] = False
    rows = torch.ones_like(present["image"])
    infos = tuple(ClientInfo(k, frozenset(x), frozenset(), ROWS, (ROWS,), 3) for k in range(CLIENTS))
    draws = Draws(0, [(k,) for k in range(CLIENTS)], axis=True, device=torch.device("cpu"))
    return Batch(x, {}, present, rows.long(), rows, Clock("t", 1, 0, 0.0), draws, None, infos)


def of(whole, k):
    """One client's."""
    tables = {f: {m: t[k] for m, t in getattr(whole, f).items()} for f in ("x", "present")}
    draws = Draws(0, [(k,)], axis=False, device=torch.device("cpu"))
    return replace(whole, y=whole.y[k], rows=whole.rows[k], draws=draws, clients=(whole.clients[k],), **tables)


def trained(objective, nets):
    """The parameters that an objective trains."""
    (glob,) = objective.trains
    return {f"{n}/{p}": t for n, net in nets.items() if fnmatch(n, glob) for p, t in net.named_parameters()}


def steps(made, nets, data):
    """The losses and gradients of all objectives, of which each trains its own groups."""
    found = {}
    for objective in made.stages()[0].objectives:
        own = trained(objective, nets)
        loss = sum(parts(objective, Nets(nets), data, nullcontext))
        grads = torch.autograd.grad(loss.sum(), list(own.values()), allow_unused=True, materialize_grads=True)
        found |= {f"loss of {objective.trains[0]}": loss.detach(), **dict(zip(own, grads, strict=True))}
    return found


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def check_stack(made):
    """A stack of four clients is each of them by itself, and every network learns."""
    whole, clients = batch(), [networks(made)]
    clients += [copy.deepcopy(clients[0]) for _ in range(CLIENTS - 1)]
    for k, p in ((k, p) for k, nets in enumerate(clients) for net in nets.values() for p in net.parameters()):
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
    joint = steps(made, {n: stacked([c[n] for c in clients]) for n in clients[0]}, whole)
    for k, nets in enumerate(clients):
        near(steps(made, nets, of(whole, k)), {name: value[k] for name, value in joint.items()})
    assert {name.split("/")[0] for name, value in joint.items() if "/" in name and value.any()} == set(clients[0])
    latent = made.posterior(Nets(clients[0]), of(whole, 0), ()).draw(of(whole, 0).noise, 2)
    many = {n: stacked([clients[0][n]] * CLIENTS) for n in clients[0]}
    drawn = made.posterior(Nets(many), whole, ()).draw(whole.noise, 2)
    for m, spec in TASK.modalities.items():
        samples = made.decode(Nets(clients[0]), latent, m)
        assert samples.shape == (ROWS, 2, *spec.shape)
        near(made.decode(Nets(many), drawn, m)[0], samples)


def check_poison(made):
    """What is absent is never read."""
    nets, clean = networks(made), of(batch(), 0)
    x = {m: t.clone() for m, t in clean.x.items()}
    x["image"][1:3] = torch.nan
    poisoned = replace(clean, x=x)
    near(steps(made, nets, poisoned), steps(made, nets, clean))
    losses = made.terms(Nets(nets), poisoned, poisoned.noise).loss
    near(losses, made.terms(Nets(nets), clean, clean.noise).loss)
    none = {m: torch.zeros_like(p) for m, p in clean.present.items()}
    assert not made.terms(Nets(nets), replace(poisoned, present=none), clean.noise).loss.any()


def check_learning(made, count, lr):
    """Of two clusters: what it makes comes nearer to them, by the squared Frechet distance of normal distributions."""
    task = Task({"vector": Modality("vector", (3,))}, 3, False, Model())
    g = torch.Generator().manual_seed(0)
    side = (torch.rand(512, 1, generator=g) < 0.5) * 2.0 - 1.0
    x = side * torch.tensor([2.0, -1.0, 0.5]) + torch.tensor([1.0, 2.0, 3.0]) + 0.2 * torch.randn(512, 3, generator=g)
    torch.manual_seed(0)
    nets = networks(made, task)
    players = []
    for objective in made.stages()[0].objectives:
        own = trained(objective, nets)
        players.append((torch.optim.Adam(own.values(), lr, betas=(0.5, 0.999)), objective))
    rows = torch.ones(64, dtype=torch.bool)
    clients = (ClientInfo(0, frozenset(["vector"]), frozenset(["vector"]), 512, (512,), 512),)

    def data(step, key="step"):
        draws = Draws(0, [(key, step)], axis=False, device=torch.device("cpu"))
        some = {"vector": x[torch.randint(512, (64,), generator=g)]}
        y = torch.zeros(64, dtype=torch.long)
        return Batch(some, {}, {"vector": rows}, y, rows, Clock("t", 1, step, 0.0), draws, None, clients)

    def distance():
        with torch.no_grad():
            test = data(0, "test")
            z = made.posterior(Nets(nets), test, ()).draw(test.noise, 16)
            return apart(made.decode(Nets(nets), z, "vector").flatten(0, 1), x)

    before = distance()
    for step in range(count):
        for optimizer, objective in players:
            optimizer.zero_grad()
            sum(parts(objective, Nets(nets), data(step), nullcontext)).backward()
            optimizer.step()
    # A single point at their mean is 5.4 away.
    assert distance() < 1.5 < before


def apart(made, real):
    """The squared Frechet distance of two normal distributions with these moments."""
    gap = (made.mean(0) - real.mean(0)).square().sum()
    one, other = made.T.cov(), real.T.cov()
    values = torch.linalg.eigvals(one @ other).real.clamp(min=0).sqrt().sum()
    return (gap + one.trace() + other.trace() - 2 * values).item()
