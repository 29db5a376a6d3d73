"""What the server computes in a round: cohort, shares, sums. Pure functions, no Ray."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from raysim.aggregation import Vector, add
from raysim.algorithms.base import Received, ServerState
from raysim.data import fedmultimodal
from raysim.data.federated import Federated
from raysim.method import Phase, Train
from raysim.report.rows import ClientRows
from raysim.scenario.schema import Compat, Federation
from raysim.seeding import stream
from raysim.simulation.traffic import FLOAT_BYTES, Traffic
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.results import Flat, UnitResult
from raysim.training.returned import shaped
from raysim.training.scaling import scale, scaled_sum
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
) -> tuple[dict[str, Vector], dict[str, dict[int, float]]]:
    """The means over those clients that were not skipped: their shares are made to add up to one again.

    Args:
        means: group -> the sum of their changes, weighted by the shares as they were planned.
        weights: group -> client -> its share as planned.
        skipped: the clients that are left out. A group in which none of them has a share keeps its mean, bit for bit.

    Returns:
        Each group's mean, without the groups that nobody sent, and the clients that sent each group, with their shares.

    Example:
        >>> rescaled({"w": np.array([1.5])}, {"w": {0: 0.5, 1: 0.25, 2: 0.25}}, {0})
        ({'w': array([3.])}, {'w': {1: 0.5, 2: 0.5}})
    """
    found: dict[str, Vector] = {}
    senders: dict[str, dict[int, float]] = {}
    for name, mean in means.items():
        planned = {c: share for c, share in weights[name].items() if share}
        left = {c: share for c, share in planned.items() if c not in skipped}
        complete = not left or len(left) == len(planned)
        factor = 1.0 if complete else 1.0 / math.fsum(left.values())
        senders[name] = {c: share * factor for c, share in left.items()}
        if left:
            found[name] = mean if complete else mean * factor
    return found, senders


def selected_means(
    job: Job, results: Sequence[UnitResult], chosen: Mapping[int, Sequence[str]]
) -> tuple[dict[str, Vector], dict[str, dict[int, float]]]:
    """Two-step uploads: each group's mean change over the clients chosen to send it, and these clients' shares.

    A client that was skipped sends nothing, chosen or not.
    """
    sent = Uploads.of(results)
    senders: dict[str, list[int]] = {}
    for client in sorted(chosen):
        for name in chosen[client]:
            if name in sent.updates.get(client, ()):
                senders.setdefault(name, []).append(client)
    shares = {name: normalised(job, name, clients) for name, clients in senders.items()}
    means = {
        name: add([
            scaled_sum(job, name, sent.updates[c][name][None], [share], [sent.taken(c, name)])
            for c, share in table.items()
        ])
        for name, table in shares.items()
    }  # fmt: skip
    return means, shares


@dataclass(frozen=True)
class Uploads:
    """What clients sent one by one in a round: client -> group -> its change, and how many steps it took."""

    updates: Mapping[int, Mapping[str, Flat]] = field(default_factory=dict[int, Mapping[str, Flat]])
    steps: Mapping[int, Mapping[str, int]] = field(default_factory=dict[int, Mapping[str, int]])

    @staticmethod
    def of(results: Sequence[UnitResult]) -> "Uploads":
        """Of all units."""
        updates = {c: u for r in results for c, u in r.updates.items()}
        return Uploads(updates, {c: s for r in results for c, s in r.steps.items()})

    def taken(self, client: int, name: str) -> int:
        """How many steps a client took on a group, as far as that was asked for."""
        return self.steps.get(client, {}).get(name, 0)


def kept_bytes(job: Job, cohort: int) -> int:
    """What the server holds of single clients' changes in a round: nothing, unless somebody asks for them."""
    selecting = job.method.has("select")
    if not selecting and not job.algorithm.updates:
        return 0
    sizes = [job.layouts[n].size for n in job.shared if selecting or job.groups[n].algorithm]
    return cohort * FLOAT_BYTES * (sum(sizes) + (max(sizes, default=0) if job.algorithm.updates else 0))


def server_step(
    job: Job, name: str, x: Flat, mean: Vector, control: Vector | None, state: ServerState, round_: int,
    shares: Mapping[int, float], sent: Uploads,
) -> tuple[Flat, ServerState]:  # fmt: skip
    """A group's new global vector. Buffers, and groups that opt out of the algorithm, take the plain mean.

    Args:
        job: what it is a step of.
        name: the group.
        x: (P,), it as it was.
        mean: (P,), the clients' mean change.
        control: (parameters,), the mean change of their controls.
        state: what the algorithm keeps for the group.
        round_: from 1.
        shares: the clients that sent it, and their shares.
        sent: what they sent one by one.

    Raises:
        ValueError: what the algorithm returned has another shape or is not finite.
    """
    if not job.groups[name].algorithm:
        return (x + mean).astype(np.float32), state
    cut, clients = job.layouts[name].parameters, sorted(shares)
    steps = [sent.taken(c, name) for c in clients] if job.algorithm.steps else None
    updates = [sent.updates[c][name][:cut] for c in clients] if job.algorithm.updates else None
    received = Received(
        x=torch.from_numpy(x[:cut].astype(np.float64)),
        mean=torch.from_numpy(mean[:cut]),
        control=None if control is None else torch.from_numpy(control),
        lr=job.rate(job.scenario.federation.optimizer, round_),
        shares=torch.tensor([shares[c] for c in clients], dtype=torch.float64),
        steps=None if steps is None else torch.tensor(steps),
        scales=None if steps is None else torch.tensor([scale(job, s) for s in steps], dtype=torch.float64),
        updates=None if updates is None else torch.from_numpy(np.stack(updates)),
    )
    answer: Any = job.algorithm.server(received, state)
    whose = f"algorithm '{job.scenario.federation.algorithm.name}'"
    if not isinstance(answer, tuple) or len(cast("tuple[Any, ...]", answer)) != 2:
        kind = type(cast("object", answer)).__name__
        raise ValueError(f"{whose}: server must return the new '{name}' and the state, but returned a {kind}")
    new, state = cast("tuple[Any, ServerState]", answer)
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
