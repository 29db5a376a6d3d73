"""Trials of tiny data in this process, and single batches for a method's hooks."""

import copy
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raysim.batch import Batch, Clock, Nets
from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.dealing import federate
from raysim.draws import Draws
from raysim.report.events import RoundFinished, TrialInfo
from raysim.scenario.errors import Place
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Source, Trial
from raysim.seeding import stream
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job, method_of, task_of
from raysim.training.loss import task_loss
from raysim.training.trainer import Trainer

SIZES = (11, 12, 13, 15)
"""Samples of the four clients of `tiny_data`: unequal numbers of steps, but of one order, so that they are stacked."""
SHAPES = {
    "mixed": {
        "image": Modality("image", (1, 8, 8)),
        "vector": Modality("vector", (6,)),
        "sequence": Modality("sequence", (4, 3)),
    },
    "pictures": {"image": Modality("image", (1, 8, 8)), "text": Modality("tokens", (5,), vocabulary=9)},
    "vectors": {"left": Modality("vector", (6,)), "right": Modality("vector", (5,))},
}


def tiny_split(modalities, clients):
    """Noise around a mean of the class; about one in five modalities is lacking. Absent rows are zeros of length 0."""
    rng, count = stream(0, "tiny", len(clients)), len(clients)
    labels = np.arange(count) % 3
    inputs, lengths, present = {}, {}, {}
    for name, modality in modalities.items():
        means = rng.standard_normal((3, *modality.shape))
        present[name] = rng.random(count) > 0.2
        values = means[labels] + 0.3 * rng.standard_normal((count, *modality.shape))
        inputs[name] = np.where(present[name].reshape(-1, *[1] * len(modality.shape)), values, 0).astype(np.float32)
        if modality.kind == "tokens":
            inputs[name] = inputs[name].astype(np.int64) % modality.vocabulary
        if modality.ordered:
            # The longest sample of every client is as long as can be, so that all clients are in one bucket.
            lengths[name] = np.where(present[name], rng.integers(3, modality.shape[0] + 1, count), 0)
    return Split(inputs, labels, lengths, present, np.array(clients))


@pytest.fixture
def tiny_data():
    """`tiny_data("mixed" or "vectors")`: four natural clients.

    Samples have three classes, or labels, of which a sample has one, or two real numbers that the class tells.
    """

    def make(name, *, multi_label=False, regression=False):
        clients = [c for c, size in enumerate(SIZES) for _ in range(size)]
        splits = [tiny_split(SHAPES[name], ids) for ids in (clients, [0] * 12, [0] * 10)]
        if multi_label:
            splits = [replace(s, labels=np.eye(3, dtype=np.float32)[s.labels]) for s in splits]
        if regression:
            splits = [
                replace(s, labels=np.stack([s.labels - 1.0, 0.5 * s.labels], 1, dtype=np.float32)) for s in splits
            ]
            return Dataset(SHAPES[name], (), False, *splits, targets=("height", "weight"))
        return Dataset(SHAPES[name], ("x", "y", "z"), multi_label, *splits)

    return make


@pytest.fixture
def correlated():
    """`correlated(seed)`: two vector modalities that see the same hidden four numbers, which the class shifts."""

    def make(seed):
        rng = stream(seed, "correlated")
        mixing = {m: rng.standard_normal((4, 16)) for m in ("left", "right")}
        means = 2.0 * rng.standard_normal((4, 4))

        def split(count, clients):
            labels = np.arange(count) % 4
            hidden = means[labels] + rng.standard_normal((count, 4))
            noise = {m: 0.3 * rng.standard_normal((count, 16)) for m in mixing}
            inputs = {m: (np.tanh(hidden @ mixing[m]) + noise[m]).astype(np.float32) for m in mixing}
            return Split(inputs, labels, clients=clients)

        modalities = {m: Modality("vector", (16,)) for m in mixing}
        none = np.zeros(200, dtype=np.int64)
        parts = split(400, np.arange(400) % 8), split(200, none), split(200, none)
        return Dataset(modalities, tuple("wxyz"), False, *parts)

    return make


@pytest.fixture
def make_job():
    """`make_job(data, method, **sections)`: a trial of a dataset; `change` has the last word on the dealt-out data."""

    def make(data, method, change=lambda federated: federated, seed=0, stack=1, **sections):
        defaults = {
            "name": "tiny",
            "dataset": "in_memory",
            "partition": "natural",
            "model": {"dim": 8, "head": {"hidden": 8}},
            "federation": {"rounds": 2, "batch_size": 4},
            "numerics": {"stack": stack, "device": "cpu", "evaluation_batch": 8},
        }
        scenario = Scenario.model_validate(defaults | {"method": method} | sections)
        method, task = method_of(scenario), task_of(scenario, data)
        method.check(task)
        federated = federate(data, scenario, seed, lambda mask, present: method.observe(mask, present, task))
        trial = Trial(scenario, seed, {}, "tiny", Source(Path("tiny.yaml"), {"": Place("tiny.yaml")}))
        return Job(trial, change(federated))

    return make


class Run:
    """A trial's simulation and the records of its rounds."""

    def __init__(self, job):
        info = TrialInfo("tiny", "tiny", 0, {}, job.rounds, "best", "accuracy", job.scenario.evaluation.metrics)
        self.job, self.simulation, self.records, self.told = job, Simulation(job, LocalExecutor(job), info), [], []
        self.start = dict(self.simulation.x)
        self.events = self.simulation.run()

    def go(self, until=None):
        """Goes on to the end, or to the end of this round."""
        for event in self.events:
            self.told.append(event)
            if isinstance(event, RoundFinished):
                self.records.append(event.record)
                if event.round == until:
                    break
        return self

    def move(self, job):
        """Everything that the clients' side had is lost but for the values that travel."""
        simulation = self.simulation
        simulation.job, simulation.executor = job, LocalExecutor(job)
        for part in ("x", "frozen", "server_states", "client_states"):
            setattr(simulation, part, pickle.loads(pickle.dumps(getattr(simulation, part))))
        return self

    @property
    def x(self):
        """The global parameters by group."""
        return self.simulation.x

    @property
    def states(self):
        """Each client's private state."""
        return self.simulation.client_states

    def bits(self):
        """All that two equal runs must agree on to the bit."""
        return {n: v.tobytes() for n, v in self.x.items()}, json.dumps(_untimed(self.records))


def _untimed(value):
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if not k.endswith("_s")}
    return [_untimed(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def new_run():
    """`new_run(job)`: a simulation in this process that has not begun."""
    return Run


@pytest.fixture
def make_nets():
    """`make_nets(job, **replaced)`: all networks as the trial starts, evaluating; keywords have `__` for a dot."""

    def make(job, frozen=None, **replaced):
        nets = {n: copy.deepcopy(g.net).eval() for n, g in job.groups.items()}
        return Nets(nets | {n.replace("__", "."): net for n, net in replaced.items()}, frozen)

    return make


@pytest.fixture
def learnt():
    """`learnt(run)`: the global networks, and the inputs of the test split."""

    def make(run):
        trainer = Trainer(run.job)
        nets = trainer.networks.bind(trainer.networks.receive(run.simulation._broadcast(0)))
        return nets, {m: torch.from_numpy(v) for m, v in run.job.data.dataset.test.inputs.items()}

    return make


@pytest.fixture
def make_batch():
    """`make_batch(job, x, present, ...)` with x modality -> (*K, B, *shape) and present modality -> (*K, B)."""

    def make(job, x, present, y=None, *, round_=1, axis=False, **fields):
        present = {m: torch.as_tensor(p) for m, p in present.items()}
        first = next(iter(present.values()))
        keys = [(k,) for k in range(len(first) if axis else 1)]
        return Batch(
            {m: torch.as_tensor(v) for m, v in x.items()}, fields.pop("lengths", {}), present,
            torch.zeros_like(first, dtype=torch.long) if y is None else torch.as_tensor(y),
            rows=torch.ones_like(first), clock=Clock("train", round_, 0, 0.0),
            draws=Draws(0, keys, axis=axis, device=torch.device("cpu")), loss=task_loss(job), **fields,
        )  # fmt: skip

    return make


@pytest.fixture
def toys(monkeypatch):
    """Makes `toys:Class` a name that scenarios can use."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    yield
    sys.modules.pop("toys", None)


@pytest.fixture
def poison():
    """`poison(make)`: a `change` for `make_job` that writes make(shape) wherever the mask says absent."""

    def changed(split, mask, names, make):
        inputs = {}
        for column, name in enumerate(names):
            inputs[name] = split.inputs[name].copy()
            if np.issubdtype(inputs[name].dtype, np.floating):  # token ids are never NaN
                inputs[name][~mask[:, column]] = make(inputs[name][~mask[:, column]].shape)
        return replace(split, inputs=inputs)

    def prepare(make):
        def change(federated):
            data, views = federated.dataset, federated.views
            masks = {"train": federated.mask, "validation": views["validation"].mask, "test": views["test"].mask}
            splits = {s: changed(data.split(s), mask, data.names, make) for s, mask in masks.items()}
            return replace(federated, dataset=replace(data, **splits))

        return change

    return prepare
