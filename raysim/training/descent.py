"""An objective at work: gradients, the optimiser's step, what the algorithm adds to both, all per client."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysim.algorithms.base import Correction
from raysim.batch import Batch, Nets
from raysim.method import Objective
from raysim.training.context import UnitContext, to_tensor
from raysim.training.loss import parts
from raysim.training.optimizers import Stepper, add_, clip, over, stepper
from raysim.training.rates import Rates
from raysim.training.returned import hook_name, shaped


class Descent:
    """The parameters that one objective trains, in a stage, for the members that are still active.

    Args:
        context: the unit.
        objective: what is descended.
        key: names the optimiser's state in the clients' states.
        members: positions of the clients in the unit.
        steps: of each of them, how many it takes in the stage.
        weights: group -> its tensors with this stage's values, (*K, *shape).
        axis: whether there is a client axis.
    """

    def __init__(
        self, context: UnitContext, objective: Objective, key: str, members: Sequence[int],
        steps: Sequence[int], weights: Mapping[str, Sequence[Tensor]], *, axis: bool,
    ) -> None:  # fmt: skip
        job = context.job
        self.context, self.objective, self.key, self.members, self.axis = context, objective, key, members, axis
        self.spec = objective.optimizer or job.scenario.federation.optimizer
        self._rates = Rates(self.spec.local_schedule, job.rate(self.spec, context.broadcast.round), steps, job.device)
        self._active = len(members)
        owned = {n: [context.owned[n][k] for k in members] for n in job.matching(objective.trains)}
        self.groups = [n for n, own in owned.items() if any(own) and job.layouts[n].trained]
        self._each = [n for n in self.groups for _ in range(job.layouts[n].trained)]
        self._masks = {n: None if all(owned[n]) else torch.tensor(owned[n], device=job.device) for n in self.groups}
        self._corrected = {n: job.groups[n].algorithm and job.groups[n].shared for n in self.groups}
        self.use(weights)
        self._start = [t for n in self.groups for t in context.start[n][: job.layouts[n].trained]]
        self._control, self._client_control = self._controls() if job.algorithm.control else ([], [])
        self._sums = [torch.zeros_like(w) for w in self.weights] if job.algorithm.control else []
        self._all_sums = self._sums
        self._by_steps = job.algorithm.control and job.algorithm.control_mean == "steps"
        self._mean_rate = self._rates.mean(self._active) if self._by_steps else 1.0
        names = [f"{n}/{i}" for n in self.groups for i in range(job.layouts[n].trained)]
        named = dict(zip(names, self.weights, strict=True))
        self._stepper = stepper(self.spec, named, self._saved(), axis=axis) if named else None

    def use(self, weights: Mapping[str, Sequence[Tensor]]) -> None:
        """Trains these tensors from now on."""
        layouts = self.context.job.layouts
        self.weights = [w for n in self.groups for w in weights[n][: layouts[n].trained]]

    def narrow(self, clients: int, weights: Mapping[str, Sequence[Tensor]]) -> None:
        """Only the first clients are still active; these are their tensors."""
        self.use(weights)
        self._active = clients
        self._mean_rate = self._rates.mean(clients) if self._by_steps else 1.0
        self._masks = {n: m if m is None else m[:clients] for n, m in self._masks.items()}
        self._client_control = [c[:clients] for c in self._client_control]
        self._sums = [s[:clients] for s in self._sums]
        if self._stepper:
            self._stepper.narrow(clients)

    def step(self, nets: Nets, batch: Batch) -> Tensor:
        """One step of every active client; returns the loss (*K).

        Raises:
            ValueError: the objective's loss has another shape.
        """
        shape, meaning = ((len(batch.clients),), "one number for each client") if self.axis else ((), "one number")
        loss = torch.zeros(shape, device=self.context.job.device)
        found: list[Tensor | None] = [None] * len(self.weights)
        for part in parts(self.objective, self.context.job.algorithm.nets(nets), batch, self.context.job.precision):
            shaped(part, shape, hook_name(self.objective.loss), meaning, "use batch.mean(...)")
            loss = loss + part.detach()
            if self._stepper:
                grads: tuple[Any, ...] = torch.autograd.grad(part.sum(), self.weights, allow_unused=True)
                found = [b if a is None else a if b is None else a + b for a, b in zip(found, grads, strict=True)]
        if not self._stepper:
            return loss
        with torch.no_grad():
            raw = [torch.zeros_like(w) if g is None else g for g, w in zip(found, self.weights, strict=True)]
            raw = self._owned_only(raw)
            if self.spec.clip_norm is not None:
                raw = clip(raw, self.spec.clip_norm, axis=self.axis)
            if self._sums and not self._by_steps:
                add_(self._sums, raw)
            self._move(self._stepper, raw, batch.clock.step)
        return loss

    def _move(self, optimizer: Stepper, raw: list[Tensor], step: int) -> None:
        """The optimiser's step and the algorithm's pull; tensors of groups that a client does not own stay."""
        algorithm, masks, lr = self.context.job.algorithm, self._each_mask(), self._rates.at(step, self._active)
        before = [w.clone() if self._by_steps or m is not None else w for w, m in zip(self.weights, masks, strict=True)]
        local = Correction(self.weights, self._start, self._control, self._client_control)
        pull = algorithm.pull(local)
        optimizer.step(self.weights, self._governed(algorithm.correct(raw, local), raw), lr)
        if self._by_steps:
            steps = [old - new for old, new in zip(before, self.weights, strict=True)]
            add_(self._sums, steps, 1 / self._mean_rate)
        if pull:
            add_(self.weights, self._governed(pull, [torch.zeros_like(w) for w in self.weights]), -lr)
        for weight, old, mask in zip(self.weights, before, masks, strict=True):
            if mask is not None:
                weight.copy_(torch.where(over(mask, weight), weight, old))

    def finish(self, steps: Sequence[int]) -> None:
        """Leaves the optimiser's state and the gradients' sums with the clients."""
        for name, tensor in self._stepper.state().items() if self._stepper else ():
            group = name.partition("/")[2].rpartition("/")[0]
            for row, k in enumerate(self.members):
                if not group or self.context.owned[group][k]:
                    value = tensor[row] if self.axis else tensor
                    self.context.states[k][f"{self.key}/{name}"] = value.clone()
        algorithm = self.context.job.algorithm
        if algorithm.steps or algorithm.control:
            for name in self.groups:
                counted = self.context.group_steps.setdefault(name, np.zeros(len(self.context.infos), dtype=np.int64))
                counted[list(self.members)] += steps
        if self._all_sums:
            self._add_gradients()

    def _add_gradients(self) -> None:
        context, k = self.context, len(self.context.infos)
        where = torch.tensor(self.members, device=context.job.device)
        for name in self.groups:
            sums = [s for n, s in zip(self._each, self._all_sums, strict=True) if n == name]
            if name not in context.gradients:
                shapes = context.job.layouts[name].shapes[: len(sums)]
                context.gradients[name] = [sums[0].new_zeros(k, *s) for s in shapes]
            for total, new in zip(context.gradients[name], sums, strict=True):
                total[where] += new if self.axis else new[None]

    def _owned_only(self, tensors: list[Tensor]) -> list[Tensor]:
        return [
            t if m is None else torch.where(over(m, t), t, 0.0) for t, m in zip(tensors, self._each_mask(), strict=True)
        ]

    def _each_mask(self) -> list[Tensor | None]:
        """For each tensor which active members own it; None where all do."""
        return [self._masks[n] for n in self._each]

    def _governed(self, found: Sequence[Tensor], otherwise: Sequence[Tensor]) -> list[Tensor]:
        """What the algorithm says, but for groups that opt out."""
        return [f if self._corrected[n] else o for f, o, n in zip(found, otherwise, self._each, strict=True)]

    def _controls(self) -> tuple[list[Tensor], list[Tensor]]:
        """The server's control and the members', tensor by tensor."""
        server: list[Tensor] = []
        clients: list[Tensor] = []
        context = self.context
        for name in self.groups:
            layout = context.job.layouts[name]
            zero = torch.zeros(layout.parameters, device=context.job.device)
            known = context.broadcast.control.get(name)
            server += layout.split_parameters(zero if known is None else to_tensor(known, zero.device))
            own = [context.states[k].get(f"control/{name}", zero) for k in self.members]
            clients += layout.split_parameters(torch.stack(own) if self.axis else own[0])
        return server, clients

    def _saved(self) -> dict[str, Tensor]:
        """The optimiser's state of an earlier round; a member without one starts from zeros."""
        states = [self.context.states[k] for k in self.members]
        prefix = f"{self.key}/"
        saved: dict[str, Tensor] = {}
        for name in dict.fromkeys(n for s in states for n in s if n.startswith(prefix)):
            like = next(s[name] for s in states if name in s)
            values = [s.get(name, torch.zeros_like(like)) for s in states]
            saved[name.removeprefix(prefix)] = torch.stack(values) if self.axis else values[0].clone()
        return saved
