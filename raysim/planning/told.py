"""A plan in words and tables."""

import statistics
from collections import Counter

from raysim.planning.plan import OFF, Arm, Plan, Use
from raysim.report.tables.tables import Table, fitted
from raysim.report.text import counted, duration, size

FEW = 30
"""More nodes are told by kind."""


def told(plan: Plan, columns: int) -> list[str]:
    """The lines of a plan, at most so wide where words allow."""
    trials = sum(arm.seeds for arm in plan.arms)
    gpus = f" with {plan.actors.gpus:g} GPU each" if plan.actors.gpus else ""
    first = (
        f"{counted(trials, 'trial')} on {plan.cluster}: {plan.slots} at a time, each with "
        f"{counted(plan.actors.count, 'client actor')}{gpus}"
    )
    lines = [first]
    for table in (_arms(plan), _nodes(plan)):
        lines += ["", f"{table.title}: {table.caption}", *fitted(table, columns)]
    link = f", {size(plan.link_bytes)} between nodes" if plan.link_bytes else ""
    most = "" if all(arm.exact for arm in plan.arms) else " at most"
    lines += [
        "",
        f"in all: {size(plan.bytes_down)} down and {size(plan.bytes_up)} up{most}{link}; about {size(plan.disk_bytes)} "
        "of disk",
        _time(plan.seconds),
        *(f"warning: {text}" for text in plan.remarks),
    ]
    return lines


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "time: not known, as no machine of that kind was measured; raysim plan there tells"
    return (
        f"time: about {duration(seconds)}, from {duration(seconds / OFF)} to {duration(seconds * OFF)}, measured here"
    )


def _arms(plan: Plan) -> Table:
    keys = list(dict.fromkeys(key for arm in plan.arms for key in arm.grid))
    several = len({arm.scenario for arm in plan.arms}) > 1
    labels = ["scenario"] * (several or not keys) + keys
    header = (
        *labels, "seeds", "rounds", "clients", "stack", "units", "down/round", "up/round", "client process", "a round",
        "a trial",
    )  # fmt: skip
    lines = tuple(
        (*[arm.scenario] * (several or not keys), *(arm.grid.get(key, "") for key in keys), *_figures(arm))
        for arm in plan.arms
    )
    caption = "bytes of all clients together, memory of a client process, and time"
    return Table("arms", caption, header, lines, frozenset(), len(labels), len(labels))


def _figures(arm: Arm) -> tuple[str, ...]:
    most = "" if arm.exact else "<= "
    down, up = (most + size(statistics.fmean(sent) / arm.rounds) for sent in (arm.bytes_down, arm.bytes_up))
    times = ("?", "?") if arm.trial_s is None else (duration(arm.round_s or 0.0), duration(arm.trial_s))
    counts = (arm.seeds, arm.rounds, arm.cohort, arm.stack)
    return (*map(str, counts), f"{arm.units:.1f}", down, up, size(arm.client_bytes), *times)


def _nodes(plan: Plan) -> Table:
    header = ("node", "servers", "client actors", "GPUs", "memory", "of")
    if len(plan.nodes) <= FEW:
        named = [(use.name, use) for use in plan.nodes]
    else:
        kinds = Counter((use.servers, use.clients, use.gpus, use.bytes, use.memory_bytes) for use in plan.nodes)
        named = [(counted(count, "node"), Use("", *kind)) for kind, count in kinds.items()]
    lines = tuple(
        (
            name, str(use.servers), str(use.clients), f"{use.gpus:g}", size(use.bytes),
            "?" if use.memory_bytes is None else size(use.memory_bytes),
        )
        for name, use in named
    )  # fmt: skip
    return Table("nodes", "when all slots are at work", header, lines, frozenset(), 1, 1)
