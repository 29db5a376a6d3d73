"""The plain loop that the engine is measured against: one client after another, torch.optim, one process, one thread.

It calls the method's own losses on the same modules, on tensors that lie ready, and averages at the end of a round. It
keeps no promise but speed: no seeds by client, no exact sums, no private state.
"""

import copy
import importlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from raysim.batch import Batch, Clock, Nets
from raysim.draws import Draws
from raysim.method import Train, all_present, any_present
from raysim.models.noise import noise_source
from raysim.scenario.schema import Sgd
from raysim.training.job import Job
from raysim.training.loading import Samples, load
from raysim.training.loss import task_loss


class _Noise:
    """Random numbers as torch gives them."""

    def __call__(self, shape: tuple[int, ...], kind: str) -> Tensor:
        return torch.rand(shape) if kind == "uniform" else torch.randn(shape)

    def named(self, _name: str, shape: tuple[int, ...], kind: str) -> Tensor:
        return self(shape, kind)


def bare_rounds(job: Job) -> Iterator[float]:
    """Seconds of each round, for ever."""
    # torch.optim is what a plain loop uses; no worker imports it.
    optim: Any = importlib.import_module("torch.optim")
    torch.set_num_threads(job.scenario.numerics.threads)
    modules = {n: copy.deepcopy(g.net) for n, g in job.groups.items()}
    data, cohort = job.data, int(job.scenario.federation.clients_per_round)
    ready: dict[int, Samples] = {}
    while True:
        chosen = [int(c) for c in torch.randperm(data.clients)[:cohort]]
        for client in chosen:
            if client not in ready:
                part = [data.part(client)]
                loaded = load(data.dataset, data.dataset.train, part, data.mask, job.device)
                ready[client] = loaded.narrow((0,), axis=False)
        began = time.perf_counter()
        total = sum(int(data.sizes[c]) for c in chosen)
        means = {n: [torch.zeros_like(p) for p in m.parameters()] for n, m in modules.items()}
        for client in chosen:
            local = {n: copy.deepcopy(m) for n, m in modules.items()}
            _train(job, Nets(local, modules), ready[client], client, optim)
            with torch.no_grad():
                for name, module in local.items():
                    for mean, parameter in zip(means[name], module.parameters(), strict=True):
                        mean.add_(parameter, alpha=int(data.sizes[client]) / total)
        with torch.no_grad():
            for name, module in modules.items():
                for parameter, mean in zip(module.parameters(), means[name], strict=True):
                    parameter.copy_(mean)
        yield time.perf_counter() - began


def _train(job: Job, nets: Nets, samples: Samples, client: int, optim: Any) -> None:
    federation, noise = job.scenario.federation, _Noise()
    clock = Clock("train", 1, 0, 0.0)
    whole = Batch(
        samples.x, samples.lengths, samples.present, samples.y, torch.ones(samples.counts[0], dtype=torch.bool),
        clock, cast("Draws", noise), task_loss(job), (job.data.info(client),),
    )  # fmt: skip
    with noise_source(noise):
        for stage in job.phases[0].stages:
            assert isinstance(stage, Train)
            assert stage.samples is any_present or all_present(_numpy(samples)).all(), "all samples are complete"
            names = job.matching(stage.globs)
            for name, module in nets.items():
                module.train(name in names).requires_grad_(name in names)
            columns = {}
            if stage.derive is not None:
                with torch.no_grad():
                    columns = stage.derive.columns(nets, whole)
            (objective,) = stage.objectives
            optimizer = _optimizer(optim, objective.optimizer or federation.optimizer, [nets[n] for n in names])
            for _ in range(stage.epochs or federation.local_epochs):
                order: tuple[Tensor, ...] = torch.split(
                    torch.randperm(samples.counts[0]), stage.batch_size or federation.batch_size
                )
                for rows in order:
                    batch = _take(whole, rows, columns)
                    optimizer.zero_grad()
                    objective.loss(nets, batch).backward()
                    optimizer.step()


def _take(whole: Batch, rows: Tensor, columns: Any) -> Batch:
    x, lengths, present, taken = (
        {n: t[rows] for n, t in table.items()} for table in (whole.x, whole.lengths, whole.present, columns)
    )
    return replace(whole, x=x, lengths=lengths, present=present, columns=taken, y=whole.y[rows], rows=whole.rows[rows])


def _numpy(samples: Samples) -> dict[str, Any]:
    return {m: p.numpy() for m, p in samples.present.items()}


def _optimizer(optim: Any, spec: Any, modules: Sequence[nn.Module]) -> Any:
    parameters = [p for module in modules for p in module.parameters()]
    if isinstance(spec, Sgd):
        return optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    return optim.Adam(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)
