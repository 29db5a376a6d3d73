"""The plain loop that the engine is measured against: one client after another, torch.optim, one process, one thread.

It calls the method's own losses on torch's own layers, on tensors that lie ready, and averages at the end of a round.
It keeps no promise but speed: no seeds by client, no exact sums, no private state.
"""

import copy
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from raysim.batch import Batch, Clock, Nets
from raysim.draws import Draws
from raysim.engine.rounds import cohort_size
from raysim.method import Train
from raysim.models import convolution, layers, recurrent
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


class NoPlainLoop(ValueError):
    """The method does what the plain loop cannot."""


def bare_rounds(job: Job) -> Iterator[float]:
    """Seconds of each round of the first phase, for ever.

    Raises:
        NoPlainLoop: a stage has no gradients or several objectives.
    """
    _check(job)
    # torch.optim is what a plain loop uses; no worker imports it.
    optim: Any = importlib.import_module("torch.optim")
    torch.set_num_threads(job.scenario.numerics.threads)
    modules = {n: plain(copy.deepcopy(g.net)) for n, g in job.groups.items()}
    data, cohort = job.data, cohort_size(job.scenario.federation, job.data.eligible)
    eligible = torch.from_numpy(np.flatnonzero(data.sizes))
    ready: dict[int, Samples] = {}
    while True:
        chosen: list[int] = eligible[torch.randperm(len(eligible))[:cohort]].tolist()  # pyright: ignore[reportUnknownVariableType]
        for client in chosen:
            if client not in ready:
                part = [data.part(client)]
                loaded = load(data.dataset, data.dataset.train, part, data.mask, job.device, data.labels)
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


def _check(job: Job) -> None:
    for stage in job.phases[0].stages:
        if not isinstance(stage, Train) or len(stage.objectives) > 1:
            raise NoPlainLoop(f"the plain loop has no stages like '{stage.name}', without one objective")


class _Gru(nn.GRU):
    """torch's recurrent layer, without the last state."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)[0]  # pyright: ignore[reportUnknownVariableType]


_PLAIN: Mapping[type[nn.Module], Callable[[Any], nn.Module]] = {
    layers.Dropout: lambda m: nn.Dropout(m.p),
    recurrent.GRU: lambda m: _Gru(m.weight_ih_l0.shape[1], m.weight_hh_l0.shape[1], batch_first=True),
    convolution.Conv1d: lambda m: _convolution(nn.Conv1d, m),
    convolution.Conv2d: lambda m: _convolution(nn.Conv2d, m),
    convolution.MaxPool1d: lambda m: nn.MaxPool1d(m.kernel),
    convolution.MaxPool2d: lambda m: nn.MaxPool2d(m.kernel),
}
"""What a plain loop would write instead of a layer of ours; the others are torch's anyway where there is one client."""


def plain(module: nn.Module) -> nn.Module:
    """The module with torch's own layers in the place of ours, and the same weights."""
    for name, child in module.named_children():
        setattr(module, name, plain(child))
    if type(module) not in _PLAIN:
        return module
    twin = _PLAIN[type(module)](module)
    twin.load_state_dict(module.state_dict())
    return twin


def _convolution(kind: Any, module: Any) -> nn.Module:
    outputs, inputs, *kernel = module.weight.shape
    return kind(inputs, outputs, tuple(kernel), bias=module.bias is not None, **module.settings)


def _train(job: Job, nets: Nets, samples: Samples, client: int, optim: Any) -> None:
    federation, noise, info = job.scenario.federation, _Noise(), job.data.info(client)
    clock = Clock("train", 1, 0, 0.0)
    whole = Batch(
        samples.at(...), samples.lengths, samples.present, samples.y, torch.ones(samples.counts[0], dtype=torch.bool),
        clock, cast("Draws", noise), task_loss(job), (info,),
    )  # fmt: skip
    with noise_source(noise):
        for stage in job.phases[0].stages:
            assert isinstance(stage, Train), "bare_rounds has looked"
            chosen = torch.from_numpy(np.flatnonzero(stage.samples({m: p.numpy() for m, p in samples.present.items()})))
            names = [n for n in job.matching(stage.globs) if job.owners(n)[client]]
            if not stage.clients(info) or not len(chosen) or not names:
                continue
            for name, module in nets.items():
                module.train(name in names).requires_grad_(name in names)
            columns = {}
            if stage.derive is not None:
                with torch.no_grad():
                    columns = stage.derive.columns(nets, whole)
            (objective,) = stage.objectives
            optimizer = _optimizer(optim, objective.optimizer or federation.optimizer, [nets[n] for n in names])
            for _ in range(stage.epochs or federation.local_epochs):
                shuffled = chosen[torch.randperm(len(chosen))]
                order: tuple[Tensor, ...] = torch.split(shuffled, stage.batch_size or federation.batch_size)
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


def _optimizer(optim: Any, spec: Any, modules: Sequence[nn.Module]) -> Any:
    parameters = [p for module in modules for p in module.parameters()]
    if isinstance(spec, Sgd):
        return optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    return optim.Adam(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)
