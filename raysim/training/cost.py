"""What a trial's networks cost: parameters, and the multiply-adds of a prediction and of training, for one sample.

Counted are matrix products and convolutions, forwards and backwards, those inside attention too: a product of (n, k)
with (k, m) is n k m multiply-adds. Biases, norms, activations, pooling, look-ups and optimisers are not counted, nor is
a recurrent layer of torch's own, whose steps nobody sees; raysim's is.

fvcore, whose numbers papers print as FLOPs, counts multiply-adds as well, but differs in three ways: it adds five for
each element that a norm gives, it does not see the two products inside torch's attention, and it knows no gradients.
FIN's 6.318 M (table 3) are 6,291,456 of linear layers, 3,584 of the head and 23,040 of norms; here they are 6,291,456,
3,584 and 6,144 of attention.

All is measured on the CPU with one made-up sample (zeros, of full length) and the networks' first weights, so the
numbers are the same on every machine and for every seed.
"""

import copy
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from raysim.batch import Batch, Clock, Nets, Public, State
from raysim.data.federated import ClientInfo
from raysim.draws import Draws
from raysim.method import Compute, Phase, Train
from raysim.models.noise import noise_source
from raysim.training.counter import MultiplyAdds
from raysim.training.job import Job
from raysim.training.loss import parts, task_loss
from raysim.training.results import ClientFailure, blaming
from raysim.training.workload import Work, kind, samples_of

FLOAT_BYTES = 4
_PUBLIC = 16
"""At most so many public samples stand in for all: a method may look for the nearest few among them."""


@dataclass(frozen=True)
class Network:
    """What one group is.

    Attributes:
        parameters: how many.
        bytes: of the float32 tensors that travel: parameters and running statistics.
        macs: multiply-adds of one sample: where a prediction for a complete sample needs the network, in that; else
            for a sample that lacks a modality; else in the losses that train it. None where that was not measured.
    """

    parameters: int
    bytes: int
    macs: int | None


@dataclass
class Costs:
    """Multiply-adds of a trial.

    Attributes:
        sample: of a prediction for one complete sample; None where it could not be measured.
        modules: group -> what its network is, without those that have no parameters.
        reason: why something could not be measured, in one line; empty where all was.
    """

    sample: int | None
    modules: Mapping[str, Network]
    reason: str
    _meter: "_Meter"
    _known: dict[Any, "dict[str, _Stage]"] = field(default_factory=dict[Any, "dict[str, _Stage]"])

    @property
    def by_group(self) -> dict[str, int]:
        """Group -> multiply-adds of one sample, where they were measured."""
        return {n: m.macs for n, m in self.modules.items() if m.macs is not None}

    def stage_macs(self, phase: Phase, client: int) -> dict[str, float]:
        """Stage -> multiply-adds of one of a client's samples in one epoch; only stages that the client runs.

        The sample has each modality that the client has at all. A derived column is computed once for all epochs of a
        stage, and counts in each for its share; one that is kept over the rounds does not count.

        Raises:
            ClientFailure: the method's code raised.
        """
        return {n: s.step + s.derived / s.epochs for n, s in self._stages(phase, client).items()}

    def total(self, works: Iterable[Work]) -> int | None:
        """Multiply-adds of all that clients have trained: samples x epochs x those of a sample.

        None where the method's code raised; `reason` then says how.
        """
        total = 0
        try:
            for work in works:
                stages = self._stages(self._meter.job.phases[work.phase], work.client)
                each = {name: s.epochs * s.step + s.derived for name, s in stages.items()}
                total += sum(count * each[name] for name, count in work.samples.items())
        except (ClientFailure, torch.OutOfMemoryError) as error:
            self.reason = self.reason or _reason(error)
            return None
        return total

    def _stages(self, phase: Phase, client: int) -> "dict[str, _Stage]":
        """The same for clients with the same pattern, networks and stages: measured once."""
        meter = self._meter
        key = (phase.name, *kind(meter.job, meter.job.phases.index(phase), client))
        if key not in self._known:
            self._known[key] = meter.training(phase, client)
        return self._known[key]


def measure(job: Job) -> Costs:
    """Measures a prediction and the networks; training is measured when it is asked for.

    Leaves the job's networks and torch's random state as they are. A method that a made-up sample does not suit is no
    error: `Costs.reason` says what its code raised.
    """
    meter, names = _Meter(job), tuple(job.data.dataset.modalities)
    sample, reason, found = None, "", dict[str, int]()
    try:
        sample, found = meter.prediction(names)
        lacking = [meter.prediction([m for m in names if m != hidden])[1] for hidden in names if len(names) > 1]
        found = _most(lacking) | found
        if job.groups.keys() - found:
            found = _most([meter.losses(phase) for phase in job.phases]) | found
    except (ClientFailure, torch.OutOfMemoryError) as error:
        reason = _reason(error)
    modules = {
        n: Network(layout.parameters, FLOAT_BYTES * layout.size, found.get(n, None if reason else 0))
        for n, layout in job.layouts.items()
        if layout.size
    }
    return Costs(sample, modules, reason, meter)


def private_asked(job: Job) -> list[str]:
    """The groups that stay with clients and that predictions ask for: a central one would have them as they started.

    Asked are a made-up sample that lacks nothing and those that lack one modality; where the method's code raises on
    these, all its private groups are held to be needed.
    """
    private = [name for name, group in job.groups.items() if not group.shared and job.layouts[name].size]
    if not private:
        return []
    names = tuple(job.data.dataset.modalities)
    meter, asked = _Meter(job), set[str]()
    try:
        for hidden in (None, *(names if len(names) > 1 else ())):
            asked |= meter.asked([m for m in names if m != hidden])
    except (ClientFailure, torch.OutOfMemoryError):
        return private
    return [name for name in private if name in asked]


@dataclass(frozen=True)
class _Stage:
    """A stage for one sample: multiply-adds of a step, and of what is derived before the first one."""

    of: Train | Compute
    epochs: int
    step: int
    derived: int


class _Meter:
    """A trial's networks, which share their parameters with the job's and are watched."""

    def __init__(self, job: Job) -> None:
        self.job, self.names = job, frozenset(job.data.dataset.modalities)
        self.counter = MultiplyAdds()
        self.nets = {n: _borrowed(g.net) for n, g in job.groups.items()}
        self.frozen = {n: _borrowed(job.groups[n].net) for n in job.replicas}
        for name, net in (*self.nets.items(), *self.frozen.items()):
            self.counter.watch(name, net)

    def prediction(self, there: Collection[str]) -> tuple[int, dict[str, int]]:
        """Of one sample with these modalities: in total, and of one call of each group that takes part."""
        self.asked(there)
        return self.counter.total, self.counter.each()

    def asked(self, there: Collection[str]) -> set[str]:
        """The groups that a prediction of such a sample asks for."""
        batch, nets = self._batch(there), Nets(self.nets)
        with self._counting(batch), torch.no_grad():
            method = self.job.method
            (method.losses if method.has("losses") else method.predict)(nets, batch)
        return nets.asked

    def losses(self, phase: Phase) -> dict[str, int]:
        """Of one call of each group in a phase's losses, forwards, for a client that lacks nothing."""
        info = ClientInfo(0, self.names, self.names, 1, (0,) * len(self.job.data.dataset.classes), 1)
        return _most([self.counter.each() for _ in self._run(phase.stages, phase, info, owned=())])

    def training(self, phase: Phase, client: int) -> dict[str, _Stage]:
        """The stages that a client runs."""
        owned = [n for n in self.job.groups if self.job.owners(n)[client]]
        stages = [s for s in phase.stages if samples_of(self.job, s, client)]
        return {s.of.name: s for s in self._run(stages, phase, self.job.data.info(client), owned)}

    def _run(
        self, stages: Iterable[Train | Compute], phase: Phase, info: ClientInfo, owned: Collection[str]
    ) -> Iterator[_Stage]:
        """Runs stages for one sample of a client; without gradients where it owns nothing."""
        reached = {n: net for n, net in self.nets.items() if self.job.reaches(n, info)}
        nets = Nets(reached, {n: net for n, net in self.frozen.items() if n in reached})
        with self._blaming():
            state = dict(self.job.method.init_state(info, self.job.task))
        for stage in stages:
            batch = self._batch(info.modalities, phase.name, info, state)
            if isinstance(stage, Compute):
                with self._counting(batch), torch.no_grad():
                    state |= stage.run(nets, batch)
                yield _Stage(stage, 1, self.counter.total, 0)
            else:
                yield self._train(stage, nets, batch, owned)

    def _train(self, stage: Train, nets: Nets, batch: Batch, owned: Collection[str]) -> _Stage:
        """One step. Networks evaluate: that changes no count, and one sample is too few for some norms."""
        derived, names = 0, self.job.matching(stage.globs)
        if stage.derive is not None:
            with self._counting(batch), torch.no_grad():
                columns = stage.derive.columns(nets, batch)
            batch = replace(batch, columns={n: c.detach() for n, c in columns.items()})
            derived = self.counter.total if stage.derive.every == "round" else 0
        for name in nets:
            for n, parameter in nets[name].named_parameters():
                parameter.requires_grad_(name in names and n in self.job.layouts[name].names)
        with self._counting(batch):
            for objective in stage.objectives:
                trained = [n for n in self.job.matching(objective.trains) if n in owned and n in nets]
                weights = [w for n in trained for w in nets[n].parameters() if w.requires_grad]
                for loss in parts(objective, self.job.algorithm.nets(nets), batch, nullcontext):
                    if weights:
                        torch.autograd.grad(loss.sum(), weights, allow_unused=True)
        epochs = stage.epochs or self.job.scenario.federation.local_epochs
        return _Stage(stage, epochs, self.counter.total, derived)

    def _blaming(self) -> AbstractContextManager[None]:
        """What the method's code raises inside leaves as a `ClientFailure`."""
        return blaming((), 0, "cost", type(self.job.method))

    @contextmanager
    def _counting(self, batch: Batch) -> Generator[None]:
        """Counts what is computed inside, from nothing."""
        self.counter.clear()
        with (
            self._blaming(),
            torch.random.fork_rng(devices=[]),
            sdpa_kernel(SDPBackend.MATH),  # plain products on every machine
            noise_source(batch.draws),
            self.counter,
        ):
            yield

    def _batch(
        self, there: Collection[str], phase: str = "", info: ClientInfo | None = None, state: State | None = None
    ) -> Batch:
        """One sample of a client, or one that is evaluated."""
        batch = self._samples(1, there, phase, info)
        return replace(batch, state=state or {}, public=self._public[0], shared=self._public[1])

    @cached_property
    def _public(self) -> tuple[Public | None, State]:
        """Stand-ins for the server's samples, and what the method shares of them."""
        job = self.job
        if not job.data.public:
            return None, {}
        batch = self._samples(min(int(job.data.sizes[-1]), _PUBLIC), self.names)
        public = Public(batch.x, batch.lengths, batch.y)
        if not job.method.has("share"):
            return public, {}
        with self._counting(batch), torch.no_grad():
            return public, job.method.share(Nets(self.nets), batch)

    def _samples(self, size: int, there: Collection[str], phase: str = "", info: ClientInfo | None = None) -> Batch:
        """Zeros of full length, the modalities in `there` present."""
        job = self.job
        kinds = job.data.dataset.modalities.items()
        labels = torch.from_numpy(job.data.dataset.blank(size))
        keys = [("cost", i) for i in range(size if info is None else 1)]
        return Batch(
            {m: torch.zeros(size, *k.shape, dtype=torch.long if k.kind == "tokens" else None) for m, k in kinds},
            {m: torch.full((size,), k.shape[0]) for m, k in kinds if k.ordered},
            {m: torch.full((size,), m in there) for m, _ in kinds},
            labels,
            rows=torch.ones(size, dtype=torch.bool),
            clock=Clock(phase or job.phases[-1].name, 1, 0, 0.0),
            draws=Draws(job.trial.seed, keys, axis=info is None, device=torch.device("cpu")),
            loss=task_loss(job),
            clients=() if info is None else (info,),
        )  # fmt: skip


def _borrowed(net: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares the parameters, which nobody writes to."""
    shared = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in net.parameters()}
    return copy.deepcopy(net, shared).eval()


def _most(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The largest figure of each name."""
    found: dict[str, int] = {}
    for table in tables:
        found |= {n: max(value, found.get(n, 0)) for n, value in table.items()}
    return found


def _reason(error: Exception) -> str:
    """In one line."""
    return error.reason if isinstance(error, ClientFailure) else " ".join(str(error).split())
