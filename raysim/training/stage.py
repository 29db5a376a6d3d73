"""One training stage, for one client or a stack."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from raysim.batch import Batch, Nets
from raysim.data.dataset import Array
from raysim.draws import seed_torch
from raysim.method import Derive, Train, any_present
from raysim.models.noise import noise_source
from raysim.seeding import derive, permutations, stream
from raysim.training.augment import augmented
from raysim.training.context import UnitContext
from raysim.training.descent import Descent
from raysim.training.loading import Samples, Schedule, schedule
from raysim.training.optimizers import over

Hook = Callable[[Nets, Batch], Mapping[str, Tensor] | None]


def run_stage(context: UnitContext, stage: Train, loaded: Samples, members: Sequence[int], *, axis: bool) -> None:
    """Trains some members of a unit and writes the result back to the context.

    Raises:
        ClientFailure: a loss is not finite, and the scenario does not skip such clients.
    """
    batch_size = stage.batch_size or context.job.scenario.federation.batch_size
    chosen, judging = _chosen(stage, loaded, members), dict[int, tuple[Array, Array]]()
    if stage.judge is not None and chosen is not None:
        for i, k in enumerate(members):
            rows, (held, beside) = chosen[i], _drawn(context, stage, k, len(chosen[i]))
            judging[k] = rows[held | beside], held[held | beside]
            chosen[i] = rows[~held]
    plan = schedule(members, *_orders(context, stage, loaded, members, chosen), batch_size)
    if plan is not None:
        clients = [context.unit.clients[k] for k in members]
        context.job.seed("stage", context.broadcast.round, stage.name, *clients)
        _StageRun(context, stage, plan, loaded.narrow(plan.members, axis=axis), judging, axis=axis).run()


def _chosen(stage: Train, loaded: Samples, members: Sequence[int]) -> list[Array] | None:
    """Which of its samples each member uses; None for all that it has."""
    if stage.samples is any_present and stage.judge is None:
        return None
    present = {m: p.cpu().numpy() for m, p in loaded.present.items()}
    counts = [loaded.counts[k] for k in members]
    return [
        np.flatnonzero(stage.samples({m: p[k, :n] for m, p in present.items()}))
        for k, n in zip(members, counts, strict=True)
    ]


def _drawn(context: UnitContext, stage: Train, k: int, count: int) -> tuple[Array, Array]:
    """(count,) bool each: which of a member's samples judge the training, and which others stand beside them."""
    judge = stage.judge
    assert judge is not None, "only a judged stage holds samples back"
    shuffled = stream(context.job.trial.seed, "held", stage.name, context.unit.clients[k]).permutation(count)
    back = min(int(count * judge.share + 0.5), judge.most)
    held, beside = np.zeros((2, count), dtype=bool)
    held[shuffled[:back]], beside[shuffled[back : back + judge.most]] = True, True
    return held, beside


def _orders(
    context: UnitContext, stage: Train, loaded: Samples, members: Sequence[int], chosen: Sequence[Array] | None
) -> tuple[Array, Sequence[int]]:
    """Each member's samples in the order of each epoch, (members, epochs, N), and how many these are.

    `chosen` has the samples that each one uses; None for all that it has.
    """
    clients, epochs = context.unit.clients, stage.epochs or context.job.scenario.federation.local_epochs
    counts = [loaded.counts[k] for k in members] if chosen is None else [len(c) for c in chosen]
    owners = [(clients[k], context.broadcast.round, stage.name, epoch) for k in members for epoch in range(epochs)]
    found = permutations(context.job.trial.seed, "order", owners, np.repeat(counts, epochs).tolist())
    orders = found.reshape(len(members), epochs, found.shape[1])
    if chosen is not None:
        for row, samples in zip(orders, chosen, strict=True):
            row[:, : len(samples)] = samples[row[:, : len(samples)]]
    return orders, counts


class _StageRun:
    """The members by falling number of steps; those that are done leave at the end of the stack."""

    def __init__(
        self, context: UnitContext, stage: Train, plan: Schedule, samples: Samples,
        judging: Mapping[int, tuple[Array, Array]], *, axis: bool,
    ) -> None:  # fmt: skip
        """`judging` has the samples that a member's judge looks at, and which of these are held back."""
        self.context, self.stage, self.plan, self.samples, self.axis = context, stage, plan, samples, axis
        self.judging = [judging[k] for k in plan.members if k in judging]
        self.device = context.job.device
        self.names = context.job.matching(stage.globs)
        self.weights = {n: self._own(n) for n in self.names}
        self.active = len(plan.members)

    def run(self) -> None:
        plan, context = self.plan, self.context
        columns = {} if self.stage.derive is None else self._columns(self.stage.derive)
        judge = self.stage.judge
        stopped: Mapping[str, Tensor] = {} if judge is None or judge.stops is None else self._asked(judge.stops)
        first = {n: [t.clone() for t in self.weights[n]] for n in stopped}
        leaves = self._leaves(slice(self.active))
        key = f"optimizer/{self.stage.name}"
        descents = [
            Descent(context, o, f"{key}/{i}", plan.members, plan.steps, leaves, axis=self.axis)
            for i, o in enumerate(self.stage.objectives)
        ]
        nets = self._nets(slice(self.active), leaves)
        losses = torch.zeros(len(plan.members), device=self.device)
        for step in range(plan.steps[0]):
            if plan.active(step) < self.active:
                self.active = plan.active(step)
                leaves = self._leaves(slice(self.active))
                nets = self._nets(slice(self.active), leaves)
                for descent in descents:
                    descent.narrow(self.active, leaves)
            batch = self._batch(step, columns)
            if not context.job.stackable:
                self._seed_torch(step)
            with noise_source(batch.draws):
                for descent in descents:
                    losses[: self.active] += descent.step(nets, batch).reshape(-1)
        self._take_back(stopped, first)
        if judge is not None:
            self._asked(judge.notes)
        self._finish(descents, losses)

    def _asked(self, hook: Hook) -> dict[str, Tensor]:
        """What a hook of the stage's judge says of the networks as they are now.

        It is asked of one client after another: all samples of several would take much memory at a time.
        """
        found = [self._asked_of(k, hook) or {} for k in range(len(self.plan.members))]
        return {n: torch.stack([f[n].reshape(()) for f in found]) if self.axis else found[0][n] for n in found[0]}

    @torch.no_grad()
    def _asked_of(self, k: int, hook: Hook) -> Mapping[str, Tensor] | None:
        numbers, held = (torch.from_numpy(each).to(self.device) for each in self.judging[k])
        batch = self._take(numbers[None], torch.ones_like(numbers, dtype=torch.bool)[None], {}, -1, first=k)
        nets = self._nets(slice(k, k + 1), training=False)
        with noise_source(batch.draws), self.context.job.precision():
            return hook(nets, replace(batch, columns={"held": held[None] if self.axis else held}))

    def _take_back(self, stopped: Mapping[str, Tensor], first: Mapping[str, Sequence[Tensor]]) -> None:
        """Where a client has stopped training a group, the group is as it came."""
        for name, stop in stopped.items():
            for now, then in zip(self.weights[name], first[name], strict=True):
                now.copy_(torch.where(over(stop, now) if self.axis else stop, then, now))

    def _seed_torch(self, step: int) -> None:
        """Layers that are not ours may draw from torch's own numbers (`nn.Dropout`); they run one client at a time."""
        ids = (self.context.unit.clients[self.plan.members[0]], self.context.broadcast.round, self.stage.name, step)
        seed_torch(derive(self.context.job.trial.seed, "torch", *ids), self.device)

    def _own(self, name: str) -> list[Tensor]:
        """Copies of a group's tensors that this stage may change, (*K, *shape)."""
        tensors = self.context.tensors(name, self.plan.members, axis=self.axis)
        if self.axis and name not in self.context.local:
            tensors = [t.expand(len(self.plan.members), *t.shape) for t in tensors]
        return [t.clone() for t in tensors]

    def _leaves(self, which: slice) -> dict[str, list[Tensor]]:
        """Views of some members' tensors; parameters take gradients."""
        leaves = {n: [(t[which] if self.axis else t).detach() for t in ts] for n, ts in self.weights.items()}
        for name, tensors in leaves.items():
            for tensor in tensors[: self.context.job.layouts[name].trained]:
                tensor.requires_grad_()
        return leaves

    def _nets(self, which: slice, leaves: dict[str, list[Tensor]] | None = None, *, training: bool = True) -> Nets:
        """The networks of some members; those that this stage trains are in training mode, or all are not."""
        leaves = self._leaves(which) if leaves is None else leaves
        return self.context.nets(self.plan.members[which], axis=self.axis, leaves=leaves, training=training)

    def _batch(self, step: int, columns: dict[str, Tensor]) -> Batch:
        filled = self.plan.filled[: self.active, step]
        width = int(filled.max())
        job, index = self.context.job, self.plan.index[: self.active, step, :width].to(self.device)
        rows = torch.arange(width, device=self.device) < filled[:, None].to(self.device)
        return augmented(self._take(index, rows, columns, step), job.scenario.model, job.augments)

    def _take(self, index: Tensor, rows: Tensor, columns: dict[str, Tensor], step: int, first: int = 0) -> Batch:
        """The samples of (K, B) numbers as a batch, of K members from the first one on."""
        if self.axis:
            clients = torch.arange(first, first + len(index), device=self.device)[:, None]
            where: tuple[Tensor, ...] = (clients, index)
        else:
            where, rows = (index[0],), rows[0]
        s = self.samples
        lengths, present, taken = ({n: t[where] for n, t in table.items()} for table in (s.lengths, s.present, columns))
        samples = Samples(s.at(where), lengths, present, s.y[where], s.counts)
        members = self.plan.members[first : first + len(index)]
        batch = self.context.batch(samples, rows, self.stage.name, step, members, axis=self.axis)
        return replace(batch, columns=taken) if taken else batch

    def _columns(self, derive: Derive) -> dict[str, Tensor]:
        """Derived columns of all samples, (*K, N, ...): new ones, or those that the clients keep."""
        if derive.every == "round":
            return self._derived(derive)
        prefix = f"column/{self.context.phase.name}/{self.stage.name}/"
        states = [self.context.states[k] for k in self.plan.members]
        new = [not any(n.startswith(prefix) for n in state) for state in states]
        if any(new):
            for name, column in self._derived(derive).items():
                rows = column if self.axis else column[None]
                for state, row, count, first in zip(states, rows, self.samples.counts, new, strict=True):
                    if first:  # others of the stack have theirs
                        state[f"{prefix}{name}"] = row[:count].clone()
        names = [n for n in states[0] if n.startswith(prefix)]
        kept = {n.removeprefix(prefix): pad_sequence([s[n] for s in states], batch_first=True) for n in names}
        return kept if self.axis else {n: t[0] for n, t in kept.items()}

    @torch.no_grad()
    def _derived(self, derive: Derive) -> dict[str, Tensor]:
        """Computed in slices of the evaluation's batch, over all clients."""
        nets = self.context.nets(self.plan.members, axis=self.axis)
        counts = torch.tensor(self.samples.counts)
        size = int(counts.max())
        width = max(self.context.job.scenario.numerics.evaluation_batch // len(counts), 1)
        slices: list[dict[str, Tensor]] = []
        for number, start in enumerate(range(0, size, width)):
            index = torch.arange(start, min(start + width, size)).expand(len(counts), -1)
            rows = (index < counts[:, None]).to(self.device)
            batch = self._take(index.to(self.device), rows, {}, -1 - number)
            with noise_source(batch.draws), self.context.job.precision():
                found = derive.columns(nets, batch)
                slices.append({n: c.float() if c.is_floating_point() else c for n, c in found.items()})
        dim = 1 if self.axis else 0
        return {n: torch.cat([s[n] for s in slices], dim=dim) for n in slices[0]}

    def _finish(self, descents: Sequence[Descent], losses: Tensor) -> None:
        context, plan = self.context, self.plan
        members, means = list(plan.members), losses.cpu().double().numpy() / plan.steps
        for row in np.flatnonzero(~np.isfinite(means)):
            context.refuse(context.unit.clients[members[row]], self.stage.name, f"the loss is {means[row]}")
        context.losses[self.stage.name][members] = means
        context.steps[members] += plan.steps
        for name, tensors in self.weights.items():
            context.keep(name, plan.members, tensors, axis=self.axis)
        for k in set(plan.members) - set(context.valid(plan.members)):
            context.reset(k, self.names)
        for descent in descents:
            descent.finish(plan.steps)
