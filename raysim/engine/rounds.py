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
from raysim.method import Phase, Train
from raysim.report.rows import ClientRows
from raysim.scenario.schema import Compat, Federation
from raysim.seeding import stream
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.results import Flat, UnitResult
from raysim.training.returned import shaped
from raysim.training.workload import samples_given


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
    if compat is not None:
        chosen = fedmultimodal.cohort(data.clients, cohort_size(federation, data.clients), round_)
        chosen = chosen[data.sizes[chosen] > 0]
    else:
        size = cohort_size(federation, data.eligible)
        chosen = stream(seed, "cohort", round_).choice(data.having, size=size, replace=False)
    return tuple(np.sort(chosen).tolist())


def shares(job: Job, phase: Phase, cohort: Sequence[int]) -> dict[str, dict[int, float]]:
    """Group -> client -> its share in the mean, for the groups that a phase trains.

    A client counts that owns the group and has samples for a stage that trains it. Where none does there are no shares.
    """
    clients = np.array(cohort, dtype=np.int64)
    given = samples_given(job, phase, clients)
    stages = [(given[s.name] > 0, job.matching(s.globs)) for s in phase.stages if isinstance(s, Train)]
    found: dict[str, dict[int, float]] = {}
    for name in job.trained(phase):
        if name in job.shared:
            trained = np.logical_or.reduce([takes_part for takes_part, names in stages if name in names])
            found[name] = normalised(job, name, clients[trained & job.owners(name)[clients]].tolist())
    return found


def normalised(job: Job, name: str, clients: Sequence[int]) -> dict[int, float]:
    """The shares of clients that send a group, which add up to one."""
    group = job.groups[name]
    rule = job.algorithm.weights if group.weights == "algorithm" else group.weights
    counts = job.data.sizes[list(clients)].astype(np.float64) if rule == "samples" else np.ones(len(clients))
    plain: dict[int, float] = dict(zip(clients, (counts / counts.sum()).tolist(), strict=True)) if clients else {}
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
    job: Job, name: str, x: Flat, mean: Vector, control: Vector | None, state: ServerState, round_: int
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
        lr=job.rate(job.scenario.federation.optimizer, round_),
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


def mean_losses(reports: Reports, stages: Sequence[str]) -> dict[str, float]:
    """Stage -> the mean loss of the clients that ran it, weighted by their samples, summed in the order of the rows."""
    losses: dict[str, float] = {}
    for name in stages:
        column = reports.losses.get(name, np.empty(0))
        having = np.flatnonzero(~np.isnan(column))
        if len(having):
            samples = reports.samples[having]
            losses[name] = sum((column[having] * samples).tolist()) / int(samples.sum())
    return losses


def skipped_rows(results: Sequence[UnitResult]) -> list[dict[str, Any]]:
    """Who was left out of a round and why, in client order."""
    return [
        {"id": client, "reason": reason}
        for client, reason in sorted(pair for result in results for pair in result.skipped.items())
    ]


def client_rows(reports: Reports, sent: Traffic) -> ClientRows:
    """The clients' part of a metrics line, in the order of the rows."""
    down, up = sent.of(reports.clients)
    columns = {
        "id": reports.clients,
        "samples": reports.samples,
        "steps": reports.steps,
        "bytes_down": down,
        "bytes_up": up,
        "seconds_s": np.round(reports.seconds, 4),
    }
    return ClientRows(columns, reports.losses, reports.offers)
