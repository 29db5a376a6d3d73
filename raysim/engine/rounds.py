"""What the server computes in a round: cohort, shares, sums. Pure functions, no Ray."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from raysim.aggregation import Vector, add, weighted_sum
from raysim.algorithms.base import Received, ServerState
from raysim.data import fedmultimodal
from raysim.data.federated import Federated
from raysim.engine.traffic import Traffic
from raysim.method import Phase, Train, any_present
from raysim.scenario.schema import Compat, Federation
from raysim.seeding import stream
from raysim.training.job import Job
from raysim.training.results import Flat, UnitResult
from raysim.training.returned import shaped


def cohort_size(federation: Federation, eligible: int) -> int:
    """How many clients a round trains."""
    wanted = federation.clients_per_round
    if wanted == "all":
        return eligible
    if isinstance(wanted, float):
        return max(1, int(wanted * eligible))
    return min(wanted, eligible)


def sample_cohort(
    data: Federated, federation: Federation, seed: int, round_: int, compat: Compat = None
) -> tuple[int, ...]:
    """The clients of a round: drawn without replacement among those with samples; the same for every method.

    With `compat` they are the benchmark's: drawn among all, so that there may be fewer with samples, or none.
    """
    having = data.sizes[: data.clients] > 0
    if compat is not None:
        chosen = fedmultimodal.cohort(data.clients, cohort_size(federation, data.clients), round_)
        chosen = chosen[having[chosen]]
    else:
        eligible = np.flatnonzero(having)
        size = cohort_size(federation, len(eligible))
        chosen = stream(seed, "cohort", round_).choice(eligible, size=size, replace=False)
    return tuple(sorted(int(c) for c in chosen))


def shares(job: Job, phase: Phase, cohort: Sequence[int]) -> dict[str, dict[int, float]]:
    """Group -> client -> its share in the mean, for the groups that a phase trains.

    A client counts that owns the group and has samples for a stage that trains it. Where none does there are no shares.
    """
    senders: dict[str, list[int]] = {n: [] for n in job.trained(phase) if n in job.shared}
    stages = [(s, job.matching(s.globs)) for s in phase.stages if isinstance(s, Train)]
    for client in cohort:
        trained = {n for stage, names in stages if _takes_part(job, stage, client) for n in names}
        for name in senders:
            if name in trained and job.owners(name)[client]:
                senders[name].append(client)
    return {n: normalised(job, n, clients) for n, clients in senders.items()}


def _takes_part(job: Job, stage: Train, client: int) -> bool:
    if not stage.clients(job.data.info(client)):
        return False
    if stage.samples is any_present:  # all samples that a client has
        return True
    mask = job.data.mask[job.data.part(client)]
    return bool(stage.samples({m: mask[:, i] for i, m in enumerate(job.data.dataset.names)}).any())


def normalised(job: Job, name: str, clients: Sequence[int]) -> dict[int, float]:
    """The shares of clients that send a group, which add up to one."""
    group = job.groups[name]
    rule = job.algorithm.weights if group.weights == "algorithm" else group.weights
    counts = {c: float(job.data.sizes[c]) if rule == "samples" else 1.0 for c in clients}
    total = sum(counts.values())
    plain = {c: n / total for c, n in counts.items()}
    if not plain or not job.method.has("reweight"):
        return plain
    found = job.method.reweight(name, plain, {c: job.data.info(c) for c in clients})
    if found.keys() != plain.keys() or min(found.values()) < 0 or abs(math.fsum(found.values()) - 1) > 1e-9:
        raise ValueError(f"reweight must give shares of '{name}' for the same clients that add up to 1, gave {found}")
    return dict(found)


def rescaled(
    means: Mapping[str, Vector], weights: Mapping[str, Mapping[int, float]], skipped: Collection[int]
) -> tuple[dict[str, Vector], dict[str, list[int]]]:
    """The means over those clients that were not skipped: their shares are made to add up to one again.

    Args:
        means: group -> the sum of their changes, weighted by the shares as they were planned.
        weights: group -> client -> its share as planned.
        skipped: the clients that are left out. A group in which none of them has a share keeps its mean, bit for bit.

    Returns:
        Each group's mean, without the groups that nobody sent, and the clients that sent each group.

    Example:
        >>> rescaled({"w": np.array([1.5])}, {"w": {0: 0.25, 1: 0.5, 2: 0.25}}, {0})
        ({'w': array([2.])}, {'w': [1, 2]})
    """
    found: dict[str, Vector] = {}
    senders: dict[str, list[int]] = {}
    for name, mean in means.items():
        planned = {c: share for c, share in weights[name].items() if share}
        left = {c: share for c, share in planned.items() if c not in skipped}
        senders[name] = list(left)
        if left:
            found[name] = mean if len(left) == len(planned) else mean * (1.0 / math.fsum(left.values()))
    return found, senders


def selected_means(
    job: Job, results: Sequence[UnitResult], chosen: Mapping[int, Sequence[str]]
) -> tuple[dict[str, Vector], dict[str, list[int]]]:
    """Two-step uploads: each group's mean change over the clients chosen to send it, and which these are.

    A client that was skipped sends nothing, chosen or not.
    """
    updates = {c: u for r in results for c, u in r.updates.items()}
    senders: dict[str, list[int]] = {}
    for client in sorted(chosen):
        for name in chosen[client]:
            if name in updates.get(client, ()):
                senders.setdefault(name, []).append(client)
    means: dict[str, Vector] = {}
    for name, clients in senders.items():
        share = normalised(job, name, clients)
        means[name] = add([weighted_sum([updates[c][name]], [share[c]]) for c in clients])
    return means, senders


def server_step(
    job: Job, name: str, x: Flat, mean: Vector, control: Vector | None, state: ServerState
) -> tuple[Flat, ServerState]:
    """A group's new global vector. Buffers, and groups that opt out of the algorithm, take the plain mean.

    Raises:
        ValueError: what the algorithm returned has another shape or is not finite.
    """
    if not job.groups[name].algorithm:
        return (x + mean).astype(np.float32), state
    cut = job.layouts[name].parameters
    received = Received(
        x=torch.from_numpy(x[:cut].astype(np.float64)),
        mean=torch.from_numpy(mean[:cut]),
        control=None if control is None else torch.from_numpy(control),
        lr=job.scenario.federation.optimizer.lr,
    )
    new, state = job.algorithm.server(received, state)
    whose = f"algorithm '{job.scenario.federation.algorithm.name}'"
    shaped(new, (cut,), f"{whose}: the new '{name}'", "one number for each parameter", "see Received.x")
    with np.errstate(over="ignore"):  # float32 ends before float64
        vector = np.concatenate([new.numpy(), x[cut:] + mean[cut:]]).astype(np.float32)
    if not np.isfinite(vector).all():
        rates = "lower the server's learning rate, or the clients'"
        raise ValueError(f"{whose}: the new '{name}' is not finite; {rates}, or set optimizer.clip_norm")
    return vector, state


def mean_losses(results: Sequence[UnitResult], stages: Sequence[str]) -> dict[str, float]:
    """Stage -> the mean loss of the clients that ran it, weighted by their samples, summed in client order."""
    reports = sorted((r for result in results for r in result.reports), key=lambda r: r.client)
    losses: dict[str, float] = {}
    for name in stages:
        having = [(r.losses[name], r.samples) for r in reports if name in r.losses]
        if having:
            losses[name] = sum(value * n for value, n in having) / sum(n for _, n in having)
    return losses


def skipped_rows(results: Sequence[UnitResult]) -> list[dict[str, Any]]:
    """Who was left out of a round and why, in client order."""
    return [
        {"id": client, "reason": reason}
        for client, reason in sorted(pair for result in results for pair in result.skipped.items())
    ]


def client_rows(results: Sequence[UnitResult], sent: Traffic) -> list[dict[str, Any]]:
    """The clients' part of a metrics line, in client order."""
    reports = sorted((r for result in results for r in result.reports), key=lambda r: r.client)
    return [
        {
            "id": r.client,
            "samples": r.samples,
            "steps": r.steps,
            "loss": dict(r.losses),
            **({"offer": dict(r.offer)} if r.offer else {}),
            "bytes_down": sent.down.get(r.client, 0),
            "bytes_up": sent.up.get(r.client, 0),
            "seconds_s": round(r.seconds, 4),
        }
        for r in reports
    ]
