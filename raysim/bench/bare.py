"""The plain loop that the engine is measured against: one client after another, torch.optim, one process, one thread.

It calls the method's own losses on torch's own layers, on tensors that lie ready, and averages at the end of a round.
It keeps no promise but speed: no seeds by client, no exact sums, no private state.
"""

import copy
import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysim.algorithms.base import Algorithm
from raysim.batch import Batch, Clock, Nets
from raysim.draws import Draws
from raysim.method import Train
from raysim.models import convolution, layers, recurrent
from raysim.models.noise import noise_source
from raysim.scenario.optimizer import AdamW, Sgd
from raysim.simulation.rounds import cohort_size
from raysim.training.job import Job
from raysim.training.loading import load
from raysim.training.loss import parts, task_loss

_lists: Any = torch
"""torch's operations on lists of tensors, which it does not type."""


class _Noise:
    """Random numbers as torch gives them."""

    def __call__(self, shape: tuple[int, ...], kind: str) -> Tensor:
        return torch.rand(shape) if kind == "uniform" else torch.randn(shape)

    def named(self, _name: str, shape: tuple[int, ...], kind: str) -> Tensor:
        return self(shape, kind)


class NoPlainLoop(ValueError):
    """The method does what the plain loop cannot."""


def bare_rounds(job: Job, networks: Mapping[str, nn.Module] | None = None) -> Iterator[float]:
    """Seconds of each round of the first phase, for ever.

    Args:
        job: what is trained.
        networks: by group, which are trained; copies of the job's, of torch's own layers, where None.

    Raises:
        NoPlainLoop: a stage has no gradients or several objectives.
    """
    _check(job)
    torch.set_num_threads(job.scenario.numerics.threads)
    modules = networks or plain_networks(job)
    clients = _Clients(job, modules)
    data, cohort = job.data, cohort_size(job.scenario.federation, job.data.eligible)
    eligible = torch.from_numpy(np.flatnonzero(data.sizes))
    shared = [p for m in modules.values() for p in m.parameters()]
    mean = [torch.zeros_like(p) for p in shared]
    while True:
        chosen: list[int] = eligible[torch.randperm(len(eligible))[:cohort]].tolist()  # pyright: ignore[reportUnknownVariableType]
        batches = [clients.whole(client) for client in chosen]
        began = time.perf_counter()
        total = sum(int(data.sizes[c]) for c in chosen)
        for client, whole in zip(chosen, batches, strict=True):
            clients.train(client, whole)
            with torch.no_grad():
                _lists._foreach_add_(mean, clients.parameters, alpha=int(data.sizes[client]) / total)
        with torch.no_grad():
            _lists._foreach_copy_(shared, mean)
            _lists._foreach_zero_(mean)
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
    convolution.ConvTranspose1d: lambda m: _convolution(nn.ConvTranspose1d, m, transposed=True),
    convolution.ConvTranspose2d: lambda m: _convolution(nn.ConvTranspose2d, m, transposed=True),
    convolution.MaxPool1d: lambda m: nn.MaxPool1d(m.kernel),
    convolution.MaxPool2d: lambda m: nn.MaxPool2d(m.kernel),
}
"""What a plain loop would write instead of a layer of ours; the others are torch's anyway where there is one client."""


def plain_networks(job: Job) -> dict[str, nn.Module]:
    """Copies of a job's networks, of torch's own layers."""
    return {n: plain(copy.deepcopy(g.net)) for n, g in job.groups.items()}


def plain(module: nn.Module) -> nn.Module:
    """The module with torch's own layers in the place of ours, and the same weights."""
    for name, child in module.named_children():
        setattr(module, name, plain(child))
    if type(module) not in _PLAIN:
        return module
    twin = _PLAIN[type(module)](module)
    twin.load_state_dict(module.state_dict())
    return twin


def _convolution(kind: Any, module: Any, *, transposed: bool = False) -> nn.Module:
    first, second, *kernel = module.weight.shape
    sides = (first, second) if transposed else (second, first)
    return kind(*sides, tuple(kernel), bias=module.bias is not None, **module.settings)


class _Clients:
    """One copy of all networks, and an optimiser for each stage and what it trains, which serve all clients."""

    def __init__(self, job: Job, modules: Mapping[str, nn.Module]) -> None:
        # torch.optim is what a plain loop uses; no worker imports it.
        self._optim: Any = importlib.import_module("torch.optim")
        self._job, self._noise = job, cast("Draws", _Noise())
        local = {n: copy.deepcopy(m) for n, m in modules.items()}
        self._nets = Nets(local, modules)
        self._shared = [p for m in modules.values() for p in m.parameters()]
        self.parameters = [p for m in local.values() for p in m.parameters()]
        self._optimizers: dict[tuple[str, ...], Any] = {}
        self._ready: dict[int, Batch] = {}
        corrected = type(job.algorithm).logits is not Algorithm.logits
        self._loss = task_loss(job) if corrected else _bce if job.task.multi_label else _cross_entropy

    def whole(self, client: int) -> Batch:
        """All samples of a client, which from now on lie ready."""
        if client not in self._ready:
            job, data = self._job, self._job.data
            loaded = load(data.dataset, data.dataset.train, [data.part(client)], data.mask, job.device, data.labels)
            samples = loaded.narrow((0,), axis=False)
            self._ready[client] = Batch(
                samples.at(...), samples.lengths, samples.present, samples.y,
                torch.ones(samples.counts[0], dtype=torch.bool), Clock("train", 1, 0, 0.0), self._noise,
                self._loss, (data.info(client),),
            )  # fmt: skip
        return self._ready[client]

    def train(self, client: int, whole: Batch) -> None:
        """Trains the copy from where the global networks are."""
        with torch.no_grad():
            _lists._foreach_copy_(self.parameters, self._shared)
        with noise_source(self._noise):
            for stage in self._job.phases[0].stages:
                assert isinstance(stage, Train), "bare_rounds has looked"
                self._stage(stage, client, whole)

    def _stage(self, stage: Train, client: int, whole: Batch) -> None:
        federation, nets = self._job.scenario.federation, self._nets
        chosen = torch.from_numpy(np.flatnonzero(stage.samples({m: p.numpy() for m, p in whole.present.items()})))
        names = tuple(n for n in self._job.matching(stage.globs) if self._job.owners(n)[client])
        if not stage.clients(whole.clients[0]) or not len(chosen) or not names:
            return
        (objective,) = stage.objectives
        optimizer = self._optimizer(stage.name, names, objective.optimizer or federation.optimizer)
        columns: Mapping[str, Tensor] = {}
        if stage.derive is not None:
            with torch.no_grad():
                columns = stage.derive.columns(nets, whole)
        for _ in range(stage.epochs or federation.local_epochs):
            shuffled = chosen[torch.randperm(len(chosen))]
            order: tuple[Tensor, ...] = torch.split(shuffled, stage.batch_size or federation.batch_size)
            for rows in order:
                optimizer.zero_grad()
                torch.stack([*parts(objective, nets, _take(whole, rows, columns), nullcontext)]).sum().backward()
                optimizer.step()

    def _optimizer(self, stage: str, names: tuple[str, ...], spec: Any) -> Any:
        """That of a stage, as new; networks that it does not train are in evaluation mode and get no gradient."""
        if len(self._job.phases[0].stages) > 1 or (stage, *names) not in self._optimizers:
            for name, module in self._nets.items():
                module.train(name in names).requires_grad_(name in names)
        if (stage, *names) not in self._optimizers:
            parameters = [p for n in names for p in self._nets[n].parameters()]
            self._optimizers[(stage, *names)] = _made(self._optim, spec, parameters)
        optimizer = self._optimizers[(stage, *names)]
        optimizer.state.clear()
        return optimizer


def _cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits, batch.y)


def _bce(logits: Tensor, batch: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, batch.y)


def _take(whole: Batch, rows: Tensor, columns: Mapping[str, Tensor]) -> Batch:
    x, lengths, present, taken = (
        {n: t[rows] for n, t in table.items()} for table in (whole.x, whole.lengths, whole.present, columns)
    )
    return Batch(
        x, lengths, present, whole.y[rows], whole.rows[: len(rows)], whole.clock, whole.draws, whole.loss,
        whole.clients, taken,
    )  # fmt: skip


def _made(optim: Any, spec: Any, parameters: Sequence[Tensor]) -> Any:
    if isinstance(spec, Sgd):
        return optim.SGD(parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay)
    kind = optim.AdamW if isinstance(spec, AdamW) else optim.Adam
    return kind(parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay)
