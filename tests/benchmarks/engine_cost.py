"""What the engine costs: seconds a round against a bare PyTorch loop of the same work in one process.

    python tests/benchmarks/engine_cost.py [ROUNDS]

The work is a round of the quickstart's zero filling: ten clients, two epochs, three small convolutional encoders, Adam.
The bare loop trains the same modules on tensors that lie ready, with torch.optim, one thread, and averages at the end.
Rounds of all contenders are timed in turn in one run, without evaluation; medians and ratios are printed.
"""

import copy
import os
import secrets
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # before ray is imported, which reads it then

import ray
import torch
from torch.nn import functional as F

from raysim.engine.executor import LocalExecutor
from raysim.engine.placement import ActorPlan
from raysim.engine.prepare import Prepared, prepare
from raysim.engine.ray_executor import ClientPool
from raysim.engine.session import cluster
from raysim.engine.simulation import Simulation
from raysim.models.noise import noise_source
from raysim.models.task import classify, encode
from raysim.report.events import RoundFinished
from raysim.scenario.check import import_paths
from raysim.scenario.trial import Trial, load
from raysim.training.job import Job
from raysim.training.loading import Samples
from raysim.training.loading import load as gather

SCENARIO = Path(__file__).parents[2] / "scenarios" / "quickstart.yaml"
SETTINGS = [
    "grid.method=[zero_fill]", "seeds=[1]", "numerics.stack=1", "numerics.device=cpu", "evaluation.every_rounds=100000",
    "federation.rounds=100000",
]  # fmt: skip


def bare(job: Job) -> Iterator[float]:
    """Seconds of each round of the plain loop."""
    federation = job.scenario.federation
    model = {n: copy.deepcopy(g.net) for n, g in job.groups.items()}
    parts = [job.data.part(c) for c in range(job.data.clients)]
    train = job.data.dataset.train
    clients = [gather(job.data.dataset, train, [p], job.data.mask, job.device).narrow((0,), axis=False) for p in parts]
    while True:
        began = time.perf_counter()
        total = {n: {k: torch.zeros_like(v) for k, v in m.state_dict().items()} for n, m in model.items()}
        for samples in clients:
            local = {n: copy.deepcopy(m) for n, m in model.items()}
            optimizer = torch.optim.Adam(
                [p for m in local.values() for p in m.parameters()], lr=federation.optimizer.lr
            )
            count = samples.counts[0]
            for _ in range(federation.local_epochs):
                for rows in torch.randperm(count).split(federation.batch_size):
                    batch = _take(samples, rows)
                    with noise_source(lambda shape, _: torch.rand(shape)):
                        loss = F.cross_entropy(classify(local, encode(local, batch)), batch.y)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            for name, module in local.items():
                for key, value in module.state_dict().items():
                    total[name][key] += value * (count / sum(len(p) for p in parts))
        for name, module in model.items():
            module.load_state_dict(total[name])
        yield time.perf_counter() - began


class Batch(Samples):
    """A batch of the plain loop."""

    def nowhere(self, modality: str) -> bool:
        """Spares the plain loop what the engine is spared."""
        return not bool(self.present[modality].any())


def _take(samples: Samples, rows: torch.Tensor) -> Batch:
    x, lengths, present = ({m: t[rows] for m, t in d.items()} for d in (samples.x, samples.lengths, samples.present))
    return Batch(x, lengths, present, samples.y[rows], (len(rows),))


def engine(prepared: Prepared, job: Job, executor: object) -> Iterator[float]:
    """Seconds of each round of the engine, from the start of one round to the start of the next."""
    began = time.perf_counter()
    for event in Simulation(job, executor, prepared.info).run():
        if isinstance(event, RoundFinished):
            yield time.perf_counter() - began
            began = time.perf_counter()


def main(rounds: int) -> None:
    """Times all contenders in turn."""
    trial: Trial = load(SCENARIO, SETTINGS)[0]
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    torch.set_num_threads(1)
    with cluster(None):
        data = [ray.put(prepared.data.dataset), ray.put(prepared.data.parts())]
        contenders = {"bare loop": bare(job), "raysim, in process": engine(prepared, job, LocalExecutor(job))}
        pools = []
        for count in (1, 2):
            pools.append(ClientPool(ActorPlan(count, 0.5, 0.0), import_paths(trial), 120.0))
            executor = pools[-1].prepare(trial, data, 120.0)
            contenders[f"raysim, Ray, {count} actor{'s' if count > 1 else ''}"] = engine(prepared, job, executor)
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(rounds + 1):
            for name, times in contenders.items():
                value = next(times)
                if number:  # the first round warms up
                    seconds[name].append(value)
    base = statistics.median(seconds["bare loop"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        spread = f"min {min(values):.3f}, max {max(values):.3f}"
        print(f"{name:24} {middle:7.3f} s a round  {middle / base:5.2f} x bare  ({spread})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
