"""Small federations, jobs and runs, all in this process. `toy` makes them."""

import os
import secrets
import sys
from pathlib import Path
from types import ModuleType

# Ray reads these when it is imported.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

# Else every process that the tests start compiles raysim again, and the tests, too.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

sys.path.append(str(Path(__file__).parent / "helpers"))

import numpy as np
import pytest
import torch
from processes import Marked
from torch import nn

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.federated import Federated, View
from raysim.method import Group, Method, Objective, Phase, Train
from raysim.report.events import TrialInfo
from raysim.scenario.errors import Place
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Source, Trial
from raysim.seeding import stream
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.rounds import shares
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job, metrics_of
from raysim.training.results import Broadcast
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

SHAPES = {"image": (1, 4, 4), "vector": (3,), "sequence": (6, 2), "tokens": (6,)}
SMALL = {"dim": 8, "head": {"hidden": 8, "dropout": 0.0}, "dropout": 0.0,
         "encoders": {"image": {"name": "cnn", "channels": [4]}}}  # fmt: skip


class Point(nn.Module):
    """One number, which starts at 0."""

    client_axis = True

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Pull(Method):
    """Pulls the number w to the mean of a client's values: the gradient is w minus that mean."""

    def modules(self, task):
        return {"w": Group(Point())}

    def phases(self, task):
        return (Phase("train", (Train("pull", (Objective(("w",), self.loss),)),)),)

    def loss(self, nets, batch):
        return batch.mean(0.5 * (nets["w"].weight[..., None] - batch.x["a"]).square().squeeze(-1))

    def predict(self, nets, batch):
        return torch.cat([nets["w"].weight - batch.x["a"], batch.x["a"] - nets["w"].weight], -1)


class Toy:
    Pull = Pull

    def __init__(self, monkeypatch):
        self._module = ModuleType("toy_components")
        monkeypatch.setitem(sys.modules, "toy_components", self._module)

    def data(self, sizes=(5, 3), kinds=("image", "vector"), *, absent=(), classes=3, multi_label=False):
        """Random samples, modalities named by their kinds; where `absent`, (client, modality) each, arrays hold NaN."""
        rng, offsets = stream(0, "toy"), np.concatenate([[0], np.cumsum(sizes)])
        modalities = {k: Modality(k, SHAPES[k], 9 if k == "tokens" else None) for k in kinds}
        mask = np.ones((offsets[-1], len(kinds)), dtype=bool)
        for client, name in absent:
            mask[offsets[client] : offsets[client + 1], kinds.index(name)] = False

        def split(n):
            inputs = {k: rng.standard_normal((n, *SHAPES[k]), dtype=np.float32) for k in kinds if k != "tokens"}
            inputs |= {k: rng.integers(9, size=(n, *SHAPES[k])) for k in kinds if k == "tokens"}
            lengths = {k: rng.integers(5, 7, size=n) for k in kinds if modalities[k].ordered}
            shape = (n, classes) if multi_label else n
            labels = rng.integers(2 if multi_label else classes, size=shape)
            return Split(inputs, labels.astype(np.float32) if multi_label else labels, lengths)

        train, rest = split(offsets[-1]), split(6)
        for column, name in enumerate(kinds):
            if name != "tokens":
                train.inputs[name][~mask[:, column]] = np.nan
        dataset = Dataset(modalities, tuple("abcdef"[:classes]), multi_label, train, rest, rest)
        return self.deal(dataset, mask, offsets)

    def points(self, *clients, public=False):
        """Clients of the given numbers, as modality `a` of shape (1,); the label says whether it is positive.

        With `public` the last one is the server.
        """
        values = np.concatenate(clients).astype(np.float32)[:, None]
        split = Split({"a": values}, (values[:, 0] > 0).astype(np.int64))
        dataset = Dataset({"a": Modality("vector", (1,))}, ("-", "+"), False, split, split, split)
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in clients])])
        return self.deal(dataset, np.ones((len(values), 1), dtype=bool), offsets, public=public)

    def deal(self, dataset, mask, offsets, *, public=False):
        full = np.ones((len(dataset.test), mask.shape[1]), dtype=bool)
        views = {name: View(name, full) for name in ("validation", "test")}
        return Federated(dataset, mask, np.arange(offsets[-1]), offsets, views, public=public)

    def job(
        self, data, method="zero_fill", *, algorithm="fedavg", seed=0, model=SMALL, stack=1, evaluation=None,
        evaluation_batch=256, device="cpu", **federation,
    ):  # fmt: skip
        """A job; `method` is a name or a class."""
        if isinstance(method, type):
            setattr(self._module, method.__name__, method)
            method = f"toy_components:{method.__name__}"
        model = {**model, "encoders": {m: e for m, e in model["encoders"].items() if m in data.dataset.names}}
        scenario = Scenario.model_validate({
            "name": "toy", "dataset": "polydigits", "partition": {"name": "iid", "clients": data.clients},
            "method": method, "model": model, "seeds": (seed,), "evaluation": evaluation or {},
            "federation": {"rounds": 1, "batch_size": 2, "algorithm": algorithm, **federation},
            "numerics": {"stack": stack, "device": device, "evaluation_batch": evaluation_batch},
        })  # fmt: skip
        return Job(Trial(scenario, seed, {}, "trial", Source(Path("toy.yaml"), {"": Place("toy.yaml")})), data)

    def simulation(self, job):
        chosen = job.scenario.evaluation.select
        judged = metrics_of(job.method, job.scenario)
        info = TrialInfo("toy", "trial", job.trial.seed, {}, job.rounds, chosen, *judged)
        return Simulation(job, LocalExecutor(job), info)

    def run(self, job):
        """The simulation after its last round."""
        simulation = self.simulation(job)
        for _ in simulation.run():
            pass
        return simulation

    def broadcast(self, job, *, round_=1, x=None, **more):
        first = {n: job.layouts[n].flatten(job.layouts[n].tensors(job.groups[n].net)).numpy() for n in job.shared}
        return Broadcast(0, round_, first | (x or {}), **more)

    def train(self, job, states=None, *, size=1, **broadcast):
        """The results of one round of all clients, in units of `size` whoever they are."""
        everyone = list(range(job.data.clients))
        weights = shares(job, job.phases[0], everyone)
        trainer, results = Trainer(job), []
        for i in range(0, len(everyone), size):
            chunk = tuple(everyone[i : i + size])
            unit = Unit(i, chunk, {g: tuple(w.get(c, 0.0) for c in chunk) for g, w in weights.items()})
            results.append(trainer.train(self.broadcast(job, **broadcast), unit, states or {}))
        return results

    def changes(self, job, client, states=None, **broadcast):
        """Group -> the change that one client alone would send, (P,) float64, and its new state."""
        unit = Unit(0, (client,), {n: (float(job.owners(n)[client]),) for n in job.groups})
        result = Trainer(job).train(self.broadcast(job, **broadcast), unit, states or {})
        return result.sums, result.states


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """What a test puts on the path is not there for the next one; every name that is looked up would go through it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def marked():
    """Runs `raysim` in processes of its own, none of which outlives the test."""
    made = Marked()
    yield made
    made.close()


@pytest.fixture
def toy(monkeypatch):
    return Toy(monkeypatch)
