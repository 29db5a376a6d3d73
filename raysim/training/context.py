"""One unit's round while it runs: its clients, their tensors by now, their private states.

Shapes: K clients of the unit, *K the client axis (absent when clients are trained one after another), P parameters of
a group.
"""

from collections.abc import Container, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from raysim.batch import Batch, Clock, Nets, Public
from raysim.data.dataset import Array
from raysim.data.federated import ClientInfo
from raysim.draws import Draws
from raysim.method import Phase, Train
from raysim.models.noise import noise_source
from raysim.training.job import Job
from raysim.training.layout import Replica
from raysim.training.loading import Samples, load
from raysim.training.loss import task_loss
from raysim.training.results import PRIVATE, Broadcast, ClientFailure, ClientState
from raysim.training.returned import entries
from raysim.training.scale import remedy
from raysim.training.units import Unit


class Networks:
    """A process's working copies of all groups, with the global tensors of a round at hand."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.local = {n: Replica(g.net, job.layouts[n], job.device) for n, g in job.groups.items()}
        self.frozen = {n: Replica(job.groups[n].net, job.layouts[n], job.device) for n in job.replicas}
        self.public = Sharing(job) if job.data.public else None
        self._first: dict[str, list[Tensor]] = {}

    def learnt(self, name: str, net: nn.Module) -> Tensor:
        """Whether a group's network is no longer as the trial began, (*K, 1) bool; see `Nets.learnt`."""
        layout, group = self.job.layouts[name], self.job.groups[name]
        if name not in self._first:
            self._first[name] = [t.to(self.job.device) for t in layout.tensors(group.net)]
        found = torch.tensor([group.pretrained or not layout.size], device=self.job.device)
        count = layout.trained or len(layout.names)  # parameters come first; buffers count where there is nothing else
        for now, first in zip(layout.tensors(net)[:count], self._first[name][:count], strict=True):
            changed = now != first
            found = found | (changed.flatten(1).any(-1, keepdim=True) if now.dim() > first.dim() else changed.any())
            if found.device.type == "cpu" and bool(found.all()):  # a GPU would have to be waited for
                break
        return found

    def receive(self, broadcast: Broadcast) -> dict[str, list[Tensor]]:
        """The tensors of all groups as a round starts (a private group's: as the trial does); binds frozen replicas."""
        job = self.job
        tensors = {n: job.layouts[n].split(to_tensor(flat, job.device)) for n, flat in broadcast.x.items()}
        for name in job.groups.keys() - tensors.keys():
            tensors[name] = [t.to(job.device) for t in job.layouts[name].tensors(job.groups[name].net)]
        for name, replica in self.frozen.items():
            old = broadcast.frozen.get(name)
            replica.bind(tensors[name] if old is None else job.layouts[name].split(to_tensor(old, job.device)))
        return tensors

    def bind(self, tensors: Mapping[str, Sequence[Tensor]], training: Container[str] = ()) -> Nets:
        """The networks with these tensors, in evaluation mode but for some that are in training mode."""
        for name, values in tensors.items():
            self.local[name].bind(values, training=name in training)
        frozen = {n: r.module for n, r in self.frozen.items() if n in tensors}
        return Nets({n: self.local[n].module for n in tensors}, frozen, self.learnt)


class Sharing:
    """The server's public samples, and what the method's `share` makes of them: once for each global model."""

    def __init__(self, job: Job) -> None:
        data = job.data
        loaded = load(data.dataset, data.dataset.train, [data.part(data.clients)], data.mask, job.device, lazy=False)
        self._job, self._all = job, loaded.narrow((0,), axis=False)
        self.samples = Public(self._all.x, self._all.lengths, self._all.y)
        self._known: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def shared(self, nets: Nets, phase: str, done: int) -> dict[str, Tensor]:
        """Name -> (N, ...), by the global networks after some rounds; a new round and an evaluation may take turns."""
        if not self._job.method.has("share"):
            return {}
        if done not in self._known:
            clock = Clock(phase, done, 0, done / self._job.rounds)
            count, width = self._all.counts[0], self._job.scenario.numerics.evaluation_batch
            parts = [self._share(nets, self._batch(clock, slice(i, i + width)), i) for i in range(0, count, width)]
            found = {n: torch.cat([p[n] for p in parts]) for n in parts[0]}
            self._known = {**{r: kept for r, kept in self._known.items() if r == done - 1}, done: found}
        return self._known[done]

    def _share(self, nets: Nets, batch: Batch, start: int) -> dict[str, Tensor]:
        with noise_source(batch.draws), self._job.precision():
            self._job.seed("share", batch.clock.round, start)
            found = self._job.method.share(nets, batch)
            return {n: t.float() if t.is_floating_point() else t for n, t in found.items()}

    def _batch(self, clock: Clock, rows: slice) -> Batch:
        samples = self._all
        lengths, present = ({n: t[rows] for n, t in table.items()} for table in (samples.lengths, samples.present))
        size = len(samples.y[rows])
        keys = [("public", clock.round, int(rows.start) + i) for i in range(size)]
        valid = torch.ones(size, dtype=torch.bool, device=self._job.device)
        draws = Draws(self._job.trial.seed, keys, axis=True, device=self._job.device)
        return Batch(samples.at(rows), lengths, present, samples.y[rows], valid, clock, draws, task_loss(self._job))


class UnitContext:
    """What the stages of a unit's round share.

    Attributes:
        start: the global tensors.
        local: groups that differ between the clients by now, (K, *shape) each.
        owned: group -> which of the K clients own it.
        trained: group -> those that have trained it in this round: a stage may find no samples for one that owns it.
        states: each client's private tensors by name.
        gradients: group -> sum of raw gradients (K, *shape each), for algorithms with controls.
        group_steps: group -> (K,) how many steps each client took on it, for algorithms that need that.
        steps, losses: of each client, (K,); losses by stage, NaN where a client has not run it.
        skipped: client -> why it is left out of the unit's result.
        public, shared: the server's samples, and what it made of them in this round.
    """

    def __init__(self, networks: Networks, broadcast: Broadcast, unit: Unit, states: Mapping[int, ClientState]) -> None:
        self.networks, self.job, self.broadcast, self.unit = networks, networks.job, broadcast, unit
        self.start = networks.receive(broadcast)
        self.infos = tuple(self.job.data.info(c) for c in unit.clients)
        self.states = [self._state(info, states.get(info.id)) for info in self.infos]
        self.owned = {n: self.job.owners(n)[list(unit.clients)].tolist() for n in self.job.groups}
        self.local = own_tensors(self.job, self.start, self.states, axis=True)
        self.trained: dict[str, set[int]] = {}
        self.gradients: dict[str, list[Tensor]] = {}
        self.group_steps: dict[str, Array] = {}
        self.steps = np.zeros(len(self.infos), dtype=np.int64)
        stages = [s.name for s in self.phase.stages if isinstance(s, Train)]
        self.losses = {name: np.full(len(self.infos), np.nan) for name in stages}
        self.skipped: dict[int, str] = {}
        self.public, self.shared = networks.public, dict[str, Tensor]()
        if self.public is not None:
            everything = networks.bind(self.start).at_evaluation()
            self.shared = self.public.shared(everything, self.phase.name, broadcast.round - 1)

    @property
    def phase(self) -> Phase:
        """The phase of this round."""
        return self.job.phases[self.broadcast.phase]

    def valid(self, members: Sequence[int]) -> list[int]:
        """Those that are not left out."""
        return [k for k in members if self.unit.clients[k] not in self.skipped]

    def refuse(self, client: int, stage: str, what: str) -> None:
        """A client has come to something of no use: by `federation.faults` the trial fails or it is left out.

        Raises:
            ClientFailure: the trial fails.
        """
        if self.job.scenario.federation.faults.on_invalid == "fail":
            raise ClientFailure((client,), self.broadcast.round, stage, f"{what}; {remedy(self.job.data.dataset)}")
        self.skipped.setdefault(client, f"stage '{stage}': {what}")

    def reset(self, k: int, names: Sequence[str]) -> None:
        """A client that is left out keeps its place in the stack, with tensors that disturb no later stage's code."""
        for name in names:
            for mine, first in zip(self.local[name], self.start[name], strict=True):
                mine[k] = first

    def tensors(self, name: str, members: Sequence[int], *, axis: bool) -> list[Tensor]:
        """A group's tensors for some clients; without the client axis where they are still the global ones."""
        if name not in self.local:
            return self.start[name]
        if axis and self._is_all(members):
            return self.local[name]
        where = torch.tensor(members, device=self.job.device)
        return [t[where] if axis else t[members[0]] for t in self.local[name]]

    def keep(self, name: str, members: Sequence[int], tensors: Sequence[Tensor], *, axis: bool) -> None:
        """Writes some clients' tensors of a group back."""
        self.trained.setdefault(name, set()).update(members)
        if axis and self._is_all(members):
            self.local[name] = [t.detach() for t in tensors]
            return
        if name not in self.local:
            k = len(self.infos)
            self.local[name] = [t.expand(k, *t.shape).clone() for t in self.start[name]]
        where = torch.tensor(members, device=self.job.device)
        for mine, new in zip(self.local[name], tensors, strict=True):
            mine[where] = new.detach() if axis else new.detach()[None]

    def nets(
        self, members: Sequence[int], *, axis: bool, leaves: Mapping[str, Sequence[Tensor]] | None = None,
        training: bool = True,
    ) -> Nets:  # fmt: skip
        """The networks as these clients have them now, in evaluation mode and without gradients.

        Where there are `leaves`, a group has these instead, and is in training mode if `training`.
        """
        job, leaves = self.job, leaves or {}
        reached = [n for n in job.groups if job.is_open(n) or all(job.reaches(n, self.infos[k]) for k in members)]
        tensors = {n: leaves[n] if n in leaves else self.tensors(n, members, axis=axis) for n in reached}
        return self.networks.bind(tensors, leaves if training else ())

    def method_state(self, members: Sequence[int], *, axis: bool) -> dict[str, Tensor]:
        """What the method keeps for these clients, (*K, ...)."""
        if not any(self.states):
            return {}
        names = [n for n in self.states[members[0]] if n.startswith("method/")]
        if any(set(names) != {n for n in self.states[k] if n.startswith("method/")} for k in members):
            raise ValueError("clients of a stack keep different states; let init_state name all that a stage may add")
        values = {n.removeprefix("method/"): [self.states[k][n] for k in members] for n in names}
        for name, each in values.items() if axis else ():
            shapes = dict.fromkeys(tuple(v.shape) for v in each)
            if len(shapes) > 1:
                found = " and ".join(map(str, shapes))
                raise ValueError(f"clients of a stack keep '{name}' in the shapes {found}; pad, or set stack=False")
        return {n: torch.stack(v) if axis else v[0] for n, v in values.items()}

    def batch(
        self, samples: Samples, rows: Tensor, stage: str, step: int, members: Sequence[int], *, axis: bool
    ) -> Batch:
        """A batch of these clients; columns are added by the stage."""
        keys = [(self.unit.clients[k], self.broadcast.round, stage, step) for k in members]
        return Batch(
            samples.at(...), samples.lengths, samples.present, samples.y, rows,
            clock=Clock(self.phase.name, self.broadcast.round, step, (self.broadcast.round - 1) / self.job.rounds),
            draws=Draws(self.job.trial.seed, keys, axis=axis, device=self.job.device),
            loss=task_loss(self.job),
            clients=tuple(self.infos[k] for k in members),
            state=self.method_state(members, axis=axis),
            public=None if self.public is None else self.public.samples,
            shared=self.shared,
        )  # fmt: skip

    def all_rows(self, loaded: Samples, k: int, stage: str) -> Batch:
        """All samples of one client, without a client axis."""
        samples = loaded.narrow((k,), axis=False)
        rows = torch.ones(samples.counts[0], dtype=torch.bool, device=self.job.device)
        return self.batch(samples, rows, stage, -1, (k,), axis=False)

    def _is_all(self, members: Sequence[int]) -> bool:
        return list(members) == list(range(len(self.infos)))

    def _state(self, info: ClientInfo, known: ClientState | None) -> dict[str, Tensor]:
        if known is not None:
            return {n: to_tensor(v, self.job.device) for n, v in known.items()}
        if not self.job.method.has("init_state"):
            return {}
        first = entries(self.job.method.init_state(info, self.job.task), "init_state")
        return {n: v.to(self.job.device) for n, v in first.items()}


def own_tensors(
    job: Job, start: Mapping[str, Sequence[Tensor]], states: Sequence[Mapping[str, Array | Tensor]], *, axis: bool
) -> dict[str, list[Tensor]]:
    """The groups that stay with clients, as these have them: (K, *shape) each, without `axis` one client's.

    Args:
        job: names the groups.
        start: group -> its tensors as the trial started, for a client that has not trained it.
        states: each client's private state.
        axis: whether there is a client axis.
    """
    found: dict[str, list[Tensor]] = {}
    for name in (n for n, g in job.groups.items() if not g.shared and job.layouts[n].size):
        layout, key = job.layouts[name], f"{PRIVATE}{name}"
        first = layout.flatten(start[name])
        each = [_tensor(s[key], job.device) if key in s else first for s in states]
        found[name] = [t.contiguous() for t in layout.split(torch.stack(each) if axis else each[0])]
    return found


def _tensor(value: Array | Tensor, device: torch.device) -> Tensor:
    return value if isinstance(value, Tensor) else to_tensor(value, device)


def to_tensor(array: Array, device: torch.device) -> Tensor:
    """A copy of an array that may be read-only."""
    return torch.from_numpy(np.array(array)).to(device)
