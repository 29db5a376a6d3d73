"""What a unit's clients hold after their stages becomes its result: sums, states and reports.

Shapes: K clients, P numbers of a group.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from raysim.aggregation import LIMIT, Vector, weighted_sum
from raysim.data.dataset import Array
from raysim.models.noise import noise_source
from raysim.training.context import UnitContext
from raysim.training.loading import Samples
from raysim.training.reports import Reports
from raysim.training.results import PRIVATE, Flat, UnitResult, blaming
from raysim.training.scaling import scaled_sum


def collected(context: UnitContext, loaded: Samples, seconds: Array) -> UnitResult:
    """Turns what the clients hold by now into sums, states and reports."""
    job, unit = context.job, context.unit
    selecting = job.method.has("select")
    changes: dict[str, Flat] = {}
    for name in list(context.local):
        # Offers still need the networks; otherwise a group's tensors make room for its change.
        tensors = context.local[name] if selecting else context.local.pop(name)
        if not tensors:
            continue
        if job.groups[name].shared:
            change = _changes(tensors, context.start[name])
            _check(context, unit.clients, f"change of '{name}'", change)
            changes[name] = change.cpu().numpy()
        else:
            flat = job.layouts[name].flatten(tensors)
            for k, state in enumerate(context.states):
                if context.owned[name][k]:
                    state[f"{PRIVATE}{name}"] = flat[k]
    governed = [n for n in context.gradients if job.groups[n].shared and job.groups[n].algorithm]
    moved = {n: _controls(context, n) for n in governed}
    # Nothing was summed up to here: whoever is skipped by now is skipped in all groups.
    valid = context.valid(range(len(unit.clients)))
    sums: dict[str, Vector] = {}
    updates: dict[int, Mapping[str, Flat]] = {}
    single = changes if selecting else [n for n in changes if job.algorithm.updates and job.groups[n].algorithm]
    for k in valid if single else ():
        mine = [n for n in single if context.owned[n][k] and (not selecting or k in context.trained.get(n, ()))]
        updates[unit.clients[k]] = {n: changes[n][k] for n in mine}
    steps = _steps(context, valid) if job.algorithm.steps else {}
    if not selecting:
        with blaming(unit.clients, context.broadcast.round, "scale", type(job.algorithm)):
            sums = {n: _partial_sum(context, n, c, valid) for n, c in changes.items()}
    controls = {n: _control_sum(context, n, [m[k] for k in valid if k in m]) for n, m in moved.items()}
    offers = _offers(context, loaded, valid) if selecting else {}
    reports = Reports(
        np.array(unit.clients, dtype=np.int64)[valid], job.data.sizes[list(unit.clients)][valid],
        context.steps[valid], {n: column[valid] for n, column in context.losses.items()}, seconds[valid], offers,
    )  # fmt: skip
    states = {
        unit.clients[k]: {n: t.cpu().numpy() for n, t in context.states[k].items()} for k in valid if context.states[k]
    }
    return UnitResult(
        unit.index, sums, controls, reports, states, updates, steps=steps, skipped=context.skipped,
        shared_bytes=sum(t.nbytes for t in context.shared.values()),
    )  # fmt: skip


@torch.no_grad()
def _offers(context: UnitContext, loaded: Samples, members: Sequence[int]) -> dict[int, Mapping[str, float]]:
    """What each client says for itself before it uploads."""
    job = context.job
    offers: dict[int, Mapping[str, float]] = {}
    for k in members:
        client, batch = context.unit.clients[k], context.all_rows(loaded, k, "offer")
        with blaming((client,), context.broadcast.round, "offer", type(job.method)), noise_source(batch.draws):
            job.seed("offer", context.broadcast.round, client)
            offers[client] = job.method.offer(context.nets((k,), axis=False), batch)
    return offers


def _partial_sum(context: UnitContext, name: str, changes: Flat, members: Sequence[int]) -> Vector:
    """The weighted sum over some of the clients, of changes (K, P); the others' may hold NaN: they are not read."""
    weights = [w if k in members else 0.0 for k, w in enumerate(context.unit.weights[name])]
    steps = context.group_steps.get(name, np.zeros(len(weights), dtype=np.int64)).tolist()
    return scaled_sum(context.job, name, changes, weights, steps)


def _steps(context: UnitContext, members: Sequence[int]) -> dict[int, dict[str, int]]:
    """Client -> group that it sends -> how many steps it took on it."""
    sent = [n for n in context.group_steps if context.job.groups[n].shared and context.job.groups[n].algorithm]
    return {
        context.unit.clients[k]: {n: int(context.group_steps[n][k]) for n in sent if context.owned[n][k]}
        for k in members
    }


def _controls(context: UnitContext, name: str) -> dict[int, Flat]:
    """Each client's control becomes its mean raw gradient; position -> by how much it changed."""
    totals = torch.cat([g.flatten(1) for g in context.gradients[name]], dim=-1)
    changes: dict[int, Flat] = {}
    for k in context.valid(range(len(context.states))):
        if context.group_steps[name][k] and context.owned[name][k]:
            state = context.states[k]
            old = state.get(f"control/{name}", totals.new_zeros(context.job.layouts[name].parameters))
            state[f"control/{name}"] = totals[k] / int(context.group_steps[name][k])
            change = state[f"control/{name}"] - old
            _check(context, context.unit.clients[k : k + 1], f"control of '{name}'", change[None])
            changes[k] = change.cpu().numpy()
    return changes


def _control_sum(context: UnitContext, name: str, changes: Sequence[Flat]) -> Vector:
    """The sum of the controls' changes over the number of owners."""
    if not changes:
        return np.zeros(context.job.layouts[name].parameters)
    return weighted_sum(np.stack(changes), [1.0 / int(context.job.owners(name).sum())] * len(changes))


def _changes(tensors: Sequence[Tensor], start: Sequence[Tensor]) -> Tensor:
    """(K, P): what each client changed, from tensors (K, *shape) and where they started, (*shape)."""
    flat = tensors[0].new_empty(len(tensors[0]), sum(s.numel() for s in start))
    parts: tuple[Tensor, ...] = torch.split(flat, [s.numel() for s in start], dim=1)
    for new, old, part in zip(tensors, start, parts, strict=True):
        torch.sub(new.flatten(1), old.flatten(), out=part)
    return flat


def _check(context: UnitContext, clients: Sequence[int], what: str, changes: Tensor) -> None:
    """Refuses what is beyond `LIMIT`, where sums would not be exact: changes are (clients, P)."""
    low, high = torch.aminmax(changes)
    if low >= -LIMIT and high <= LIMIT:
        return
    worst = changes.abs().amax(1).cpu().numpy()
    for client, most in zip(clients, worst, strict=True):
        if not most <= LIMIT:
            how = f"reaches {most:.3g}, beyond {LIMIT:g}" if np.isfinite(most) else "is not finite"
            context.refuse(client, context.phase.name, f"the {what} {how}")
