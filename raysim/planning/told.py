"""A plan in words and tables."""

import statistics
from collections import Counter
from dataclasses import replace

from raysim.planning.arms import Arm
from raysim.planning.plan import OFF, Plan
from raysim.planning.use import Use
from raysim.report.tables.tables import Table, fitted
from raysim.report.text import counted, duration, size

SLOW_LINK = 1e8
"""Few are slower, in bits/s."""
FEW = 30
"""More nodes are told by kind."""


def told(plan: Plan, columns: int) -> list[str]:
    """The lines of a plan, at most so wide where words allow."""
    lines = [_places(plan)]
    for table in (_arms(plan), _nodes(plan)):
        lines += ["", f"{table.title}: {table.caption}", *fitted(table, columns)]
    ends = (*_links(plan), _time(plan), *(f"warning: {text}" for text in plan.remarks))
    return [*lines, "", f"in all: {_travels(plan)}", *ends]


def first(plan: Plan) -> tuple[str, ...]:
    """What is told of a plan while the study runs already."""
    return tuple(f"plan: {line}" for line in (_places(plan), f"in all {_travels(plan)}", *_links(plan)))


def _places(plan: Plan) -> str:
    trials = sum(arm.seeds for arm in plan.arms)
    gpus = f" with {plan.actors.gpus:g} GPU each" if plan.actors.gpus else ""
    return (
        f"{counted(trials, 'trial')} on {plan.cluster}: {plan.slots} at a time, each with "
        f"{counted(plan.actors.count, 'client actor')}{gpus}"
    )


def _travels(plan: Plan) -> str:
    link = f", {size(plan.link_bytes)} between nodes" if plan.link_bytes else ""
    most = "" if all(arm.exact or arm.unshared for arm in plan.arms) else " at most"
    lacks = " and what the server makes of public samples" if any(arm.unshared for arm in plan.arms) else ""
    return (
        f"{size(plan.bytes_down)}{lacks} down and {size(plan.bytes_up)} up{most}{link}; about {size(plan.disk_bytes)} "
        "of disk"
    )


def _links(plan: Plan) -> list[str]:
    """What a slow link would cost, where some that are in use are so slow."""
    if plan.link_rate <= SLOW_LINK:
        return []
    return [
        f"links: if slower than {plan.link_rate / 1e6:,.0f} Mbit/s they carry sums twice; a setting of Ray's head "
        "helps, see cluster/README.md, slow links"
    ]


def _time(plan: Plan) -> str:
    if plan.seconds is None:
        return "time: not known, as no machine of that kind was measured; raysim plan --save-speeds there tells"
    low, high = duration(plan.seconds / OFF), duration(plan.seconds * OFF)
    return f"time: about {duration(plan.seconds)}, from {low} to {high}, measured {plan.machine}"


def _arms(plan: Plan) -> Table:
    keys = list(dict.fromkeys(key for arm in plan.arms for key in arm.grid))
    several, gpus = len({arm.scenario for arm in plan.arms}) > 1, any(arm.gpus for arm in plan.arms)
    labels = ["scenario"] * (several or not keys) + keys
    header = (
        *labels, "seeds", "rounds", "clients", "stack", "units", "down/round", "up/round", "client process",
        *["on its GPU"] * gpus, "a round", "a trial",
    )  # fmt: skip
    lines = tuple(
        (*[arm.scenario] * (several or not keys), *(arm.grid.get(key, "") for key in keys), *_figures(arm, gpus=gpus))
        for arm in plan.arms
    )
    caption = "bytes of all clients together, memory of a client process, and time"
    return Table("arms", caption, header, lines, frozenset(), len(labels), len(labels))


def _figures(arm: Arm, *, gpus: bool) -> tuple[str, ...]:
    most = ">= " if arm.unshared else "" if arm.exact else "<= "
    down, up = (most + size(statistics.fmean(sent) / arm.rounds) for sent in (arm.bytes_down, arm.bytes_up))
    times = ("?", "?") if arm.trial_s is None else (duration(arm.round_s or 0.0), duration(arm.trial_s))
    on_gpu = [_known(arm.gpu_bytes) if arm.gpus else ""] * gpus
    counts = (arm.seeds, arm.rounds, arm.cohort, arm.stack)
    return (*map(str, counts), f"{arm.units:.1f}", down, up, _known(arm.client_bytes), *on_gpu, *times)


def _nodes(plan: Plan) -> Table:
    apart, gpus = any(use.evaluators for use in plan.nodes), any(use.gpus for use in plan.nodes)
    on_gpu = ["a GPU's memory", "of"] * gpus
    header = ("node", "servers", "client actors", *["evaluators"] * apart, "GPUs", "memory", "of", *on_gpu)
    if len(plan.nodes) <= FEW:
        named = [(use.name, use) for use in plan.nodes]
    else:
        kinds = Counter(replace(use, name="") for use in plan.nodes)
        named = [(counted(count, "node"), use) for use, count in kinds.items()]
    lines = tuple(
        (
            name, str(use.servers), str(use.clients), *[str(use.evaluators)] * apart, f"{use.gpus:g}",
            _known(use.bytes), _known(use.memory_bytes), *_on_gpu(use) * gpus,
        )
        for name, use in named
    )  # fmt: skip
    return Table("nodes", "when all slots are at work", header, lines, frozenset(), 1, 1)


def _on_gpu(use: Use) -> tuple[str, str]:
    return (_known(use.gpu_bytes), _known(use.gpu_memory_bytes)) if use.gpus else ("", "")


def _known(bytes_: float | None) -> str:
    return "?" if bytes_ is None else size(bytes_)
